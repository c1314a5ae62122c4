"""The manual agrees with the program."""
import functools
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

import sterna
from suite import accounts, check

RESOURCE = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource'


@accounts()
def test_options_are_those_of_the_program(t):
    """docs/options.md is what the option tables say; after a change: make options-manual"""
    if not hasattr(t.server, 'db'):
        t.skip('needs the build')
    with tempfile.TemporaryDirectory(prefix='sterna-manual-') as folder:
        fresh = pathlib.Path(folder) / 'options.md'
        done = subprocess.run(['make', '-s', '-C', str(sterna.build_dir()), 'options-manual', 'OPTIONS_MANUAL=%s' % fresh],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        check(done.returncode == 0, done.stdout[-4000:])
        check(fresh.read_text() == (sterna.TOP / 'docs' / 'options.md').read_text(),
              'docs/options.md is out of date; run make options-manual in the build folder')


@accounts()
def test_doap(t):
    """sterna.doap is what the modules say of themselves; after a change: contrib/make-doap < docs/options.md > sterna.doap"""
    manual = (sterna.TOP / 'docs' / 'options.md').read_text()
    made = subprocess.run([sys.executable, str(sterna.TOP / 'contrib' / 'make-doap')], input=manual, capture_output=True,
                          text=True, timeout=60, check=True).stdout
    check(made == (sterna.TOP / 'sterna.doap').read_text(), 'sterna.doap is out of date')
    numbers = [e.get(RESOURCE) for e in ET.fromstring(made.encode()).iter('{https://linkmauve.fr/ns/xmpp-doap#}xep')]
    check(len(numbers) == len(set(numbers)) > 60, 'specifications: %d' % len(numbers))


@accounts()
def test_compliance(t):
    """docs/compliance.md names files and tests that are there"""
    text = (sterna.TOP / 'docs' / 'compliance.md').read_text()
    scripts = {path.stem for path in (sterna.TOP / 'tests' / 'integration' / 'scripts').glob('*.xmpp')}
    for row in (line.split('|') for line in text.splitlines() if line.startswith('| ') and '`' in line):
        for name in re.findall('`([^`]+)`', ''.join(row[3:])):
            if name.endswith('\u2026'):
                there = any(each.startswith(name[:-1]) for each in scripts)
            elif name.startswith('test_'):
                there = (sterna.TOP / 'tests' / 'integration' / name).exists()
            else:
                there = (sterna.TOP / name).exists() or name in scripts
            check(there, '%s is not there' % name)


def commands():
    """The commands that `sternactl help` lists."""
    text = subprocess.run([str(sterna.program('sternactl')), 'help'], capture_output=True, text=True, check=True).stdout
    found = [m.group(1) for m in re.finditer('^  ([a-z0-9]+(?: [a-z0-9]+)*)(?= |$)', text, re.M)]
    check(len(found) > 25 and 'user add' in found and 's2s explain' in found, 'commands: %s' % found)
    return found


def options(command):
    text = subprocess.run([str(sterna.program('sternactl')), 'help', *command.split()], capture_output=True, text=True,
                          check=True).stdout
    return re.findall('^  (--[a-z-]+)', text, re.M)


COMPLETE = '''. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_sternactl
printf '%s\\n' "${COMPREPLY[@]}"'''


@functools.lru_cache(maxsize=None)
def completed(*words):
    """What the completion offers for the last of these words."""
    script = sterna.TOP / 'contrib' / 'completion' / 'sternactl.bash'
    done = subprocess.run(['bash', '-c', COMPLETE, 'bash', str(script), str(sterna.program('sternactl')), *words],
                          capture_output=True, text=True)
    check(done.returncode == 0 and not done.stderr, 'completion of %s: %s' % (words, done.stderr))
    return done.stdout.split()


@accounts()
def test_completion(t):
    """The shell's completion offers every command that help lists, their options, and what may follow"""
    if not hasattr(t.server, 'db'):
        t.skip('needs the build')
    for command in commands():
        words = command.split()
        for i, word in enumerate(words):
            check(word in completed(*words[:i], ''), '%s is not offered' % command)
        missing = set(options(command)) - set(completed(*words, ''))
        check(not missing, '%s: %s is not offered' % (command, ' '.join(missing)))
    check('--json' in completed('') and 'help' in completed(''), 'options of all commands')
    check('kick' in completed('help', 'session', '') and 'session' in completed('help', ''), 'help of a command')
    check(completed('user', 'li') == ['list'] and completed('user', 'lst') == [], 'part of a word')
    check('debug' in completed('log', 'level', 'd'), 'levels')


@accounts()
def test_man_page(t):
    """sternactl(1) describes every command that help lists, and names their options"""
    if not hasattr(t.server, 'db'):
        t.skip('needs the build')
    page = (sterna.TOP / 'docs' / 'man' / 'sternactl.1').read_text()
    page = re.sub(r'\\f[A-Z]', '', page).replace('\\-', '-').replace('"', '')
    described = set()
    for head in re.findall(r'^\.TP\n\.[A-Z]+ ([a-z0-9]+(?: [a-z0-9|]+)?)', page, re.M):
        first, _, rest = head.partition(' ')
        described.update('%s %s' % (first, word) if word else first for word in rest.split('|'))
    missing = [command for command in commands() if command not in described]
    check(not missing, 'not in the man page: %s' % ', '.join(missing))
    for command in commands():
        for option in options(command):
            check(option in page, '%s: %s is not in the man page' % (command, option))
