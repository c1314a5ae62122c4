"""Rooms (XEP-0045): large ones, and what is left of one that was destroyed."""
import time

from suite import accounts, check, client, daemon
from test_limits import bound, enable, ends_with

ROOM = 'hall@conference.localhost'
USER = '{http://jabber.org/protocol/muc#user}'
OWN = "<iq type='set' id='own' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'>%s</query></iq>"
FORM = "<x xmlns='jabber:x:data' type='submit'/>"


def enter(one, nick, status='', wait=True):
    one.send("<presence to='%s/%s'><status>%s</status><x xmlns='http://jabber.org/protocol/muc'/></presence>" %
             (ROOM, nick, status))
    if wait:
        one.wait_for(is_subject)
    return one


def is_subject(e):
    return e.tag == '{jabber:client}message' and e.find('{jabber:client}subject') is not None


def is_presence(e):
    return e.tag == '{jabber:client}presence' and e.get('from', '').startswith(ROOM)


def is_result(ident):
    return lambda e: e.tag == '{jabber:client}iq' and e.get('id') == ident


def fill(t, server, count, status=''):
    """A room with so many occupants."""
    inside = [bound(t, server, 'juliet') for _ in range(count)]
    for i, one in enumerate(inside):
        enter(one, 'n%d' % i, status)
        if i == 0:
            one.send(OWN % (ROOM, FORM))
            check(one.wait_for(is_result('own')).get('type') == 'result', 'the room is not configured')
    return inside


def check_all_are_shown(one, count):
    got = []
    one.wait_for(is_subject, dropped=got)
    nicks = [e.get('from').split('/')[1] for e in got if is_presence(e)]
    check(sorted(nicks) == sorted(['n%d' % i for i in range(count)] + ['late']), 'shown: %r' % nicks)
    check(nicks[-1] == 'late', 'the own presence is not the last: %r' % nicks)


LARGE = dict(limits__sessions_per_account=100, modules__muc__sessions_per_nick=100)


@accounts()
def test_a_large_room_is_entered_with_acks(t):
    """limits.burst_count: the occupants of a room that one enters do not count for limits.sm_queue_count"""
    with daemon(t, limits__sm_queue_count=10, **LARGE) as server:
        fill(t, server, 30)
        romeo = enable(bound(t, server, 'romeo'), resume=True)
        check_all_are_shown(enter(romeo, 'late', wait=False), 30)
        romeo.send("<a xmlns='urn:xmpp:sm:3' h='32'/>")
        romeo.ping('all is well')


@accounts()
def test_a_burst_has_a_limit_too(t):
    """limits.burst_count: who asks for more than that, and acknowledges nothing, is cut off"""
    with daemon(t, limits__burst_count=50, **LARGE) as server:
        fill(t, server, 30)
        romeo = enable(bound(t, server, 'romeo'))
        enter(romeo, 'late')
        enter(romeo, 'late', wait=False)
        ends_with(romeo, 'policy-violation')


@accounts()
def test_a_large_room_comes_as_fast_as_it_is_read(t):
    """limits.output_high: what one asked for waits as stanzas, and comes whole and in order, with stream management and without"""
    with daemon(t, limits__output_high='64KiB', limits__output_max='256KiB', **LARGE) as server:
        fill(t, server, 60, 'x' * 7000)
        for sm in (True, False):
            romeo = bound(t, server, 'romeo')
            if sm:
                enable(romeo)
            enter(romeo, 'late', wait=False)
            time.sleep(0.5)          # nothing is read: much more than output_max waits
            check_all_are_shown(romeo, 60)
            romeo.ping('all is well')
            romeo.close()
