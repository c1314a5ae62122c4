"""Presence and subscriptions with an entity that keeps no roster here: a component's users, as those of another server."""
import time

import xmpp
from suite import accounts, check, client, daemon
from test_xep0114 import joined, with_component


def presence(one, timeout=10):
    return one.wait_for(lambda e: xmpp.local(e) == 'presence', timeout=timeout)


def state(one):
    ident = 'r%d' % time.monotonic_ns()
    one.send("<iq type='get' id='%s'><query xmlns='jabber:iq:roster'/></iq>" % ident)
    answer = one.wait_for(lambda e: e.get('id') == ident)
    return {item.get('jid'): (item.get('subscription'), item.get('ask')) for item in answer.iter('{jabber:iq:roster}item')}


@accounts()
def test_probes_of_strangers(t):
    """RFC 6121 §4.3.2: whoever has no subscription hears that it has none, the same where there is no such account; who waits for an answer does not"""
    with daemon(t, before=with_component()) as server:
        echo = joined(t, server)
        client(t, server, 'juliet').login()
        for to, of in (('juliet@localhost', 'juliet@localhost'), ('juliet@localhost/x', 'juliet@localhost'),
                       ('nobody@localhost', 'nobody@localhost'), ('nobody@localhost/x', 'nobody@localhost')):
            echo.send("<presence type='probe' id='p' from='romeo@echo' to='%s'/>" % to)
            answer = presence(echo)
            check((answer.get('type'), answer.get('from'), answer.get('to'), answer.get('id'))
                  == ('unsubscribed', of, 'romeo@echo', 'p'), xmpp.text_of(answer))
        echo.send("<presence type='subscribe' from='tybalt@echo' to='juliet@localhost'/>"
                  "<presence type='probe' from='tybalt@echo' to='juliet@localhost'/>"
                  "<presence type='probe' id='last' from='romeo@echo' to='juliet@localhost'/>")
        check(presence(echo).get('id') == 'last', 'an answer to a request that nobody has decided')


@accounts()
def test_own_probes(t):
    """RFC 6121 §4.3, §3.1.2: probes come from the bare JID; a request that was not answered in time is sent again with the next session"""
    with daemon(t, before=with_component()) as server:
        echo = joined(t, server)
        juliet = client(t, server, 'juliet').login()
        juliet.send("<presence type='subscribe' to='romeo@echo'/><presence type='subscribe' to='tybalt@echo'/>")
        check({presence(echo).get('to') for _ in range(2)} == {'romeo@echo', 'tybalt@echo'}, 'requests')
        echo.send("<presence type='subscribed' from='romeo@echo' to='juliet@localhost'/>")
        juliet.wait_for(lambda e: e.get('type') == 'subscribed')
        juliet.close()
        server.stop()
        server.sql("UPDATE roster SET version = version - 600000 * CAST(1048576 AS bigint) WHERE contact = 'tybalt@echo'")
        server.start()                                      # ten minutes later
        echo = joined(t, server)
        juliet = client(t, server, 'juliet', resource='next').login()
        got = {(each.get('type'), each.get('from'), each.get('to')) for each in (presence(echo), presence(echo))}
        check(got == {('probe', 'juliet@localhost', 'romeo@echo'), ('subscribe', 'juliet@localhost', 'tybalt@echo')}, repr(got))
        second = client(t, server, 'juliet', resource='second').login()
        got = presence(echo)
        check((got.get('type'), got.get('to')) == ('probe', 'romeo@echo'), 'asked again for each device: ' + xmpp.text_of(got))
        second.ping('p')


@accounts()
def test_answers_to_a_resource_that_is_not_there(t):
    """RFC 6121 §8.5.3.2.2: subscribed, unsubscribed, unsubscribe to it are ignored; subscribe is as to the bare JID"""
    with daemon(t, before=with_component()) as server:
        echo = joined(t, server)
        juliet = client(t, server, 'juliet').login(roster=True)
        juliet.send("<presence type='subscribe' to='romeo@echo'/>")
        presence(echo)
        echo.send("<presence type='subscribed' from='romeo@echo' to='juliet@localhost/nowhere'/>"
                  "<presence type='subscribe' id='s1' from='tybalt@echo' to='juliet@localhost/nowhere'/>")
        juliet.wait_for(lambda e: e.get('type') == 'subscribe')
        check(state(juliet) == {'romeo@echo': ('none', 'subscribe')}, repr(state(juliet)))
        echo.send("<presence type='subscribed' from='romeo@echo' to='%s'/>" % juliet.jid)
        juliet.wait_for(lambda e: e.get('type') == 'subscribed')
        check(state(juliet) == {'romeo@echo': ('to', None)}, repr(state(juliet)))
