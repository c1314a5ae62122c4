"""Several servers that talk to each other, and a hand-written one that sends exact bytes."""
import base64
import contextlib
import hashlib
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile

import sterna
import xmpp

NS_SERVER = 'jabber:server'
NS_DIALBACK = 'jabber:server:dialback'
NS_BIDI = 'urn:xmpp:bidi'
DB_RESULT = '{%s}result' % NS_DIALBACK
DB_VERIFY = '{%s}verify' % NS_DIALBACK


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name='Test CA'):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-ca-'))
        self.crt, self.key = self.home / 'ca.crt', self.home / 'ca.key'
        self.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key,
                     '-out', self.crt, '-days', '30', '-subj', '/CN=' + name)

    @staticmethod
    def openssl(*words):
        subprocess.run(['openssl', *map(str, words)], check=True, capture_output=True)

    def issue(self, name, san=None, usage='serverAuth', days=30):
        """A certificate for a domain, as public authorities make them: for TLS servers only. (certificate, key)"""
        crt, key, csr, ext = (self.home / (name + end) for end in ('.crt', '.key', '.csr', '.ext'))
        ext.write_text('subjectAltName=%s\nextendedKeyUsage=%s\n' % (san or 'DNS:%s,DNS:*.%s' % (name, name), usage))
        self.openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out',
                     csr, '-subj', '/CN=' + name)
        self.openssl('x509', '-req', '-in', csr, '-CA', self.crt, '-CAkey', self.key, '-CAcreateserial', '-out', crt, '-days',
                     str(days), '-extfile', ext)
        key.chmod(0o600)
        return crt, key

    def close(self):
        shutil.rmtree(self.home, ignore_errors=True)


def fingerprint(crt):
    der = ssl.PEM_cert_to_DER_cert(pathlib.Path(crt).read_text().split('-----END')[0] + '-----END CERTIFICATE-----\n')
    return hashlib.sha256(der).hexdigest()


class Domain(sterna.Server):
    """A sternad for one domain or more, with listeners for servers. Accounts on each: juliet, romeo, password pw."""

    def __init__(self, t, domain, authority, db=None, more_hosts=(), **options):
        ascii_name = domain.encode('idna').decode()
        super().__init__(db or t.server.db, host=ascii_name, name='%s.%s' % (t.name, domain))
        self.authority, self.host = authority, domain
        self.s2s_port, self.s2s_tls_port = sterna.free_ports(2)
        self.cert, self.cert_key = authority.issue(ascii_name)
        self.crt = authority.crt                     # what clients trust
        self.hosts = [domain, *more_hosts]
        certs = {domain: (self.cert, self.cert_key), **{name: authority.issue(name.encode('idna').decode()) for name in more_hosts}}
        self.tree['hosts'] = {name: {'certificate': str(crt), 'key': str(key)} for name, (crt, key) in certs.items()}
        self.tree['listen'] += [{'kind': 's2s', 'address': '127.0.0.1', 'port': self.s2s_port},
                                {'kind': 's2s', 'address': '127.0.0.1', 'port': self.s2s_tls_port, 'tls': 'direct'}]
        self.tree['tls'] = {'authorities': str(authority.crt)}
        self.tree['s2s'] = {'connect_time': '8s', 'retry_time': '2s', 'private_addresses': True}
        self.configure(**options)
        self.clients, self.t = [], t

    def route(self, domain, port, **more):
        self.tree.setdefault('routes', {})[domain] = {'address': '127.0.0.1', 'port': port, **more}
        self.configure()

    def route_to(self, other, direct=False, **more):
        self.route(other.host, other.s2s_tls_port if direct else other.s2s_port, tls='direct' if direct else 'starttls', **more)

    def add_users(self, users):
        super().add_users([(user, word, host) for user, word in users for host in self.hosts])

    def login(self, user, host=None, presence=True, roster=False, **options):
        one = self.client(user, 'pw', **options)
        one.host = host or self.host
        one.transcript, one.name = self.t.transcript, '%s@%s' % (user, one.host)
        self.clients.append(one)
        return one.login(presence=presence, roster=roster)


@contextlib.contextmanager
def domains(t, *names, before=None, start=True, **options):
    """Servers of these domains with routes to each other; before(*servers) may change that."""
    authority, servers, good = Authority(), [], False
    try:
        for name in names:
            servers.append(Domain(t, name, authority, **options))
        for one in servers:
            for other in servers:
                if one is not other:
                    one.route_to(other)
        if before is not None:
            before(*servers)
        for one in servers:
            one.add_users([('juliet', 'pw'), ('romeo', 'pw')])
            if start:
                one.start()
        yield servers[0] if len(servers) == 1 else servers
        good = True
    finally:
        problems = []
        for one in servers:
            for client in one.clients:
                client.cut()
            problems += one.close(sterna.build_dir() / 'integration' / one.db)
        authority.close()
    if good and problems:
        raise AssertionError(problems[0])


class Peer(xmpp.Client):
    """A server by hand, on either end of a connection."""

    def __init__(self, t, domain, server, crt=None, key=None, sock=None):
        super().__init__('', '', host=server.host, port=server.s2s_port)
        self.domain, self.server, self.crt, self.key_file = domain, server, crt, key
        self.transcript, self.name = t.transcript, 'peer'
        if sock is not None:
            self.sock = sock
        server.clients.append(self)

    def tls(self, server_side=False, alpn=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        if self.crt:
            context.load_cert_chain(self.crt, self.key_file)
        self.sock.settimeout(xmpp.TIMEOUT)
        self.sock = context.wrap_socket(self.sock, server_side=server_side, **({} if server_side else {
            'server_hostname': self.server.host}))
        self.stream, self.queue = xmpp.Stream(), []

    def header(self, to=None, frm=None, response_id=None):
        return ("<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:db='%s' xmlns:stream='%s' to='%s' from='%s'%s version='1.0'>"
                % (NS_SERVER, NS_DIALBACK, xmpp.NS_STREAM, to or self.server.host, frm or self.domain,
                   " id='%s'" % response_id if response_id else ''))

    def opened(self, **header):
        """Our header, their header and features."""
        self.stream, self.queue = xmpp.Stream(), []
        return self.open(self.header(**header))

    def secured(self, **header):
        """Connected, up to the features inside TLS."""
        self.connect()
        self.opened(**header)
        self.send("<starttls xmlns='%s'/>" % xmpp.NS_TLS)
        self.expect('{%s}proceed' % xmpp.NS_TLS)
        self.tls()
        return self.opened(**header)

    def external(self, authzid=None):
        name = self.domain if authzid is None else authzid
        self.send("<auth xmlns='%s' mechanism='EXTERNAL'>%s</auth>"
                  % (xmpp.NS_SASL, base64.b64encode(name.encode()).decode() if name else '='))
        return self.next()

    def authenticated(self, bidi=False, **header):
        self.secured(**header)
        if bidi:
            self.send("<bidi xmlns='%s'/>" % NS_BIDI)
        answer = self.external()
        if xmpp.local(answer) != 'success':
            raise xmpp.XmppError('EXTERNAL failed: %s' % xmpp.text_of(answer))
        self.opened(**header)
        return self

    # -- as the one that is connected to -------------------------------------------------------------

    def accepted(self, response_id='abc', features=''):
        """STARTTLS as the server's side, up to features inside TLS."""
        for inside in (False, True):
            self.stream, self.queue = xmpp.Stream(), []
            self.expect('{%s}stream' % xmpp.NS_STREAM)
            self.send(self.header(response_id=response_id))
            if not inside:
                self.send("<stream:features><starttls xmlns='%s'><required/></starttls></stream:features>" % xmpp.NS_TLS)
                self.expect('{%s}starttls' % xmpp.NS_TLS)
                self.send("<proceed xmlns='%s'/>" % xmpp.NS_TLS)
                self.tls(server_side=True)
        self.send('<stream:features>%s</stream:features>' % features)
        return self

    def accepted_external(self, features='', then=''):
        """The same with SASL EXTERNAL, up to a stream that stanzas come on."""
        self.accepted(features="<mechanisms xmlns='%s'><mechanism>EXTERNAL</mechanism></mechanisms>%s" % (xmpp.NS_SASL, features))
        self.wait_for(lambda e: e.tag == '{%s}auth' % xmpp.NS_SASL, dropped=[])
        self.send("<success xmlns='%s'/>" % xmpp.NS_SASL)
        self.stream, self.queue = xmpp.Stream(), []
        self.expect('{%s}stream' % xmpp.NS_STREAM)
        self.send(self.header(response_id='def') + '<stream:features>%s</stream:features>' % then)
        return self


class Listener:
    """Where a hand-written server is connected to."""

    def __init__(self, t, domain, server, crt=None, key=None, port=0):
        self.sock = socket.create_server(('127.0.0.1', port))
        self.port = self.sock.getsockname()[1]
        self.make = lambda sock: Peer(t, domain, server, crt, key, sock)

    def accept(self, timeout=xmpp.TIMEOUT):
        self.sock.settimeout(timeout)
        return self.make(self.sock.accept()[0])

    def close(self):
        self.sock.close()


def is_message(elem):
    return xmpp.local(elem) == 'message'


def body(elem):
    return elem.findtext('{%s}body' % xmpp.namespace(elem))


def says(one, to, text, more=''):
    one.send("<message type='chat' to='%s' id='%s'><body>%s</body>%s</message>" % (to, text, text, more))


def hears(one, text, sender=None, timeout=None):
    """The next message is that one."""
    got = one.wait_for(is_message, timeout=timeout)
    if body(got) != text or got.get('type') == 'error' or (sender and got.get('from') != sender):
        raise AssertionError('not %s but %s' % (text, xmpp.text_of(got)))
    return got
