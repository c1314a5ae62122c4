"""A client library that was not written by us: slixmpp, from the virtual environment in $STERNA_BUILD/venv."""
import pathlib
import subprocess

import sterna
from suite import accounts, check


@accounts('juliet', 'romeo')
def test_two_people_chat(t):
    """slixmpp: two people subscribe, see each other, chat, read the archive"""
    python = sterna.build_dir() / 'venv' / 'bin' / 'python3'
    if not python.exists():
        t.skip('no virtual environment; ./check makes it')
    client = t.client('juliet')
    lines = ''.join('%s %s\n' % (t.bare(role), t.users[role][1]) for role in ('juliet', 'romeo'))
    done = subprocess.run([str(python), str(pathlib.Path(__file__).with_name('slixmpp_chat.py')), client.address,
                           str(client.port), client.cafile or ''], input=lines, capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, done.stdout + done.stderr)
