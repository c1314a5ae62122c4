"""The HTTP listener: exact paths, methods, limits; metrics, liveness, readiness."""
import http.client
import re
import signal
import socket
import ssl
import time

from suite import accounts, check, private

SAMPLE = re.compile(r'^[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.]+(e[+-]?[0-9]+)?|\+Inf|NaN)$')


def request(t, method, path, body=None, headers=None):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection('127.0.0.1', t.server.http_port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(t, data, wait=10):
    """What comes back for these bytes, to the connection's end."""
    with socket.create_connection(('127.0.0.1', t.server.http_port), timeout=wait) as connection:
        connection.sendall(data)
        got = b''
        while True:
            try:
                more = connection.recv(65536)
            except ConnectionResetError:
                return got
            if not more:
                return got
            got += more


def wait_ready(t):
    until = time.monotonic() + 10
    while request(t, 'GET', '/readyz')[0] != 200 and time.monotonic() < until:
        time.sleep(0.05)
    check(request(t, 'GET', '/readyz')[0] == 200, 'not ready')


def value(text, name):
    found = re.search(r'^%s(?:\{[^}]*\})? (\S+)$' % name, text, re.M)
    check(found, 'no metric %s' % name)
    return float(found.group(1))


@accounts('juliet')
def test_metrics_are_prometheus_text(t):
    """/metrics is Prometheus' text format, and counts what happens"""
    juliet = t.login('juliet')
    status, headers, body = request(t, 'GET', '/metrics')
    text = body.decode()
    check(status == 200, 'status %d' % status)
    check(headers['Content-Type'].startswith('text/plain; version=0.0.4'), headers['Content-Type'])
    for line in text.splitlines():
        check(line.startswith('# ') or SAMPLE.match(line), 'no sample: %r' % line)
    check(value(text, 'sterna_sessions') >= 1, 'no session')
    check(value(text, 'sterna_logins_total') >= 1, 'no login')
    check(value(text, 'sterna_accounts_loaded') >= 0, 'accounts')
    check(value(text, 'sterna_db_up_workers') == value(text, 'sterna_workers'), 'the database is not up')
    check(25 <= value(text, 'sterna_certificate_days_left') <= 30, 'certificate days')
    check(value(text, 'sterna_log_lines_total') >= 0, 'log lines')
    juliet.cut()


@accounts('juliet')
def test_alive_and_ready(t):
    """/healthz and /readyz say yes"""
    check(request(t, 'GET', '/healthz')[::2] == (200, b'alive\n'), '/healthz')
    check(request(t, 'GET', '/readyz')[::2] == (200, b'ready\n'), '/readyz')


@accounts('juliet')
def test_paths_are_exact_after_one_decoding(t):
    """a path is matched as a whole, decoded once; else 404"""
    for path in ('/%6detrics', '/metrics?x=/../y'):
        check(request(t, 'GET', path)[0] == 200, path)
    for path in ('/metrics/', '/Metrics', '/x/../metrics', '/%256detrics', '/metrics%2f', '//metrics'):
        check(request(t, 'GET', path)[0] == 404, path)
    for path in ('/metrics%00', '/%00', '/%0a', '/%zz', '/metrics%2', '/metrics#x', '/metrics\\x'):
        check(request(t, 'GET', path)[0] == 400, path)


@accounts('juliet')
def test_only_registered_methods(t):
    """another method is 405 with Allow; HEAD has GET's headers and no body"""
    for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE'):
        status, headers, _ = request(t, method, '/metrics')
        check(status == 405 and headers['Allow'] == 'GET, HEAD', '%s: %d %s' % (method, status, headers['Allow']))
    status, headers, body = request(t, 'HEAD', '/healthz')
    check(status == 200 and headers['Content-Length'] == '6' and body == b'', 'HEAD')


@accounts('juliet')
def test_headers_of_an_answer(t):
    """answers carry nosniff, and do not say which server this is"""
    for path in ('/metrics', '/nothing'):
        _, headers, _ = request(t, 'GET', path)
        check(headers['X-Content-Type-Options'] == 'nosniff', 'nosniff')
        check('Server' not in headers, 'Server: %s' % headers['Server'])


@accounts('juliet')
@private(http={'body_bytes': 1000, 'header_bytes': 2000, 'request_time': '1s', 'connections': 2})
def test_limits(t):
    """headers and bodies over their limits are refused, slow requests end, connections over their number wait"""
    check(request(t, 'POST', '/healthz', b'x' * 1001)[0] == 413, 'a body over the limit')
    check(b' 200 ' not in raw(t, b'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ' + b'x' * 3000 + b'\r\n\r\n'), 'long headers')
    began = time.monotonic()
    check(b' 408 ' in raw(t, b'GET /healthz HT'), 'half a request')
    check(raw(t, b'') == b'', 'an answer to nothing')
    check(time.monotonic() - began < 5, 'half a request is kept')
    waiting = [socket.create_connection(('127.0.0.1', t.server.http_port)) for _ in range(5)]
    check(request(t, 'GET', '/healthz')[0] == 200, 'after those who say nothing')
    for each in waiting:
        each.close()


@accounts('juliet')
@private()
def test_keeps_a_connection(t):
    """many requests over one connection"""
    wait_ready(t)
    connection = http.client.HTTPConnection('127.0.0.1', t.server.http_port, timeout=10)
    for _ in range(50):
        connection.request('GET', '/readyz')
        check(connection.getresponse().read() == b'ready\n', 'answer')
    connection.close()


@accounts('juliet')
@private()
def test_unloaded_and_loaded_again(t):
    """a module's paths go and come with it; streams live on"""
    juliet = t.login('juliet')
    whole = t.server.config_file.read_text()
    without = whole.replace(' metrics: {}', ' metrics: off')
    for text, status in ((without, 404), (whole, 200)) * 2:
        t.server.config_file.write_text(text)
        t.server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while request(t, 'GET', '/metrics')[0] != status and time.monotonic() < until:
            time.sleep(0.05)
        check(request(t, 'GET', '/metrics')[0] == status, 'not %d' % status)
    wait_ready(t)
    juliet.send("<message to='%s' type='chat'><body>still here</body></message>" % t.bare('juliet'))
    juliet.wait_for(lambda e: e.tag.endswith('message'))


HEAD = b'GET /healthz HTTP/1.1\r\nHost: x\r\n'

DOUBTFUL = (
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 501),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello', 400),
    (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello', 400),
    (b'POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
    (b'GET /healthz HTTP/1.1\r\n\r\n', 400),                                 # no Host
    (HEAD + b'Host: y\r\n\r\n', 400),
    (HEAD + b'X: a\r\n b\r\n\r\n', 400),                                    # a folded line
    (HEAD + b'X : a\r\n\r\n', 400),
    (HEAD + b'X: a\0b\r\n\r\n', 400),
    (HEAD + b'X: a\rb\r\n\r\n', 400),
    (HEAD + b'X: a\nY: b\r\n\r\n', 400),
    (HEAD + b': a\r\n\r\n', 400),
    (HEAD + b'Expect: the-worst\r\n\r\n', 417),
    (HEAD + b''.join(b'X%d: a\r\n' % i for i in range(100)) + b'\r\n', 431),
    (b'GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n', 505),
    (b'GET /healthz\r\nHost: x\r\n\r\n', 400),
    (b'GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'GET healthz HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'G@T /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    (b'\x16\x03\x01\x02\0\x01\0', 400),                                      # a ClientHello
)


@accounts('juliet')
def test_what_can_be_read_in_two_ways(t):
    """what a proxy might read otherwise gets one refusal, and the connection ends with it"""
    for data, status in DOUBTFUL:
        got = raw(t, data + HEAD + b'\r\n')
        check(got.startswith(b'HTTP/1.1 %d ' % status), '%r: %r' % (data, got[:60]))
        check(got.count(b'HTTP/1.1 ') == 1 and b'Connection: close' in got, '%r: %r' % (data, got))


@accounts('juliet')
def test_bodies_and_pipelining(t):
    """chunks, a body in pieces, several requests at once and one byte at a time: one answer each, in order"""
    chunked = (b'POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
               b'5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n')
    last = b'GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    wait_ready(t)
    got = raw(t, b'\r\n' + chunked + (HEAD + b'\r\n') * 3 + last)
    check(re.findall(rb'HTTP/1.1 (\d+)', got) == [b'405', b'200', b'200', b'200', b'200'], got)
    check(got.endswith(b'ready\n'), got)
    with socket.create_connection(('127.0.0.1', t.server.http_port), timeout=10) as connection:
        for byte in chunked + last:
            connection.sendall(bytes([byte]))
        got = b''
        while more := connection.recv(65536):
            got += more
    check(got.count(b'HTTP/1.1 ') == 2, got)
    got = raw(t, b'GET http://elsewhere.example:80/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    check(b' 200 ' in got, got)
    check(b' 200 ' in raw(t, b'GET /healthz HTTP/1.0\r\n\r\n'), 'HTTP/1.0')


@accounts('juliet')
def test_continue(t):
    """who waits for leave to send a body gets it, or the refusal at once"""
    with socket.create_connection(('127.0.0.1', t.server.http_port), timeout=10) as connection:
        connection.sendall(b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
        check(connection.recv(4096).startswith(b'HTTP/1.1 100 '), 'no leave')
        connection.sendall(b'hello')
        check(b' 405 ' in connection.recv(4096), 'no answer')
    got = raw(t, b'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n')
    check(got.startswith(b'HTTP/1.1 413 ') and b' 100 ' not in got, got)


@accounts('juliet')
def test_https(t):
    """a listener with TLS has the host's certificate, and speaks http/1.1 where it is asked"""
    context = ssl.create_default_context(cafile=str(t.server.crt))
    context.set_alpn_protocols(['h2', 'http/1.1'])
    with socket.create_connection(('127.0.0.1', t.server.https_port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname='localhost') as connection:
            check(connection.selected_alpn_protocol() == 'http/1.1', connection.selected_alpn_protocol())
            connection.sendall(HEAD.replace(b'/healthz', b'/.well-known/host-meta').replace(b': x', b': localhost') + b'\r\n')
            check(b' 200 ' in connection.recv(4096), 'no answer')
            connection.sendall(HEAD + b'\r\n')
            check(b' 404 ' in connection.recv(4096), 'health for everybody')


@accounts('juliet')
@private(http__proxies=['127.0.0.0/8'])
def test_monitoring_is_not_for_clients(t):
    """what a proxy forwards gets no metrics"""
    check(request(t, 'GET', '/metrics')[0] == 404, 'metrics')
    check(request(t, 'GET', '/.well-known/host-meta', headers={'Host': 'localhost'})[0] == 200, 'host-meta')
