"""What the server has refused: its sender hears of it, also where the connection, the session or the server was lost meanwhile."""
import time

import xmpp
from suite import accounts, check, client, daemon

SM = 'urn:xmpp:sm:3'


def is_error(elem):
    return elem.tag == '{jabber:client}message' and elem.get('type') == 'error'


def body(to, ident):
    return "<message to='%s' type='chat' id='%s'><body>x</body></message>" % (to, ident)


def enabled(one, resume=True):
    one.send("<enable xmlns='%s'%s/>" % (SM, " resume='true'" if resume else ''))
    answer = one.wait_for(lambda e: e.tag == '{%s}enabled' % SM)
    return answer.get('id')


def ack(one):
    one.send("<r xmlns='%s'/>" % SM)
    return int(one.wait_for(lambda e: e.tag == '{%s}a' % SM).get('h'))


def resumed(t, server, previd, h):
    """Back in the session: what the server has taken, and the stream."""
    one = client(t, server, 'juliet')
    one.connect()
    one.secure()
    one.authenticate()
    one.send("<resume xmlns='%s' h='%d' previd='%s'/>" % (SM, h, previd))
    answer = one.wait_for(lambda e: e.tag in ('{%s}resumed' % SM, '{%s}failed' % SM))
    check(answer.tag.endswith('resumed'), xmpp.text_of(answer))
    return int(answer.get('h')), one


@accounts()
def test_error_survives_a_kill(t):
    """XEP-0198 §5: a message is refused, acknowledged, and the server killed: the error comes with the resumption, once"""
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        previd = enabled(juliet)
        juliet.send(body('nobody@localhost', 'm1'))
        error = juliet.wait_for(is_error)
        check(error.get('id') == 'm1' and xmpp.condition_of(error) == 'service-unavailable', xmpp.text_of(error))
        check(ack(juliet) >= 1, 'no ack')
        juliet.cut()
        server.kill()
        server.start()
        taken, juliet = resumed(t, server, previd, 0)
        check(taken == 1, 'h is %d' % taken)
        check(juliet.wait_for(is_error).get('id') == 'm1', 'another error')
        juliet.ping('p')
        check(not [e for e in juliet.queue if is_error(e)], 'twice')


@accounts()
def test_error_outlives_the_session(t):
    """XEP-0198 §6, XEP-0160 §3: the error was never acknowledged, and the session has ended: the next one gets it, with its time"""
    with daemon(t, limits__sm_resume_time='1s') as server:
        juliet = client(t, server, 'juliet').login()
        enabled(juliet)
        juliet.send(body('nobody@localhost', 'm1'))
        juliet.wait_for(is_error)
        juliet.cut()
        until = time.monotonic() + 20
        while server.sql("SELECT count(*) FROM archive WHERE owner = 'juliet@localhost' AND (flags & 2) <> 0") != '1':
            check(time.monotonic() < until, 'it does not wait')
            time.sleep(0.05)
        juliet = client(t, server, 'juliet', resource='later').login()
        error = juliet.wait_for(is_error)
        check(error.get('id') == 'm1' and error.find('{urn:xmpp:delay}delay') is not None, xmpp.text_of(error))
        juliet.close()
        juliet = client(t, server, 'juliet', resource='last').login()
        juliet.ping('p')
        check(not [e for e in juliet.queue if is_error(e)], 'twice')


@accounts()
def test_error_for_one_who_has_left(t):
    """RFC 6121 §8.5.3.2.1: errors of others for a resource that is not there are ignored; ours for a message of it waits, or goes to its other devices"""
    with daemon(t, users=('juliet', 'romeo', 'nurse')) as server:
        juliet = client(t, server, 'juliet', resource='quick').login()
        other = client(t, server, 'juliet', resource='other').login()
        romeo = client(t, server, 'romeo').login()
        romeo.send("<message to='juliet@localhost/nowhere' type='error' id='e1'><body>x</body><error type='cancel'>"
                   "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
        romeo.ping('p1')
        other.ping('p2')
        check(not [e for e in other.queue if is_error(e)], 'an error of somebody else')
        # the account is not in memory: it is looked for when the stream is closed already
        juliet.send(body('nobody@localhost', 'm1') + '</stream:stream>')
        juliet.wait_closed()
        check(other.wait_for(is_error).get('id') == 'm1', 'another error')
        juliet = client(t, server, 'juliet', resource='quick').login()
        other.close()
        juliet.send(body('nowhere@localhost', 'm2') + '</stream:stream>')
        juliet.wait_closed()
        juliet = client(t, server, 'juliet', resource='quick').login()
        error = juliet.wait_for(is_error)
        check(error.get('id') == 'm2', xmpp.text_of(error))


@accounts()
def test_chat_states_are_not_owed(t):
    """What is not worth keeping, its error is not either"""
    with daemon(t, limits__sm_resume_time='1s') as server:
        juliet = client(t, server, 'juliet').login()
        enabled(juliet)
        juliet.send("<message to='nobody@localhost' type='chat' id='c1'>"
                    "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        juliet.wait_for(is_error)
        check(server.sql("SELECT count(*) FROM archive WHERE owner = 'juliet@localhost'") == '0', 'it has a row')
