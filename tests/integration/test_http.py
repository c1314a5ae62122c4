"""The HTTP listener: exact paths, methods, limits; metrics, liveness, readiness."""
import http.client
import re
import signal
import socket
import time

from sterna import listens
from suite import accounts, check, private

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? (-?[0-9.]+(e[+-]?[0-9]+)?|\+Inf|NaN)$')


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
    for path in ('/', '/metrics/', '/Metrics', '/x/../metrics', '/%256detrics', '/metrics%2f'):
        check(request(t, 'GET', path)[0] == 404, path)
    for path in ('/metrics%00', '/%00', '//metrics'):
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
@private(modules__http={'body_bytes': 1000, 'header_bytes': 2000, 'request_time': '1s', 'connections': 2})
def test_limits(t):
    """headers and bodies over their limits are refused, slow requests end, connections over their number wait"""
    check(request(t, 'POST', '/healthz', b'x' * 1001)[0] == 413, 'a body over the limit')
    check(b' 200 ' not in raw(t, b'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ' + b'x' * 3000 + b'\r\n\r\n'), 'long headers')
    began = time.monotonic()
    check(raw(t, b'GET /healthz HT') == b'', 'an answer to half a request')
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
    """without the modules the port is closed, with them open again; streams live on"""
    juliet = t.login('juliet')
    whole = t.server.config_file.read_text()
    without = whole.replace(' http: {}', ' http: off').replace(' metrics: {}', ' metrics: off')
    for text, open_now in ((without, False), (whole, True)) * 2:
        t.server.config_file.write_text(text)
        t.server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while listens(t.server.http_port) != open_now and time.monotonic() < until:
            time.sleep(0.05)
        check(listens(t.server.http_port) == open_now, 'open is not %s' % open_now)
    wait_ready(t)
    juliet.send("<message to='%s' type='chat'><body>still here</body></message>" % t.bare('juliet'))
    juliet.wait_for(lambda e: e.tag.endswith('message'))
