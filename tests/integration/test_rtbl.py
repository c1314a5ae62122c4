"""Real-time block lists (module rtbl): one server publishes, another one and itself read."""
import json
import time

import xmpp
from s2s import domains, hears, says
from suite import accounts, check

MUC = 'http://jabber.org/protocol/muc'
LIST = 'pubsub.b.example/rtbl'


def listed(server, jid):
    return json.loads(server.ctl('--json', 'rtbl', 'check', jid))['listed']


def until(what, told, seconds=40):
    deadline = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < deadline, told)
        time.sleep(0.1)


def is_live(server):
    return all(one['state'] == 'live' for one in json.loads(server.ctl('--json', 'rtbl', 'list')))


def refused(one, sent):
    one.send(sent)
    got = one.wait_for(lambda e: e.get('type') == 'error', timeout=20)
    check(xmpp.condition_of(got) == 'policy-violation' and 'block list' in xmpp.text_of(got), xmpp.text_of(got))


def before(a, b):
    a.route('pubsub.b.example', b.s2s_port)
    a.route('conference.b.example', b.s2s_port)
    a.configure(modules={'rtbl': {'lists': [LIST], 'refresh': '1m'}, 'metrics': {}})
    b.configure(modules={'rtbl': {'publish': LIST, 'exceptions': ['juliet@a.example']}})


@accounts()
def test_publish_and_refuse(t):
    """Who is put on the list is refused: messages, subscriptions, entries to rooms; exceptions and contacts are not; until taken off"""
    with domains(t, 'a.example', 'b.example', before=before) as (a, b):
        romeo, juliet, other = a.login('romeo'), a.login('juliet'), b.login('juliet')
        says(romeo, 'juliet@b.example', 'one')
        hears(other, 'one', romeo.jid)
        made = json.loads(b.ctl('--json', 'rtbl', 'add', 'romeo@a.example', 'spam'))
        check(len(made['hash']) == 64 and made['list'] == LIST, str(made))
        until(lambda: listed(b, 'romeo@a.example'), 'it does not come onto the list')
        refused(romeo, "<message type='chat' id='m' to='juliet@b.example'><body>b</body></message>")
        refused(romeo, "<presence type='subscribe' to='juliet@b.example'/>")
        refused(romeo, "<presence to='garden@conference.b.example/r'><x xmlns='%s'/></presence>" % MUC)
        romeo.send("<message to='b.example'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='rtbl'>"
                   "<retract id='%s'/></items></event></message>" % made['hash'])
        refused(romeo, "<message type='chat' id='n' to='juliet@b.example'><body>b</body></message>")
        check(listed(b, 'romeo@a.example'), 'somebody else can change the list')
        b.ctl('rtbl', 'add', 'a.example')
        until(lambda: listed(b, 'anybody@a.example'), 'the domain does not come onto the list')
        says(juliet, 'juliet@b.example', 'two')
        hears(other, 'two', juliet.jid)
        other.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='romeo@a.example'/></query></iq>")
        other.wait_for(lambda e: e.get('id') == 'r' and e.get('type') == 'result', timeout=20)
        says(romeo, 'juliet@b.example', 'three')
        hears(other, 'three', romeo.jid)
        b.ctl('rtbl', 'remove', 'a.example')
        b.ctl('rtbl', 'remove', 'romeo@a.example')
        until(lambda: not listed(b, 'romeo@a.example'), 'it does not go from the list')
        check('reason' not in b.log() or 'spam' not in b.log(), 'the reason is in the log')


@accounts()
def test_consume(t):
    """Another server's list: fetched, kept current by events, there after a restart while that server is away, fetched anew"""
    with domains(t, 'a.example', 'b.example', before=before) as (a, b):
        until(lambda: is_live(b), 'the own list is not there')
        b.ctl('rtbl', 'add', 'evil.example', 'spam')
        b.ctl('rtbl', 'add', 'eve@c.example')
        until(lambda: listed(b, 'eve@c.example'), 'it does not come onto the own list')
        until(lambda: listed(a, 'somebody@evil.example') and listed(a, 'eve@c.example'), 'it does not come to the other server', 90)
        check(not listed(a, 'adam@c.example'), 'more is listed than there is')
        b.ctl('rtbl', 'add', 'mallory@c.example')
        until(lambda: listed(a, 'mallory@c.example'), 'a change does not come')
        b.ctl('rtbl', 'remove', 'mallory@c.example')
        until(lambda: not listed(a, 'mallory@c.example'), 'that one was taken off does not come')
        b.stop()
        a.stop()
        a.start()
        check(listed(a, 'somebody@evil.example') and not listed(a, 'mallory@c.example'), 'the list is forgotten')
        b.start()
        b.ctl('rtbl', 'remove', 'evil.example')
        until(lambda: not listed(a, 'somebody@evil.example'), 'it is not fetched anew', 150)
        check(listed(a, 'eve@c.example'), 'too much is gone')
