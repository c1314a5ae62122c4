"""A client library that was not written by us: slixmpp, from the virtual environment in $STERNA_BUILD/venv."""
import pathlib
import subprocess

import sterna
from suite import accounts, check, daemon


def run_on(t, server, script, people):
    python = sterna.build_dir() / 'venv' / 'bin' / 'python3'
    if not python.exists():
        t.skip('no virtual environment; ./check makes it')
    lines = ''.join('%s %s\n' % person for person in people)
    done = subprocess.run([str(python), str(pathlib.Path(__file__).with_name(script)), '127.0.0.1', str(server.port),
                           str(server.crt)], input=lines, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, done.stdout + done.stderr)


def run(t, script, roles):
    python = sterna.build_dir() / 'venv' / 'bin' / 'python3'
    if not python.exists():
        t.skip('no virtual environment; ./check makes it')
    client = t.client(roles[0])
    lines = ''.join('%s %s\n' % (t.bare(role), t.users[role][1]) for role in roles)
    done = subprocess.run([str(python), str(pathlib.Path(__file__).with_name(script)), client.address, str(client.port),
                           client.cafile or ''], input=lines, capture_output=True, text=True, timeout=90)
    check(done.returncode == 0, done.stdout + done.stderr)


@accounts('juliet', 'romeo')
def test_two_people_chat(t):
    """slixmpp: two people subscribe, see each other, chat, read the archive"""
    run(t, 'slixmpp_chat.py', ('juliet', 'romeo'))


@accounts('juliet', 'romeo')
def test_two_strangers_encrypt(t):
    """XEP-0384: slixmpp-omemo: two strangers exchange encrypted messages both ways, one of them away at first"""
    run(t, 'slixmpp_omemo_chat.py', ('juliet', 'romeo'))


@accounts('juliet', 'romeo')
def test_strangers_in_a_room_encrypt(t):
    """XEP-0384, XEP-0045: slixmpp-omemo: in a non-anonymous room for members, both ways, one of them away for a while"""
    run(t, 'slixmpp_omemo_room.py', ('juliet', 'romeo'))


@accounts('juliet', 'romeo')
def test_the_life_of_a_room(t):
    """XEP-0045: slixmpp: a room is made, configured, used, moderated and destroyed"""
    run(t, 'slixmpp_room.py', ('juliet', 'romeo'))


def test_an_administrator_does_everything(t):
    """XEP-0133: slixmpp: every command it names, with its effect, up to a restart and the end"""
    def before(server):
        server.configure(admins={'juliet@' + server.host: {'role': 'owner'}})

    with daemon(t, before=before) as server:
        run_on(t, server, 'slixmpp_admin.py', [('juliet@' + server.host, 'pw'), ('romeo@' + server.host, 'pw')])
        check(server.process.wait(20) == 0, 'shutdown: another exit status')
        server.start()
