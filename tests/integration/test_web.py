"""The pages that people see: how to connect, invitations, the web client's files; what they load, and from where."""
import html.parser
import json
import re
import socket
import time
import urllib.parse

from suite import accounts, check, client, daemon, private
from test_http import raw, request
from test_invite import invite, newcomer, show, until_both
from test_register import ask, condition, pair
from test_storage import own_database, with_cluster


class Page(html.parser.HTMLParser):
    """What a page says, loads and links to; and that each element is closed."""
    VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}

    def __init__(self, text, form=None):
        super().__init__()
        self.form = form
        self.open, self.text, self.loads, self.links, self.tags = [], '', [], [], []
        self.feed(text)
        check(self.open == [], 'left open: %s' % self.open)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [attrs[name] for name in ('src', 'srcset', 'data', 'poster') if name in attrs]
        if tag == 'link':
            self.loads.append(attrs['href'])
        if tag == 'a':
            self.links.append(attrs['href'])
        check(tag not in ('script', 'iframe', 'object'), tag)
        if tag == 'form':
            check(attrs['method'] == 'post' and attrs['action'].partition('#')[0] == self.form, 'a form for %s' % attrs['action'])
        check(not [name for name in attrs if name.startswith('on') or name == 'style'], attrs)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, '</%s>' % tag)

    def handle_data(self, data):
        self.text += data

    def first(self, tag):
        return next((attrs for name, attrs in self.tags if name == tag), None)


def page(t, path, status=200, host=None, language=None, method='GET', body=None, more=None):
    """The page there, with all that is true for every page. language: asked for, and got"""
    asked = {'Host': host} if host else {}
    if language:
        asked['Accept-Language'] = language
    got, headers, body = request(t, method, path, body, headers={**asked, **(more or {})})
    check(got == status, '%s: %d %s' % (path, got, body))
    code = (language or 'en')[:2]
    check(headers['Content-Language'] == code and headers['Vary'] == 'Accept-Language', headers)
    check(headers['Content-Type'] == 'text/html; charset=utf-8', headers)
    policy = headers['Content-Security-Policy']
    check("default-src 'none'" in policy and "frame-ancestors 'none'" in policy and 'http' not in policy, policy)
    form = b'<form' in body
    check(("form-action 'self'" if form else "form-action 'none'") in policy, policy)
    check(headers['Referrer-Policy'] == ('same-origin' if form else 'no-referrer') and headers['X-Content-Type-Options'] == 'nosniff', headers)
    found = Page(body.decode(), path)
    check(all(each.startswith('/') and not each.startswith('//') for each in found.loads), found.loads)
    check(found.first('html').get('lang') == code and found.first('title') is not None, 'no language, or no title')
    check([tag for tag, _ in found.tags].count('h1') == 1 and found.first('main') is not None, 'no heading, or no main part')
    check('width=device-width' in found.tags[3][1].get('content', ''), 'not for phones')
    for each in found.loads:
        check(request(t, 'GET', each)[0] == 200, each)
    return found


@accounts()
@private()
def test_home(t):
    """/ says how to connect, and where: domain, ports, WebSocket, BOSH, services; HEAD works, below it is nothing"""
    home = page(t, '/')
    for what in ('localhost:%d' % t.server.port, 'localhost:%d' % t.server.tls_port, 'conference.localhost', 'upload.localhost',
                 'wss://localhost:%d/xmpp-websocket' % t.server.https_port, 'https://localhost:%d/http-bind' % t.server.https_port,
                 'name@localhost', 'invitation'):
        check(what in home.text, what)
    check('/chat/' not in home.links and all(link.startswith('https://') for link in home.links), home.links)
    status, headers, body = request(t, 'HEAD', '/')
    check(status == 200 and int(headers['Content-Length']) > 1000 and body == b'', 'HEAD')
    check(request(t, 'POST', '/', b'x')[0] == 405, 'POST')
    check(request(t, 'GET', '/index.html')[0] == 404 and request(t, 'GET', '/web/')[0] == 404, 'below')
    check(request(t, 'GET', '/web/style.css')[1]['Content-Type'].startswith('text/css'), 'style')
    check('sandbox' in request(t, 'GET', '/web/icon.svg')[1]['Content-Security-Policy'], 'icon')


@accounts()
@private(modules__web={'name': 'Capulet <& Sons>', 'about': 'For "guests" only',
                       'links': {'Imprint <b>': 'https://example.org/?a=1&b="2', 'Bad': 'javascript:alert(1)'}},
         hosts__localhost__registration=True)
def test_home_by_the_operator(t):
    """name, text and links of the operator are text, not markup; a script is no link"""
    home = page(t, '/')
    check('Capulet <& Sons>' in home.text and 'For "guests" only' in home.text and 'Imprint <b>' in home.text, home.text)
    check('https://example.org/?a=1&b="2' in home.links and not [link for link in home.links if 'alert' in link], home.links)
    check('create account' in home.text, 'registration')


@accounts()
@private(http__url='https://chat.example.org:8443')
def test_home_of_which_domain(t):
    """the Host header says of which domain; behind http.url it is the first one there; another name gets 404"""
    t.server.configure(hosts={'localhost': t.server.tree['hosts']['localhost'], 'second.example': t.server.tree['hosts']['localhost']})
    t.server.stop()
    t.server.start()
    check('name@localhost' in page(t, '/', host='localhost:5280').text, 'localhost')
    check('name@second.example' in page(t, '/', host='SECOND.example').text, 'second')
    check('name@localhost' in page(t, '/', host='chat.example.org:8443').text, 'http.url')
    check('name@' not in page(t, '/', 404, host='other.example').text, 'another')


def token_of(made):
    return made['uri'].partition('preauth=')[2]


@accounts()
def test_invitation(t):
    """/invite/TOKEN: who invites, the link, a code, how long; used, too old, unknown and broken ones are told apart"""
    with daemon(t, users=('romeo', "who#1")) as server:
        t = type('T', (), {'server': server, 'transcript': t.transcript})
        base = 'https://localhost:%d/invite/' % server.https_port
        made = json.loads(server.ctl('--json', 'invite', 'create', 'juliet', '', 'localhost'))
        check(made['landing-url'] == base + token_of(made), made)
        found = page(t, '/invite/' + token_of(made))
        check('juliet@localhost' in found.text and made['uri'] in found.links and made['expire'] == found.first('time')['datetime'],
              found.text)
        svg = found.first('svg')
        check(svg['role'] == 'img' and svg['aria-label'] and found.first('path')['fill'] == '#fff', svg)
        juliet = newcomer(t, server, 'juliet')
        check(show(juliet, token_of(made)) == 'result' and condition(ask(juliet, pair('juliet', 'pw'))) == 'result', 'not made')
        check('used' in page(t, '/invite/' + token_of(made), 410).text, 'used')

        token = invite(client(t, server, "who#1").login())
        found = page(t, '/invite/' + token)
        check("who#1@localhost invites you" in found.text, found.text)
        check("xmpp:who%%231@localhost?roster;preauth=%s;ibr=y" % token in found.links, found.links)
        for wrong in (token[:-1], token + 'a', token.upper(), '', 'a' * 24, '../' + token, '%2e%2e/' + token, token + '/', "x'--",
                      'a' * 5000, '%3Cscript%3E'):
            check('not known' in page(t, '/invite/' + wrong, 404).text, wrong)
        for _ in range(20):                     # who asks and does not wait for the answer
            with socket.create_connection(('127.0.0.1', server.http_port)) as gone:
                gone.sendall(b'GET /invite/%s HTTP/1.1\r\nHost: localhost\r\n\r\n' % token.encode())
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        check('invites you' in page(t, '/invite/' + token).text, 'after them')
        check(request(t, 'GET', '/invite/' + token)[1]['X-Robots-Tag'] == 'noindex', 'for search engines')


def fields_of(found):
    return {attrs['name']: attrs.get('value', '') for tag, attrs in found.tags if tag == 'input'}


def sent(t, token, fields, status, **more):
    """The page that answers the form."""
    return page(t, '/invite/' + token, status, method='POST', body=urllib.parse.urlencode(fields),
                more={'Content-Type': 'application/x-www-form-urlencoded', 'Origin': 'http://localhost:%d' % t.server.http_port,
                      'Host': 'localhost:%d' % t.server.http_port, **more})


@accounts()
def test_invitation_taken_on_the_page(t):
    """the account is made in the browser, without a script: by the same rules, from our page only, once; contacts follow"""
    with daemon(t, users=('romeo',)) as server:
        t = type('T', (), {'server': server, 'transcript': t.transcript})
        romeo = client(t, server, 'romeo').login(roster=True)
        token = invite(romeo)
        found = page(t, '/invite/' + token)
        fields = fields_of(found)
        check(set(fields) == {'name', 'password', 'again', 'proof'} and found.first('label') is not None, repr(fields))
        for each in fields:
            check(each == 'proof' or {'for': each} in [attrs for tag, attrs in found.tags if tag == 'label'], each)
        good = {**fields, 'name': 'Juliet', 'password': 'a b ä', 'again': 'a b ä'}
        for wrong, status in (({'again': 'other'}, 422), ({'name': ''}, 422), ({'name': 'a b'}, 422), ({'name': 'a@b'}, 422),
                              ({'password': '', 'again': ''}, 422), ({'password': 'x' * 2000, 'again': 'x' * 2000}, 422),
                              ({'name': 'n' * 2000}, 422), ({'name': 'romeo'}, 409)):
            again = sent(t, token, {**good, **wrong}, status)
            check([attrs for tag, attrs in again.tags if attrs.get('role') == 'alert'], 'it does not say what was wrong')
            check(len(wrong.get('name', '')) > 1000 or fields_of(again)['name'] == wrong.get('name', 'Juliet'), 'the name is gone')
            check(fields_of(again)['password'] == '', 'a password comes back')
        check('<b>' not in [tag for tag, _ in sent(t, token, {**good, 'name': '"><b>'}, 422).tags], 'markup')
        for fault, more in (({'proof': ''}, {}), ({'proof': 'x'}, {}), ({'proof': good['proof'][:-1]}, {}),
                            ({'proof': '9' + good['proof']}, {}), ({'proof': '1' + good['proof'][good['proof'].index('-'):]}, {}),
                            ({}, {'Origin': 'https://evil.example'}), ({}, {'Sec-Fetch-Site': 'cross-site'}),
                            ({}, {'Content-Type': 'text/plain'}), ({}, {'Content-Type': 'multipart/form-data; boundary=x'})):
            sent(t, token, {**good, **fault}, 403, **more)
        other = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
        sent(t, token_of(other), good, 403)             # the proof is for another invitation
        sent(t, 'a' * 24, good, 403)
        check('romeo@localhost\n' == server.ctl('user', 'list'), 'an account was made: %r' % server.ctl('user', 'list'))
        done = sent(t, token, good, 200, **{'Sec-Fetch-Site': 'same-origin'})
        check('juliet@localhost' in done.text, done.text)
        juliet = client(t, server, 'juliet')
        juliet.password = 'a b ä'
        juliet.login(roster=True)
        until_both(romeo, 'juliet@localhost')
        sent(t, token, good, 410)
        check('used' in page(t, '/invite/' + token, 410).text, 'used')


@accounts()
def test_invitation_for_a_name_on_the_page(t):
    """a name that is kept is the account's, whatever was sent; so many accounts from one address and no more"""
    with daemon(t, users=(), limits__registrations_per_address='1/h') as server:
        t = type('T', (), {'server': server, 'transcript': t.transcript})
        made = json.loads(server.ctl('--json', 'invite', 'create', 'paris', '', 'localhost'))
        found = page(t, '/invite/' + token_of(made))
        fields = {**fields_of(found), 'password': 'pw', 'again': 'pw'}
        check(fields['name'] == 'paris', repr(fields))
        check('paris@localhost' in sent(t, token_of(made), {**fields, 'name': 'tybalt'}, 200).text, 'the name')
        other = token_of(json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost')))
        fields = {**fields_of(page(t, '/invite/' + other)), 'name': 'tybalt', 'password': 'pw', 'again': 'pw'}
        sent(t, other, fields, 503)
        check('good once' in page(t, '/invite/' + other).text, 'the invitation is spent')


@accounts()
def test_no_password_in_the_clear(t):
    """without TLS from elsewhere there is no form, and what is sent is not taken"""
    with daemon(t, users=(), http__proxies=['127.0.0.0/8']) as server:
        t = type('T', (), {'server': server, 'transcript': t.transcript})
        token = token_of(json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost')))
        clear, covered = ({'X-Forwarded-For': '192.0.2.1', 'X-Forwarded-Proto': scheme} for scheme in ('http', 'https'))
        check(page(t, '/invite/' + token, more=clear).first('form') is None, 'a form')
        fields = {**fields_of(page(t, '/invite/' + token, more=covered)), 'name': 'paris', 'password': 'pw', 'again': 'pw'}
        check('HTTPS' in sent(t, token, fields, 403, **clear).text, 'taken in the clear')
        sent(t, token, fields, 200, **covered)


@accounts()
@private()
def test_languages(t):
    """pages speak the language that is asked for, where they know it"""
    for wanted, code, text in (('de', 'de', 'Verbinden'), ('fr-CH, en;q=0.5', 'fr', 'Se connecter'), ('es;q=0.2, de;q=0.1', 'es', 'Conectarse'),
                               ('ja, pt-BR;q=0.9', 'en', 'Connect'), ('en-GB, de', 'en', 'Connect'), ('de;q=0, fr;q=x', 'en', 'Connect'),
                               ('dex, , ;;q', 'en', 'Connect'), ('d', 'en', 'Connect')):
        status, headers, body = request(t, 'GET', '/', headers={'Accept-Language': wanted})
        found = Page(body.decode())
        check(status == 200 and found.first('html')['lang'] == code and text in found.text, '%s: %s' % (wanted, found.first('html')))
    made = json.loads(t.server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
    seen = set()
    for language in ('en', 'de', 'fr', 'es'):
        found = page(t, '/invite/' + token_of(made), language=language)
        check(found.text not in seen and '{}' not in found.text, language)
        seen.add(found.text)
        page(t, '/', language=language)
        page(t, '/invite/none', 404, language=language)


@accounts()
def test_invitation_at_its_end(t):
    """an invitation that is too old, or that the host does not take any more; a page of the operator's own"""
    with daemon(t, users=('romeo',), modules__invite={'lifetime': '1m'}) as server:
        t = type('T', (), {'server': server, 'transcript': t.transcript})
        made = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
        server.configure(hosts__localhost__invitations=False)
        server.stop()
        server.start()
        check('not taken' in page(t, '/invite/' + token_of(made), 410).text, 'not taken')
        server.configure(hosts__localhost__invitations=None, modules__invite={'url': 'https://example.org/i', 'lifetime': '1m'})
        server.stop()
        server.start()
        again = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
        check(again['landing-url'] == 'https://example.org/i#' + again['uri'][5:], again)
        server.stop()
        server.sql('update invite set expires = expires - 3600000000')
        server.start()
        check('too old' in page(t, '/invite/' + token_of(made), 410).text, 'too old')


@accounts()
@with_cluster
def test_invitation_without_database(t, cluster):
    """while the database is away an invitation's page says so; other pages are there; a question under way ends no stop"""
    with own_database(t, cluster, users=()) as server:
        t = type('T', (), {'server': server})
        made = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
        cluster.pg('crash')
        until = time.monotonic() + 20
        while request(t, 'GET', '/invite/' + token_of(made))[0] != 503:
            check(time.monotonic() < until, 'no 503')
        check('try again' in page(t, '/invite/' + token_of(made), 503).text, '503')
        check(request(t, 'GET', '/invite/' + token_of(made))[1]['Retry-After'] == '60', 'Retry-After')
        page(t, '/')
        with socket.create_connection(('127.0.0.1', server.http_port)) as waits:
            waits.sendall(b'GET /invite/%s HTTP/1.1\r\nHost: localhost\r\n\r\n' % token_of(made).encode())
            time.sleep(0.2)
            server.stop()
        cluster.start()
        server.start()
        check('invited' in page(t, '/invite/' + token_of(made)).text, 'after it')


def client_files(server):
    """A folder as `make web-client` leaves it, and what must never be served."""
    folder = server.home / 'converse'
    (folder / 'locales' / 'de').mkdir(parents=True)
    (folder / 'converse.min.js').write_text('"main";\n')
    (folder / 'converse.min.js.gz').write_bytes(b'\x1f\x8bpacked')
    (folder / 'locales' / 'de' / 'x.js').write_text('"de";\n')
    (folder / 'drawing.svg').write_text('<svg/>')
    (folder / 'page.html').write_text('<script>')
    (folder / '.secret.js').write_text('secret')
    (folder / 'link.js').symlink_to(server.key)
    (folder / 'above').symlink_to(server.home)
    (server.home / 'outside.js').write_text('outside')
    server.configure(modules__web={'client': True, 'client_folder': str(folder)})


@accounts()
def test_web_client(t):
    """the client's page and settings are for our own server; its files are those that lie in its folder, and no others"""
    with daemon(t, users=(), before=client_files) as server:
        t = type('T', (), {'server': server})
        check('/chat/' in page(t, '/').links, 'not offered')
        status, headers, body = request(t, 'GET', '/chat/')
        policy = headers['Content-Security-Policy']
        check(status == 200 and "default-src 'none'" in policy and "'unsafe-eval'" not in policy, policy)
        check(re.findall(r'https?://[^ ;]+', policy) and set(re.findall(r'(?:http|ws)s?://[^ ;]+', policy)) == {
            '%s://localhost:%d' % (scheme, server.https_port) for scheme in ('https', 'wss')}, policy)
        check(not re.search(rb'(src|href)="(?!/[^/])', body.replace(b'href="/"', b'')), body)
        status, headers, body = request(t, 'GET', '/chat/config.js')
        check(headers['Content-Type'].startswith('text/javascript') and b'"conference.localhost"' in body
              and b'"/xmpp-websocket"' in body and b'open: false' in body, body)
        status, headers, body = request(t, 'GET', '/chat/dist/converse.min.js')
        check(body == b'"main";\n' and headers['Content-Type'].startswith('text/javascript'), headers)
        tag = headers['ETag']
        check(request(t, 'GET', '/chat/dist/converse.min.js', headers={'If-None-Match': tag})[0] == 304, '304')
        status, headers, body = request(t, 'GET', '/chat/dist/converse.min.js', headers={'Accept-Encoding': 'deflate, gzip'})
        check(headers['Content-Encoding'] == 'gzip' and body == b'\x1f\x8bpacked', headers)
        check(request(t, 'GET', '/chat/dist/converse.min.js', headers={'Accept-Encoding': 'gzip;q=0'})[1]['Content-Encoding'] is None,
              'packed all the same')
        check('sandbox' in request(t, 'GET', '/chat/dist/drawing.svg')[1]['Content-Security-Policy'], 'a drawing with scripts')
        check(request(t, 'GET', '/chat/dist/locales/de/x.js')[2] == b'"de";\n', 'below')
        for path in ('', '../outside.js', '%2e%2e/outside.js', '..%2foutside.js', '%2e%2e%2foutside.js', '/etc/passwd', '//etc/passwd',
                     'locales/../../outside.js', 'above/outside.js', 'link.js', '.secret.js', 'page.html', 'locales', 'locales/',
                     'converse.min.js/', 'converse.min.js.gz', './converse.min.js', 'locales//de/x.js', 'CONVERSE.min.js'):
            check(request(t, 'GET', '/chat/dist/' + path)[0] == 404, path)
        for path in ('converse.min.js%00', 'converse.min.js%00.png', '..\\outside.js'):
            check(request(t, 'GET', '/chat/dist/' + path)[0] == 400, path)
        got = raw(t, b'GET /chat/dist/../../outside.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        check(got.startswith(b'HTTP/1.1 404 ') and b'outside' not in got.split(b'\r\n\r\n', 1)[1], got)
        server.configure(modules__web={'client': False, 'client_folder': str(server.home / 'converse')})
        server.ctl('reload')
        for path in ('/chat/', '/chat/config.js', '/chat/dist/converse.min.js'):
            check(request(t, 'GET', path)[0] == 404, path)
        check('/chat/' not in page(t, '/').links, 'offered')


@accounts()
def test_domains_that_are_no_ascii(t):
    """a domain with letters of its own: browsers ask for its A-label; addresses for them have it too"""
    def before(server):
        server.configure(hosts={'bücher.example': {'certificate': str(server.crt), 'key': str(server.key)}})
        server.host = 'bücher.example'

    with daemon(t, users=('juliet',), before=before) as server:
        t = type('T', (), {'server': server})
        home = page(t, '/', host='xn--bcher-kva.example')
        check('name@bücher.example' in home.text and 'wss://xn--bcher-kva.example:' in home.text, home.text)
        status, _, body = request(t, 'GET', '/.well-known/host-meta.json', headers={'Host': 'XN--bcher-kva.example:80'})
        links = [link['href'] for link in json.loads(body)['links']]
        check(status == 200 and all(urllib.parse.urlsplit(link).hostname == 'xn--bcher-kva.example' for link in links), links)
        made = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'bücher.example'))
        check(made['landing-url'].startswith('https://xn--bcher-kva.example:'), made)
        found = page(t, '/invite/' + token_of(made))
        check('bücher.example' in found.text, found.text)
        check('xmpp:b%%C3%%BCcher.example?register;preauth=%s' % token_of(made) in found.links, found.links)
