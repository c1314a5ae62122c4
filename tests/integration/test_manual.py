"""The manual agrees with the program."""
import pathlib
import subprocess
import tempfile

import sterna
from suite import accounts, check


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
