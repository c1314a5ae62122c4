"""The module strangers: messages and requests for subscriptions of people whom the account does not know."""
import xmpp
from federation import befriend
from s2s import body, domains, hears, is_message, says
from suite import accounts, check

OPTIONS = {'modules__strangers': {'messages': 'refuse', 'subscriptions': 'strip', 'exceptions': ['romeo@c.example']}}


def refused(one, condition):
    got = one.wait_for(lambda e: e.get('type') == 'error', timeout=10)
    check(xmpp.condition_of(got) == condition, xmpp.text_of(got))
    return got


@accounts()
def test_messages(t):
    """messages: refuse. A stranger's message goes back, saying what to do; contacts, those who were written to before (also before
    a restart), exceptions, and people of this server are heard"""
    with domains(t, 'a.example', 'b.example', 'c.example') as (a, b, c):
        a.configure(**OPTIONS)
        a.ctl('reload')
        juliet, local = a.login('juliet', roster=True), a.login('romeo')
        romeo, friend = b.login('romeo', roster=True), b.login('juliet', roster=True)
        says(romeo, 'juliet@a.example', 'buy this')
        check('Ask for a subscription first' in xmpp.text_of(refused(romeo, 'subscription-required')), 'the text')
        says(local, 'juliet@a.example', 'neighbour')
        hears(juliet, 'neighbour')
        says(c.login('romeo'), 'juliet@a.example', 'an exception')
        hears(juliet, 'an exception', timeout=10)
        says(juliet, 'romeo@b.example', 'hello')
        hears(romeo, 'hello', timeout=10)
        says(romeo, 'juliet@a.example', 'an answer')
        hears(juliet, 'an answer', timeout=10)
        befriend(juliet, friend)
        says(friend, 'juliet@a.example', 'a contact')
        juliet.wait_for(lambda e: body(e) == 'a contact', timeout=10)
        a.kill()
        a.start()
        juliet = a.login('juliet')
        says(romeo, 'juliet@a.example', 'after a restart')
        juliet.wait_for(lambda e: is_message(e) and body(e) == 'after a restart', timeout=15)
        shown = a.ctl('--json', 's2s', 'show', 'b.example')
        check('"domain"' in shown, shown)
        check('sterna_strangers_refused_total' in a.ctl('stats'), 'no metric')


@accounts()
def test_rooms(t):
    """People in the rooms that one is in are no strangers while one is there"""
    with domains(t, 'a.example', 'b.example') as (a, b):
        a.configure(**OPTIONS)
        a.ctl('reload')
        a.route('conference.b.example', b.s2s_port)
        a.ctl('reload')
        b.route('conference.b.example', b.s2s_port)
        juliet, romeo = a.login('juliet'), b.login('romeo')
        room = 'tea@conference.b.example'
        muc = "<x xmlns='http://jabber.org/protocol/muc'/>"

        def inside(one, nick):
            one.send("<presence to='%s/%s'>%s</presence>" % (room, nick, muc))
            one.wait_for(lambda e: any(s.get('code') == '110' for s in e.iter('{http://jabber.org/protocol/muc#user}status')), timeout=15)
        inside(romeo, 'romeo')
        romeo.send("<iq type='set' id='own' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
                   "type='submit'/></query></iq>" % room)
        romeo.wait_for(lambda e: e.get('id') == 'own')
        inside(juliet, 'juliet')
        romeo.wait_for(lambda e: e.get('from') == room + '/juliet')
        says(romeo, room + '/juliet', 'psst')
        juliet.wait_for(lambda e: body(e) == 'psst', timeout=10)
        juliet.send("<presence type='unavailable' to='%s/juliet'/>" % room)
        juliet.wait_for(lambda e: e.get('type') == 'unavailable')
        says(romeo, 'juliet@a.example', 'and now?')
        refused(romeo, 'subscription-required')


@accounts()
def test_subscriptions(t):
    """subscriptions: strip takes the text away that comes with a request; refuse sends the request back; what is refused counts
    against the domain, and isolates it"""
    with domains(t, 'a.example', 'b.example', s2s__isolate_after=3) as (a, b):
        a.configure(**OPTIONS)
        a.ctl('reload')
        juliet, romeo = a.login('juliet', roster=True), b.login('romeo', roster=True)
        romeo.send("<presence type='subscribe' to='juliet@a.example'><status>buy this</status></presence>")
        asked = juliet.wait_for(lambda e: e.get('type') == 'subscribe', timeout=10)
        check(asked.find('{jabber:client}status') is None, xmpp.text_of(asked))
        a.configure(modules__strangers={'subscriptions': 'refuse', 'messages': 'refuse'})
        a.ctl('reload')
        other = b.login('juliet', roster=True)
        other.send("<presence type='subscribe' id='s' to='juliet@a.example'/>")
        refused(other, 'not-allowed')
        for _ in range(2):
            says(other, 'juliet@a.example', 'buy this')
        check('subscription-required' in xmpp.text_of(refused(other, 'subscription-required')), 'refused')
        end = 100
        while 'b.example' not in a.ctl('isolation', 'list') and end:
            end -= 1
            xmpp.time.sleep(0.1)
        check('strangers' in a.ctl('isolation', 'list'), 'not isolated')
