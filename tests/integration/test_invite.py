"""Invitations: a token makes an account, contacts, or both, once (XEP-0379, XEP-0401, XEP-0445)."""
import json
import re

from suite import accounts, check, client, daemon
from test_register import ask, condition, pair
from xmpp import XmppError

COMMANDS = 'http://jabber.org/protocol/commands'
PREAUTH = 'urn:xmpp:pars:0'


def invite(who, node='urn:xmpp:invite#invite'):
    """What a user's client gets: the token."""
    who.send("<iq type='set' id='inv' to='localhost'><command xmlns='%s' node='%s' action='execute'/></iq>" % (COMMANDS, node))
    answer = who.wait_for(lambda e: e.get('id') == 'inv')
    values = [e.text or '' for e in answer.iter('{jabber:x:data}value')]
    uri = next((v for v in values if v.startswith('xmpp:')), None)
    check(uri is not None, 'no address in %s' % values)
    return uri.partition('preauth=')[2].partition(';')[0]


def newcomer(t, server, name, password='pw'):
    made = client(t, server, name)
    made.password = password
    made.connect().secure()
    return made


def show(who, token):
    who.send("<iq type='set' id='pa' to='localhost'><preauth xmlns='%s' token='%s'/></iq>" % (PREAUTH, token))
    return condition(who.wait_for(lambda e: e.get('id') == 'pa'))


def subscription(who, contact):
    """As the roster has it."""
    who.send("<iq type='get' id='ros'><query xmlns='jabber:iq:roster'/></iq>")
    answer = who.wait_for(lambda e: e.get('id') == 'ros')
    return {e.get('jid'): e.get('subscription') for e in answer.iter('{jabber:iq:roster}item')}.get(contact)


def until_both(who, contact):
    while subscription(who, contact) != 'both':
        who.wait_for(lambda e: e.find('{jabber:iq:roster}query') is not None, timeout=10)


@accounts()
def test_friend_makes_an_account(t):
    """XEP-0401 §3: who shows a user's token makes an account, without open registration; both are contacts at once"""
    with daemon(t, users=('romeo',)) as server:
        romeo = client(t, server, 'romeo').login(roster=True)
        token = invite(romeo)
        juliet = newcomer(t, server, 'juliet')
        check(condition(ask(juliet, pair('juliet', 'pw'))) == 'service-unavailable', 'made without an invitation')
        check(show(juliet, 'x' * 24) == 'item-not-found', 'a token that is none')
        check(show(juliet, token) == 'result', 'the token is refused')
        check(condition(ask(juliet, pair('romeo', 'pw'))) == 'conflict', 'a name that is taken')
        check(condition(ask(juliet, pair('juliet', 'pw'))) == 'result', 'not made')
        juliet.close()
        until_both(romeo, 'juliet@localhost')
        check(not [e for e in romeo.queue if e.get('type') == 'subscribe'], 'the inviter was asked')
        juliet = client(t, server, 'juliet').login(roster=True)
        until_both(juliet, 'romeo@localhost')
        second = newcomer(t, server, 'tybalt')
        check(show(second, token) == 'item-not-found', 'good twice')


@accounts()
def test_one_of_two_gets_it(t):
    """Two show the same token: one account is made"""
    with daemon(t, users=('romeo',)) as server:
        token = invite(client(t, server, 'romeo').login())
        first, second = newcomer(t, server, 'one'), newcomer(t, server, 'two')
        check(show(first, token) == show(second, token) == 'result', 'refused')
        check(condition(ask(first, pair('one', 'pw'))) == 'result', 'not made')
        check(condition(ask(second, pair('two', 'pw'))) == 'conflict', 'made with a used token')
        try:
            client(t, server, 'two').login()
            raise AssertionError('there is a second account')
        except XmppError:
            pass


@accounts()
def test_account_by_the_operator(t):
    """XEP-0401 §4: sternactl invites for a name, which nobody else gets; revoked is revoked"""
    with daemon(t, users=('romeo',), hosts__localhost__registration=True) as server:
        made = json.loads(server.ctl('--json', 'invite', 'create', 'juliet', '', 'localhost'))
        check(re.fullmatch(r'xmpp:juliet@localhost\?register;preauth=[a-z2-9]{24}', made['uri']), made)
        token = made['uri'].partition('preauth=')[2]
        other = newcomer(t, server, 'other')
        check(condition(ask(other, pair('juliet', 'pw'))) == 'conflict', 'the name was not kept')
        check(condition(ask(other, pair('other', 'pw'))) == 'result', 'another name was refused')
        try:
            server.ctl('invite', 'create', 'juliet', '', 'localhost')
            raise AssertionError('two invitations for one name')
        except Exception as e:
            check('juliet@localhost' in str(e), e)
        juliet = newcomer(t, server, 'juliet')
        check(show(juliet, token) == 'result', 'refused')
        check(condition(ask(juliet, pair('someone', 'pw'))) == 'not-allowed', 'for another name')
        check(condition(ask(juliet, pair('juliet', 'pw'))) == 'result', 'not made')
        check(json.loads(server.ctl('--json', 'invite', 'list')) == [], 'it is still open')
        token = json.loads(server.ctl('--json', 'invite', 'create', '', '', 'localhost'))['uri'].partition('preauth=')[2]
        listed = json.loads(server.ctl('--json', 'invite', 'list'))
        check(len(listed) == 1 and listed[0]['host'] == 'localhost', listed)
        server.ctl('invite', 'revoke', listed[0]['id'])
        check(show(newcomer(t, server, 'late'), token) == 'item-not-found', 'revoked, and good')


@accounts()
def test_contact_with_an_account(t):
    """XEP-0379 §3.4: a request with the token is approved, and answered with one; with a wrong token it is an ordinary one"""
    with daemon(t) as server:
        romeo = client(t, server, 'romeo').login(roster=True)
        juliet = client(t, server, 'juliet').login(roster=True)
        juliet.send("<presence to='romeo@localhost' type='subscribe'><preauth xmlns='%s' token='wrong'/></presence>" % PREAUTH)
        romeo.wait_for(lambda e: e.get('type') == 'subscribe')
        romeo.send("<presence to='juliet@localhost' type='unsubscribed'/>")
        juliet.wait_for(lambda e: e.get('type') == 'unsubscribed')
        token = invite(romeo)
        juliet.send("<presence to='romeo@localhost' type='subscribed'/>")       # §3.3: approved before it is asked for
        juliet.send("<presence to='romeo@localhost' type='subscribe'><preauth xmlns='%s' token='%s'/></presence>" % (
            PREAUTH, token))
        until_both(juliet, 'romeo@localhost')
        until_both(romeo, 'juliet@localhost')
        check(not [e for e in romeo.queue if e.get('type') == 'subscribe'], 'the inviter was asked')


@accounts()
def test_limits(t):
    """A user has so many open invitations; a host may take none; too many wrong tokens end the stream"""
    with daemon(t, users=('romeo',), modules__invite={'max_open': 1, 'accounts': False}) as server:
        romeo = client(t, server, 'romeo').login()
        token = invite(romeo)
        romeo.send("<iq type='set' id='more' to='localhost'><command xmlns='%s' node='urn:xmpp:invite#invite'/></iq>" % COMMANDS)
        check(romeo.wait_for(lambda e: e.get('id') == 'more').get('type') == 'error', 'one more')
        juliet = newcomer(t, server, 'juliet')
        check(show(juliet, token) == 'item-not-found', 'an account with an invitation for a contact')
        for _ in range(3):
            check(show(juliet, 'wrong') == 'item-not-found', 'a wrong token')
        juliet.send("<iq type='set' id='pa'><preauth xmlns='%s' token='wrong'/></iq>" % PREAUTH)
        check(juliet.wait_closed() == 'policy-violation', 'it may try for ever')
    with daemon(t, users=('romeo',), hosts__localhost__invitations=False) as server:
        juliet = newcomer(t, server, 'juliet')
        check(show(juliet, 'any') == 'service-unavailable', 'taken')
