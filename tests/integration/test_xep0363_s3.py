"""XEP-0363 with an object store in place of a folder. The store is a real one that others wrote: versitygw where $STERNA_TEST_S3
is its program (it checks signatures), else moto's server, from the virtual environment in $STERNA_BUILD/venv."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import sterna
import xmpp
from suite import accounts, check, client, daemon
from test_xep0363 import ask, request, slot
from xmpp import condition_of

KEY, SECRET, BUCKET = 'AKIASTERNA', 'not so secret', 'files-of-sterna'


class Store:
    """A running object store; start() and stop() as often as wanted, on the same port."""

    def __init__(self, t):
        self.program = os.environ.get('STERNA_TEST_S3')
        moto = sterna.build_dir() / 'venv' / 'bin' / 'moto_server'
        if not self.program and not moto.exists():
            t.skip('no object store: STERNA_TEST_S3, or moto in the virtual environment')
        self.port, = sterna.free_ports(1)
        self.url = 'http://127.0.0.1:%d' % self.port
        self.home = tempfile.TemporaryDirectory(prefix='sterna-s3-')
        self.command = [self.program, '--port', '127.0.0.1:%d' % self.port, '--access', KEY, '--secret', SECRET, '--quiet', 'posix',
                        self.home.name] if self.program else [str(moto), '-H', '127.0.0.1', '-p', str(self.port)]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while socket.socket().connect_ex(('127.0.0.1', self.port)):
            check(time.monotonic() < until and self.process.poll() is None, 'the store does not start')
            time.sleep(0.1)
        if self.program:
            (pathlib.Path(self.home.name) / BUCKET).mkdir(exist_ok=True)
        else:
            urllib.request.urlopen(urllib.request.Request('%s/%s' % (self.url, BUCKET), method='PUT')).close()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def objects(self):
        if self.program:
            top = pathlib.Path(self.home.name) / BUCKET
            return sorted(str(f.relative_to(top)) for f in top.rglob('*') if f.is_file() and '.sgwtmp' not in str(f))
        with urllib.request.urlopen('%s/%s?list-type=2' % (self.url, BUCKET)) as answer:
            return sorted(re.findall('<Key>([^<]*)</Key>', answer.read().decode()))

    def options(self, **more):
        return {'s3': {'endpoint': self.url, 'bucket': BUCKET, 'access_key': KEY, 'secret_key': SECRET, 'prefix': 'up/',
                       'connect_time': '2s', 'stall_time': '2s', **more}}


@contextlib.contextmanager
def stored(t, users=('juliet', 'romeo'), begin=True, **more):
    """(store, server, what stands for t in test_xep0363's functions)"""
    store = Store(t)
    try:
        if begin:
            store.start()
        with daemon(t, users, modules__upload=store.options(**more)) as server:
            yield store, server, type('Test', (), {'server': server})
    finally:
        store.stop()
        store.home.cleanup()


def login(t, server, user):
    made = client(t, server, user)
    made.login()
    return made


def wait_until(what, seconds=20):
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.1)
    return what()


@accounts()
def test_there_and_back(t):
    """what is uploaded lies in the bucket, and comes back as it was: whole, in part, and with our headers, not the store's"""
    with stored(t) as (store, server, test):
        juliet = login(t, server, 'juliet')
        data = os.urandom(3000001)
        put, get = slot(juliet, 'a b ä.html', len(data), 'text/html')
        check(request(test, 'GET', get)[0] == 404 and request(test, 'HEAD', get)[0] == 404, 'before it is there')
        status, _, _ = request(test, 'PUT', put, data, {'Content-Type': 'text/html'})
        check(status == 201, 'PUT: %d' % status)
        check(len(store.objects()) == 1 and re.fullmatch(r'up/\d{8}/[0-9a-f]{32}', store.objects()[0]), repr(store.objects()))
        status, headers, body = request(test, 'GET', get, headers={'Origin': 'https://elsewhere.example'})
        check(status == 200 and body == data, 'GET: %d, %d bytes' % (status, len(body)))
        check(headers['Content-Type'] == 'application/octet-stream' and headers['X-Content-Type-Options'] == 'nosniff', headers)
        check(headers['Content-Disposition'] == "attachment; filename*=UTF-8''a%20b%20%C3%A4.html", headers)
        check('sandbox' in headers['Content-Security-Policy'] and headers['Access-Control-Allow-Origin'] == '*', headers)
        check('Server' not in headers and not [h for h in headers if h.lower().startswith('x-amz')], headers)
        status, headers, body = request(test, 'HEAD', get)
        check(status == 200 and headers['Content-Length'] == str(len(data)) and not body, 'HEAD')
        for wanted, part in (('bytes=0-0', data[:1]), ('bytes=1000000-1999999', data[1000000:2000000]), ('bytes=-5', data[-5:]),
                             ('bytes=3000000-', data[-1:]), ('bytes=0-99999999', data)):
            status, headers, body = request(test, 'GET', get, headers={'Range': wanted})
            check(status == 206 and body == part and headers['Content-Range'].endswith('/%d' % len(data)), wanted)
        for wanted, code in (('bytes=3000001-', 416), ('bytes=-0', 416), ('bytes=5-1', 200), ('lines=1-2', 200),
                             ('bytes=0-1,5-6', 200)):
            check(request(test, 'GET', get, headers={'Range': wanted})[0] == code, wanted)
        check(request(test, 'PUT', put, bytes(len(data)), {'Content-Type': 'text/html'})[0] == 409, 'a second one')
        check(request(test, 'GET', get)[2] == data, 'the first one stays')
        check(condition_of(ask(juliet, 'x', 600 << 20)) == 'not-acceptable', 'the limits are the same')


@accounts()
def test_at_the_clients_pace(t):
    """one that sends or reads slowly holds up nobody, and all of it arrives"""
    with stored(t) as (_, server, test):
        juliet = login(t, server, 'juliet')
        data = os.urandom(6000000)
        put, get = slot(juliet, 'slow.bin', len(data))
        parts = urllib.parse.urlsplit(put)
        with socket.create_connection(('127.0.0.1', server.http_port), timeout=30) as connection:
            connection.sendall(('PUT %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n'
                                % (parts.path, parts.query, len(data))).encode())
            check(connection.recv(4096).startswith(b'HTTP/1.1 100 '), 'no leave')
            for at in range(0, len(data), 1000000):
                connection.sendall(data[at:at + 1000000])
                time.sleep(0.3)
            check(connection.recv(4096).startswith(b'HTTP/1.1 201 '), 'no answer')
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            connection.settimeout(30)
            connection.connect(('127.0.0.1', server.http_port))
            connection.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
                                % urllib.parse.urlsplit(get).path).encode())
            got = connection.recv(4096)
            time.sleep(4) # longer than the store may be silent
            begun = time.monotonic()
            juliet.ping('p1')
            check(time.monotonic() - begun < 2, 'others wait')
            while piece := connection.recv(65536):
                got += piece
        check(got.split(b'\r\n\r\n', 1)[1] == data, '%d bytes' % len(got))


@accounts()
def test_interrupted(t):
    """an upload that is cut leaves nothing in the bucket, and the slot is good for another try"""
    with stored(t) as (store, server, test):
        juliet = login(t, server, 'juliet')
        data = os.urandom(500000)
        put, get = slot(juliet, 'cut.bin', len(data))
        parts = urllib.parse.urlsplit(put)
        for much in (0, 1, 70000, 499999):
            with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as connection:
                connection.sendall(('PUT %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n'
                                    % (parts.path, parts.query, len(data))).encode() + data[:much])
                time.sleep(0.3)
        time.sleep(0.5)
        # versitygw keeps what it has got of a request that breaks off (so it does with curl): the next try replaces it
        check(store.program or store.objects() == [], repr(store.objects()))
        check(request(test, 'PUT', put, data)[0] == 201, 'again')
        check(request(test, 'GET', get)[2] == data, 'what came')
        with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as connection:
            connection.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' % urllib.parse.urlsplit(get).path).encode())
        juliet.ping('p1')


@accounts()
def test_what_goes(t):
    """files of an account that is gone, and those that are too old, leave the bucket, also if the store was away meanwhile"""
    with stored(t) as (store, server, test):
        for user in ('juliet', 'romeo'):
            who = login(t, server, user)
            for name in 'ab':
                put, _ = slot(who, name, 5)
                check(request(test, 'PUT', put, b'hello')[0] == 201, 'PUT')
            who.cut()
        check(len(store.objects()) == 4, repr(store.objects()))
        server.ctl('user', 'delete', 'juliet@localhost')
        server.sql("UPDATE upload_slot SET created = created - 1000 WHERE owner = ''")
        old = server.sql("SELECT min(slot) FROM upload_slot WHERE owner = 'romeo@localhost'")
        server.sql("UPDATE upload_slot SET created = 1 WHERE slot = '%s'" % old)
        server.stop()
        store.stop()
        server.start() # begins to clean 2 s later
        time.sleep(3)
        check(server.sql('SELECT count(*) FROM upload_slot') == '4', 'rows went without their objects')
        server.stop()
        store.start()
        if not store.program:
            t.skip('moto forgets its bucket when it stops')
        server.start()
        check(wait_until(lambda: len(store.objects()) == 1), repr(store.objects()))
        check(wait_until(lambda: server.sql("SELECT count(*) FROM upload_slot") == '3'), 'the old row')
        check(server.sql("SELECT count(*) FROM upload_slot WHERE owner = '-'") == '2', 'rows of the account')


@accounts()
def test_cleaning(t):
    """the same with the store there"""
    with stored(t) as (store, server, test):
        juliet = login(t, server, 'juliet')
        for name in 'abc':
            put, _ = slot(juliet, name, 5)
            check(request(test, 'PUT', put, b'hello')[0] == 201, 'PUT')
        old = server.sql("SELECT min(slot) FROM upload_slot")
        server.sql("UPDATE upload_slot SET created = 1 WHERE slot = '%s'" % old)
        server.stop()
        server.start()
        check(wait_until(lambda: len(store.objects()) == 2), repr(store.objects()))
        check(wait_until(lambda: server.sql("SELECT count(*) FROM upload_slot") == '2'), 'the row')


@accounts()
def test_the_store_is_away(t):
    """502, without delaying others; when it is there again all goes on"""
    with stored(t, begin=False) as (store, server, test):
        juliet = login(t, server, 'juliet')
        put, get = slot(juliet, 'x', 5)
        check(request(test, 'PUT', put, b'hello')[0] == 502, 'PUT')
        check(request(test, 'GET', get)[0] == 502, 'GET')
        store.start()
        check(request(test, 'PUT', put, b'hello')[0] == 201, 'PUT, now')
        check(request(test, 'GET', get)[2] == b'hello', 'GET, now')
        store.stop()
        check(request(test, 'GET', get)[0] == 502, 'GET, away again')
        juliet.ping('p1')


@accounts()
def test_a_wrong_key(t):
    """what the store refuses is 502, and told to the operator"""
    with stored(t, secret_key='another') as (store, server, test):
        if not store.program:
            t.skip('moto does not look at signatures')
        juliet = login(t, server, 'juliet')
        put, get = slot(juliet, 'x', 5)
        check(request(test, 'PUT', put, b'hello')[0] == 502, 'PUT')
        check(request(test, 'GET', get)[0] == 502, 'GET')
        check('does not do what it is asked to' in server.log_file.read_text(), 'the log')


@accounts()
def test_a_slow_store(t):
    """one that says nothing: 504 after a time; one that breaks off in the middle: the connection ends; nobody else waits"""
    answers = {'head': b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', 'rest': b''}

    def serve(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if answers['rest']:
                connection.recv(65536)
                connection.sendall(answers['rest'])

    held = []
    with socket.create_server(('127.0.0.1', 0)) as listener, \
            daemon(t, modules__upload={'s3': {'endpoint': 'http://127.0.0.1:%d' % listener.getsockname()[1], 'bucket': BUCKET,
                                              'access_key': KEY, 'secret_key': SECRET, 'stall_time': '2s'}}) as server:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        test = type('Test', (), {'server': server})
        juliet = login(t, server, 'juliet')
        put, get = slot(juliet, 'x', 5)
        status = []
        waiting = [threading.Thread(target=lambda: status.append(request(test, 'PUT', put, b'hello')[0])),
                   threading.Thread(target=lambda: status.append(request(test, 'GET', get)[0]))]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)
        begun = time.monotonic()
        for _ in range(20):
            juliet.ping('p%d' % time.monotonic_ns())
        check(time.monotonic() - begun < 1.5, 'others wait')
        for thread in waiting:
            thread.join()
        check(status == [504, 504], repr(status))
        for rest in (b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf', b'HTTP/1.1 200 OK\r\n\r\nno length',
                     b'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n', b'nonsense\r\n\r\n',
                     b'HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nabc'):
            answers['rest'] = rest
            try:
                code = request(test, 'GET', get)[0]
            except Exception as error: # pylint: disable=broad-except
                code = type(error).__name__
            check(code in (502, 504) or (b'half' in rest and code in ('IncompleteRead', 'RemoteDisconnected')), '%r: %r' % (rest, code))
        juliet.ping('after')
        for connection in held:
            connection.close()


@accounts()
def test_stop_meanwhile(t):
    """a stop with transfers under way ends them"""
    with socket.create_server(('127.0.0.1', 0)) as listener, \
            daemon(t, modules__upload={'s3': {'endpoint': 'http://127.0.0.1:%d' % listener.getsockname()[1], 'bucket': BUCKET,
                                              'access_key': KEY, 'secret_key': SECRET}}) as server:
        juliet = login(t, server, 'juliet')
        put, _ = slot(juliet, 'x', 5)
        parts = urllib.parse.urlsplit(put)
        with socket.create_connection(('127.0.0.1', server.http_port), timeout=10) as connection:
            connection.sendall(('PUT %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello' % (parts.path, parts.query)).encode())
            time.sleep(0.5)
            server.stop()


@accounts()
def test_configuration(t):
    """a bucket that cannot be used is told at the start"""
    for wrong, text in (({'endpoint': 's3.example.org'}, 'endpoint must be'), ({'endpoint': 'https://s3.example.org'}, 'bucket must be'),
                        ({'endpoint': 'https://s3.example.org', 'bucket': 'b'}, 'access_key and secret_key')):
        try:
            with daemon(t, modules__upload={'s3': wrong}) as server:
                check(False, 'it starts')
        except (sterna.ServerError, AssertionError) as error:
            check(text in str(error), '%s: %s' % (text, error))
