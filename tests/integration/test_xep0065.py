"""SOCKS5 bytestreams (XEP-0065): who may have two connections joined, what passes, limits, and what bad input gets."""
import contextlib
import hashlib
import os
import socket
import threading
import time

import sterna
import xmpp
from suite import accounts, check, client, daemon
from test_component import Component
from test_slixmpp import run_on
from xmpp import condition_of

NS = 'http://jabber.org/protocol/bytestreams'


@contextlib.contextmanager
def proxy(t, **options):
    """(server, port): a daemon with a listener for bytestreams."""
    port, = sterna.free_ports(1)

    def before(server):
        server.tree['listen'].append({'kind': 'bytestreams', 'address': '127.0.0.1', 'port': port})
        server.configure(**options)

    with daemon(t, before=before) as server:
        yield server, port


def login(t, server, user):
    made = client(t, server, user)
    made.login()
    return made


def iq(who, kind, payload, to='proxy.localhost'):
    ident = 'b%d' % time.monotonic_ns()
    who.send("<iq type='%s' id='%s' to='%s'>%s</iq>" % (kind, ident, to, payload))
    return who.wait_for(lambda e: e.get('id') == ident)


def hash_of(sid, requester, target):
    return hashlib.sha1((sid + requester + target).encode()).hexdigest()


def exactly(connection, count):
    got = b''
    while len(got) < count:
        piece = connection.recv(min(count - len(got), 65536))
        if not piece:
            break
        got += piece
    return got


def ended(connection):
    """Until the other side closes."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass


def enter(port, name, pieces=False):
    """A connection that has named a hash, and the code of the answer."""
    connection = socket.create_connection(('127.0.0.1', port), timeout=20)
    greeting, request = b'\x05\x02\x02\x00', b'\x05\x01\x00\x03' + bytes([len(name)]) + name.encode() + b'\x00\x00'
    for byte in [greeting[i:i + 1] for i in range(len(greeting))] if pieces else [greeting]:
        connection.sendall(byte)
    check(exactly(connection, 2) == b'\x05\x00', 'the method')
    for byte in [request[i:i + 1] for i in range(len(request))] if pieces else [request]:
        connection.sendall(byte)
    answer = exactly(connection, 4)
    check(len(answer) == 4 and answer[0] == 5, repr(answer))
    if answer[1] == 0:
        check(exactly(connection, 1 + len(name) + 2) == bytes([len(name)]) + name.lower().encode() + b'\x00\x00', 'the address')
    return connection, answer[1]


def activate(who, sid, target):
    return iq(who, 'set', "<query xmlns='%s' sid='%s'><activate>%s</activate></query>" % (NS, sid, target))


def joined(juliet, romeo_jid, port, sid='s1'):
    """(requester's connection, target's)"""
    name = hash_of(sid, juliet.jid, romeo_jid)
    target, code = enter(port, name)
    check(code == 0, 'the target')
    requester, code = enter(port, name)
    check(code == 0, 'the requester')
    answer = activate(juliet, sid, romeo_jid)
    check(answer.get('type') == 'result', xmpp.text_of(answer))
    return requester, target


@accounts()
def test_found(t):
    """service discovery names the proxy, which says where it is; without a listener there is none"""
    with proxy(t, modules__bytestreams={'host': '192.0.2.7', 'port': 7000}) as (server, _):
        juliet = login(t, server, 'juliet')
        items = iq(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", 'localhost')
        check('proxy.localhost' in [i.get('jid') for i in items[0]], xmpp.text_of(items))
        info = iq(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        check([(i.get('category'), i.get('type')) for i in info[0] if i.tag.endswith('identity')] == [('proxy', 'bytestreams')]
              and NS in [f.get('var') for f in info[0]], xmpp.text_of(info))
        answer = iq(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>")
        check(condition_of(answer) == 'item-not-found', xmpp.text_of(answer))
        answer = iq(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#items'/>")
        check(answer.get('type') == 'result' and len(answer[0]) == 0, xmpp.text_of(answer))
        host = iq(juliet, 'get', "<query xmlns='%s'/>" % NS)[0][0]
        check((host.get('jid'), host.get('host'), host.get('port')) == ('proxy.localhost', '192.0.2.7', '7000'), xmpp.text_of(host))
    with daemon(t) as server:
        juliet = login(t, server, 'juliet')
        items = iq(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", 'localhost')
        check('proxy.localhost' not in [i.get('jid') for i in items[0]], xmpp.text_of(items))


@accounts()
def test_slixmpp(t):
    """slixmpp: two people find the proxy and send a file through it"""
    with proxy(t) as (server, _):
        run_on(t, server, 'slixmpp_bytestream.py', [('juliet@localhost', 'pw'), ('romeo@localhost', 'pw')])


@accounts()
def test_both_ways(t):
    """bytes pass both ways, whole and in order, also those that came too early; when one side closes, the rest arrives"""
    with proxy(t) as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        for turn in range(4): # connections come to any of the workers
            name = hash_of('s%d' % turn, juliet.jid, romeo.jid)
            target, _ = enter(port, name.upper(), pieces=True)
            requester, _ = enter(port, name)
            target.sendall(b'early')
            check(activate(juliet, 's%d' % turn, romeo.jid).get('type') == 'result', 'join')
            check(exactly(requester, 5) == b'early', 'what came early')
            data, got = os.urandom(2000003), []
            reader = threading.Thread(target=lambda: got.append(exactly(target, len(data)))) # pylint: disable=cell-var-from-loop
            reader.start()
            requester.sendall(data)
            target.sendall(b'back')
            check(exactly(requester, 4) == b'back', 'the way back')
            requester.close()
            reader.join()
            check(got[0] == data, 'there')
            ended(target)
            target.close()


@accounts()
def test_a_slow_reader(t):
    """one that does not read holds up its sender alone; what was sent is there when it reads, after the sender has gone"""
    with proxy(t) as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        requester, target = joined(juliet, romeo.jid, port)
        requester.setblocking(False)
        sent, quiet = 0, time.monotonic()
        piece = b'x' * 65536
        while time.monotonic() - quiet < 2:
            try:
                sent += requester.send(piece)
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.05)
            check(sent < 64 * 1048576, 'it takes all without a reader')
        check(iq(juliet, 'get', "<ping xmlns='urn:xmpp:ping'/>", 'localhost').get('type') == 'result', 'the server stands')
        requester.close()
        time.sleep(6) # longer than the end of a connection may take
        check(len(exactly(target, sent)) == sent, 'the rest')


@accounts()
def test_only_whom_it_concerns(t):
    """only the requester whom both sides have named joins them, once, when both are there; a third connection is refused"""
    with proxy(t) as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        answer = activate(juliet, 's1', romeo.jid)
        check(condition_of(answer) == 'item-not-found', xmpp.text_of(answer))
        name = hash_of('s1', juliet.jid, romeo.jid)
        target, _ = enter(port, name)
        answer = activate(juliet, 's1', romeo.jid)
        check(condition_of(answer) == 'not-allowed', xmpp.text_of(answer))
        requester, _ = enter(port, name)
        third, code = enter(port, name)
        check(code == 2, 'a third one: %d' % code)
        ended(third)
        for who, sid, whom in ((romeo, 's1', juliet.jid), (juliet, 's2', romeo.jid), (juliet, 's1', 'romeo@localhost')):
            answer = activate(who, sid, whom)
            check(condition_of(answer) == 'item-not-found', xmpp.text_of(answer))
        check(activate(juliet, 's1', romeo.jid).get('type') == 'result', 'the right one')
        answer = activate(juliet, 's1', romeo.jid)
        check(condition_of(answer) == 'conflict', xmpp.text_of(answer))
        target.sendall(b'hello')
        check(exactly(requester, 5) == b'hello', 'still joined')
        target.close()
        ended(requester)
        requester.close()
        again, code = enter(port, name) # the name is free again
        check(code == 0, 'again')
        again.close()


@accounts()
def test_bad_requests(t):
    """each has its error"""
    with proxy(t) as (server, _):
        juliet = login(t, server, 'juliet')
        for payload, condition in (
                ("<query xmlns='%s'><activate>romeo@localhost</activate></query>" % NS, 'bad-request'),
                ("<query xmlns='%s' sid=''><activate>romeo@localhost</activate></query>" % NS, 'bad-request'),
                ("<query xmlns='%s' sid='%s'><activate>romeo@localhost</activate></query>" % (NS, 'x' * 513), 'bad-request'),
                ("<query xmlns='%s' sid='x'/>" % NS, 'bad-request'),
                ("<query xmlns='%s' sid='x'><activate>@</activate></query>" % NS, 'jid-malformed')):
            answer = iq(juliet, 'set', payload)
            check(condition_of(answer) == condition, xmpp.text_of(answer))


@accounts()
def test_bad_connections(t):
    """what is no SOCKS 5, or asks for something else, is told so and closed; one that says nothing is closed after a while"""
    name = b'0' * 40
    with proxy(t, bytestreams__wait_time='1s') as (server, port):
        for said, answer in ((b'\x04\x01', b''), (b'GET / HTTP/1.1\r\n\r\n', b''), (b'\x05\x00', b''), (b'\x05\x01\x02', b'\x05\xff'),
                             (b'\x05\x01\x00\x04', b'\x05\x00'), (b'\x05\x01\x00\x05\x01\x01', b'\x05\x00'),
                             (b'\x05\x01\x00\x05\x02\x00\x03', b'\x05\x00\x05\x07\x00\x01' + bytes(6)),
                             (b'\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50', b'\x05\x00\x05\x02\x00\x01' + bytes(6)),
                             (b'\x05\x01\x00\x05\x01\x00\x09', b'\x05\x00\x05\x08\x00\x01' + bytes(6)),
                             (b'\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x00\x50', b'\x05\x00\x05\x02\x00\x01' + bytes(6)),
                             (b'\x05\x01\x00\x05\x01\x00\x03\x28' + b'g' * 40 + b'\x00\x00', b'\x05\x00\x05\x02\x00\x01' + bytes(6)),
                             # nobody joins it: closed after wait_time
                             (b'\x05\x01\x00\x05\x01\x00\x03\x28' + name + b'\x00\x00',
                              b'\x05\x00\x05\x00\x00\x03\x28' + name + b'\x00\x00')):
            with socket.create_connection(('127.0.0.1', port), timeout=20) as connection:
                connection.sendall(said)
                got = b''
                with contextlib.suppress(ConnectionError):
                    while piece := connection.recv(4096):
                        got += piece
                check(got == answer, '%r: %r' % (said, got))
        with socket.create_connection(('127.0.0.1', port), timeout=30) as connection:
            connection.sendall(b'\x05')
            ended(connection)
        check(server.process.poll() is None, 'it stands')


@accounts()
def test_limits(t):
    """connections, streams of an account, silence, time, pace"""
    with proxy(t, bytestreams={'connections': 6, 'streams_per_account': 1, 'streams': 2, 'idle_time': '2s', 'bytes': '100KiB/s'}) \
            as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        first = joined(juliet, romeo.jid, port, 'one')
        name = hash_of('two', juliet.jid, romeo.jid)
        more = [enter(port, name)[0], enter(port, name)[0]]
        answer = activate(juliet, 'two', romeo.jid)
        check(condition_of(answer) == 'resource-constraint', xmpp.text_of(answer))
        others = [socket.create_connection(('127.0.0.1', port), timeout=20) for _ in range(2)]
        time.sleep(0.5)
        with socket.create_connection(('127.0.0.1', port), timeout=20) as connection:
            ended(connection) # the seventh
        begun = time.monotonic()
        reader = threading.Thread(target=lambda: exactly(first[1], 409600))
        reader.start()
        first[0].sendall(b'x' * 409600)
        reader.join()
        took = time.monotonic() - begun
        check(took > 2, '400 KiB at 100 KiB/s in %.1f s' % took)
        for connection in first: # nothing more is said
            ended(connection)
            connection.close()
        check(activate(juliet, 'two', romeo.jid).get('type') == 'result', 'the second, now')
        for connection in more + others:
            connection.close()
    with proxy(t, bytestreams={'time': '2s', 'streams': 1}) as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        pair = joined(juliet, romeo.jid, port)
        name = hash_of('x', romeo.jid, juliet.jid)
        second = [enter(port, name)[0], enter(port, name)[0]]
        answer = activate(romeo, 'x', juliet.jid)
        check(condition_of(answer) == 'resource-constraint', xmpp.text_of(answer))
        until = time.monotonic() + 20
        with contextlib.suppress(OSError): # busy to the end
            while time.monotonic() < until:
                pair[0].sendall(b'x')
                time.sleep(0.1)
        check(time.monotonic() < until, 'it goes on and on')
        for connection in second:
            connection.close()


@accounts()
def test_stop(t):
    """the server ends with streams joined, half made, and waiting"""
    with proxy(t) as (server, port):
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        kept = joined(juliet, romeo.jid, port)
        kept += enter(port, '1' * 40)[0], socket.create_connection(('127.0.0.1', port), timeout=20)
        server.stop()
        for connection in kept:
            ended(connection)
            connection.close()
        server.start()


@accounts()
def test_strangers(t):
    """who is no user of ours has no streams joined, nor is told where the proxy is"""
    ports = sterna.free_ports(2)

    def before(server):
        server.tree['listen'] += [{'kind': 'component', 'address': '127.0.0.1', 'port': ports[0]},
                                  {'kind': 'bytestreams', 'address': '127.0.0.1', 'port': ports[1]}]
        server.configure(components={'shed': {'secret': 'hush'}})

    with daemon(t, before=before):
        shed = Component(ports[0], 'shed', 'hush')
        for kind, payload in (('get', "<query xmlns='%s'/>" % NS),
                              ('set', "<query xmlns='%s' sid='x'><activate>romeo@localhost</activate></query>" % NS)):
            answer = shed.answer("<iq type='%s' id='%s' from='tybalt@shed/x' to='proxy.localhost'>%s</iq>" % (kind, kind, payload), kind)
            check(answer.find('.//{urn:ietf:params:xml:ns:xmpp-stanzas}forbidden') is not None, xmpp.text_of(answer))
        shed.sock.close()


@accounts()
def test_configuration(t):
    """a listener with TLS is no listener for bytestreams"""
    with proxy(t) as (server, _):
        server.tree['listen'][-1]['tls'] = 'direct'
        server.configure()
        try:
            server.ctl('config', 'check')
        except sterna.ServerError as error:
            check('bytestreams have no TLS' in str(error), str(error))
        else:
            check(False, 'it is taken')
