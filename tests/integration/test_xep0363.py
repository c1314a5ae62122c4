"""Files over HTTP (XEP-0363): slots that promise one file, quotas, what is served and how."""
import http.client
import os
import pathlib
import socket
import ssl
import time
import urllib.parse

import xmpp
from suite import accounts, check, private
from xmpp import NS_CLIENT, condition_of

NS = 'urn:xmpp:http:upload:0'


def ask(client, name, size, content_type=None):
    """The answer to a request for a slot."""
    kind = " content-type='%s'" % content_type if content_type else ''
    ident = 'u%d' % time.monotonic_ns()
    client.send("<iq type='get' id='%s' to='upload.localhost'><request xmlns='%s' filename='%s' size='%s'%s/></iq>"
                % (ident, NS, name, size, kind))
    return client.wait_for(lambda e: e.get('id') == ident)


def slot(client, name, size, content_type=None):
    """(put, get)"""
    answer = ask(client, name, size, content_type)
    check(answer.get('type') == 'result', xmpp.text_of(answer))
    found = answer.find('{%s}slot' % NS)
    return found.find('{%s}put' % NS).get('url'), found.find('{%s}get' % NS).get('url')


def request(t, method, url, body=None, headers=None):
    """(status, headers, body)"""
    parts = urllib.parse.urlsplit(url)
    check(parts.port == t.server.https_port and parts.scheme == 'https', url)
    context = ssl.create_default_context(cafile=str(t.server.crt))
    connection = http.client.HTTPSConnection('localhost', parts.port, timeout=20, context=context)
    try:
        connection.request(method, parts.path + ('?' + parts.query if parts.query else ''), body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def files(t):
    return [f for f in (pathlib.Path(t.server.home) / 'upload').rglob('*') if f.is_file()]


@accounts('juliet')
@private()
def test_there_and_back(t):
    """a file that takes many pieces comes back as it was; HEAD, ranges, and headers that keep it from running"""
    juliet = t.login('juliet')
    data = os.urandom(3000001)
    put, get = slot(juliet, 'a b ä.html', len(data), 'text/html')
    status, _, _ = request(t, 'PUT', put, data, {'Content-Type': 'text/html'})
    check(status == 201, 'PUT: %d' % status)
    status, headers, body = request(t, 'GET', get, headers={'Origin': 'https://elsewhere.example'})
    check(status == 200 and body == data, 'GET: %d, %d bytes' % (status, len(body)))
    check(headers['Content-Type'] == 'application/octet-stream' and headers['X-Content-Type-Options'] == 'nosniff', headers)
    check(headers['Content-Disposition'] == "attachment; filename*=UTF-8''a%20b%20%C3%A4.html", headers)
    check("sandbox" in headers['Content-Security-Policy'] and headers['Access-Control-Allow-Origin'] == '*', headers)
    status, headers, body = request(t, 'HEAD', get)
    check(status == 200 and headers['Content-Length'] == str(len(data)) and not body, 'HEAD')
    for wanted, part in (('bytes=0-0', data[:1]), ('bytes=1000000-1999999', data[1000000:2000000]), ('bytes=-5', data[-5:]),
                         ('bytes=3000000-', data[-1:]), ('bytes=0-99999999', data)):
        status, headers, body = request(t, 'GET', get, headers={'Range': wanted})
        check(status == 206 and body == part and headers['Content-Range'].endswith('/%d' % len(data)), wanted)
    for wanted, code in (('bytes=3000001-', 416), ('bytes=-0', 416), ('bytes=5-1', 200), ('lines=1-2', 200),
                         ('bytes=0-1,5-6', 200)):
        check(request(t, 'GET', get, headers={'Range': wanted})[0] == code, wanted)
    status, headers, _ = request(t, 'OPTIONS', put)
    check(status == 204 and 'PUT' in headers['Access-Control-Allow-Methods'], 'preflight')


@accounts('juliet')
@private()
def test_a_slot_is_for_one_file(t):
    """another size, type, name, mac or time is refused, a second file too, and nothing of them stays"""
    juliet = t.login('juliet')
    put, get = slot(juliet, 'x.txt', 5, 'text/plain')
    text = {'Content-Type': 'text/plain'}
    for url, body, headers, codes in (
            (put, b'hello!', text, (413,)), (put, b'hell', text, (413,)), (put, b'hello', {'Content-Type': 'text/html'}, (403,)),
            (put, b'hello', {}, (403,)), (put.replace('x.txt', 'y.txt'), b'hello', text, (403,)), (get, b'hello', text, (403,)),
            (put[:-1] + ('0' if put[-1] != '0' else '1'), b'hello', text, (403,)), (put.replace('s=5', 's=6'), b'hello!', text, (403,)),
            (put.replace('e=', 'e=9'), b'hello', text, (403,)), (put.replace('t=1', 't=0'), b'hello', text, (403,)),
            (put.replace('/upload/', '/upload/../upload/'), b'hello', text, (403, 404)),
            (put.replace('/upload/', '/upload/%2e%2e%2f'), b'hello', text, (403, 404))):
        status, _, _ = request(t, 'PUT', url, body, headers)
        check(status in codes, '%s %r: %d' % (url, body, status))
    check(files(t) == [], files(t))
    check(request(t, 'GET', get)[0] == 404, 'before it is there')
    check(request(t, 'PUT', put, b'hello', text)[0] == 201, 'the right one')
    check(request(t, 'PUT', put, b'HELLO', text)[0] == 409, 'a second one')
    check(request(t, 'GET', get)[2] == b'hello', 'the first one stays')
    check(request(t, 'GET', get.replace('x.txt', 'x.html'))[0] == 404, 'under another name')
    check(len(files(t)) == 1, files(t))
    for method in ('POST', 'DELETE', 'PATCH'):
        check(request(t, method, get)[0] == 405, method)


@accounts('juliet')
@private()
def test_interrupted(t):
    """an upload that is cut leaves nothing behind, and the slot is good for another try"""
    juliet = t.login('juliet')
    data = os.urandom(500000)
    put, get = slot(juliet, 'cut.bin', len(data))
    parts = urllib.parse.urlsplit(put)
    for much in (0, 1, 70000, 499999):
        with socket.create_connection(('127.0.0.1', t.server.http_port), timeout=10) as connection:
            connection.sendall(('PUT %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n'
                                % (parts.path, parts.query, len(data))).encode() + data[:much])
            time.sleep(0.2)
    until = time.monotonic() + 5
    while files(t) and time.monotonic() < until:
        time.sleep(0.05)
    check(files(t) == [], files(t))
    check(request(t, 'PUT', put, data)[0] == 201, 'again')
    check(request(t, 'GET', get)[2] == data, 'what came')
    put, get = slot(juliet, 'wait.bin', 5)
    parts = urllib.parse.urlsplit(put)
    with socket.create_connection(('127.0.0.1', t.server.http_port), timeout=10) as connection:
        connection.sendall(('PUT %s?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'
                            % (parts.path, parts.query)).encode())
        check(connection.recv(4096).startswith(b'HTTP/1.1 100 '), 'no leave')
        connection.sendall(b'hello')
        check(connection.recv(4096).startswith(b'HTTP/1.1 201 '), 'no answer')


@accounts('juliet', 'romeo')
@private(modules__upload={'max_size': '1MiB', 'account_bytes': '2MiB', 'account_bytes_per_day': '1500KiB',
                          'types': ['image/*', 'text/plain']})
def test_limits(t):
    """size, type and quota are told apart; bad requests are bad requests"""
    juliet, romeo = t.login('juliet'), t.login('romeo')
    answer = ask(juliet, 'big.png', 1048577, 'image/png')
    check(condition_of(answer) == 'not-acceptable', xmpp.text_of(answer))
    told = answer.find('.//{%s}file-too-large/{%s}max-file-size' % (NS, NS))
    check(told is not None and told.text == '1048576', xmpp.text_of(answer))
    check(condition_of(ask(juliet, 'x.html', 5, 'text/html')) == 'not-acceptable', 'a type')
    for name, size in (('../../etc/passwd', 5), ('..', 5), ('', 5), ('a&#10;b', 5), ('a', -1), ('a', 0), ('a', 'x'), ('a', ''),
                       ('n' * 201, 5)):
        check(condition_of(ask(juliet, name, size, 'image/png')) == 'bad-request', '%r %r' % (name, size))
    slot(juliet, 'a.png', 1000000, 'image/png')
    check(condition_of(ask(juliet, 'b.png', 1000000, 'image/png')) == 'resource-constraint', 'the day')
    slot(romeo, 'b.png', 1000000, 'image/png')
    romeo.send("<iq type='get' id='d1' to='upload.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
    info = xmpp.text_of(romeo.wait_for(lambda e: e.get('id') == 'd1'))
    check('1048576' in info and NS in info and 'store' in info, info)


@accounts('juliet')
@private(modules__upload={'keep': '1d'})
def test_old_files_go(t):
    """what is older than 'keep' is removed when someone asks for a slot"""
    juliet = t.login('juliet')
    old = pathlib.Path(t.server.home) / 'upload' / '20200101'
    old.mkdir(parents=True)
    (old / ('0' * 32)).write_text('old')
    slot(juliet, 'new.txt', 5)
    until = time.monotonic() + 5
    while old.exists() and time.monotonic() < until:
        time.sleep(0.05)
    check(not old.exists(), 'it is still there')


@accounts('juliet')
@private()
def test_a_full_disk_and_other_trouble(t):
    """a folder that cannot be written is 500, and the server goes on"""
    juliet = t.login('juliet')
    place = pathlib.Path(t.server.home) / 'upload'
    place.write_text('no folder')
    put, _ = slot(juliet, 'x.bin', 5)
    status = request(t, 'PUT', put, b'hello')[0]
    check(status in (404, 500), 'PUT: %d' % status)
    juliet.ping('p1')


def gone(path, t):
    until = time.monotonic() + 10
    while path in files(t) and time.monotonic() < until:
        time.sleep(0.05)
    return path not in files(t)


@accounts('juliet', 'romeo', 'tybalt')
@private()
def test_files_of_a_deleted_account(t):
    """an account that is deleted, by the administrator or by itself, takes its files with it, and nobody else's"""
    left = {}
    for role in ('juliet', 'romeo', 'tybalt'):
        before = set(files(t))
        client = t.login(role)
        put, get = slot(client, role + '.txt', 5)
        check(request(t, 'PUT', put, b'hello')[0] == 201, role)
        slot(client, 'never-uploaded.txt', 5)
        left[role] = (get, next(iter(set(files(t)) - before)), client)
    get, path, client = left['romeo']
    client.send("<iq type='set' id='w' to='upload.localhost'><sweep xmlns='urn:sterna:upload:sweep'/></iq>")
    check(condition_of(client.wait_for(lambda e: e.get('id') == 'w')) == 'service-unavailable', 'anyone may sweep')
    t.server.sql("with recursive n(i) as (select 1 union all select i + 1 from n where i < 450) insert into upload_slot"
                 " (slot, owner, size, created) select 'left by another' || i, '', 1, 1 from n")
    t.server.ctl('user', 'delete', t.bare('juliet'))
    check(gone(left['juliet'][1], t) and request(t, 'GET', left['juliet'][0])[0] == 404, 'deleted by the administrator')
    client.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    check(gone(path, t) and request(t, 'GET', get)[0] == 404, 'removed by itself')
    check(request(t, 'GET', left['tybalt'][0])[2] == b'hello', 'the files of others')
    until = time.monotonic() + 10
    while t.server.sql("select count(*) from upload_slot where owner = ''") != '0':
        check(time.monotonic() < until, 'what is many is not swept to its end')
        time.sleep(0.1)


@accounts('juliet')
@private(http__request_time='1s')
def test_a_slow_reader(t):
    """a large file may take its time: the deadline of an answer is by its length"""
    juliet = t.login('juliet')
    data = os.urandom(8000000)
    put, get = slot(juliet, 'large.bin', len(data))
    check(request(t, 'PUT', put, data)[0] == 201, 'PUT')
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        connection.settimeout(30)
        connection.connect(('127.0.0.1', t.server.http_port))
        connection.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
                            % urllib.parse.urlsplit(get).path).encode())
        got = connection.recv(4096)
        time.sleep(3)
        while piece := connection.recv(65536):
            got += piece
    check(got.split(b'\r\n\r\n', 1)[1] == data, '%d bytes' % len(got))
