"""Clients that nobody here wrote: @xmpp/client, Converse in Chromium, profanity; and the pages as a camera sees them.

They come from registries when a test wants them, into $STERNA_BUILD/clients; where that cannot be, the test is skipped and
says why. Screenshots lie in $STERNA_BUILD/clients/shots for people to look at."""
import functools
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid

import script
import sterna
from suite import check, daemon, private

HERE = pathlib.Path(__file__).resolve().parent
LONG = 180


def folder():
    return sterna.build_dir() / 'clients'


lock = threading.Lock()


@functools.lru_cache(None)
def install_packages(names):
    done = subprocess.run(['bash', '-c', '. "$1"; shift; need "$@"', 'bash', str(sterna.TOP / 'contrib' / 'packages.sh'), *names],
                          capture_output=True, text=True, timeout=900)
    return done.returncode == 0


def packages(t, *names):
    """Debian's packages, installed."""
    with lock:
        if not install_packages(names):
            t.skip('cannot install ' + ' '.join(names))


@functools.lru_cache(None)
def install_modules(files):
    into = folder()
    into.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy(HERE / name, into / name)
    done = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-fund', '--no-audit'], cwd=into, capture_output=True, text=True,
                          timeout=600)
    return done.returncode == 0


def node(t, script_name, *arguments, **environment):
    """Runs a script of this folder with the modules of package.json; what it said."""
    with lock:
        if shutil.which('npm') is None:
            t.skip('no npm')
        if not install_modules(('package.json', 'package-lock.json')):
            t.skip('npm cannot have the packages')
        shutil.copy(HERE / script_name, folder() / script_name)
    done = subprocess.run(['node', script_name, *arguments], cwd=folder(), capture_output=True, text=True, timeout=LONG * 2,
                          env={**os.environ, **environment})
    t.transcript += done.stdout.splitlines()
    check(done.returncode == 0, done.stdout + done.stderr)
    return done.stdout


def shots(name):
    path = folder() / 'shots' / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def words(t, *roles):
    return [word for role in roles for word in t.users[role]]


# -- @xmpp/client ------------------------------------------------------------------------------------


def xmppjs(t, service):
    said = node(t, 'xmppjs.mjs', service, t.host, *words(t, 'juliet', 'romeo'), NODE_EXTRA_CA_CERTS=str(t.server.crt))
    check(said.splitlines()[-1] == 'done', said)


def test_xmppjs_starttls(t):
    """@xmpp/client over TCP with STARTTLS: presence, messages, requests, a session resumed after a cut"""
    xmppjs(t, 'xmpp://localhost:%d' % t.server.port)


def test_xmppjs_tls(t):
    """@xmpp/client over TLS: presence, messages, requests, a session resumed after a cut"""
    xmppjs(t, 'xmpps://localhost:%d' % t.server.tls_port)


def test_xmppjs_websocket(t):
    """@xmpp/client over WebSocket: presence, messages, requests, a session resumed after a cut"""
    xmppjs(t, 'wss://localhost:%d/xmpp-websocket' % t.server.https_port)


# -- Converse ----------------------------------------------------------------------------------------


def web_client(t):
    """The folder with the web client, as `make web-client` brings it."""
    with lock:
        into = folder() / 'converse'
        done = subprocess.run([str(sterna.TOP / 'contrib' / 'web-client'), str(into)], capture_output=True, text=True, timeout=600)
        if done.returncode:
            t.skip(done.stderr.strip())
    return into


def converse(t, transport):
    packages(t, 'chromium')
    into = web_client(t)

    def before(server):
        server.configure(modules__web={'client': True, 'client_folder': str(into)})
        if transport == 'bosh':
            server.configure(http={'websocket': ''})

    with daemon(t, users=('juliet', 'romeo', 'mercutio'), before=before) as server:
        script.befriend(server, ('juliet', 'pw'), ('romeo', 'pw'))
        said = node(t, 'converse.mjs', 'https://localhost:%d' % server.https_port, str(shots('converse-' + transport)),
                    'juliet', 'pw', 'romeo', 'pw', 'mercutio')
        check(said.splitlines()[-1] == 'done ' + transport, said)
        check(' condition=' not in '\n'.join(line for line in server.log().splitlines() if 'ended with an error' in line),
              'a stream ended with an error')


def test_converse_websocket(t):
    """Converse over WebSocket: login, roster, a message each way, a file, an avatar, a reload, a room with its history"""
    converse(t, 'websocket')


def test_converse_bosh(t):
    """Converse over BOSH: login, roster, a message each way, a file, an avatar, a reload, a room with its history"""
    converse(t, 'bosh')


# -- pages -------------------------------------------------------------------------------------------


@private()
def test_pages(t):
    """the pages by light and dark, at a phone's width, by keyboard; the invitation's code as a camera reads it"""
    packages(t, 'chromium', 'zbar-tools')
    made = json.loads(t.server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
    where = shots('pages')
    said = node(t, 'pages.mjs', str(where), 'https://localhost:%d/' % t.server.https_port, made['landing-url'],
                'https://localhost:%d/invite/unknownunknownunknown' % t.server.https_port)
    check(said.splitlines()[-1] == 'done', said)
    read = subprocess.run(['zbarimg', '--quiet', '--raw', str(where / 'code.png')], capture_output=True, text=True)
    check(read.stdout.strip() == made['uri'], 'the code says %r' % read.stdout)


# -- profanity ---------------------------------------------------------------------------------------


class Terminal:
    """A program in tmux."""

    def __init__(self, command, home):
        self.name = 'sterna-' + uuid.uuid4().hex[:8]
        self.tmux('new-session', '-d', '-s', 'main', '-x', '140', '-y', '45', command,
                  env={**os.environ, 'HOME': str(home), 'XDG_CONFIG_HOME': str(home / 'c'), 'XDG_DATA_HOME': str(home / 'd'),
                       'LANG': 'C.UTF-8', 'TERM': 'xterm-256color'})

    def tmux(self, *arguments, env=None):
        done = subprocess.run(['tmux', '-L', self.name, '-f', '/dev/null', *arguments], capture_output=True, text=True, timeout=20,
                              env=env)
        return done.stdout

    def type(self, text):
        self.tmux('send-keys', '-t', 'main', '-l', text)
        self.tmux('send-keys', '-t', 'main', 'Enter')

    def screen(self):
        return self.tmux('capture-pane', '-t', 'main', '-p')

    def wait(self, text):
        until = time.monotonic() + 60
        while text not in self.screen():
            check(time.monotonic() < until, '%r is not on the screen:\n%s' % (text, self.screen()))
            time.sleep(0.1)

    def close(self):
        self.tmux('kill-server')


def test_profanity(t):
    """profanity in a terminal: login, roster, a message each way, a room with its history"""
    packages(t, 'profanity', 'tmux')
    romeo = t.login('romeo')
    home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-'))
    terminal = Terminal('profanity', home)
    try:
        terminal.wait('/help')
        terminal.type('/connect %s server 127.0.0.1 port %d tls trust' % (t.bare('juliet'), t.server.port))
        terminal.wait('Enter password')
        terminal.type(t.users['juliet'][1])
        terminal.wait('logged in successfully')
        terminal.type('/roster add %s Montague' % t.bare('romeo'))
        terminal.wait('Montague')
        terminal.type('/msg %s Art thou not Romeo?' % t.bare('romeo'))
        got = romeo.wait_for(lambda e: e.tag.endswith('message') and e.find('{jabber:client}body') is not None)
        check(got.find('{jabber:client}body').text == 'Art thou not Romeo?', got)
        romeo.send("<message to='%s' type='chat' id='m1'><body>Neither, fair saint.</body></message>" % got.get('from'))
        terminal.wait('Neither, fair saint.')
        room = '%s@conference.%s' % (uuid.uuid4().hex[:8], t.host)
        romeo.send("<presence to='%s/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % room)
        romeo.wait_for(lambda e: e.get('from') == room + '/romeo')
        romeo.send("<iq type='set' id='make' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                   "<x xmlns='jabber:x:data' type='submit'/></query></iq>" % room)
        romeo.wait_for(lambda e: e.get('id') == 'make')
        romeo.send("<message to='%s' type='groupchat' id='m2'><body>With a kiss I die</body></message>" % room)
        romeo.wait_for(lambda e: e.get('type') == 'groupchat' and e.get('id') == 'm2')
        terminal.type('/join %s nick juliet' % room)
        terminal.wait('With a kiss I die')
        terminal.type('What is here?')
        romeo.wait_for(lambda e: e.get('type') == 'groupchat' and e.find('{jabber:client}body') is not None
                       and e.find('{jabber:client}body').text == 'What is here?')
        t.transcript += terminal.screen().splitlines()
        (shots('profanity') / 'screen.txt').write_text(terminal.screen())
        terminal.type('/quit')
    finally:
        terminal.close()
        shutil.rmtree(home, ignore_errors=True)


# -- go-sendxmpp -------------------------------------------------------------------------------------


def body_of(elem):
    return elem.findtext('{jabber:client}body') or ''


def test_go_sendxmpp(t):
    """go-sendxmpp: a message by STARTTLS and by TLS, and a file, which comes as it was"""
    packages(t, 'go-sendxmpp')
    romeo = t.login('romeo')
    home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-'))
    try:
        (home / 'letter.txt').write_text('thou art mine\n')
        for text, words_, port in (('by STARTTLS', (), t.server.port), ('by TLS', ('-t',), t.server.tls_port),
                                   ('', ('-t', '--http-upload', str(home / 'letter.txt')), t.server.tls_port)):
            done = subprocess.run(['go-sendxmpp', '-u', t.bare('juliet'), '-p', t.users['juliet'][1], '-j', 'localhost:%d' % port,
                                   *words_, t.bare('romeo')], input=text, capture_output=True, text=True, timeout=60,
                                  env={**os.environ, 'HOME': str(home), 'SSL_CERT_FILE': str(t.server.crt)})
            check(done.returncode == 0, done.stderr)
            got = body_of(romeo.wait_for(lambda e: body_of(e) != ''))
            if text:
                check(got.strip() == text, got)
        with urllib.request.urlopen(got, context=ssl.create_default_context(cafile=str(t.server.crt)), timeout=20) as answer:
            check(answer.read() == b'thou art mine\n', 'another file')
    finally:
        shutil.rmtree(home, ignore_errors=True)
