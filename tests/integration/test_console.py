"""The console's port: a page of our own and its WebSocket, and nothing else. clients/test_console_page.py has it in a browser."""
import http.client
import ssl

import sterna
from suite import check, daemon


def with_console(server, **more):
    server.console_port, server.api_port = sterna.free_ports(2)
    server.configure(listen=server.tree['listen'] + [
        dict({'kind': 'http', 'address': '127.0.0.1', 'port': server.console_port, 'tls': 'direct', 'serves': 'console'}, **more),
        {'kind': 'http', 'address': '127.0.0.1', 'port': server.api_port, 'tls': 'direct', 'serves': 'api'}],
        console__folder=str(sterna.TOP / 'contrib' / 'console'), modules__audit={},
        admins={'juliet@' + server.host: {'role': 'owner'}, 'nurse@' + server.host: {'role': 'support'},
                'friar@' + server.host: {'role': 'admin'}}, approval__commands=['user delete'])


def fetch(server, method, path, headers=None):
    connection = http.client.HTTPSConnection('localhost', server.console_port, timeout=20,
                                             context=ssl.create_default_context(cafile=str(server.crt)))
    try:
        connection.request(method, path, None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_page_and_nothing_else(t):
    """the port has the page's files with their policy, and the WebSocket for the page alone"""
    with daemon(t, before=with_console) as server:
        for path, kind in (('/', 'text/html'), ('/console.js', 'text/javascript'), ('/xmpp.js', 'text/javascript'),
                           ('/console.css', 'text/css'), ('/icon.svg', 'image/svg+xml')):
            status, headers, body = fetch(server, 'GET', path)
            name = path[1:] or 'index.html'
            check(status == 200 and body == (sterna.TOP / 'contrib' / 'console' / name).read_bytes(), '%s: %d' % (path, status))
            check(headers['Content-Type'].startswith(kind), '%s: %s' % (path, headers['Content-Type']))
            policy = headers['Content-Security-Policy']
            check("default-src 'none'" in policy and 'unsafe' not in policy and "frame-ancestors 'none'" in policy, policy)
            check(headers['X-Content-Type-Options'] == 'nosniff' and headers['Referrer-Policy'] == 'no-referrer', '%s' % headers)
        for path in ('/index.html', '/metrics', '/healthz', '/http-bind', '/.well-known/host-meta', '/v1/status', '/../sterna.db',
                     '/console.js/..', '/%2e%2e/sterna.yaml'):
            check(fetch(server, 'GET', path)[0] in (400, 404), path)
        status, headers, _ = fetch(server, 'POST', '/')
        check(status == 405 and headers['Allow'] == 'GET, HEAD', 'POST: %d' % status)
        shake = {'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Protocol': 'xmpp',
                 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='}
        here = 'https://localhost:%d' % server.console_port
        for origin, wanted in ((here, 101), (here.replace('https', 'http'), 403), ('https://evil.example', 403), ('null', 403),
                               (here + '0', 403), ('https://localhost', 403)):
            status = fetch(server, 'GET', '/xmpp-websocket', dict(shake, Origin=origin))[0]
            check(status == wanted, '%s: %d' % (origin, status))
        text = ''.join((sterna.TOP / 'contrib' / 'console' / f).read_text() for f in ('index.html', 'console.js', 'xmpp.js',
                                                                                    'console.css'))
        check('innerHTML' not in text and 'eval(' not in text and 'http://' not in text.replace('http://jabber.org', '').replace(
            'http://www.w3.org', ''), 'markup from text, or another host')
