"""External components (XEP-0114)."""
import contextlib
import hashlib
import socket

import sterna
import xmpp
from suite import accounts, check, client, daemon

NS_ACCEPT = 'jabber:component:accept'
PING = "<ping xmlns='urn:xmpp:ping'/>"


class Component:
    """One stream of a component; stanzas come as elements of its content namespace."""

    def __init__(self, port, domain, secret):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=10)
        self.reader = xmpp.Stream()
        self.elements = []
        self.write("<stream:stream xmlns='%s' xmlns:stream='http://etherx.jabber.org/streams' to='%s'>"
                   % (NS_ACCEPT, domain))
        while self.reader.header is None:
            self.read()
        digest = hashlib.sha1((self.reader.header['id'] + secret).encode()).hexdigest()
        self.write('<handshake>%s</handshake>' % digest)
        check(xmpp.local(self.next()) == 'handshake', 'the handshake')

    def write(self, text):
        self.sock.sendall(text.encode())

    def read(self):
        data = self.sock.recv(65536)
        check(data, 'the server closed the stream')
        self.elements += [e for e in self.reader.feed(data) if e is not self.reader.root]

    def next(self):
        while not self.elements:
            self.read()
        return self.elements.pop(0)

    def answer(self, text, ident):
        self.write(text)
        while True:
            got = self.next()
            if got.get('id') == ident:
                return got


@contextlib.contextmanager
def with_component(t, **options):
    port, = sterna.free_ports(1)

    def before(server):
        listen = server.tree['listen'] + [{'kind': 'component', 'address': '127.0.0.1', 'port': port, 'tls': 'none'}]
        server.configure(listen=listen, components={'shed': {'secret': 'hush'}})

    with daemon(t, before=before, **options) as server:
        yield server, port


def condition(stanza):
    error = next(e for e in stanza if xmpp.local(e) == 'error')
    return xmpp.local(error[0])


@accounts()
def test_shape_of_stanzas(t):
    """RFC 6120 §8.2.3: what is no stanza is refused, also when a component sends it, and nothing else suffers"""
    with with_component(t) as (server, port):
        shed = Component(port, 'shed', 'hush')
        for n, inner in enumerate(('', PING + PING)):
            for to in ('localhost', 'juliet@localhost', 'juliet@localhost/x'):
                got = shed.answer("<iq type='get' id='e%d' from='a@shed' to='%s'>%s</iq>" % (n, to, inner), 'e%d' % n)
                check(got.get('type') == 'error' and condition(got) == 'bad-request', xmpp.text_of(got))
        got = shed.answer("<iq type='sometimes' id='s' from='a@shed' to='localhost'>%s</iq>" % PING, 's')
        check(condition(got) == 'bad-request', xmpp.text_of(got))
        got = shed.answer("<iq type='get' id='p' from='a@shed' to='localhost'>%s</iq>" % PING, 'p')
        check(got.get('type') == 'result', xmpp.text_of(got))


@accounts()
def test_both_ways(t):
    """XEP-0114: stanzas for the component's domain go to it, and its own to users; without it there is an error"""
    with with_component(t) as (server, port):
        juliet = client(t, server, 'juliet').login()
        message = "<message to='b@shed/r' id='m%d'><body>hello</body></message>"
        juliet.send(message % 1)
        check(condition(juliet.wait_for(lambda e: e.get('id') == 'm1')) == 'service-unavailable', 'nobody is there')
        shed = Component(port, 'shed', 'hush')
        juliet.send(message % 2)
        got = shed.next()
        check((got.get('from'), got.get('to'), got.get('id')) == (juliet.jid, 'b@shed/r', 'm2'), xmpp.text_of(got))
        shed.write("<message from='b@shed' to='%s' id='m3'><body>hello</body></message>" % juliet.jid)
        check(juliet.wait_for(lambda e: e.get('id') == 'm3').get('from') == 'b@shed', 'from')
