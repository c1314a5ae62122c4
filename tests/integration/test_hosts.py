"""Virtual hosts, listeners, proxies, ANONYMOUS, EXTERNAL."""
import json
import socket
import ssl
import struct
import subprocess

import sterna
import xmpp
from suite import accounts, check, client, daemon


def add_host(name, **more):
    """A host with a certificate of its own; its name has no dots, as that of a path in the configuration."""
    def before(server):
        crt, key = sterna.certificate(server.home / 'tls', name)
        server.configure(**{'hosts__%s' % name: {'certificate': str(crt), 'key': str(key), **more}})
        both = server.home / 'tls' / 'all.crt'
        both.write_text(server.crt.read_text() + crt.read_text())
        server.crt = both
    return before


def at_host(t, server, host, user, **options):
    """A client of that host (an account there is made by the caller)."""
    made = client(t, server, user, **options)
    made.host = host
    return made


def body(text, to, ident='m1', kind='chat'):
    return "<message to='%s' type='%s' id='%s'><body>%s</body></message>" % (to, kind, ident, text)


def is_message(elem):
    return elem.tag == '{jabber:client}message'


def sessions(server, who=None):
    return json.loads(server.ctl('--json', 'session', 'list', *([who] if who else [])))


# -- hosts ----------------------------------------------------------------------------------------------

@accounts()
def test_two_hosts(t):
    """Two hosts: each shows its own certificate, over STARTTLS and direct TLS; their users chat"""
    with daemon(t, before=add_host('verona')) as server:
        server.host = 'verona'
        server.add_users([('tybalt', 'pw')])
        server.host = 'localhost'
        juliet = client(t, server, 'juliet').login()
        tybalt = at_host(t, server, 'verona', 'tybalt').login()     # the certificate is checked against the name
        direct = at_host(t, server, 'verona', 'tybalt', direct_tls=True, resource='two').login()
        check(tybalt.jid.startswith('tybalt@verona/'), tybalt.jid)
        juliet.send(body('hello', tybalt.jid))
        check(tybalt.wait_for(is_message).get('from') == juliet.jid, 'from')
        direct.send(body('again', juliet.jid))
        check(juliet.wait_for(is_message).get('from') == direct.jid, 'from')
        nobody = at_host(t, server, 'verona', 'juliet')             # a user of the other host
        nobody.secure()
        try:
            nobody.authenticate()
        except xmpp.XmppError as error:
            check('not-authorized' in str(error), str(error))
        else:
            check(False, 'an account of another host')


def subject(sock):
    """The name in the certificate that was shown, which was not checked."""
    pem = ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))
    text = subprocess.run(['openssl', 'x509', '-noout', '-subject'], input=pem, capture_output=True, text=True,
                          check=True).stdout
    return text.strip().rpartition('=')[2].strip()


@accounts()
def test_certificate_without_sni(t):
    """RFC 6120 §5.4.3.1: without SNI the stream's 'to' says whose certificate it is"""
    with daemon(t, users=(), before=add_host('verona')) as server:
        for host in ('localhost', 'verona'):
            one = at_host(t, server, host, 'juliet')
            one.connect()
            one.open()
            one.send("<starttls xmlns='%s'/>" % xmpp.NS_TLS)
            one.expect('{%s}proceed' % xmpp.NS_TLS)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            one.sock = context.wrap_socket(one.sock)
            check(subject(one.sock) == host, 'the certificate of %s' % subject(one.sock))
            one.open()


@accounts()
def test_unknown_sni(t):
    """A name that nobody has gets some certificate; the stream to it is host-unknown"""
    with daemon(t, users=()) as server:
        one = at_host(t, server, 'nowhere', 'juliet')
        one.cafile = None
        one.direct_tls, one.port = True, server.tls_port
        one.connect()
        one.send("<stream:stream to='nowhere' version='1.0' xmlns='jabber:client' xmlns:stream='%s'>" % xmpp.NS_STREAM)
        check(one.wait_closed() == 'host-unknown', 'another end')


def shown(server, name):
    """Whose certificate direct TLS shows for this SNI; None: without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(('127.0.0.1', server.tls_port), timeout=5) as raw:
        with context.wrap_socket(raw, server_hostname=name) as sock:
            return subject(sock)


@accounts()
def test_sni_of_an_international_name(t):
    """RFC 6066 §3: SNI holds A-labels; no name, or one that nobody has, gets the first host's certificate (RFC 6120 §4.7.2)"""
    def before(server):
        crt, key = sterna.certificate(server.home / 'tls', 'xn--mnchen-3ya')
        server.configure(**{'hosts__m\u00fcnchen': {'certificate': str(crt), 'key': str(key)}})
    with daemon(t, users=(), before=before) as server:
        for name in ('xn--mnchen-3ya', 'XN--MNCHEN-3YA'):
            check(shown(server, name) == 'xn--mnchen-3ya', '%s: the certificate of %s' % (name, shown(server, name)))
        for name in (None, 'nowhere', 'localhost', '127.0.0.1'):
            check(shown(server, name) == 'localhost', '%s: the certificate of %s' % (name, shown(server, name)))
        server.host = 'm\u00fcnchen'
        server.add_users([('tybalt', 'pw')])
        for host in ('m\u00fcnchen', 'M\u00dcNCHEN', 'xn--mnchen-3ya'):
            one = at_host(t, server, host, 'tybalt')
            one.connect()
            one.open()
            check(one.stream.header.get('from') == 'm\u00fcnchen', 'from %r' % one.stream.header.get('from'))
            one.send("<starttls xmlns='%s'/>" % xmpp.NS_TLS)
            one.expect('{%s}proceed' % xmpp.NS_TLS)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            one.sock = context.wrap_socket(one.sock)
            check(subject(one.sock) == 'xn--mnchen-3ya', 'without SNI: the certificate of %s' % subject(one.sock))
            one.open()
            one.authenticate()
            check(one.bind().startswith('tybalt@m\u00fcnchen/'), one.jid)


@accounts()
def test_alpn_of_another_service(t):
    """XEP-0368 §4: a client that wants another protocol is turned away by TLS"""
    with daemon(t, users=()) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(['h2'])
        with socket.create_connection(('127.0.0.1', server.tls_port), timeout=5) as sock:
            try:
                context.wrap_socket(sock, server_hostname='localhost').close()
            except ssl.SSLError:
                return
        check(False, 'h2 was agreed to')


@accounts()
def test_ipv6(t):
    """A listener on IPv6; '::' takes IPv4 too"""
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        t.skip('this machine has no IPv6')
    def before(server):
        server.tree['listen'][0]['address'] = '::'
        server.tree['listen'][1]['address'] = '::'
        server.configure()
    with daemon(t, before=before) as server:
        juliet = client(t, server, 'juliet')
        juliet.address = '::1'
        juliet.login()
        romeo = client(t, server, 'romeo').login()
        romeo.send(body('hello', juliet.jid))
        check(juliet.wait_for(is_message).get('from') == romeo.jid, 'no message')
        addresses = {each['jid']: each['address'] for each in sessions(server)}
        check(addresses[juliet.jid].startswith('[::1]:'), 'address %s' % addresses[juliet.jid])
        check(addresses[romeo.jid].startswith('127.0.0.1:') or '127.0.0.1' in addresses[romeo.jid],
              'address %s' % addresses[romeo.jid])


# -- PROXY protocol -------------------------------------------------------------------------------------

def proxied(network):
    def before(server):
        server.tree['listen'][0]['proxy_protocol'] = [network]
        server.tree['listen'][1]['proxy_protocol'] = [network]
        server.configure()
    return before


def through_proxy(t, server, header, direct=False):
    one = client(t, server, 'juliet', direct_tls=direct)
    one.reset()
    one.sock = socket.create_connection((one.address, one.port), timeout=5)
    one.sock.sendall(header)
    if direct:
        one.start_tls()
    one.secure()
    one.authenticate()
    one.bind()
    return one


def v2(source, port, tlv=b''):
    family = socket.AF_INET6 if ':' in source else socket.AF_INET
    block = socket.inet_pton(family, source) * 2 + struct.pack('!HH', port, 5222) + tlv
    return b'\r\n\r\n\0\r\nQUIT\n\x21' + (b'\x21' if ':' in source else b'\x11') + struct.pack('!H', len(block)) + block


LOCAL = b'\r\n\r\n\0\r\nQUIT\n\x20\0\0\0'           # the proxy itself: it looks whether we are well


@accounts()
def test_proxy_protocol(t):
    """PROXY protocol 1 and 2 from a trusted network: the client's own address counts"""
    with daemon(t, before=proxied('127.0.0.0/8')) as server:
        for header, direct, expected in (
                (b'PROXY TCP4 192.0.2.7 192.0.2.1 40001 5222\r\n', False, '192.0.2.7:40001'),
                (b'PROXY TCP6 2001:db8::7 2001:db8::1 40002 5222\r\n', True, '[2001:db8::7]:40002'),
                (v2('198.51.100.9', 40003), True, '198.51.100.9:40003'),
                (v2('2001:db8::9', 40004, b'\x04\0\x03abc'), False, '[2001:db8::9]:40004'),
                (v2('198.51.100.9', 40005, b'\x20\0\x0c\x01\0\0\0\0\x21\0\x04TLS1\x01\0\0'), False, '198.51.100.9:40005'),
                (LOCAL, True, '127.0.0.1:'), (LOCAL[:13] + b'\x11\0\x0c' + bytes(12), False, '127.0.0.1:'),
                (b'PROXY UNKNOWN\r\n', False, '127.0.0.1:')):
            one = through_proxy(t, server, header, direct)
            listed = [each['address'] for each in sessions(server) if each['jid'] == one.jid]
            check(len(listed) == 1 and listed[0].startswith(expected), '%r, expected %s' % (listed, expected))
            one.close()


@accounts()
def test_proxy_header_byte_by_byte(t):
    """A header that comes in pieces, the stream's begin in the same packet as its end"""
    with daemon(t, users=(), before=proxied('127.0.0.0/8')) as server:
        one = client(t, server, 'juliet')
        one.reset()
        one.sock = socket.create_connection((one.address, one.port), timeout=5)
        one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'PROXY TCP4 192.0.2.7 192.0.2.1 400':
            one.sock.sendall(bytes((byte,)))
        one.sock.sendall(b"01 5222\r\n<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
                         b"xmlns:stream='http://etherx.jabber.org/streams'>")
        one.next()
        one.expect('{%s}features' % xmpp.NS_STREAM)


@accounts()
def test_no_header_from_a_trusted_proxy(t):
    """A trusted proxy that sends no header is cut off; nothing of the stream is read"""
    with daemon(t, users=(), before=proxied('127.0.0.0/8')) as server:
        for data in (b"<?xml version='1.0'?><stream:stream to='localhost'>", b'PROXY TCP4 nonsense\r\n',
                     b'\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c' + bytes(12), b'PROXY ' + b'x' * 200,
                     v2('192.0.2.7', 40001, b'\x04\0\x09abc'), v2('192.0.2.7', 40001, b'\x04'),
                     v2('192.0.2.7', 40001, b'\x03\0\x04abcd'), v2('192.0.2.7', 40001)[:14] + b'\xff\xff'):
            with socket.create_connection(('127.0.0.1', server.port), timeout=5) as sock:
                sock.sendall(data)
                try:
                    got = sock.recv(100)
                except ConnectionResetError:
                    got = b''
                check(got == b'', 'an answer to %r: %r' % (data, got))


@accounts()
def test_header_from_a_stranger(t):
    """A header from whom we do not trust is no header: it is XML that is not well-formed"""
    with daemon(t, users=(), before=proxied('203.0.113.0/24')) as server:
        one = client(t, server, 'juliet')
        one.connect()
        one.open()                                                  # without a header all is well
        one.cut()
        one.connect()
        for header in (b'PROXY TCP4 192.0.2.7 192.0.2.1 40001 5222\r\n', v2('192.0.2.7', 40001), LOCAL):
            one.connect()
            one.send(header)
            check(one.wait_closed() in ('not-well-formed', 'bad-format', None), 'another end')
            check(one.stream.root is None or not one.queue, 'features')


@accounts()
def test_limit_behind_a_proxy(t):
    """limits.connections_per_address counts the address in the header"""
    def before(server):
        proxied('127.0.0.0/8')(server)
        server.configure(limits__connections_per_address=2)
    with daemon(t, users=(), before=before) as server:
        def connect(source):
            one = client(t, server, 'juliet')
            one.reset()
            one.sock = socket.create_connection((one.address, one.port), timeout=5)
            one.sock.sendall(b'PROXY TCP4 %s 192.0.2.1 40001 5222\r\n' % source)
            one.open()
        connect(b'192.0.2.7')
        connect(b'192.0.2.7')
        connect(b'192.0.2.8')
        try:
            connect(b'192.0.2.7')
        except xmpp.XmppError:
            return
        check(False, 'a third one of the same address')


# -- ANONYMOUS ------------------------------------------------------------------------------------------

def anonymous(t, server):
    one = at_host(t, server, 'guests', 'nobody')
    one.secure()
    check('ANONYMOUS' in one.mechanisms(), 'offered: %r' % one.mechanisms())
    one.send("<auth xmlns='%s' mechanism='ANONYMOUS'/>" % xmpp.NS_SASL)
    one.expect('{%s}success' % xmpp.NS_SASL)
    one.open()
    one.bind()
    one.send('<presence/>')
    one.wait_for(lambda e: e.tag == '{jabber:client}presence', dropped=[])
    return one


@accounts()
def test_anonymous(t):
    """XEP-0175: two anonymous users chat; nothing of them is stored, and other hosts do not let them in"""
    with daemon(t, before=add_host('guests', anonymous=True)) as server:
        plain = client(t, server, 'juliet')
        plain.secure()
        check('ANONYMOUS' not in plain.mechanisms(), 'offered where it is not configured')
        one, two = anonymous(t, server), anonymous(t, server)
        check(one.jid != two.jid and one.jid.split('@')[1].startswith('guests/'), one.jid)
        one.send(body('hello', two.jid))
        check(two.wait_for(is_message).get('from') == one.jid, 'no message')
        two.send(body('hello yourself', one.jid.split('/')[0]))
        check(one.wait_for(is_message).get('from') == two.jid, 'no message to the bare address')
        two.send("<iq type='set' id='r1'><query xmlns='jabber:iq:roster'><item jid='x@localhost'/></query></iq>")
        check(two.wait_for(lambda e: e.get('id') == 'r1') is not None, 'no answer')
        two.send("<iq type='set' id='q1'><query xmlns='urn:xmpp:mam:2'/></iq>")
        answer = two.wait_for(lambda e: e.get('id') == 'q1')
        check(answer.find('.//{urn:xmpp:forward:0}forwarded') is None and not [e for e in two.queue if is_message(e)],
              'an archive')
        gone = one.jid
        one.close()
        two.send(body('are you there?', gone.split('/')[0], 'm9'))
        answer = two.wait_for(lambda e: e.get('id') == 'm9')
        check(answer.get('type') == 'error', 'a message to someone who is gone for good was taken')
        two.close()
        check(server.ctl('user', 'list', 'guests').strip() == '', 'accounts were made')
        if server.db == 'sqlite':
            import sqlite3
            server.stop()
            with sqlite3.connect(str(server.home / 'sterna.db')) as db:
                for (table,) in db.execute("select name from sqlite_master where type='table'").fetchall():
                    rows = [row for row in db.execute('select * from "%s"' % table).fetchall()
                            if any('@guests' in str(value) for value in row)]
                    if table == 'audit_event':              # who was there, and when; not what they said
                        rows = [row for row in rows if 'sterna.login.accepted.v1' not in row
                                and 'sterna.session.' not in str(row) or 'hello' in str(row)]
                    check(not rows, '%s: %r' % (table, rows[:3]))
            db.close()
            server.start()


# -- EXTERNAL -------------------------------------------------------------------------------------------

def authority(server):
    """An authority that the server trusts for clients' certificates."""
    folder = server.home / 'tls'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                    str(folder / 'ca.key'), '-out', str(folder / 'ca.crt'), '-days', '30', '-subj', '/CN=Verona'],
                   check=True, capture_output=True)
    server.configure(tls__authorities=str(folder / 'ca.crt'))


def client_certificate(server, name, *addresses, trusted=True, days='30'):
    """A file with certificate and key that names these addresses as xmppAddr."""
    folder = server.home / 'tls'
    names = ','.join('otherName:1.3.6.1.5.5.7.8.5;UTF8:%s' % address for address in addresses)
    extensions = folder / (name + '.ext')
    extensions.write_text('subjectAltName=%s\n' % (names or 'DNS:' + name))
    request, key, crt = folder / (name + '.csr'), folder / (name + '.key'), folder / (name + '.crt')
    subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                    str(key), '-out', str(request), '-subj', '/CN=' + name], check=True, capture_output=True)
    signer = ['-CA', str(folder / 'ca.crt'), '-CAkey', str(folder / 'ca.key'), '-CAcreateserial'] if trusted \
        else ['-signkey', str(key)]
    subprocess.run(['openssl', 'x509', '-req', '-in', str(request), '-out', str(crt), '-days', days, '-extfile',
                    str(extensions), *signer], check=True, capture_output=True)
    crt.write_text(crt.read_text() + key.read_text())
    return str(crt)


def with_certificate(t, server, file, direct=False):
    """Up to the features within TLS, a certificate shown."""
    one = client(t, server, 'juliet', direct_tls=direct)
    one.reset()
    one.sock = socket.create_connection((one.address, one.port), timeout=5)
    if not direct:
        one.open()
        one.send("<starttls xmlns='%s'/>" % xmpp.NS_TLS)
        one.expect('{%s}proceed' % xmpp.NS_TLS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(one.cafile)
    context.load_cert_chain(file)
    one.sock = context.wrap_socket(one.sock, server_hostname=one.host)
    one.open()
    return one


def external(one, authzid=None):
    one.send("<auth xmlns='%s' mechanism='EXTERNAL'>%s</auth>"
             % (xmpp.NS_SASL, xmpp.encode(authzid.encode()) if authzid else '='))
    answer = one.next()
    return None if answer.tag == '{%s}success' % xmpp.NS_SASL else xmpp.condition_of(answer)


@accounts()
def test_external(t):
    """XEP-0178: a client certificate logs in whom it names, and nobody else"""
    with daemon(t, before=authority) as server:
        good = client_certificate(server, 'juliet', 'juliet@localhost')
        for direct in (False, True):
            one = with_certificate(t, server, good, direct)
            check('EXTERNAL' in one.mechanisms(), 'offered: %r' % one.mechanisms())
            check(external(one) is None, 'refused')
            one.open()
            check(one.bind().startswith('juliet@localhost/'), one.jid)
        one = with_certificate(t, server, good)
        check(external(one, 'juliet@localhost') is None, 'her own name was refused')
        one = with_certificate(t, server, good)
        check(external(one, 'romeo@localhost') in ('invalid-authzid', 'not-authorized'), 'another name')
        check(one.choose(xmpp.NS_SASL) is not None, 'no other mechanism')
        two = with_certificate(t, server, client_certificate(server, 'both', 'juliet@localhost', 'romeo@localhost'))
        check(external(two) == 'invalid-authzid', 'two names, and none asked for')
        check(external(two, 'romeo@localhost') is None, 'one of two was refused')


@accounts()
def test_external_refused(t):
    """A certificate of nobody here, of nobody at all, of an unknown authority: EXTERNAL is not offered or fails"""
    with daemon(t, before=authority) as server:
        for file in (client_certificate(server, 'tybalt', 'tybalt@verona'),
                     client_certificate(server, 'unknown', 'unknown@localhost'),
                     client_certificate(server, 'domain', 'localhost'),
                     client_certificate(server, 'none'),
                     client_certificate(server, 'self', 'juliet@localhost', trusted=False)):
            one = with_certificate(t, server, file)
            if 'EXTERNAL' in one.mechanisms():
                check(external(one) == 'not-authorized', '%s was let in' % file)
            one.user, one.password = 'juliet', 'pw'
            one.authenticate()                                      # the password still counts
            one.cut()


@accounts()
def test_external_without_certificate(t):
    """EXTERNAL is not offered without a certificate, and asking for it fails"""
    with daemon(t, before=authority) as server:
        one = client(t, server, 'juliet')
        one.secure()
        check('EXTERNAL' not in one.mechanisms(), 'offered')
        check(external(one) in ('invalid-mechanism', 'not-authorized'), 'let in')
