"""WebSocket (RFC 7395): the same sessions as over TCP; frames that are none; who may connect."""
import time

import xmpp
from suite import accounts, check, private
from web import NS_FRAMING, frame, talk, websocket
from xmpp import NS_CLIENT, NS_SM, NS_STREAM


def opened(t, **options):
    client = websocket(t, 'juliet', **options)
    client.secure()
    return client


def bound(t, user='juliet', **options):
    return websocket(t, user, **options).login()


def message(e):
    return e.tag == '{%s}message' % NS_CLIENT


@accounts('juliet', 'romeo')
def test_a_message_each_way(t):
    """between WebSocket, with and without TLS, and TCP"""
    juliet, romeo = bound(t, tls=True), t.login('romeo')
    juliet.send("<message to='%s' type='chat'><body>over TLS</body></message>" % romeo.jid)
    check(romeo.wait_for(message).findtext('{%s}body' % NS_CLIENT) == 'over TLS', 'to TCP')
    romeo.send("<message to='%s' type='chat'><body>%s</body></message>" % (juliet.jid, 'x' * 70000))
    check(len(juliet.wait_for(message).findtext('{%s}body' % NS_CLIENT)) == 70000, 'a long message')
    romeo.send("<message to='%s' type='chat'><body/></message>" % juliet.jid)
    juliet.wait_for(message)
    juliet.close()


@accounts('juliet')
def test_channel_binding_over_tls(t):
    """the -PLUS mechanisms are there over our own TLS, and not without"""
    client = opened(t, tls=True, mechanism='SCRAM-SHA-256-PLUS')
    client.authenticate()
    check(client.bind(), 'no resource')
    check(not any('PLUS' in m for m in opened(t).mechanisms()), '-PLUS without TLS')


@accounts('juliet')
def test_sasl2_and_bind2(t):
    """one round trip logs in, enables XEP-0198 and binds"""
    client = opened(t)
    success = client.authenticate2("<enable xmlns='%s' resume='true'/>" % NS_SM)
    check(success.find('.//{%s}enabled' % NS_SM) is not None, 'no XEP-0198')
    client.ping('p1')


def resumed(t, before, after):
    before.send("<enable xmlns='%s' resume='true'/>" % NS_SM)
    ident = before.wait_for(lambda e: e.tag == '{%s}enabled' % NS_SM).get('id')
    jid = before.jid
    before.cut()
    romeo = t.login('romeo')
    time.sleep(0.2)
    romeo.send("<message to='%s' type='chat' id='m1'><body>for later</body></message>" % jid)
    romeo.ping('p1')
    after.connect()
    after.secure()
    after.authenticate()
    after.send("<resume xmlns='%s' h='0' previd='%s'/>" % (NS_SM, ident))
    after.wait_for(lambda e: e.tag == '{%s}resumed' % NS_SM)
    check(after.wait_for(message).get('id') == 'm1', 'what waited')
    after.jid = jid
    after.ping('p2')


@accounts('juliet', 'romeo')
def test_resumed_over_websocket(t):
    """a session of TCP is resumed over WebSocket"""
    resumed(t, t.login('juliet'), websocket(t, 'juliet'))


@accounts('juliet', 'romeo')
def test_resumed_over_tcp(t):
    """a session of WebSocket is resumed over TCP"""
    resumed(t, bound(t), t.client('juliet'))


@accounts('juliet')
def test_closing(t):
    """<close/> is answered, then WebSocket ends with 1000; a close frame alone leaves the session to be resumed"""
    client = bound(t)
    client.send_frame("<close xmlns='%s'/>" % NS_FRAMING)
    check(client.close_code() == 1000, 'after <close/>')
    client = bound(t)
    client.send("<enable xmlns='%s' resume='true'/>" % NS_SM)
    ident = client.wait_for(lambda e: e.tag == '{%s}enabled' % NS_SM).get('id')
    client.send_frame(b'\x03\xe8', opcode=8)
    check(client.close_code() == 1000, 'after a close frame')
    again = websocket(t, 'juliet')
    again.secure()
    again.authenticate()
    again.send("<resume xmlns='%s' h='0' previd='%s'/>" % (NS_SM, ident))
    again.wait_for(lambda e: e.tag == '{%s}resumed' % NS_SM)


@accounts('juliet')
def test_frames_of_all_kinds(t):
    """fragments, pings between them, one byte at a time, white space: all one message after the other"""
    client = bound(t)
    ping = b"<iq type='get' id='f1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
    client.send_frame(ping[:10], fin=False)
    client.send_frame(b'', opcode=0, fin=False)
    client.send_frame(b'still there?', opcode=9)
    client.send_frame(b'unasked', opcode=10)
    client.send_frame(ping[10:], opcode=0)
    client.wait_for(lambda e: e.get('id') == 'f1')
    check((10, b'still there?') in client.stream.control, 'no pong')
    client.send_frame(b' \n')
    for byte in frame(ping.replace(b'f1', b'f2')):
        client.sock.sendall(bytes([byte]))
    client.wait_for(lambda e: e.get('id') == 'f2')
    both = ping.replace(b'f1', b'f3'), ping.replace(b'f1', b'f4')
    client.sock.sendall(frame(both[0]) + frame(both[1]))
    client.wait_for(lambda e: e.get('id') == 'f3')
    client.wait_for(lambda e: e.get('id') == 'f4')


BAD_FRAMES = (
    ('unmasked', frame(b' ', mask=False), 1002),
    ('a reserved bit', frame(b'', first=0xc1), 1002),
    ('opcode 3', frame(b'', opcode=3), 1002),
    ('opcode 11', frame(b'', opcode=11), 1002),
    ('nothing to continue', frame(b'', opcode=0), 1002),
    ('a message within a message', frame(b' ', fin=False) + frame(b' '), 1002),
    ('a ping in fragments', frame(b'', opcode=9, fin=False), 1002),
    ('a long ping', frame(b'x' * 126, opcode=9), 1002),
    ('a close frame of one byte', frame(b'x', opcode=8), 1002),
    ('a length of 63 bits and more', frame(b'', length=1 << 63), 1002),
    ('a length that is not the shortest', bytes([0x81, 0xfe, 0, 5]) + b'\0' * 9, 1002),
    ('binary', frame(b'', opcode=2), 1003),
    ('a length over the limit', frame(b'', length=1 << 40), 1009),
    ('bad UTF-8', frame(b"<iq a='\xff'/>"), 1007),
    ('many fragments', frame(b' ', fin=False) + frame(b'', opcode=0, fin=False) * 1100, 1009),
)


@accounts('juliet')
def test_bad_frames(t):
    """each gets its close code, before and after a login"""
    for what, data, code in BAD_FRAMES:
        for make in (opened, bound):
            client = make(t)
            client.sock.sendall(data)
            got = client.close_code()
            check(got == code, '%s: %s' % (what, got))


@accounts('juliet')
def test_messages_that_are_not_one_element(t):
    """neither of two elements is handled, nor half of one, nor what RFC 6120 has"""
    ping = "<iq type='get' id='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
    for text in (ping % 'a' + ping % 'b', ping[:20], ping % 'c' + '<iq', 'text', '</messages>', ping % 'd' + '</messages>'):
        client = bound(t)
        client.send_frame(text)
        check(client.wait_closed() in ('bad-format', 'not-well-formed'), text)
        check(not any(e.get('id') in ('a', 'b', 'c', 'd') for e in client.skipped), text)
    for text in ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' to='localhost' version='1.0'>"
                 % NS_STREAM, "<!DOCTYPE a [<!ENTITY b 'c'>]><open xmlns='%s' to='localhost' version='1.0'/>" % NS_FRAMING,
                 "<presence xmlns='jabber:client'/>"):
        client = websocket(t, 'juliet')
        client.connect()
        client.send_frame(text)
        check(client.wait_closed() in ('restricted-xml', 'bad-format', 'not-well-formed'), text)
    client = opened(t)
    client.send_frame("<open xmlns='%s' to='localhost' version='1.0'/>" % NS_FRAMING)
    check(client.wait_closed() == 'unsupported-stanza-type', 'a second <open/>')
    client = opened(t)
    client.send_frame("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    check(client.wait_closed() == 'not-authorized', 'STARTTLS within')


@accounts('juliet')
def test_limits_are_those_of_tcp(t):
    """before a login 10000 bytes, with a stream error"""
    client = opened(t)
    client.send_frame("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (xmpp.NS_SASL, 'x' * 10500))
    check(client.wait_closed() == 'policy-violation', 'no limit')


@accounts('juliet')
def test_unknown_host(t):
    """<open/> for a domain that is not ours: <open/>, the stream error, <close/>"""
    client = websocket(t, 'juliet')
    client.connect()
    client.send_frame("<open xmlns='%s' to='elsewhere.example' version='1.0'/>" % NS_FRAMING)
    client.expect('{%s}open' % NS_FRAMING)
    check(client.wait_closed() == 'host-unknown', 'no error')


HANDSHAKE = ('GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n'
             'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
             'Sec-WebSocket-Protocol: chat, xmpp\r\n')


@accounts('juliet')
def test_handshakes(t):
    """the key of RFC 6455 §1.3 gets its answer; what is no handshake is refused"""
    got = talk(t.server.http_port, (HANDSHAKE + '\r\n').encode(), 1)
    check(b' 101 ' in got and b'\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n' in got, got)
    check(b'\r\nSec-WebSocket-Protocol: xmpp\r\n' in got and b'Extensions' not in got, got)
    for old, new, status in (('chat, xmpp', 'chat', 400), ('Sec-WebSocket-Protocol: chat, xmpp\r\n', '', 400),
                             ('Version: 13', 'Version: 8', 426), ('bm9uY2U==', 'bm9uY2U=', 400), ('ZQ==', '', 400),
                             ('Upgrade: websocket\r\n', '', 426), ('keep-alive, Upgrade', 'close', 426),
                             ('GET', 'POST', 426), ('HTTP/1.1', 'HTTP/1.0', 426),
                             ('Host: localhost\r\n', 'Host: localhost\r\nContent-Length: 3\r\n', 400)):
        check(old in HANDSHAKE or old == 'bm9uY2U==', old)
        got = talk(t.server.http_port, (HANDSHAKE.replace(old, new) + '\r\n').encode(), 2)
        if old == 'bm9uY2U==':
            continue
        check(got.startswith(b'HTTP/1.1 %d ' % status), '%s: %r' % (new or old, got[:60]))


@accounts('juliet')
@private(http={'origins': ['https://chat.example.org']})
def test_origins(t):
    """pages of other origins get no upgrade; without Origin it is no page"""
    for origin, status in ((None, 101), ('https://chat.example.org', 101), ('https://evil.example', 403), ('null', 403),
                           ('https://chat.example.org.evil.example', 403)):
        line = 'Origin: %s\r\n' % origin if origin else ''
        got = talk(t.server.http_port, (HANDSHAKE + line + '\r\n').encode(), 1)
        check(got.startswith(b'HTTP/1.1 %d ' % status), '%s: %r' % (origin, got[:60]))
    t.server.configure(http__origins=['https://other.example'])
    t.server.ctl('reload')
    for origin, status in (('https://other.example', 101), ('https://chat.example.org', 403)):
        got = talk(t.server.http_port, (HANDSHAKE + 'Origin: %s\r\n\r\n' % origin).encode(), 1)
        check(got.startswith(b'HTTP/1.1 %d ' % status), '%s after a reload: %r' % (origin, got[:60]))


@accounts('juliet')
@private(http={'proxies': ['127.0.0.0/8']})
def test_behind_a_proxy(t):
    """a trusted proxy says who asks, and whether over TLS; without TLS nobody logs in"""
    for lines, status in (('X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n', 101),
                          ('X-Forwarded-Proto: http\r\n', 403), ('', 403),
                          ('X-Forwarded-Proto: https, http\r\n', 403),
                          ('Forwarded: for=203.0.113.7;proto=https\r\n', 403)):
        got = talk(t.server.http_port, (HANDSHAKE + lines + '\r\n').encode(), 1)
        check(got.startswith(b'HTTP/1.1 %d ' % status), '%s: %r' % (lines, got[:60]))
    client = websocket(t, 'juliet')
    client.extra = 'X-Forwarded-Proto: https\r\nX-Forwarded-For: 198.51.100.9, 203.0.113.7, 127.0.0.1\r\n'
    client.login()
    check('203.0.113.7' in t.server.ctl('session', 'list'), t.server.ctl('session', 'list'))


@accounts('juliet')
@private(http={'proxies': ['127.0.0.0/8'], 'forwarded': 'forwarded'})
def test_behind_a_proxy_of_rfc_7239(t):
    """Forwarded counts where it is chosen, and X-Forwarded-For does not then"""
    client = websocket(t, 'juliet')
    client.extra = ('X-Forwarded-Proto: http\r\nForwarded: for=192.0.2.1;proto=http, '
                    'for="[2001:db8::7]:4711"; Proto=https; by=127.0.0.1\r\n')
    client.login()
    check('2001:db8::7' in t.server.ctl('session', 'list'), t.server.ctl('session', 'list'))


@accounts('juliet', 'romeo')
def test_back_pressure(t):
    """who floods is read more slowly, and nothing of it is lost"""
    juliet, romeo = bound(t), t.login('romeo')
    for i in range(3000):
        juliet.send_frame("<message to='%s' type='chat' id='n%d'><body>x</body></message>" % (romeo.jid, i))
    for i in range(3000):
        check(romeo.wait_for(message).get('id') == 'n%d' % i, 'message %d' % i)
