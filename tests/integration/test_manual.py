"""The manual agrees with the program."""
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
