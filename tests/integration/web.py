"""Clients over HTTP: WebSocket (RFC 7395), BOSH (XEP-0206), and what tests need to speak HTTP byte by byte. Standard library only."""
import base64
import os
import re
import select
import socket
import ssl
import struct
import time
import xml.etree.ElementTree as ET
import xml.parsers.expat
from xml.sax.saxutils import quoteattr

import xmpp

NS_BOSH = 'http://jabber.org/protocol/httpbind'
NS_FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'


def elements(text):
    """The text's first-level elements, each as it is written; the whole text if it is not well-formed."""
    data = text.encode() if isinstance(text, str) else text
    head = b"<x xmlns='jabber:client' xmlns:stream='%s'>" % xmpp.NS_STREAM.encode()
    parser, state, found = xml.parsers.expat.ParserCreate(), {'depth': 0, 'from': 0}, []

    def start(_name, _attributes):
        if state['depth'] == 1:
            state['from'] = parser.CurrentByteIndex
        state['depth'] += 1

    def end(_name):
        state['depth'] -= 1
        if state['depth'] == 1:
            found.append(state['from'])
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(head + data + b'</x>', True)
    except xml.parsers.expat.ExpatError:
        return [data]
    if not found:
        return [data]
    edges = [at - len(head) for at in found] + [len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:])]


def frame(data, opcode=1, fin=True, mask=True, first=None, length=None):
    """A client's frame; first: the whole first byte; length: what it claims."""
    n = len(data) if length is None else length
    head = bytes([first if first is not None else (0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack('>H', n)
    else:
        head += bytes([bit | 127]) + struct.pack('>Q', n)
    if not mask:
        return head + data
    key = os.urandom(4)
    wide = (key * (len(data) // 4 + 1))[:len(data)]
    return head + key + (int.from_bytes(data, 'big') ^ int.from_bytes(wide, 'big')).to_bytes(len(data), 'big')


class Frames:
    """A server's frames, cut into messages, and those parsed: what xmpp.Stream is for a document."""

    def __init__(self):
        self.data, self.message, self.ended, self.header = b'', b'', False, None
        self.control = []                               # (opcode, content)

    def feed(self, data):
        self.data += data
        while len(self.data) >= 2:
            opcode, n, at = self.data[0] & 15, self.data[1], 2
            if n & 0x80:
                raise xmpp.XmppError('a masked frame from a server')
            if self.data[0] & 0x70:
                raise xmpp.XmppError('reserved bits: compression was not agreed on')
            if n >= 126:
                size = 2 if n == 126 else 8
                if len(self.data) < 2 + size:
                    return
                n, at = int.from_bytes(self.data[2:2 + size], 'big'), 2 + size
                if n < (126 if size == 2 else 65536):
                    raise xmpp.XmppError('a length that is not the shortest form')
            if len(self.data) < at + n:
                return
            content, fin = self.data[at:at + n], self.data[0] & 0x80
            self.data = self.data[at + n:]
            if opcode >= 8:
                self.control.append((opcode, content))
                self.ended |= opcode == 8
                continue
            self.message += content
            if fin:
                text, self.message = self.message, b''
                elem = ET.fromstring(text)              # one element, standalone
                if elem.tag == '{%s}close' % NS_FRAMING:
                    continue
                yield elem


class WsClient(xmpp.Client):
    """A client over WebSocket; otherwise as xmpp.Client."""

    path, origin, protocol, extra = '/xmpp-websocket', None, 'xmpp', ''

    def reset(self):
        super().reset()
        self.stream, self.status = Frames(), None

    def start_tls(self, alpn='http/1.1'):
        frames = self.stream
        super().start_tls(alpn if alpn == 'http/1.1' or alpn is None else 'http/1.1')
        self.stream = frames

    def connect(self):
        super().connect()
        self.handshake()
        return self

    def handshake(self):
        lines = ['GET %s HTTP/1.1' % self.path, 'Host: %s' % self.host, 'Upgrade: websocket', 'Connection: Upgrade',
                 'Sec-WebSocket-Key: ' + base64.b64encode(os.urandom(16)).decode(), 'Sec-WebSocket-Version: 13']
        if self.protocol:
            lines.append('Sec-WebSocket-Protocol: ' + self.protocol)
        if self.origin:
            lines.append('Origin: ' + self.origin)
        self.sock.sendall(('\r\n'.join(lines) + '\r\n' + self.extra + '\r\n').encode())
        data = b''
        while b'\r\n\r\n' not in data:
            more = self.sock.recv(4096)
            if not more:
                raise xmpp.Closed('no answer to the handshake')
            data += more
        head, _, rest = data.partition(b'\r\n\r\n')
        self.status, self.head = int(head.split()[1]), head.decode()
        if self.status != 101:
            raise xmpp.XmppError('no upgrade: %s' % self.head)
        self.queue.extend(self.stream.feed(rest))

    def send(self, text):
        for each in elements(text):
            self.send_frame(each)

    def send_frame(self, data, **how):
        data = data.encode() if isinstance(data, str) else data
        self.note('>', data)
        try:
            self.sock.sendall(frame(data, **how))
        except OSError as error:
            raise xmpp.Closed('%s: the connection is gone: %s' % (self.name, error)) from None

    def open(self, header=None):
        self.send_frame(header or "<open xmlns='%s' to=%s version='1.0'/>" % (NS_FRAMING, quoteattr(self.host)))
        head = self.expect('{%s}open' % NS_FRAMING)
        self.stream.header = dict(head.attrib)
        self.features = self.expect('{%s}features' % xmpp.NS_STREAM)
        return self.features

    def secure(self):
        if self.sock is None:
            self.connect()
        return self.open()

    def close_code(self):
        """The code of the server's close frame, after it closed; None: it did without."""
        self.wait_closed()
        codes = [content for opcode, content in self.stream.control if opcode == 8]
        return int.from_bytes(codes[0][:2], 'big') if codes and len(codes[0]) >= 2 else None

    def close(self):
        if self.sock is None:
            return
        try:
            self.send_frame("<close xmlns='%s'/>" % NS_FRAMING)
            self.wait_closed()
        finally:
            self.cut()


def websocket(t, user, server=None, **options):
    """A client of the test's server over WebSocket, not yet connected. tls=True: on the HTTPS port."""
    server = server or t.server
    tls = options.pop('tls', False)
    options.setdefault('resource', 'web')
    name, password = (user, 'pw') if server is not t.server else t.users[user]
    client = WsClient(name, password, host=server.host, cafile=str(server.crt), direct_tls=tls, name=user,
                      port=server.https_port if tls else server.http_port, **options)
    client.transcript = t.transcript
    t.clients.append(client)
    return client

class BoshClient(xmpp.Client):
    """A client over BOSH with two connections, as browsers do it; otherwise as xmpp.Client. raw() is for tests of requests."""

    path, wait, hold, attributes = '/http-bind', 10, 1, ''

    def reset(self):
        super().reset()
        self.ways, self.sid, self.rid, self.over = [], None, int.from_bytes(os.urandom(4), 'big'), None

    def connect(self):
        self.reset()
        self.sock = None
        return self

    def way(self):
        """An idle connection: [socket, what came, waits for an answer]."""
        for each in self.ways:
            if not each[2]:
                return each
        sock = socket.create_connection((self.address, self.port), timeout=xmpp.TIMEOUT)
        if self.direct_tls:
            context = ssl.create_default_context(cafile=self.cafile)
            sock = context.wrap_socket(sock, server_hostname=self.host)
        self.ways.append([sock, b'', False])
        self.sock = sock
        return self.ways[-1]

    def raw(self, body, way=None):
        """One request, not waited for."""
        way = way or self.way()
        data = body.encode() if isinstance(body, str) else body
        self.note('>', data)
        way[0].sendall(b'POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n'
                       % (self.path.encode(), self.host.encode(), len(data)) + data)
        way[2] = True
        return way

    def body(self, inner=b'', attributes='', rid=None):
        if rid is None:
            self.rid += 1
            rid = self.rid
        inner = inner.encode() if isinstance(inner, str) else inner
        return ("<body xmlns='%s' rid='%d' sid='%s' xmlns:xmpp='urn:xmpp:xbosh' %s>" % (NS_BOSH, rid, self.sid, attributes)
                ).encode() + inner + b'</body>'

    def post(self, inner=b'', attributes=''):
        return self.raw(self.body(inner, attributes))

    def send(self, text):
        parts = [each if b'xmlns=' in each.partition(b'>')[0] else
                 re.sub(rb"^\s*<(\w+)", rb"<\1 xmlns='jabber:client'", each) for each in elements(text)]
        waiting = [w for w in self.ways if w[2]]
        if len(waiting) > self.hold:                    # both are under way: one answer must come first
            self.read_more(time.monotonic() + xmpp.TIMEOUT)
        self.post(b''.join(parts))

    def read_more(self, deadline):
        if self.over is not None:
            self.eof = True
            return False
        if self.sid and not any(w[2] for w in self.ways):
            self.post()
        while True:
            waiting = [w for w in self.ways if w[2]]
            for way in waiting:
                answer = self.answer_in(way)
                if answer is not None:
                    self.took(answer)
                    return True
            left = deadline - time.monotonic()
            ready = select.select([w[0] for w in waiting], [], [], max(left, 0))[0]
            if not ready:
                raise xmpp.TimedOut('%s: nothing came' % self.name)
            for way in waiting:
                if way[0] in ready:
                    more = way[0].recv(65536)
                    if not more:
                        raise xmpp.Closed('%s: the connection is gone' % self.name)
                    way[1] += more

    @staticmethod
    def answer_in(way):
        head, gap, rest = way[1].partition(b'\r\n\r\n')
        if not gap:
            return None
        length = int(re.search(rb'Content-Length: (\d+)', head).group(1))
        if len(rest) < length:
            return None
        way[1], way[2] = rest[length:], False
        if not head.startswith(b'HTTP/1.1 200'):
            raise xmpp.XmppError('HTTP: %r' % head)
        return rest[:length]

    def took(self, answer):
        self.note('<', answer)
        elem = ET.fromstring(answer)
        self.last = elem
        if elem.get('type') == 'terminate':
            self.over = elem.get('condition') or ''
        self.queue.extend(list(elem))

    def open(self, header=None):
        if self.sid is None:
            self.raw("<body xmlns='%s' rid='%d' to='%s' wait='%d' hold='%d' ver='1.6' xmpp:version='1.0' "
                     "xmlns:xmpp='urn:xmpp:xbosh' %s/>" % (NS_BOSH, self.rid, self.host, self.wait, self.hold, self.attributes))
            self.read_more(time.monotonic() + xmpp.TIMEOUT)
            self.sid = self.last.get('sid')
            self.stream.header = {'id': self.last.get('authid'), 'from': self.last.get('from')}
        else:
            self.post(attributes="xmpp:restart='true' to='%s'" % self.host)
        self.features = self.expect('{%s}features' % xmpp.NS_STREAM)
        return self.features

    def secure(self):
        return self.open()

    def close(self):
        self.post(attributes="type='terminate'")
        self.wait_closed()
        self.cut()

    def cut(self):
        for way in self.ways:
            way[0].close()
        self.ways, self.sock = [], None


def bosh(t, user, server=None, **options):
    """A client of the test's server over BOSH, not yet connected."""
    server = server or t.server
    tls = options.pop('tls', False)
    options.setdefault('resource', 'bosh')
    name, password = (user, 'pw') if server is not t.server else t.users[user]
    client = BoshClient(name, password, host=server.host, cafile=str(server.crt), direct_tls=tls, name=user,
                        port=server.https_port if tls else server.http_port, **options)
    client.transcript = t.transcript
    t.clients.append(client)
    return client


def talk(port, data, wait=10, tls=None):
    """What comes back for these bytes, to the connection's end or wait seconds."""
    end = time.monotonic() + wait
    with socket.create_connection(('127.0.0.1', port), timeout=wait) as connection:
        if tls is not None:
            connection = tls.wrap_socket(connection, server_hostname='localhost')
        connection.sendall(data)
        got = b''
        while time.monotonic() < end:
            connection.settimeout(max(end - time.monotonic(), 0.01))
            try:
                more = connection.recv(65536)
            except (socket.timeout, ssl.SSLError):
                return got
            except ConnectionResetError:
                return got
            if not more:
                return got
            got += more
        return got
