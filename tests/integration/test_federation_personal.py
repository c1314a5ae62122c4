"""What people keep on their servers and others see: PEP and OMEMO devices, vCards, block lists, archives, files; and the
lists of contacts on two servers that have to agree."""
import base64
import hashlib
import ssl
import urllib.request

import xmpp
from federation import ask, bare, befriend, federation, get, with_ejabberd, with_prosody, with_sterna
from s2s import body, is_message, says
from suite import accounts, check
from xmpp import condition_of

LONG = 20
NS_INFO = 'http://jabber.org/protocol/disco#info'
NS_PUBSUB = 'http://jabber.org/protocol/pubsub'
NS_EVENT = NS_PUBSUB + '#event'
NS_MAM = 'urn:xmpp:mam:2'
DEVICES = 'eu.siacs.conversations.axolotl.devicelist'
DEVICES2 = 'urn:xmpp:omemo:2:devices'
FEATURES = (DEVICES + '+notify', 'http://jabber.org/protocol/caps', DEVICES2 + '+notify')
FORM = ("<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>%s#publish-options"
        "</value></field><field var='pubsub#access_model'><value>open</value></field></x></publish-options>" % NS_PUBSUB)


def hears(one, text, sender=None):
    """The next one of a chat is that; what PEP says is passed over."""
    got = one.wait_for(lambda e: is_message(e) and e.get('type') in ('chat', 'error'), LONG)
    check(body(got) == text and got.get('type') == 'chat' and sender in (None, got.get('from')), xmpp.text_of(got))
    return got


def caps(node):
    text = 'client/pc//%s<' % node + ''.join(f + '<' for f in sorted(FEATURES))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def answer_caps(one, node):
    """Whoever wants to know what this client can is told so; also the question that comes for a contact's server."""
    question = one.wait_for(lambda e: e.find('{%s}query' % NS_INFO) is not None and e.get('type') == 'get', LONG)
    asked = question.find('{%s}query' % NS_INFO).get('node')
    one.send("<iq type='result' id='%s' to='%s'><query xmlns='%s'%s><identity category='client' type='pc' name='%s'/>%s</query></iq>"
             % (question.get('id'), question.get('from'), NS_INFO, " node='%s'" % asked if asked else '', node,
                ''.join("<feature var='%s'/>" % f for f in FEATURES)))


def answer_all_caps(one, node, until):
    """The same for as many as ask, until that comes."""
    while True:
        e = one.wait_for(lambda e: until(e) or (e.find('{%s}query' % NS_INFO) is not None and e.get('type') == 'get'), LONG)
        if until(e):
            return e
        one.queue.insert(0, e)
        answer_caps(one, node)


def publish(one, node, item, payload, options=FORM):
    get(one, None, "<pubsub xmlns='%s'><publish node='%s'><item id='%s'>%s</item></publish>%s</pubsub>"
        % (NS_PUBSUB, node, item, payload, options), 'set')


def is_event(elem, sender, node):
    return (xmpp.local(elem) == 'message' and elem.get('from') == sender
            and elem.find('{%s}event/{%s}items[@node="%s"]' % (NS_EVENT, NS_EVENT, node)) is not None)


def devices(*ids):
    return "<list xmlns='eu.siacs.conversations.axolotl'>%s</list>" % ''.join("<device id='%d'/>" % i for i in ids)


def ids_of(elem):
    return [int(d.get('id')) for d in elem.iter('{eu.siacs.conversations.axolotl}device')]


def omemo(one, other, last_items=True):
    """other's devices reach one: asked for, told of at login, told of when they change; and a bundle. ejabberd tells of what
    there is only those whose capabilities it knew before."""
    node = 'client-of-%s' % one.user
    publish(other, DEVICES, 'current', devices(1))
    publish(other, 'eu.siacs.conversations.axolotl.bundles:1', 'current',
            "<bundle xmlns='eu.siacs.conversations.axolotl'><identityKey>%s</identityKey></bundle>" % ('QUJD' * 200))
    found = get(one, bare(other.jid), "<pubsub xmlns='%s'><items node='%s'/></pubsub>" % (NS_PUBSUB, DEVICES))
    check(ids_of(found) == [1], xmpp.text_of(found))
    one.send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='%s' ver='%s'/></presence>" % (node, caps(node)))
    if last_items:
        told = answer_all_caps(one, node, lambda e: is_event(e, bare(other.jid), DEVICES))
        check(ids_of(told) == [1], xmpp.text_of(told))
    else:
        answer_caps(one, node)      # our own server's
        answer_caps(one, node)      # the other one's
        get(one, other.host, "<query xmlns='%s'/>" % NS_INFO)
    publish(other, DEVICES, 'current', devices(1, 2))
    answer_all_caps(one, node, lambda e: is_event(e, bare(other.jid), DEVICES) and ids_of(e) == [1, 2])
    found = get(one, bare(other.jid), "<pubsub xmlns='%s'><items node='eu.siacs.conversations.axolotl.bundles:1' max_items='1'/></pubsub>"
                % NS_PUBSUB)
    check('QUJD' * 200 in xmpp.text_of(found), 'the bundle')
    # A node for contacts only is no stranger's to read; the right error differs by server.
    publish(other, 'urn:test:secret', 'current', "<a xmlns='urn:test:secret'/>", FORM.replace('>open<', '>whitelist<'))
    answer = ask(one, bare(other.jid), "<pubsub xmlns='%s'><items node='urn:test:secret'/></pubsub>" % NS_PUBSUB)
    check(answer.get('type') == 'error', 'a whitelist lets everybody read: ' + xmpp.text_of(answer))
    answer = ask(one, bare(other.jid), "<pubsub xmlns='%s'><publish node='%s'><item id='current'>%s</item></publish></pubsub>"
                 % (NS_PUBSUB, DEVICES, devices(666)), 'set')
    check(answer.get('type') == 'error', 'anybody may write: ' + xmpp.text_of(answer))


def vcards(one, other):
    get(other, None, "<vCard xmlns='vcard-temp'><FN>%s of %s</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO></vCard>"
        % (other.user, other.host), 'set')
    card = get(one, bare(other.jid), "<vCard xmlns='vcard-temp'/>")
    check(card.findtext('.//{vcard-temp}FN') == '%s of %s' % (other.user, other.host), xmpp.text_of(card))


def blocks(one, other, says_so=True):
    """other hears no more of one than that nobody is there; and all is as before when the block is lifted. ejabberd does not
    tell the one who is blocked that nobody is there (XEP-0191 §3.2.1)."""
    item = "<item jid='%s'/>" % bare(other.jid)
    get(one, None, "<block xmlns='urn:xmpp:blocking'>%s</block>" % item, 'set')
    if says_so:
        other.wait_for(lambda e: xmpp.local(e) == 'presence' and e.get('from') == one.jid and e.get('type') == 'unavailable', LONG)
    says(other, bare(one.jid), 'hello?')
    refused = other.wait_for(lambda e: is_message(e) and e.get('id') == 'hello?', LONG)
    check(condition_of(refused) == 'service-unavailable', xmpp.text_of(refused))
    answer = ask(other, one.jid, "<query xmlns='jabber:iq:version'/>")
    check(condition_of(answer) == 'service-unavailable', xmpp.text_of(answer))
    get(one, None, "<unblock xmlns='urn:xmpp:blocking'>%s</unblock>" % item, 'set')
    says(other, bare(one.jid), 'again')
    hears(one, 'again')


def offline(a_server, one, other):
    """Messages wait for a user who is away, keep their order and their time, and are in both archives."""
    user = one.user
    one.close()
    for n in range(20):
        says(other, bare(one.jid), 'away%d' % n)
    other.send("<message type='headline' to='%s'><body>not kept</body></message>" % bare(one.jid))
    get(other, one.host, "<query xmlns='%s'/>" % NS_INFO)     # behind them
    again = a_server.login(user)
    for n in range(20):
        got = hears(again, 'away%d' % n, other.jid)
        check(got.find('{urn:xmpp:delay}delay') is not None, xmpp.text_of(got))
    return again


def archives(one, other, expected):
    one.send("<iq type='set' id='arc'><query xmlns='%s' queryid='q'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
             "<value>%s</value></field><field var='with'><value>%s</value></field></x></query></iq>" % (NS_MAM, NS_MAM, bare(other.jid)))
    texts = []
    while True:
        e = one.wait_for(lambda e: e.find('{%s}result' % NS_MAM) is not None or e.get('id') == 'arc', LONG)
        if xmpp.local(e) == 'iq':
            break
        message = e.find('.//{urn:xmpp:forward:0}forwarded/{jabber:client}message')
        if body(message):
            texts.append(body(message))
    check(e.get('type') == 'result' and [t for t in texts if t in expected] == expected, texts)


def is_subscribed(one, other, wanted):
    items = get(one, None, "<query xmlns='jabber:iq:roster'/>").iter('{jabber:iq:roster}item')
    found = {i.get('jid'): i.get('subscription') for i in items}.get(bare(other.jid), 'no item')
    check(found in wanted, '%s has %s as %s, not %s' % (one.jid, other.jid, found, wanted))


def subscriptions(one, other):
    """Asked and refused, given and taken back; and who removes a contact is gone from the contact's list too."""
    is_subscribed(one, other, ('both',))
    one.send("<presence type='unsubscribed' to='%s'/>" % bare(other.jid))
    other.wait_for(lambda e: e.get('type') == 'unsubscribed' and e.get('from') == bare(one.jid), LONG)
    is_subscribed(one, other, ('to',))
    is_subscribed(other, one, ('from',))
    get(one, None, "<query xmlns='jabber:iq:roster'><item jid='%s' subscription='remove'/></query>" % bare(other.jid), 'set')
    other.wait_for(lambda e: e.get('type') == 'unsubscribe' and e.get('from') == bare(one.jid), LONG)
    is_subscribed(other, one, ('none', 'no item'))
    other.send("<presence type='subscribe' to='%s'><status>again?</status></presence>" % bare(one.jid))
    asked = one.wait_for(lambda e: e.get('type') == 'subscribe' and e.findtext('{jabber:client}status') == 'again?', LONG)
    check(asked.get('from') == bare(other.jid), xmpp.text_of(asked))
    one.send("<presence type='unsubscribed' to='%s'/>" % bare(other.jid))
    other.wait_for(lambda e: e.get('type') == 'unsubscribed', LONG)
    is_subscribed(other, one, ('none', 'no item'))


def file_link(juliet, romeo, a):
    """A file on our server, its link on the other one, and whoever has the link gets the file."""
    data = b'some bytes' * 1000
    found = get(juliet, 'upload.' + a.host, "<request xmlns='urn:xmpp:http:upload:0' filename='f.bin' size='%d'/>" % len(data))
    put, link = (found.find('.//{urn:xmpp:http:upload:0}%s' % name).get('url') for name in ('put', 'get'))
    context = ssl.create_default_context(cafile=str(a.crt))
    local = lambda url: url.replace(a.host, '127.0.0.1', 1)                        # noqa: E731
    context.check_hostname = False
    with urllib.request.urlopen(urllib.request.Request(local(put), data, method='PUT'), timeout=20, context=context) as done:
        check(done.status == 201, done.status)
    says(juliet, romeo.jid, link, "<x xmlns='jabber:x:oob'><url>%s</url></x>" % link)
    got = hears(romeo, link, juliet.jid)
    url = got.findtext('{jabber:x:oob}x/{jabber:x:oob}url')
    with urllib.request.urlopen(local(url), timeout=20, context=context) as done:
        check(done.read() == data, 'another file')


def everything(a, p, conforming=True):
    juliet, romeo = a.login('juliet', roster=True), p.login('romeo', roster=True)
    befriend(juliet, romeo)
    vcards(juliet, romeo)
    vcards(romeo, juliet)
    omemo(juliet, romeo, conforming)
    omemo(romeo, juliet)
    blocks(juliet, romeo)
    blocks(romeo, juliet, conforming)
    file_link(juliet, romeo, a)
    juliet = offline(a, juliet, romeo)
    romeo = offline(p, romeo, juliet)
    archives(juliet, romeo, ['away%d' % n for n in range(20)] * 2)
    subscriptions_pair = a.login('romeo', roster=True), p.login('juliet', roster=True)
    befriend(*subscriptions_pair)
    subscriptions(*subscriptions_pair)
    befriend(*subscriptions_pair)
    subscriptions(*reversed(subscriptions_pair))


@accounts()
def test_prosody(t):
    """Prosody: OMEMO devices and bundles, vCards, block lists, offline messages, archive, a file, ends of subscriptions"""
    with federation(t, with_prosody(t)) as (a, p):
        everything(a, p)


@accounts()
def test_ejabberd(t):
    """ejabberd: the same"""
    with federation(t, with_ejabberd(t)) as (a, p):
        everything(a, p, conforming=False)


@accounts()
def test_sterna(t):
    """two servers of ours: the same"""
    with federation(t, with_sterna(t)) as (a, p):
        everything(a, p)
