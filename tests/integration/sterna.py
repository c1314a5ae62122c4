"""The real sternad in a folder of its own: configuration, certificate, accounts, start, stop, kill, log.

STERNA_BUILD       the build folder (default: build/ at the top of the tree)
STERNA_TEST_PG     libpq conninfo of a cluster where databases may be created (for --db postgresql)
"""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid

import web
import xmpp

TOP = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT = 30
STOP_TIMEOUT = 30
SANITIZER = re.compile(r'ERROR: (?:Address|Leak|Thread|Memory)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer')


class ServerError(Exception):
    """The daemon or its tool did not do what it was asked to; the text has its output."""


def build_dir():
    return pathlib.Path(os.environ.get('STERNA_BUILD', TOP / 'build')).resolve()


def program(name):
    for folder in ('server', '.', 'tools'):
        path = build_dir() / folder / name
        if path.is_file():
            return path
    raise ServerError('%s is not built in %s' % (name, build_dir()))


def module_files():
    """The modules of the build: make leaves them in the .libs of two folders."""
    return sorted(path for folder in ('xep', 'modules') for path in (build_dir() / folder).glob('.libs/*.so'))


def module_names():
    return [re.sub(r'^xep\d{4}_', '', path.stem) for path in module_files()]


given = set()          # by free_ports()


def free_ports(count):
    """Ports that nobody listens on now, each given once. They lie below those that the kernel takes for connections
    (net.ipv4.ip_local_port_range), so that a daemon that starts again finds its own free."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10000, 20000)
        with socket.socket() as probe:
            if port not in given and probe.connect_ex(('127.0.0.1', port)):
                given.add(port)
                ports.append(port)
    return ports


def certificate(folder, host='localhost'):
    """A self-signed ECDSA P-256 certificate: (certificate, key)."""
    crt, key = folder / (host + '.crt'), folder / (host + '.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                    '-keyout', str(key), '-out', str(crt), '-days', '30', '-subj', '/CN=' + host, '-addext',
                    'subjectAltName=DNS:%s,IP:127.0.0.1,IP:::1' % host], check=True, capture_output=True)
    key.chmod(0o600)
    return crt, key


def yaml(value, indent=0):
    """Mappings, lists and plain values as YAML."""
    pad = '  ' * indent
    if isinstance(value, dict):
        if not value:
            return ' {}\n'
        lines = ''.join('%s%s:%s' % (pad, key_text(key), yaml(item, indent + 1)) for key, item in value.items())
        return ('\n' if indent else '') + lines
    if isinstance(value, list):
        return ' [' + ', '.join(flow(item) for item in value) + ']\n'
    return ' ' + flow(value) + '\n'


def key_text(key):
    return "'%s'" % key if key.startswith('*') else key


def flow(value):
    if isinstance(value, dict):
        return '{ ' + ', '.join('%s: %s' % (key_text(key), flow(item)) for key, item in value.items()) + ' }'
    if isinstance(value, list):
        return '[' + ', '.join(flow(item) for item in value) + ']'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def merge(tree, path, value):
    """Sets tree[a][b][c] for the path a.b.c."""
    *above, last = path.split('.')
    for key in above:
        tree = tree.setdefault(key, {})
    tree[last] = value


def plain(text):
    """A value of a script's option as a YAML value: true, 12, [a, b], JSON with mappings, or text."""
    if text.startswith(('[{', '{"')):
        return json.loads(text)
    if text in ('true', 'false'):
        return text == 'true'
    if re.fullmatch(r'\d+', text):
        return int(text)
    if text.startswith('['):
        return [plain(item.strip()) for item in text.strip('[]').split(',') if item.strip()]
    return {} if text == '{}' else text


class Server:
    """One sternad. Clients, accounts and the log belong to it."""

    def __init__(self, db='sqlite', options=None, host='localhost', name='sternad'):
        self.host, self.db, self.name = host, db, name
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-'))
        self.port, self.tls_port, self.http_port, self.https_port = free_ports(4)
        self.transport = 'tcp'
        self.process, self.starts, self.database = None, 0, None
        self.problems = []
        self.more_environment = {}     # for the daemon and its tool
        (self.home / 'tls').mkdir()
        self.crt, self.key = certificate(self.home / 'tls', host)
        self.config_file = self.home / 'sterna.yaml'
        self.log_file = self.home / 'log'
        self.tree = self.config(options or {})
        self.configure()

    def config(self, options):
        tree = {
            'hosts': {self.host: {'certificate': str(self.crt), 'key': str(self.key)}},
            'listen': [
                {'kind': 'c2s', 'address': '127.0.0.1', 'port': self.port},
                {'kind': 'c2s', 'address': '127.0.0.1', 'port': self.tls_port, 'tls': 'direct'},
                {'kind': 'http', 'address': '127.0.0.1', 'port': self.http_port},
                {'kind': 'http', 'address': '127.0.0.1', 'port': self.https_port, 'tls': 'direct'},
            ],
            'storage': self.storage(),
            'server': {'workers': 2, 'control': str(self.home / 'control.sock'), 
                       'module_dir': ':'.join(sorted({str(path.parent) for path in module_files()}))},
            'limits': {'connections_per_address': 1000, 'logins_per_address': '1000/s'},
            'auth': {'plain': True, 'iterations': 4096},
            's2s': {'enabled': False},
            'log': {'level': 'debug', 'format': 'text'},
            'modules': {name: {} for name in module_names()},
        }
        for path, value in options.items():
            merge(tree, path, plain(value) if isinstance(value, str) else value)
        return tree

    def configure(self, **options):
        """Changes the file: paths with __ for the dots; None takes the key away. The server hears of it by reload."""
        for path, value in options.items():
            if value is not None:
                merge(self.tree, path.replace('__', '.'), value)
                continue
            *above, last = path.split('__')
            section = self.tree
            for key in above:
                section = section[key]
            section.pop(last, None)
        self.config_file.write_text(yaml(self.tree))

    def storage(self):
        if self.db == 'sqlite':
            return {'driver': 'sqlite', 'path': str(self.home / 'sterna.db'), 'sql_dir': str(TOP / 'sql')}
        conninfo = os.environ.get('STERNA_TEST_PG')
        if not conninfo:
            raise ServerError('STERNA_TEST_PG is not set; start a cluster with tests/pg')
        self.database = 'sterna_' + uuid.uuid4().hex[:12]
        self.psql('create database %s' % self.database)
        conninfo = re.sub(r'\s*dbname=\S+', '', conninfo)
        return {'driver': 'postgresql', 'conninfo': '%s dbname=%s' % (conninfo, self.database),
                'sql_dir': str(TOP / 'sql')}

    def psql(self, statement):
        conninfo = os.environ['STERNA_TEST_PG']
        if 'dbname=' not in conninfo:
            conninfo += ' dbname=postgres'
        done = subprocess.run(['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', conninfo, '-c', statement],
                              capture_output=True, text=True)
        if done.returncode:
            raise ServerError('psql: %s' % done.stderr.strip())
        return done.stdout.strip()

    def sql(self, statement):
        """Runs a statement on the daemon's own database; the first row's first value."""
        if self.db == 'sqlite':
            with contextlib.closing(sqlite3.connect(str(self.home / 'sterna.db'), timeout=30)) as db, db:
                row = db.execute(statement).fetchone()
            return str(row[0]) if row else ''
        done = subprocess.run(['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', self.tree['storage']['conninfo'],
                               '-c', statement], capture_output=True, text=True)
        if done.returncode:
            raise ServerError('psql: %s' % done.stderr.strip())
        return done.stdout.split('\n')[0]

    # -- the tool ------------------------------------------------------------------------------------

    def ctl(self, *arguments, stdin='', check=True):
        """Runs sternactl on this server's configuration; returns what it wrote to stdout."""
        done = subprocess.run([str(program('sternactl')), '-c', str(self.config_file), *arguments], input=stdin,
                              capture_output=True, text=True, timeout=120, env=self.environment())
        if SANITIZER.search(done.stderr):
            self.problems.append('sternactl %s:\n%s' % (' '.join(arguments), done.stderr))
        if check and done.returncode:
            raise ServerError('sternactl %s: exit %d\n%s%s' % (' '.join(arguments), done.returncode, done.stdout,
                                                               done.stderr))
        return done.stdout

    def add_users(self, users):
        """users: name and password, and the host if it is another."""
        listing = self.home / 'accounts'
        listing.write_text(''.join('%s@%s %s\n' % (user, host[0] if host else self.host, password) for user, password, *host in users))
        listing.chmod(0o600)
        self.ctl('user', 'add', '--from', str(listing))
        listing.unlink()

    def environment(self):
        env = dict(os.environ, **self.more_environment)
        env.setdefault('ASAN_OPTIONS', 'detect_leaks=1:exitcode=99:abort_on_error=0')
        env.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1:halt_on_error=1')
        return env

    # -- life ----------------------------------------------------------------------------------------

    def start(self):
        self.starts += 1
        with open(self.log_file, 'ab') as log:
            self.process = subprocess.Popen([str(program('sternad')), '-c', str(self.config_file)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.home, env=self.environment())
        end = time.monotonic() + START_TIMEOUT
        for port in (self.port, self.tls_port):
            while not listens(port):
                if self.process.poll() is not None:
                    raise ServerError('sternad ended with %d:\n%s' % (self.process.returncode, self.log_tail()))
                if time.monotonic() > end:
                    raise ServerError('sternad does not listen after %d s:\n%s' % (START_TIMEOUT, self.log_tail()))
                time.sleep(0.02)
        return self

    def stop(self):
        """SIGTERM; the exit status has to be 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.problems.append('sternad did not end within %d s of SIGTERM' % STOP_TIMEOUT)
            return
        if status != 0:
            self.problems.append('sternad ended with %d:\n%s' % (status, self.log_tail()))

    def kill(self):
        """kill -9, as a crash."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self):
        return self.log_file.read_text(errors='replace') if self.log_file.exists() else ''

    def log_tail(self, lines=40):
        return '\n'.join(self.log().splitlines()[-lines:])

    def check(self):
        """What went wrong so far: sanitizer reports, a process that is gone. A list of texts."""
        found = SANITIZER.search(self.log())
        problems = list(self.problems)
        if found:
            problems.append('sanitizer report:\n' + self.log()[found.start():][:6000])
        if self.process is not None and self.process.poll() is not None:
            problems.append('sternad ended by itself with %d:\n%s' % (self.process.returncode, self.log_tail()))
        return problems

    def close(self, keep=None):
        """Stops, and forgets everything; keep is a folder for the log. Returns the problems."""
        self.stop()
        problems = self.check()
        if keep is not None and self.log_file.exists():
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.log_file, keep / (self.name + '.log'))
        if self.database:
            self.psql('drop database if exists %s with (force)' % self.database)
        shutil.rmtree(self.home, ignore_errors=True)
        return problems

    # -- clients -------------------------------------------------------------------------------------

    def client(self, user, password, direct_tls=False, **options):
        if self.transport == 'websocket':
            return web.WsClient(user, password, host=self.host, cafile=str(self.crt), direct_tls=direct_tls,
                                port=self.https_port if direct_tls else self.http_port, **options)
        if self.transport == 'bosh':
            return web.BoshClient(user, password, host=self.host, cafile=str(self.crt), direct_tls=direct_tls,
                                  port=self.https_port if direct_tls else self.http_port, **options)
        return xmpp.Client(user, password, host=self.host, cafile=str(self.crt), direct_tls=direct_tls,
                           port=self.tls_port if direct_tls else self.port, **options)


def listens(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1).close()
        return True
    except OSError:
        return False
