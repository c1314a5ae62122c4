"""Every limit: what a peer gets when it reaches it."""
import json
import socket
import time

import xmpp
from suite import accounts, check, client, daemon
from xmpp import NS_SM

LIMITS = '{urn:xmpp:stream-limits:0}'
MAM = "<iq type='set' id='%s'><query xmlns='urn:xmpp:mam:2'/></iq>"


def is_message(elem):
    return elem.tag == '{jabber:client}message'


def body(text, to, ident='m1'):
    return "<message to='%s' type='chat' id='%s'><body>%s</body></message>" % (to, ident, text)


def bound(t, server, user, **options):
    one = client(t, server, user, **options)
    one.secure()
    one.authenticate()
    one.bind()
    return one


def ends_with(one, *expected, timeout=None):
    condition = one.wait_closed(timeout)
    check(condition in expected, 'the stream ended with %s, expected %s' % (condition, ' or '.join(map(str, expected))))


def advertised(one):
    return int(one.features.findtext(LIMITS + 'limits/' + LIMITS + 'max-bytes'))


# -- shape and size -------------------------------------------------------------------------------------

@accounts()
def test_shape_of_a_stanza(t):
    """limits.depth, attributes, namespaces, elements, name_bytes: at the limit all is well, above it policy-violation"""
    def nested(n):              # the message is one level
        return ("<message to='%s' id='x'>" + "<a xmlns='urn:x'>" + '<a>' * (n - 2) + '</a>' * (n - 1) + '</message>')

    def attributes(n):          # on the child; its xmlns is none
        return "<message to='%s' id='x'><a xmlns='urn:x' " + ' '.join("a%d='1'" % i for i in range(n)) + '/></message>'

    def namespaces(n):
        return "<message to='%s' id='x'><a " + ' '.join("xmlns:n%d='urn:%d'" % (i, i) for i in range(n)) + '/></message>'

    def elements(n):            # the message is one of them
        return "<message to='%s' id='x'>" + "<a xmlns='urn:x'/>" * (n - 1) + '</message>'

    def name(n):
        return "<message to='%s' id='x'><" + 'a' * n + " xmlns='urn:x'/></message>"

    with daemon(t, users=('juliet',), limits__depth=16, limits__attributes=16, limits__namespaces=8,
                limits__elements=64, limits__name_bytes=256) as server:
        for what, make, limit in (('depth', nested, 16), ('attributes', attributes, 16), ('namespaces', namespaces, 8),
                                  ('elements', elements, 64), ('name_bytes', name, 256)):
            one = bound(t, server, 'juliet')
            one.send(make(limit) % one.jid)
            try:
                got = one.wait_for(is_message)
            except xmpp.XmppError as error:
                raise AssertionError('%s: refused at the limit: %s' % (what, error)) from None
            check(got.get('id') == 'x', what)
            one.send(make(limit + 1) % one.jid)
            condition = one.wait_closed()
            check(condition == 'policy-violation', '%s: the stream ended with %s' % (what, condition))


@accounts()
def test_size_of_a_stanza(t):
    """XEP-0478: the advertised max-bytes is exact, before and after authentication"""
    def sized(to, size):
        frame = body('', to)
        return body('A' * (size - len(frame)), to)

    with daemon(t, users=('juliet',), limits__stanza_bytes='20000', limits__stanza_bytes_before_auth='12000') as server:
        one = client(t, server, 'juliet')
        one.secure()
        check(advertised(one) == 12000, 'before authentication: %d' % advertised(one))
        one.authenticate()
        check(advertised(one) == 20000, 'after it: %d' % advertised(one))
        one.bind()
        one.send(sized(one.jid, 20000))
        check(is_message(one.wait_for(is_message)), 'nothing came')
        one.send(sized(one.jid, 20001))
        ends_with(one, 'policy-violation')
        early = client(t, server, 'juliet')
        early.secure()
        early.send("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (xmpp.NS_SASL, 'A' * 12000))
        ends_with(early, 'policy-violation')
        clear = client(t, server, 'juliet')
        clear.connect()
        clear.send("<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='%s' a='%s'>"
                   % (xmpp.NS_STREAM, 'A' * 12000))
        ends_with(clear, 'policy-violation')


@accounts()
def test_element_that_never_ends(t):
    """An element that grows and grows is cut off at the limit, and not kept until its end"""
    with daemon(t, users=('juliet',)) as server:
        one = bound(t, server, 'juliet')
        one.send("<message to='x@localhost'><body>")
        for _ in range(18):
            one.send('A' * 16384)           # more than 256 KiB, and far from an end
        check(one.wait_closed() in ('policy-violation', None), 'another end')


# -- time -----------------------------------------------------------------------------------------------

@accounts()
def test_times_before_a_session(t):
    """limits.auth_time and bind_time: who stalls is sent away with connection-timeout; TLS: cut off after tls_time"""
    with daemon(t, users=('juliet',), limits__auth_time='5s', limits__bind_time='5s', limits__tls_time='2s') as server:
        began = time.monotonic()
        silent = socket.create_connection(('127.0.0.1', server.port), timeout=9)
        hello = socket.create_connection(('127.0.0.1', server.tls_port), timeout=9)
        starttls = client(t, server, 'juliet').connect()
        starttls.open()
        starttls.send("<starttls xmlns='%s'/>" % xmpp.NS_TLS)
        starttls.expect('{%s}proceed' % xmpp.NS_TLS)
        header = client(t, server, 'juliet').connect()
        header.open()
        secure = client(t, server, 'juliet')
        secure.secure()
        unbound = client(t, server, 'juliet')
        unbound.secure()
        unbound.authenticate()
        fine = bound(t, server, 'juliet')
        for sock, low, high in ((hello, 1.5, 4), (starttls.sock, 1.5, 4), (silent, 4, 8)):
            try:
                while sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            took = time.monotonic() - began
            check(low <= took <= high, 'ended after %.1f s, not %g to %g' % (took, low, high))
        ends_with(header, 'connection-timeout')
        ends_with(secure, 'connection-timeout')
        ends_with(unbound, 'connection-timeout')
        silent.close()
        hello.close()
        fine.ping('still-here')


# -- rates ----------------------------------------------------------------------------------------------

@accounts()
def test_bytes_per_second(t):
    """limits.bytes: above it a client is read more slowly; nothing is lost, and the order kept"""
    with daemon(t, limits__bytes='20KiB/s') as server:
        juliet, romeo = bound(t, server, 'juliet'), bound(t, server, 'romeo')
        romeo.send('<presence/>')
        began = time.monotonic()
        count, size = 20, 4000
        for i in range(count):
            juliet.send(body('A' * size, romeo.jid, 'm%d' % i))
        for i in range(count):
            got = romeo.wait_for(is_message, timeout=10)
            check(got.get('id') == 'm%d' % i, 'm%d came instead of m%d' % (i, int(got.get('id')[1:])))
        took = time.monotonic() - began
        check(took >= 1.5, '%d bytes in %.1f s' % (count * size, took))
        other = bound(t, server, 'romeo')
        other.ping('nobody-else-waits')
        check(time.monotonic() - began < took + 2, 'others waited')


@accounts()
def test_stanzas_per_second(t):
    """limits.stanzas: the same for stanzas"""
    with daemon(t, users=('juliet',), limits__stanzas='20/s') as server:
        juliet = bound(t, server, 'juliet')
        began = time.monotonic()
        juliet.send(''.join(body('x', juliet.jid, 'm%d' % i) for i in range(60)))
        for i in range(60):
            check(juliet.wait_for(is_message, timeout=10).get('id') == 'm%d' % i, 'order')
        check(time.monotonic() - began >= 1.5, 'too fast')


@accounts()
def test_failed_logins(t):
    """limits.auth_tries ends the stream; login_failures_per_account then refuses even the right password"""
    with daemon(t, limits__auth_tries=3, limits__login_failures_per_account='5/m') as server:
        def wrong(one):
            one.send("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>"
                     % (xmpp.NS_SASL, xmpp.encode(b'\0juliet\0wrong')))
            return xmpp.condition_of(one.next())
        one = client(t, server, 'juliet')
        one.secure()
        for _ in range(3):
            check(wrong(one) == 'not-authorized', 'condition')
        ends_with(one, 'policy-violation')
        for _ in range(2):
            two = client(t, server, 'juliet')
            two.secure()
            for _ in range(2):
                wrong(two)
            two.cut()
        three = client(t, server, 'juliet')
        three.secure()
        try:
            three.authenticate()
        except xmpp.XmppError as error:
            check('temporary-auth-failure' in str(error) or 'not-authorized' in str(error), str(error))
        else:
            check(False, 'the account can be guessed at without end')
        bound(t, server, 'romeo')                   # another account is not concerned


# -- counts ---------------------------------------------------------------------------------------------

@accounts()
def test_connections_of_an_address(t):
    """limits.connections_per_address counts those that have not authenticated"""
    with daemon(t, users=('juliet',), limits__connections_per_address=3) as server:
        held = [bound(t, server, 'juliet') for _ in range(5)]
        waiting = []
        for _ in range(3):
            one = client(t, server, 'juliet').connect()
            one.open()
            waiting.append(one)
        more = client(t, server, 'juliet')
        try:
            more.connect()
            more.open()
        except (xmpp.XmppError, OSError):
            pass
        else:
            check(False, 'a fourth one was let in')
        waiting[0].close()
        until = time.monotonic() + 5
        while True:                                 # the place is free when the server has let go of the connection
            try:
                bound(t, server, 'juliet')
                break
            except (xmpp.XmppError, OSError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        held[0].ping('held')


@accounts()
def test_sessions_of_an_account(t):
    """limits.sessions_per_account: the oldest makes room, and is told"""
    with daemon(t, users=('juliet',), limits__sessions_per_account=3) as server:
        held = [bound(t, server, 'juliet', resource='r%d' % i) for i in range(3)]
        newest = bound(t, server, 'juliet', resource='r3')
        ends_with(held[0], 'policy-violation')
        newest.ping('new')
        held[1].ping('old')
        check(len(json.loads(server.ctl('--json', 'session', 'list', 'juliet@localhost'))) == 3, 'not three sessions')


@accounts()
def test_resource_conflict(t):
    """auth.resource_conflict: rename gives another resource, refuse answers with conflict"""
    for policy in ('rename', 'refuse'):
        with daemon(t, users=('juliet',), auth__resource_conflict=policy) as server:
            first = bound(t, server, 'juliet', resource='balcony')
            second = client(t, server, 'juliet')
            second.secure()
            second.authenticate()
            second.send("<iq type='set' id='bind'><bind xmlns='%s'><resource>balcony</resource></bind></iq>" % xmpp.NS_BIND)
            answer = second.wait_for(lambda e: e.get('id') == 'bind')
            if policy == 'refuse':
                check(xmpp.condition_of(answer) == 'conflict', xmpp.text_of(answer))
                second.bind('garden')
            else:
                jid = answer.findtext('{%s}bind/{%s}jid' % (xmpp.NS_BIND, xmpp.NS_BIND))
                check(jid is not None and jid != first.jid, 'the same resource')
            first.ping('first')


def enable(one, resume=False):
    one.send("<enable xmlns='%s'%s/>" % (NS_SM, " resume='true'" if resume else ''))
    one.wait_for(lambda e: e.tag == '{%s}enabled' % NS_SM)
    return one


@accounts()
def test_stanzas_not_acknowledged(t):
    """limits.sm_queue_count: the session ends, and what it has not acknowledged goes offline, once and in order"""
    with daemon(t, limits__sm_queue_count=10) as server:
        juliet, romeo = enable(bound(t, server, 'juliet')), bound(t, server, 'romeo')
        juliet.send('<presence/>')
        juliet.wait_for(lambda e: e.tag == '{jabber:client}presence', dropped=[])
        for i in range(30):
            romeo.send(body('x', 'juliet@localhost', 'm%d' % i))
        romeo.ping('sent')
        ends_with(juliet, 'policy-violation')
        again = client(t, server, 'juliet').login()
        for i in range(30):
            got = again.wait_for(is_message)
            check(got.get('id') == 'm%d' % i, 'm%d is missing; %s came' % (i, got.get('id')))
        again.ping('all')
        check(not [e for e in again.queue if is_message(e)], 'doubled')


@accounts()
def test_bytes_not_acknowledged(t):
    """limits.sm_queue_bytes: the same by bytes"""
    with daemon(t, limits__sm_queue_bytes='64KiB') as server:
        juliet, romeo = enable(bound(t, server, 'juliet')), bound(t, server, 'romeo')
        juliet.send('<presence/>')
        juliet.wait_for(lambda e: e.tag == '{jabber:client}presence', dropped=[])
        for i in range(10):
            romeo.send(body('A' * 10000, 'juliet@localhost', 'm%d' % i))
        ends_with(juliet, 'policy-violation')
        again = client(t, server, 'juliet').login()
        for i in range(10):
            check(again.wait_for(is_message).get('id') == 'm%d' % i, 'm%d is missing' % i)


@accounts()
def test_offline_messages(t):
    """limits.offline_messages: one more is answered with an error, and not kept"""
    with daemon(t, limits__offline_messages=5) as server:
        romeo = bound(t, server, 'romeo')
        for i in range(7):
            romeo.send(body('x', 'juliet@localhost', 'm%d' % i))
        refused = [romeo.wait_for(is_message) for _ in range(2)]
        check([each.get('id') for each in refused] == ['m5', 'm6'], 'ids')
        check({xmpp.condition_of(each) for each in refused} <= {'resource-constraint', 'service-unavailable'},
              xmpp.text_of(refused[0]))
        juliet = client(t, server, 'juliet').login()
        for i in range(5):
            check(juliet.wait_for(is_message).get('id') == 'm%d' % i, 'm%d is missing' % i)
        juliet.ping('all')
        check(not [e for e in juliet.queue if is_message(e)], 'too many')
        romeo.send(body('x', 'juliet@localhost', 'again'))      # the places are free again
        check(juliet.wait_for(is_message).get('id') == 'again', 'later')
        juliet.close()
        romeo.send(body('x', 'juliet@localhost', 'kept'))
        romeo.ping('kept-too')
        check(not [e for e in romeo.queue if is_message(e)], 'refused though there is room')


@accounts()
def test_roster_items(t):
    """limits.roster_items: one more is refused; those that are there can be changed; one removed makes room"""
    def add(one, who, **more):
        inner = "<item jid='%s@localhost' %s/>" % (who, ' '.join("%s='%s'" % pair for pair in more.items()))
        one.send("<iq type='set' id='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>" % (who, inner))
        return one.wait_for(lambda e: e.get('id') == who and e.tag.endswith('iq'))
    with daemon(t, limits__roster_items=3) as server:
        juliet = bound(t, server, 'juliet')
        for name in ('a', 'b', 'c'):
            check(add(juliet, name).get('type') == 'result', name)
        refused = add(juliet, 'd')
        check(refused.get('type') == 'error', 'a fourth was taken')
        check(xmpp.condition_of(refused) in ('resource-constraint', 'not-allowed', 'policy-violation'),
              xmpp.text_of(refused))
        check(add(juliet, 'c', name='Cousin').get('type') == 'result', 'a change was refused')
        check(add(juliet, 'a', subscription='remove').get('type') == 'result', 'a removal was refused')
        check(add(juliet, 'd').get('type') == 'result', 'there is room')
        juliet.send("<presence to='romeo@localhost' type='subscribe'/>")
        juliet.ping('p')
        juliet.send("<iq type='get' id='list'><query xmlns='jabber:iq:roster'/></iq>")
        items = juliet.wait_for(lambda e: e.get('id') == 'list')[0]
        check(len(items) == 3, '%d items' % len(items))


@accounts()
def test_subscription_requests_of_strangers(t):
    """Requests of strangers do not fill a roster without end: they count, or are kept within the limit"""
    names = ['s%d' % i for i in range(6)]
    with daemon(t, users=['juliet', *names], limits__roster_items=3) as server:
        for name in names:
            one = bound(t, server, name)
            one.send("<presence to='juliet@localhost' type='subscribe'/>")
            one.ping('sent')
            one.cut()
        juliet = client(t, server, 'juliet')
        juliet.login(roster=True)
        juliet.ping('p')
        requests = [e for e in juliet.queue if e.get('type') == 'subscribe']
        check(1 <= len(requests) <= 3, '%d requests are kept' % len(requests))


@accounts()
def test_reader_that_does_not_read(t):
    """limits.output_max: who does not read is given up; the sender is not held up for long, and nothing is lost"""
    with daemon(t, limits__output_high='64KiB', limits__output_max='256KiB', limits__write_time='5s',
                limits__stanzas='100000/s') as server:
        juliet, romeo = bound(t, server, 'juliet'), bound(t, server, 'romeo')
        juliet.send('<presence/>')
        juliet.wait_for(lambda e: e.tag == '{jabber:client}presence', dropped=[])
        juliet.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        until = time.monotonic() + 20
        count = 0
        while time.monotonic() < until:
            for _ in range(20):
                romeo.send(body('A' * 8000, 'juliet@localhost', 'm%d' % count))
                count += 1
            romeo.ping('p%d' % count)
            if not [e for e in json.loads(server.ctl('--json', 'session', 'list', 'juliet@localhost'))]:
                break
        check(time.monotonic() < until, 'the session is still there after %d messages' % count)
        romeo.send(body('last', 'juliet@localhost', 'last'))
        romeo.ping('last')
        check(not [e for e in romeo.queue if is_message(e)], 'an error for what can be kept')


@accounts()
def test_acks_that_are_not_read(t):
    """limits.output_high: who asks for acknowledgements (XEP-0198) and does not read them is not read either"""
    with daemon(t, limits__output_high='64KiB', limits__output_max='256KiB', limits__bytes='1GiB/s') as server:
        juliet = bound(t, server, 'juliet')
        juliet.send("<enable xmlns='urn:xmpp:sm:3'/>")
        juliet.next()
        juliet.transcript = None
        juliet.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        juliet.sock.settimeout(3)
        asked = b"<r xmlns='urn:xmpp:sm:3'/>" * 2000
        stalled = False
        for _ in range(600):
            try:
                juliet.sock.sendall(asked)
            except (OSError, ValueError):
                stalled = True
                break
        check(stalled, 'the server reads on, and keeps its answers')
        client(t, server, 'romeo').login()


@accounts()
def test_directed_presence(t):
    """limits.roster_items bounds those who hear of the end: one more is refused, and all who were told hear of it"""
    with daemon(t, users=('juliet', 'romeo'), limits__roster_items=2) as server:
        juliet, romeo = bound(t, server, 'juliet'), bound(t, server, 'romeo')
        romeo.send('<presence/>')
        for n, to in enumerate((romeo.jid, 'a@localhost', 'b@localhost', romeo.jid)):
            juliet.send("<presence id='d%d' to='%s'/>" % (n, to))
        refused = juliet.wait_for(lambda e: e.get('type') == 'error')
        check(refused.get('id') == 'd2' and xmpp.condition_of(refused) == 'resource-constraint', xmpp.text_of(refused))
        juliet.send("<presence type='unavailable' to='a@localhost'/><presence id='d4' to='b@localhost'/>")
        juliet.ping('room')
        check(not any(e.get('id') == 'd4' for e in juliet.queue), 'there is room, and it was refused')
        juliet.close()
        gone = romeo.wait_for(lambda e: e.get('from') == juliet.jid and e.get('type') == 'unavailable')
        check(gone is not None, 'romeo was not told')
