"""Routes through a SOCKS5 proxy (RFC 1928, RFC 1929): with and without a password, names that only the proxy knows, its refusals."""
import json
import socket
import threading

import xmpp
from s2s import domains, hears, says
from suite import accounts, check


class Proxy:
    """Knows the name of one host, and one user; answers in pieces, as TCP may."""

    def __init__(self, names, user=None, password=None, refuse=0):
        self.names, self.user, self.password, self.refuse = names, user, password, refuse
        self.server = socket.create_server(('127.0.0.1', 0))
        self.port, self.asked = self.server.getsockname()[1], []
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.server.close()

    def run(self):
        while True:
            try:
                sock = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    @staticmethod
    def exactly(sock, count):
        got = b''
        while len(got) < count:
            more = sock.recv(count - len(got))
            if not more:
                raise OSError('closed')
            got += more
        return got

    def serve(self, sock):
        try:
            self.talk(sock)
        except OSError:
            sock.close()

    def talk(self, sock):
        version, count = self.exactly(sock, 2)
        methods = self.exactly(sock, count)
        wanted = 2 if self.user else 0
        if version != 5 or wanted not in methods:
            sock.sendall(b'\x05\xff')
            raise OSError('no method')
        sock.sendall(b'\x05')
        sock.sendall(bytes([wanted]))
        if self.user:
            _, size = self.exactly(sock, 2)
            user = self.exactly(sock, size).decode()
            password = self.exactly(sock, self.exactly(sock, 1)[0]).decode()
            sock.sendall(b'\x01' + bytes([0 if (user, password) == (self.user, self.password) else 1]))
        _, _, _, kind = self.exactly(sock, 4)
        if kind == 3:
            host = self.exactly(sock, self.exactly(sock, 1)[0]).decode()
        else:
            host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, self.exactly(sock, 4 if kind == 1 else 16))
        port = int.from_bytes(self.exactly(sock, 2), 'big')
        self.asked.append((host, port))
        if self.refuse:
            sock.sendall(bytes([5, self.refuse, 0, 1, 0, 0, 0, 0, 0, 0]))
            raise OSError('refused')
        far = socket.create_connection((self.names.get(host, host), port))
        for piece in (b'\x05\x00\x00', b'\x03\x09loc', b'alhost', b'\x12\x34'):
            sock.sendall(piece)
        for one, other in ((sock, far), (far, sock)):
            threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for sock in (one, other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def through(proxy, address='127.0.0.1', **more):
    def before(a, b):
        a.tree['routes']['b.example'].update({'address': address, 'socks5': '127.0.0.1', 'socks5_port': proxy.port, **more})
        a.configure()
    return before


def chat(t, proxy, **more):
    with domains(t, 'a.example', 'b.example', before=through(proxy, **more)) as (a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        says(juliet, 'romeo@b.example', 'one')
        hears(romeo, 'one', juliet.jid)
        says(romeo, juliet.jid, 'two')
        hears(juliet, 'two', romeo.jid)
        port = b.s2s_port
        explained = a.ctl('s2s', 'explain', 'b.example')
    proxy.close()
    check('socks5' in explained, explained)
    return port


@accounts()
def test_no_password(t):
    """An address through a proxy that asks for nothing; what it answers may come in pieces"""
    proxy = Proxy({})
    port = chat(t, proxy)
    check(proxy.asked == [('127.0.0.1', port)], str(proxy.asked))


@accounts()
def test_password_and_name(t):
    """A name that only the proxy can look up, and a name and a password for the proxy"""
    proxy = Proxy({'inner.example': '127.0.0.1'}, 'sterna', 'secret')
    port = chat(t, proxy, address='inner.example', socks5_user='sterna', socks5_password='secret')
    check(proxy.asked == [('inner.example', port)], str(proxy.asked))


@accounts()
def test_refusals(t):
    """What the proxy says no with stands in the trail, and in the error for the sender"""
    for proxy, more, text in (
            (Proxy({}, 'sterna', 'secret'), {'socks5_user': 'sterna', 'socks5_password': 'wrong'}, 'does not take our name'),
            (Proxy({}, 'sterna', 'secret'), {}, 'wants to know who asks'),
            (Proxy({}, refuse=5), {}, 'connection refused, the proxy says')):
        with domains(t, 'a.example', 'b.example', before=through(proxy, **more)) as (a, b):
            tried = json.loads(a.ctl('--json', 's2s', 'test', 'b.example', check=False) or '{}')
            check(any(step['what'] == 'socks5' and not step['ok'] and text in step['text'] for step in tried['steps']), str(tried))
            juliet = a.login('juliet')
            juliet.send("<iq type='get' id='p' to='b.example'><ping xmlns='urn:xmpp:ping'/></iq>")
            got = juliet.wait_for(lambda e: e.get('id') == 'p', timeout=40)
            check(xmpp.condition_of(got) == 'remote-server-timeout' and text in xmpp.text_of(got), xmpp.text_of(got))
        proxy.close()
