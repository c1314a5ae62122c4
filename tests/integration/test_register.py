"""The life of an account that its owner made (XEP-0077)."""
import json

from suite import accounts, check, private
from xmpp import XmppError

NS_REGISTER = 'jabber:iq:register'
STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'


def ask(client, inner, to='', kind='set', ident='r'):
    client.send("<iq type='%s' id='%s' %s><query xmlns='%s'>%s</query></iq>" % (kind, ident, to, NS_REGISTER, inner))
    return client.wait_for(lambda e: e.get('id') == ident)


def pair(name, password):
    return '<username>%s</username><password>%s</password>' % (name, password)


def condition(answer):
    if answer.get('type') == 'result':
        return 'result'
    error = answer.find('{jabber:client}error')
    return next((e.tag.rpartition('}')[2] for e in error if e.tag.startswith('{%s}' % STANZAS)), None)


def opened(t, role='juliet'):
    client = t.client(role).connect()
    client.secure()
    return client


@private(hosts__localhost__registration=True)
@accounts('juliet')
def test_what_is_refused(t):
    """XEP-0077 §3.1: names and passwords that cannot be, and what is only for who has logged in"""
    client = opened(t)
    check(condition(ask(client, '<username>x</username>')) == 'not-acceptable', 'no password')
    check(condition(ask(client, pair('', 'y'))) == 'not-acceptable', 'no name')
    check(condition(ask(client, pair('a b', 'y'))) == 'not-acceptable', 'a name with a blank')
    check(condition(ask(client, '<remove/>')) == 'unexpected-request', 'remove')
    check(condition(ask(client, pair(client.user, 'y'))) == 'conflict', 'a name that is taken')
    check(condition(ask(client, pair('someone', 'y'), to="to='elsewhere.example'")) == 'not-allowed', 'another host')
    client.authenticate()
    client.bind()
    client.ping('p')


@private(hosts__localhost__registration=True, limits__registrations_per_address='2/h')
@accounts('juliet')
def test_rate(t):
    """XEP-0077 §5: an address can make so many accounts and no more; tries that fail do not count"""
    client = opened(t)
    for n in range(2):
        check(condition(ask(client, pair('many%d' % n, 'secret'))) == 'result', 'not made')
        check(condition(ask(client, pair('many%d' % n, 'secret'))) == 'conflict', 'made twice')
    check(condition(ask(client, pair('many2', 'secret'))) == 'resource-constraint', 'one too many')


@accounts('juliet')
def test_other_iqs_before_authentication(t):
    """RFC 6120 §4.9.3.12: no other request is answered before authentication"""
    client = opened(t)
    client.send("<iq type='get' id='x'><query xmlns='jabber:iq:roster'/></iq>")
    check(client.wait_closed() == 'not-authorized', 'answered')


@accounts('juliet')
def test_change_password(t):
    """XEP-0077 §3.3: the new password is good, the old one is not"""
    client = t.login('juliet')
    form = ask(client, '', kind='get').find('{%s}query' % NS_REGISTER)
    check(form.find('{%s}registered' % NS_REGISTER) is not None, 'not registered')
    check(form.findtext('{%s}username' % NS_REGISTER) == client.user, 'another name')
    check(condition(ask(client, pair('romeo', 'x'))) == 'not-allowed', "another one's password")
    check(condition(ask(client, pair(client.user, ''))) == 'bad-request', 'an empty password')
    check(condition(ask(client, pair(client.user, 'new words'), to="to='%s'" % client.host)) == 'result', 'refused')
    client.ping('p')
    other = t.client('juliet')
    old, other.password = other.password, 'new words'
    for mechanism in ('SCRAM-SHA-1', 'SCRAM-SHA-512'):
        other.mechanism = mechanism
        other.login().close()
    other.password = old
    try:
        other.login()
        raise AssertionError('the old password is good')
    except XmppError:
        pass


@accounts('juliet', 'romeo')
def test_remove(t):
    """XEP-0077 §3.2: the account is gone, its sessions end, its contacts see it leave"""
    romeo = t.login('romeo')
    first, second = t.login('juliet'), t.login('juliet')
    romeo.send("<presence type='subscribe' to='%s'/>" % t.bare('juliet'))
    first.wait_for(lambda e: e.get('type') == 'subscribe')
    first.send("<presence type='subscribed' to='%s'/>" % t.bare('romeo'))
    romeo.wait_for(lambda e: e.get('type') == 'subscribed')
    check(condition(ask(first, '<remove/><username>x</username>')) == 'bad-request', 'with something else')
    check(condition(ask(first, '<remove/>')) == 'result', 'refused')
    check(first.wait_closed() == 'not-authorized', 'the session goes on')
    check(second.wait_closed() == 'not-authorized', 'the other session goes on')
    romeo.wait_for(lambda e: e.get('type') == 'unavailable')
    romeo.wait_for(lambda e: e.get('type') == 'unsubscribed')
    try:
        t.login('juliet')
        raise AssertionError('logged in')
    except XmppError:
        pass
    romeo.send("<message to='%s' type='chat' id='m'><body>x</body></message>" % t.bare('juliet'))
    check(romeo.wait_for(lambda e: e.get('id') == 'm').get('type') == 'error', 'a message was taken')


def form_of(client):
    """(the question, the hidden fields) of the form"""
    form = ask(client, '', kind='get').find('.//{jabber:x:data}x')
    fields = {f.get('var'): f for f in form}
    return fields['qa'].get('label'), {name: fields[name][0].text for name in ('FORM_TYPE', 'challenge', 'sid')}


def answered(name, password, hidden, answer):
    fields = dict(hidden, username=name, password=password, qa=answer)
    return "<x xmlns='jabber:x:data' type='submit'>%s</x>" % ''.join(
        "<field var='%s'><value>%s</value></field>" % item for item in fields.items() if item[1] is not None)


@private(hosts__localhost__registration=True, limits__registrations_per_address='4/h', limits__auth_tries=3,
         hosts__localhost__questions={'How many legs has a tern?': ' two | 2|Zwei', 'Which city is this, MÜNCHEN?': 'münchen'})
@accounts()
def test_a_question(t):
    """XEP-0158: one of the operator's questions has to be answered, each time anew; wrong answers end the stream, and count"""
    def fresh():
        client = t.server.client('x', 'y').connect()
        client.secure()
        return client

    right = {'How many legs has a tern?': ' TWO ', 'Which city is this, MÜNCHEN?': 'MÜNCHEN'}
    client = fresh()
    check(condition(ask(client, pair('arctic', 'secret'))) == 'not-acceptable', 'without an answer')
    question, hidden = form_of(client)
    check(hidden['FORM_TYPE'] == NS_REGISTER and hidden['sid'] == 'r', repr(hidden))
    check(condition(ask(client, answered('arctic', 'secret', dict(hidden, challenge='x'), right[question]))) == 'not-acceptable', 'another')
    question, hidden = form_of(client)
    check(condition(ask(client, answered('a b', 'secret', hidden, right[question]))) == 'not-acceptable', 'a name with a blank')
    check(condition(ask(client, answered('arctic', 'secret', hidden, right[question]))) == 'result', 'the answer was not used yet')
    client.user, client.password = 'arctic', 'secret'
    client.authenticate()
    asked = set()
    client = fresh()
    for _ in range(40):
        question, hidden = form_of(client)
        asked.add(question)
    check(asked == set(right), 'always the same')
    check(condition(ask(client, answered('sooty', 'secret', hidden, 'three'))) == 'not-acceptable', 'a wrong answer')
    check(condition(ask(client, answered('sooty', 'secret', hidden, right[question]))) == 'not-acceptable', 'a question asked once')
    check(condition(ask(client, answered('sooty', 'secret', hidden, ''))) == 'not-acceptable', 'no answer')
    check(client.wait_closed() == 'policy-violation', 'it goes on')
    conditions = []
    for _ in range(4): # 4 an hour: an account and three wrong answers
        client = fresh()
        _, hidden = form_of(client)
        conditions.append(condition(ask(client, answered('sooty', 'secret', hidden, 'three'))))
        client.cut()
    check(conditions == ['not-acceptable', 'not-acceptable', 'resource-constraint', 'resource-constraint'], repr(conditions))


@private(hosts__localhost__registration=True, hosts__localhost__questions={'How many legs has a tern?': 'two'})
@accounts('juliet')
def test_no_question_with_an_invitation(t):
    """who was invited is not asked"""
    token = json.loads(t.server.ctl('--json', 'invite', 'create', '', '', 'localhost'))['uri'].split('preauth=')[1]
    client = t.server.client('x', 'y').connect()
    client.secure()
    client.send("<iq type='set' id='t'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></iq>" % token)
    check(client.wait_for(lambda e: e.get('id') == 't').get('type') == 'result', 'the token')
    check(ask(client, '', kind='get').find('.//{jabber:x:data}x') is None, 'a question')
    check(condition(ask(client, pair('invited', 'secret'))) == 'result', 'refused')


@private(hosts__localhost__registration=True, hosts__localhost__registration_approval=True)
@accounts()
def test_approval(t):
    """XEP-0077: where administrators approve, who registered waits for them, and is told so; who was invited does not"""
    client = t.server.client('juliet', 'pw').connect()
    client.secure()
    form = ask(client, '', kind='get').find('{%s}query' % NS_REGISTER)
    check('administrator' in form.find('{%s}instructions' % NS_REGISTER).text, 'not told')
    check(condition(ask(client, pair('juliet', 'pw'))) == 'result', 'not made')
    client.close()
    check('waits for approval' in t.server.ctl('user', 'show', 'juliet@localhost'), 'administrators do not see it')
    try:
        t.server.client('juliet', 'pw').login()
        raise AssertionError('logged in without approval')
    except XmppError as error:
        check('account-disabled' in str(error), error)
    t.server.ctl('user', 'enable', 'juliet@localhost')
    t.server.client('juliet', 'pw').login().cut()
    made = json.loads(t.server.ctl('--json', 'invite', 'create', '', '', 'localhost'))
    client = t.server.client('romeo', 'pw').connect()
    client.secure()
    client.send("<iq type='set' id='pa' to='localhost'><preauth xmlns='urn:xmpp:pars:0' token='%s'/></iq>"
                % made['uri'].partition('preauth=')[2])
    client.wait_for(lambda e: e.get('id') == 'pa')
    check(condition(ask(client, pair('romeo', 'pw'))) == 'result', 'not made')
    client.close()
    t.server.client('romeo', 'pw').login().cut()
