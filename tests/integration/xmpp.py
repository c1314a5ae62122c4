"""A small XMPP client on sockets: it sends exact text and hands back complete first-level elements.

Standard library only. One thread uses a client at a time; every wait has a limit (TIMEOUT seconds).
Elements are xml.etree.ElementTree elements with names in the form {namespace}name.
"""
import base64
import ctypes
import hashlib
import hmac
import os
import select
import socket
import ssl
import time
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

TIMEOUT = float(os.environ.get('STERNA_TEST_TIMEOUT', '5'))

NS_CLIENT = 'jabber:client'
NS_STREAM = 'http://etherx.jabber.org/streams'
NS_TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
NS_SASL2 = 'urn:xmpp:sasl:2'
NS_BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
NS_BIND2 = 'urn:xmpp:bind:0'
NS_STREAM_ERRORS = 'urn:ietf:params:xml:ns:xmpp-streams'
NS_STANZA_ERRORS = 'urn:ietf:params:xml:ns:xmpp-stanzas'
NS_SM = 'urn:xmpp:sm:3'
NS_PING = 'urn:xmpp:ping'


class XmppError(Exception):
    """The server did something else than the client was told to expect."""


class Closed(XmppError):
    """The server closed the stream or the connection."""


class TimedOut(XmppError):
    """Nothing came in time."""


def text_of(elem):
    """An element as text, for messages to people."""
    return ET.tostring(elem, encoding='unicode')


def condition_of(elem):
    """The defined condition of a stanza error, stream error or SASL failure; None if there is none."""
    holder = elem if local(elem) in ('error', 'failure') else elem.find('{%s}error' % NS_CLIENT)
    for child in holder if holder is not None else ():
        if namespace(child) in (NS_STANZA_ERRORS, NS_STREAM_ERRORS, NS_SASL) and local(child) != 'text':
            return local(child)
    return None


def local(elem):
    return elem.tag.rpartition('}')[2]


def namespace(elem):
    return elem.tag[1:].rpartition('}')[0] if elem.tag.startswith('{') else ''


class Stream:
    """Cuts what arrives into the stream's header and first-level elements."""

    def __init__(self):
        self.parser = ET.XMLPullParser(events=('start', 'end'))
        self.depth = 0
        self.root = None
        self.header = None
        self.ended = False

    def feed(self, data):
        self.parser.feed(data)
        for event, elem in self.parser.read_events():
            if event == 'start':
                self.depth += 1
                if self.depth == 1:
                    self.root = elem
                    self.header = dict(elem.attrib)
                    yield elem
                continue
            self.depth -= 1
            if self.depth == 1:
                self.root.remove(elem)
                elem.tail = None
                yield elem
            elif self.depth == 0:
                self.ended = True


class Scram:
    """The client's half of SCRAM (RFC 5802), with or without channel binding."""

    def __init__(self, mechanism, user, password, binding=None, authzid=''):
        self.hash = mechanism.replace('-PLUS', '')[len('SCRAM-'):].replace('SHA-', 'sha').lower()
        self.password = password.encode()
        kind, data = binding if binding else (None, b'')
        self.gs2 = ('p=%s' % kind if kind else 'n') + ',' + ('a=' + authzid if authzid else '') + ','
        self.cbind = base64.b64encode(self.gs2.encode() + data).decode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = 'n=%s,r=%s' % (user.replace('=', '=3D').replace(',', '=2C'), self.nonce)
        self.signature = None

    def first(self):
        return (self.gs2 + self.bare).encode()

    def final(self, challenge):
        server_first = challenge.decode()
        field = dict(part.split('=', 1) for part in server_first.split(','))
        if not field['r'].startswith(self.nonce) or field['r'] == self.nonce:
            raise XmppError('the server did not extend the nonce')
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, base64.b64decode(field['s']), int(field['i']))
        key = self.mac(salted, b'Client Key')
        stored = hashlib.new(self.hash, key).digest()
        without_proof = 'c=%s,r=%s' % (self.cbind, field['r'])
        auth = ','.join((self.bare, server_first, without_proof)).encode()
        proof = bytes(a ^ b for a, b in zip(key, self.mac(stored, auth)))
        self.signature = self.mac(self.mac(salted, b'Server Key'), auth)
        return (without_proof + ',p=' + base64.b64encode(proof).decode()).encode()

    def verify(self, data):
        if not data.startswith(b'v=') or base64.b64decode(data[2:].split(b',')[0]) != self.signature:
            raise XmppError('the server did not prove that it knows the password: %r' % data)

    def mac(self, key, data):
        return hmac.new(key, data, self.hash).digest()


def exported_key(sock):
    """The tls-exporter channel binding (RFC 9266). Python has no call for it, so OpenSSL's is called on the
    SSL object behind CPython's; None where that is not to be found."""
    try:
        lib = ctypes.CDLL('libssl.so.3')
        lib.SSL_get_version.restype = ctypes.c_char_p
        lib.SSL_get_version.argtypes = [ctypes.c_void_p]
        ssl_object = ctypes.c_void_p.from_address(id(sock._sslobj) + 24)
        if lib.SSL_get_version(ssl_object).decode() != sock.version():
            return None
        out = ctypes.create_string_buffer(32)
        label = b'EXPORTER-Channel-Binding'
        done = lib.SSL_export_keying_material(ssl_object, out, ctypes.c_size_t(32), label,
                                              ctypes.c_size_t(len(label)), b'', ctypes.c_size_t(0), 1)
        return out.raw if done == 1 else None
    except (OSError, AttributeError, ValueError):
        return None


class Client:
    """One connection. `jid` is the full JID once a resource is bound."""

    def __init__(self, user, password, host='localhost', address='127.0.0.1', port=5222, cafile=None,
                 resource=None, mechanism=None, direct_tls=False, name=None, source=None):
        self.user, self.password, self.host = user, password, host
        self.address, self.port, self.cafile = address, port, cafile
        self.resource, self.mechanism, self.direct_tls = resource, mechanism, direct_tls
        self.name = name or user
        self.source = source
        self.transcript = []
        self.sock = None
        self.reset()

    def reset(self):
        self.stream, self.queue, self.eof = Stream(), [], False
        self.features, self.jid, self.skipped, self.binding = None, None, [], 'tls-exporter'
        self.bound = {}

    # -- bytes ---------------------------------------------------------------------------------------

    def note(self, arrow, data):
        text = data if isinstance(data, str) else data.decode('utf-8', 'replace')
        self.transcript.append('%.3f %s %s %s' % (time.time() % 1000, self.name, arrow, text))

    def connect(self):
        """The TCP connection, and TLS where the port wants it at once (XEP-0368)."""
        self.reset()
        source = (self.source, 0) if self.source else None
        self.sock = socket.create_connection((self.address, self.port), timeout=TIMEOUT, source_address=source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.direct_tls:
            self.start_tls()
        return self

    def start_tls(self, alpn='xmpp-client'):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.cafile:
            context.load_verify_locations(self.cafile)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        self.sock.settimeout(TIMEOUT)
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        self.stream, self.queue = Stream(), []

    def send(self, text):
        """Exactly this text (or these bytes), in one write."""
        data = text.encode() if isinstance(text, str) else text
        self.note('>', data)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Closed('%s: the connection is gone: %s' % (self.name, error)) from None

    def read_more(self, deadline):
        """One read; False when the peer has closed. Raises TimedOut at the deadline."""
        pending = getattr(self.sock, 'pending', lambda: 0)()
        left = deadline - time.monotonic()
        if not pending and not select.select([self.sock], [], [], max(left, 0))[0]:
            raise TimedOut('%s: nothing came within %g s' % (self.name, TIMEOUT))
        try:
            self.sock.settimeout(max(left, 0.05))
            data = self.sock.recv(65536)
        except socket.timeout:
            return True
        except OSError as error:
            self.note('!', str(error))
            data = b''
        if not data:
            self.eof = True
            return False
        self.note('<', data)
        try:
            self.queue.extend(self.stream.feed(data))
        except ET.ParseError as error:
            raise XmppError('%s: the server sent XML that is not well-formed: %s' % (self.name, error)) from None
        return True

    def next(self, timeout=None):
        """The next element at the first level (the stream's header counts as one)."""
        deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
        while not self.queue:
            if self.eof or self.stream.ended or not self.read_more(deadline):
                raise Closed('%s: the server closed the stream' % self.name)
        return self.queue.pop(0)

    def stanza(self, timeout=None, sm=False):
        """The next stanza. Requests and answers of XEP-0198 are passed over, unless asked for."""
        while True:
            elem = self.next(timeout)
            if sm or elem.tag not in ('{%s}r' % NS_SM, '{%s}a' % NS_SM):
                return elem
            self.skipped.append(elem)

    def wait_for(self, wanted, timeout=None, dropped=None):
        """Reads until wanted(elem); what comes before goes to the list dropped, or is kept for later."""
        kept = [] if dropped is None else dropped
        deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
        try:
            while True:
                elem = self.next(max(deadline - time.monotonic(), 0))
                if wanted(elem):
                    return elem
                kept.append(elem)
        finally:
            if dropped is None:
                self.queue[:0] = kept

    def wait_closed(self, timeout=None):
        """Until the server has closed; returns the condition of a stream error, or None."""
        deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
        condition = None
        while True:
            try:
                elem = self.next(max(deadline - time.monotonic(), 0))
            except Closed:
                return condition
            if elem.tag == '{%s}error' % NS_STREAM:
                condition = condition_of(elem)

    # -- negotiation ---------------------------------------------------------------------------------

    def open(self, header=None):
        """Opens a stream and waits for the features."""
        self.stream, self.queue = Stream(), []
        self.send(header or "<?xml version='1.0'?><stream:stream to=%s version='1.0' xml:lang='en' "
                  "xmlns='jabber:client' xmlns:stream='%s'>" % (quoteattr(self.host), NS_STREAM))
        head = self.next()
        if head.tag != '{%s}stream' % NS_STREAM:
            raise XmppError('%s: no stream header but %s' % (self.name, head.tag))
        self.features = self.expect('{%s}features' % NS_STREAM)
        return self.features

    def expect(self, tag):
        elem = self.next()
        if elem.tag != tag:
            raise XmppError('%s: expected %s, got %s' % (self.name, tag, text_of(elem)))
        return elem

    def secure(self):
        """Up to the features of an encrypted stream."""
        if self.sock is None:
            self.connect()
        self.open()
        if not self.direct_tls:
            self.send("<starttls xmlns='%s'/>" % NS_TLS)
            self.expect('{%s}proceed' % NS_TLS)
            self.start_tls(alpn=None)
            self.open()
        return self.features

    def mechanisms(self, ns=NS_SASL):
        holder = self.features.find('{%s}%s' % (ns, 'mechanisms' if ns == NS_SASL else 'authentication'))
        return [m.text for m in holder.findall('{%s}mechanism' % ns)] if holder is not None else []

    def channel_binding(self):
        if self.binding == 'tls-exporter':
            key = exported_key(self.sock)
            if key is not None:
                return 'tls-exporter', key
        certificate = self.sock.getpeercert(True)
        return 'tls-server-end-point', hashlib.sha256(certificate).digest()

    def exchange(self, mechanism, authzid=''):
        """An object with first(), final(challenge), verify(data) for the mechanism."""
        if mechanism == 'PLAIN':
            return Plain(self.user, self.password, authzid)
        binding = self.channel_binding() if mechanism.endswith('-PLUS') else None
        return Scram(mechanism, self.user, self.password, binding, authzid)

    def choose(self, ns):
        offered = self.mechanisms(ns)
        if self.mechanism:
            if self.mechanism not in offered:
                raise XmppError('%s is not offered, only %s' % (self.mechanism, offered))
            return self.mechanism
        for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-1', 'SCRAM-SHA-512', 'PLAIN'):
            if mechanism in offered:
                return mechanism
        raise XmppError('no mechanism that this client knows is offered: %s' % offered)

    def authenticate(self, authzid=''):
        """SASL1 (RFC 6120 §6), then a new stream."""
        mechanism = self.choose(NS_SASL)
        exchange = self.exchange(mechanism, authzid)
        self.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (NS_SASL, mechanism, encode(exchange.first())))
        while True:
            elem = self.next()
            if elem.tag == '{%s}challenge' % NS_SASL:
                data = decode(elem.text)
                if data.startswith(b'v='):
                    exchange.verify(data)
                    answer = b''
                else:
                    answer = exchange.final(data)
                self.send("<response xmlns='%s'>%s</response>" % (NS_SASL, encode(answer)))
            elif elem.tag == '{%s}success' % NS_SASL:
                if elem.text:
                    exchange.verify(decode(elem.text))
                break
            else:
                raise XmppError('%s: login failed: %s' % (self.name, condition_of(elem) or text_of(elem)))
        return self.open()

    def bind(self, resource=None):
        resource = resource or self.resource
        inner = '<resource>%s</resource>' % escape(resource) if resource else ''
        self.send("<iq type='set' id='bind'><bind xmlns='%s'>%s</bind></iq>" % (NS_BIND, inner))
        answer = self.wait_for(lambda e: e.get('id') == 'bind')
        jid = answer.find('{%s}bind/{%s}jid' % (NS_BIND, NS_BIND))
        if answer.get('type') != 'result' or jid is None:
            raise XmppError('%s: no resource bound: %s' % (self.name, text_of(answer)))
        self.jid = jid.text
        return self.jid

    def authenticate2(self, inner='', bind=True, authzid='', outer='', exchange=None):
        """SASL2 (XEP-0388) with Bind 2 (XEP-0386); returns <success/>, or <continue/>. inner goes into <bind/>, outer
        beside it; exchange: in place of the password's."""
        mechanism = exchange.mechanism if exchange else self.choose(NS_SASL2)
        exchange = exchange or self.exchange(mechanism, authzid)
        bound = "<bind xmlns='%s'><tag>%s</tag>%s</bind>" % (NS_BIND2, escape(self.resource or 'test'), inner)
        self.send("<authenticate xmlns='%s' mechanism='%s'><initial-response>%s</initial-response>%s%s</authenticate>"
                  % (NS_SASL2, mechanism, encode(exchange.first()), outer, bound if bind else inner))
        return self.finish2(exchange)

    def finish2(self, exchange=None):
        """The rest of a SASL2 login."""
        while True:
            elem = self.next()
            if elem.tag == '{%s}challenge' % NS_SASL2:
                self.send("<response xmlns='%s'>%s</response>" % (NS_SASL2, encode(exchange.final(decode(elem.text)))))
            elif elem.tag == '{%s}success' % NS_SASL2:
                break
            elif elem.tag == '{%s}continue' % NS_SASL2:
                exchange.verify(decode(elem.findtext('{%s}additional-data' % NS_SASL2)))
                return elem
            else:
                raise XmppError('%s: login failed: %s' % (self.name, condition_of(elem) or text_of(elem)))
        more = elem.findtext('{%s}additional-data' % NS_SASL2)
        if more:
            exchange.verify(decode(more))
        self.jid = elem.findtext('{%s}authorization-identifier' % NS_SASL2)
        # XEP-0198 §8.2: a resumed stream goes on where it was; no features follow
        if elem.find('{%s}resumed' % NS_SM) is None:
            self.features = self.expect('{%s}features' % NS_STREAM)
        return elem

    def login(self, presence=True, roster=False):
        """From nothing to a bound resource; with roster to an interested, with presence to an available one."""
        self.connect()
        self.secure()
        self.authenticate()
        self.bind()
        if roster:
            self.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            self.wait_for(lambda e: e.get('id') == 'roster')
        if presence:
            self.send('<presence/>')
            own = self.jid
            kept = []
            try:
                self.wait_for(lambda e: e.tag == '{%s}presence' % NS_CLIENT and e.get('from') == own, dropped=kept)
            finally:
                self.queue[:0] = kept
        return self

    def ping(self, ident):
        """A round trip to the server; stanzas that come before the answer stay in the queue."""
        self.send("<iq type='get' id='%s' to=%s><ping xmlns='%s'/></iq>" % (ident, quoteattr(self.host), NS_PING))
        self.wait_for(lambda e: e.tag == '{%s}iq' % NS_CLIENT and e.get('id') == ident)

    # -- ends ----------------------------------------------------------------------------------------

    def close(self):
        """The orderly end: </stream:stream> both ways."""
        if self.sock is None:
            return
        try:
            self.send('</stream:stream>')
            self.wait_closed()
        finally:
            self.cut()

    def cut(self):
        """The socket goes without a word (a reset, as when a network is lost)."""
        if self.sock is not None:
            linger = b'\x01\0\0\0\0\0\0\0'
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            except OSError:
                pass
            self.sock.close()
            self.sock = None


class Plain:
    """The mechanism PLAIN (RFC 4616)."""

    def __init__(self, user, password, authzid=''):
        self.message = '\0'.join((authzid, user, password)).encode()

    def first(self):
        return self.message

    def final(self, _challenge):
        raise XmppError('a challenge in answer to PLAIN')

    def verify(self, _data):
        pass


def encode(data):
    return base64.b64encode(data).decode() or '='


def decode(text):
    return base64.b64decode(text) if text and text != '=' else b''
