"""External components (XEP-0114)."""
import hashlib
import json
import threading
import time

import sterna
import xmpp
from suite import accounts, check, client, daemon

NS_COMPONENT = 'jabber:component:accept'
SECRET = 'wherefore art thou'


def is_message(elem):
    return xmpp.local(elem) == 'message'


def with_component(name='echo', **more):
    """A listener for components, and one that is known."""
    def before(server):
        server.component_port = sterna.free_ports(1)[0]
        server.tree['listen'].append({'kind': 'component', 'address': '127.0.0.1', 'port': server.component_port})
        server.configure(**{'components__%s' % name: {'secret': SECRET, **more}})
    return before


def opened(t, server, name='echo'):
    """A component's stream after its header; NAMESPACE is that of its content."""
    one = client(t, server, name)
    one.port, one.name = server.component_port, name
    one.connect()
    one.send("<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>"
             % (NS_COMPONENT, xmpp.NS_STREAM, name))
    head = one.next()
    check(head.tag == '{%s}stream' % xmpp.NS_STREAM, xmpp.text_of(head))
    return one


def handshake(one, secret=SECRET):
    digest = hashlib.sha1((one.stream.header['id'] + secret).encode()).hexdigest()
    one.send('<handshake>%s</handshake>' % digest)


def joined(t, server, name='echo'):
    one = opened(t, server, name)
    check(one.stream.header.get('from') == name, 'from is %r' % one.stream.header.get('from'))
    handshake(one)
    one.expect('{%s}handshake' % NS_COMPONENT)
    return one


@accounts()
def test_handshake(t):
    """§3: the right secret is answered with <handshake/>; a wrong one, or none, with not-authorized"""
    with daemon(t, users=(), before=with_component()) as server:
        joined(t, server)
        for send in (lambda one: handshake(one, 'wrong'), lambda one: one.send('<handshake/>'),
                     lambda one: one.send('<handshake>%s</handshake>' % ('é' * 40)),
                     lambda one: one.send("<message from='echo' to='x@localhost'/>")):
            one = opened(t, server)
            send(one)
            condition = one.wait_closed()
            check(condition == 'not-authorized', 'the stream ended with %s' % condition)


@accounts()
def test_header(t):
    """§3: a component that is not configured, a host of users, or a client's namespace: a stream error"""
    with daemon(t, users=(), before=with_component()) as server:
        for to, ns, expected in (('nowhere', NS_COMPONENT, 'host-unknown'), ('localhost', NS_COMPONENT, 'host-unknown'),
                                 ('', NS_COMPONENT, 'host-unknown'), ('echo', 'jabber:client', 'invalid-namespace')):
            one = client(t, server, 'x')
            one.port = server.component_port
            one.connect()
            one.send("<stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>" % (ns, xmpp.NS_STREAM, to))
            condition = one.wait_closed()
            check(condition == expected, '%r: the stream ended with %s' % (to, condition))
        one = opened(t, server, 'ECHO.')                            # another way to write it
        check(one.stream.header.get('from') == 'echo', 'from is %r' % one.stream.header.get('from'))
        handshake(one)
        one.expect('{%s}handshake' % NS_COMPONENT)


@accounts()
def test_stanzas_both_ways(t):
    """§3: messages, presence and IQs pass both ways, in the namespaces of both streams"""
    with daemon(t, before=with_component()) as server:
        echo, juliet = joined(t, server), client(t, server, 'juliet').login()
        juliet.send("<message to='bot@echo/x' type='chat' id='m1'><body>hi &amp; bye</body></message>")
        got = echo.next()
        check(got.tag == '{%s}message' % NS_COMPONENT and got.get('from') == juliet.jid and got.get('to') == 'bot@echo/x',
              xmpp.text_of(got))
        check(got.findtext('{%s}body' % NS_COMPONENT) == 'hi & bye', xmpp.text_of(got))
        echo.send("<message from='bot@echo/x' to='%s' type='chat' id='m2'><body>you too</body></message>" % juliet.jid)
        got = juliet.wait_for(is_message)
        check(got.tag == '{jabber:client}message' and got.get('from') == 'bot@echo/x', xmpp.text_of(got))
        check(got.findtext('{jabber:client}body') == 'you too', xmpp.text_of(got))
        juliet.send("<iq type='get' id='q1' to='echo'><query xmlns='urn:x'/></iq>")
        got = echo.next()
        check(got.get('id') == 'q1' and got.tag == '{%s}iq' % NS_COMPONENT, xmpp.text_of(got))
        echo.send("<iq type='result' id='q1' from='echo' to='%s'><query xmlns='urn:x'/></iq>" % juliet.jid)
        check(juliet.wait_for(lambda e: e.get('id') == 'q1').get('type') == 'result', 'no result')
        echo.send("<iq type='get' id='q2' from='echo' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        got = echo.next()
        check(got.get('id') == 'q2' and got.get('type') == 'result', xmpp.text_of(got))
        echo.send("<iq type='get' id='q3' from='echo' to='%s'><query xmlns='jabber:iq:version'/></iq>" % juliet.jid)
        got = juliet.wait_for(lambda e: e.get('id') == 'q3')
        juliet.send("<iq type='error' id='q3' to='%s'><error type='cancel'><service-unavailable xmlns='%s'/></error></iq>"
                    % (got.get('from'), xmpp.NS_STANZA_ERRORS))
        check(echo.next().get('type') == 'error', 'no error')
        juliet.send("<presence to='room@echo/juliet'/>")
        check(xmpp.local(echo.next()) == 'presence', 'no presence')
        juliet.close()                                      # §4.6.3 of RFC 6121: directed presence is taken back
        got = echo.next()
        check(got.get('type') == 'unavailable' and got.get('to') == 'room@echo/juliet', xmpp.text_of(got))


@accounts()
def test_offline_from_a_component(t):
    """A component's message to someone who is not there waits"""
    with daemon(t, before=with_component()) as server:
        echo = joined(t, server)
        echo.send("<message from='bot@echo' to='juliet@localhost' type='chat' id='m1'><body>later</body></message>")
        echo.send("<message from='bot@echo' to='nobody@localhost' type='chat' id='m2'><body>never</body></message>")
        got = echo.next()
        check(got.get('id') == 'm2' and got.get('type') == 'error', xmpp.text_of(got))
        check(client(t, server, 'juliet').login().wait_for(is_message).get('id') == 'm1', 'it did not wait')


@accounts()
def test_spoofed_from(t):
    """§3: from another domain, or without from: invalid-from; without to: improper-addressing"""
    with daemon(t, before=with_component()) as server:
        juliet = client(t, server, 'juliet').login()
        for stanza, expected in (("<message from='romeo@localhost' to='%s'/>" % juliet.jid, 'invalid-from'),
                                 ("<message from='x@sub.echo' to='%s'/>" % juliet.jid, 'invalid-from'),
                                 ("<message to='%s'/>" % juliet.jid, 'invalid-from'),
                                 ("<message from='echo'/>", 'improper-addressing'),
                                 ("<message from='echo' to='@@'/>", 'improper-addressing'),
                                 ("<query xmlns='urn:x'/>", 'unsupported-stanza-type')):
            echo = joined(t, server)
            echo.send(stanza)
            condition = echo.wait_closed()
            check(condition == expected, '%s: the stream ended with %s' % (stanza, condition))
        juliet.ping('p')
        check(not [e for e in juliet.queue if is_message(e)], 'it got through')


@accounts()
def test_not_connected(t):
    """Nobody is there, or no longer: the sender gets an error, for each request one; a new one takes over"""
    with daemon(t, before=with_component()) as server:
        juliet = client(t, server, 'juliet').login()

        def refused(ident):
            juliet.send("<message to='echo' type='chat' id='%s'><body>x</body></message>" % ident)
            got = juliet.wait_for(lambda e: e.get('id') == ident)
            check(got.get('type') == 'error' and xmpp.condition_of(got) in (
                'service-unavailable', 'remote-server-timeout', 'recipient-unavailable'), xmpp.text_of(got))
        refused('m1')
        echo = joined(t, server)
        echo.close()
        refused('m2')
        echo = joined(t, server)
        gone = server.log().count('component: disconnected')
        echo.cut()
        until = time.monotonic() + 5
        while server.log().count('component: disconnected') == gone:
            check(time.monotonic() < until, 'its end was not seen')
            time.sleep(0.02)
        refused('m3')
        echo = joined(t, server)
        juliet.send("<message to='echo' type='chat' id='m4'><body>x</body></message>")
        check(echo.next().get('id') == 'm4', 'not delivered')


@accounts()
def test_two_instances(t):
    """Two streams of one component: a conversation keeps to one; when one goes the other gets all"""
    users = ['u%d' % i for i in range(8)]
    with daemon(t, users=users, before=with_component()) as server:
        both = [joined(t, server), joined(t, server)]
        people = [client(t, server, user).login(presence=False) for user in users]
        for n in range(3):
            for each in people:
                each.send("<message to='echo' type='chat' id='m%d'><body>x</body></message>" % n)
                each.ping('p%d' % n)
        got = [[], []]
        for which, one in enumerate(both):
            one.send("<iq type='get' id='end' from='echo' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        for which, one in enumerate(both):
            try:
                while True:
                    elem = one.next(0.5)
                    if is_message(elem):
                        got[which].append((elem.get('from').split('@')[0], elem.get('id')))
            except xmpp.TimedOut:
                pass
        check(len(got[0]) + len(got[1]) == 24, 'of 24 %d and %d came' % (len(got[0]), len(got[1])))
        check(not {user for user, _ in got[0]} & {user for user, _ in got[1]}, 'a conversation was split')
        check(got[0] and got[1], 'one of them is idle')
        for user in users:
            order = [ident for name, ident in got[0] + got[1] if name == user]
            check(order == ['m0', 'm1', 'm2'], '%s: %r' % (user, order))
        both[0].close()
        for each in people:
            each.send("<message to='echo' type='chat' id='last'><body>x</body></message>")
        for _ in people:
            check(is_message(both[1].next()), 'not taken over')


@accounts()
def test_slow_component(t):
    """A component that does not read: it is given up in the end, senders get errors, and others go on"""
    with daemon(t, before=with_component(), limits__output_high='64KiB', limits__output_max='256KiB',
                limits__stanzas='100000/s') as server:
        echo = joined(t, server)
        juliet, romeo = client(t, server, 'juliet').login(), client(t, server, 'romeo').login()
        count, errors = 0, 0
        while count < 3000 and not errors:
            juliet.send(''.join("<message to='echo' type='chat' id='m%d'><body>%s</body></message>"
                                % (count + i, 'A' * 8000) for i in range(10)))
            count += 10
            juliet.ping('p%d' % count)
            errors = len([e for e in juliet.queue if is_message(e) and e.get('type') == 'error'])
        check(errors, 'everything was taken: %d' % count)
        romeo.ping('alive')
        echo.cut()
        again = joined(t, server)
        romeo.send("<message to='echo' type='chat' id='m'><body>x</body></message>")
        check(again.next().get('id') == 'm', 'it cannot come back')


@accounts()
def test_many_come_and_go(t):
    """Components that come and go while clients send: no request gets two answers, and the server serves on"""
    with daemon(t, before=with_component()) as server:
        juliet = client(t, server, 'juliet').login()
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                echo = joined(t, server)
                for _ in range(20):
                    try:
                        got = echo.next(0.2)
                    except xmpp.XmppError:
                        break
                    if got.get('type') == 'get':
                        echo.send("<iq type='result' id='%s' from='echo' to='%s'/>" % (got.get('id'), got.get('from')))
                echo.close()
        thread = threading.Thread(target=serve)
        thread.start()
        answers = {}
        try:
            for n in range(300):
                juliet.send("<iq type='get' id='q%d' to='echo'><query xmlns='urn:x'/></iq>" % n)
                if n % 10 == 9:
                    juliet.ping('p%d' % n)
        finally:
            stop.set()
            thread.join()
        juliet.ping('end')
        for elem in juliet.queue:
            if xmpp.local(elem) == 'iq':
                answers[elem.get('id')] = answers.get(elem.get('id'), 0) + 1
        check(max(answers.values()) == 1, 'answered twice')
        check(len(answers) > 0, 'no answers')       # what is on its way to one that closes its stream is lost: no acks


@accounts()
def test_component_is_listed(t):
    """What the log and the metrics say names it, never its secret"""
    with daemon(t, users=(), before=with_component()) as server:
        joined(t, server)
        check(SECRET not in server.log(), 'the secret is in the log')
        check(SECRET not in server.ctl('config', 'show'), 'the secret is in config show')
        check(json.loads(server.ctl('--json', 'status'))['hosts'], 'no hosts')
        check('echo' in server.log(), 'the log does not name it')
