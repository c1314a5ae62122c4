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


MAM = '{urn:xmpp:mam:2}'
LASTS = ("<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_persistentroom'><value>1</value></field></x>")


def make_lasting_room(server, who):
    enter(who, 'Juliet')
    who.send(OWN % (ROOM, LASTS))
    check(who.wait_for(is_result('own')).get('type') == 'result', 'the room is not configured')


def say(who, text):
    who.send("<message type='groupchat' to='%s'><body>%s</body></message>" % (ROOM, text))
    said = who.wait_for(lambda e: e.findtext('{jabber:client}body') == text)
    return said.find('{urn:xmpp:sid:0}stanza-id').get('id')


def archived(who, query=''):
    """What the room's archive answers: texts, and the end (or an error)."""
    got = []
    who.send("<iq type='set' id='mam' to='%s'><query xmlns='urn:xmpp:mam:2'>%s</query></iq>" % (ROOM, query))
    end = who.wait_for(is_result('mam'), dropped=got)
    return [e.findtext('.//{jabber:client}body') for e in got if e.find(MAM + 'result') is not None], end


@accounts()
def test_a_destroyed_archive_goes_step_by_step(t):
    """What a destroyed room's archive held is nobody's at once, and is deleted in steps, also after a restart"""
    rows = "SELECT count(*) FROM archive WHERE owner = '%s'" % ROOM
    with daemon(t) as server:
        juliet = bound(t, server, 'juliet')
        make_lasting_room(server, juliet)
        old = say(juliet, 'old words')
        check(archived(juliet)[0] == ['old words'], 'nothing is archived')
        server.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO archive "
                   "(owner, id, peer, resource, flags, kind, stanza) SELECT owner, id - i, peer, resource, flags, kind, "
                   "stanza FROM archive, n WHERE owner = '%s'" % ROOM)
        check(server.sql(rows) == '20001', 'the archive was not filled')
        juliet.send(OWN % (ROOM, "<destroy/>"))
        check(juliet.wait_for(is_result('own')).get('type') == 'result', 'the room is not destroyed')
        make_lasting_room(server, juliet)
        new = say(juliet, 'new words')
        check(archived(juliet)[0] == ['new words'], 'the new room begins with the old one')
        server.kill()
        check(int(server.sql(rows)) > 1, 'nothing was left to delete')
        server.start()
        juliet = bound(t, server, 'juliet')
        late = bound(t, server, 'romeo')
        history = []
        for one, nick in ((juliet, 'Juliet'), (late, 'Romeo')):
            enter(one, nick, wait=False)
            one.wait_for(is_subject, dropped=history)
        check(not [e for e in history if e.findtext('{jabber:client}body') == 'old words'], 'history of the old room')
        texts, end = archived(late)
        check(texts == ['new words'] and end.find(MAM + 'fin').get('complete') == 'true', 'archive: %r' % texts)
        form = ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"
                "<field var='ids'><value>%s</value></field></x>")
        check(archived(late, form % new)[0] == ['new words'], 'the new room by id')
        check(archived(late, form % old)[1].get('type') == 'error', 'the old room by id')
        late.send("<iq type='get' id='meta' to='%s'><metadata xmlns='urn:xmpp:mam:2'/></iq>" % ROOM)
        start = late.wait_for(is_result('meta')).find('.//' + MAM + 'start')
        check(start is not None and start.get('id') == new, 'the archive begins before the room')
        juliet.send("<iq type='set' id='mod' to='%s'><moderate xmlns='urn:xmpp:message-moderate:1' id='%s'>"
                    "<retract xmlns='urn:xmpp:message-retract:1'/></moderate></iq>" % (ROOM, old))
        check(juliet.wait_for(is_result('mod')).get('type') == 'error', 'a message of the old room is retracted')
        until = time.monotonic() + 60
        while server.sql(rows) != '1' or server.sql('SELECT count(*) FROM archive_purge') != '0':
            check(time.monotonic() < until, 'rows are left: %s' % server.sql(rows))
            time.sleep(0.2)
        check(archived(late)[0] == ['new words'], 'the new archive is gone with the old one')
