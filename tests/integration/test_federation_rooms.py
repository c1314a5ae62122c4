"""Rooms whose occupants are on two servers: on ours with guests from elsewhere, elsewhere with guests of ours."""
import xmpp
from federation import ask, bare, federation, get, with_ejabberd, with_prosody, with_sterna
from s2s import body
from suite import accounts, check
from xmpp import condition_of

NS_MUC = 'http://jabber.org/protocol/muc'
NS_USER = NS_MUC + '#user'
NS_MAM = 'urn:xmpp:mam:2'
NS_RSM = 'http://jabber.org/protocol/rsm'
NS_DELAY = 'urn:xmpp:delay'
LONG = 20


def codes(elem):
    return {status.get('code') for status in elem.iter('{%s}status' % NS_USER)}


def is_presence(elem, sender, kind=None):
    return xmpp.local(elem) == 'presence' and elem.get('from') == sender and elem.get('type') == kind


def enters(one, room, nick, inside='', more=''):
    """The reflection of one's own presence; everything before it has come then, the subject not yet."""
    one.send("<presence to='%s/%s'><x xmlns='%s'>%s</x>%s</presence>" % (room, nick, NS_MUC, inside, more))
    own = one.wait_for(lambda e: xmpp.local(e) == 'presence' and bare(e.get('from')) == room
                       and ('110' in codes(e) and e.get('type') is None or e.get('type') == 'error'), timeout=LONG)
    check(own.get('type') is None, xmpp.text_of(own))
    return own


def sees(one, sender, kind=None, code=None):
    return one.wait_for(lambda e: is_presence(e, sender, kind) and (code is None or code in codes(e)), timeout=LONG)


def is_said(elem, text):
    return xmpp.local(elem) == 'message' and elem.get('type') == 'groupchat' and body(elem) == text


def said(one, room, nick, text):
    got = one.wait_for(lambda e: is_said(e, text), timeout=LONG)
    check(got.get('from') == '%s/%s' % (room, nick), xmpp.text_of(got))
    return got


def says(one, room, text, kind='groupchat'):
    one.send("<message type='%s' to='%s' id='m-%s'><body>%s</body></message>" % (kind, room, text, text))


def make(owner, room, nick):
    """A room that others may enter."""
    own = enters(owner, room, nick)
    if '201' in codes(own):
        get(owner, room, "<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'/></query>" % NS_MUC, 'set')
    return own


def talk(owner, guest, room):
    """Both hear everything, in the same order."""
    for n in range(30):
        says(owner, room, 'o%d' % n)
        says(guest, room, 'g%d' % n)
    heard = []
    for one in (owner, guest):
        texts = []
        while len(texts) < 60:
            got = one.wait_for(lambda e: is_said(e, body(e)) and body(e) and bare(e.get('from')) == room, timeout=LONG)
            texts.append(body(got))
        heard.append(texts)
    check(heard[0] == heard[1], 'two orders: %s' % heard)
    for letter in 'og':
        check([t for t in heard[0] if t[0] == letter] == ['%s%d' % (letter, n) for n in range(30)], heard[0])


def archive(one, room, page=25):
    """Bodies of the room's archive, page by page."""
    texts, after = [], None
    while True:
        one.send("<iq type='set' id='mam%s' to='%s'><query xmlns='%s' queryid='q'><set xmlns='%s'><max>%d</max>%s</set></query></iq>"
                 % (after or '', room, NS_MAM, NS_RSM, page, '<after>%s</after>' % after if after else ''))
        while True:
            e = one.wait_for(lambda e: e.find('{%s}result' % NS_MAM) is not None or e.get('id') == 'mam%s' % (after or ''),
                             timeout=LONG)
            if xmpp.local(e) == 'iq':
                break
            check(e.get('from') == room, xmpp.text_of(e))
            message = e.find('.//{urn:xmpp:forward:0}forwarded/{jabber:client}message')
            if body(message) is not None:
                check(message.get('from').startswith(room + '/'), xmpp.text_of(e))
                texts.append(body(message))
        check(e.get('type') == 'result', xmpp.text_of(e))
        fin = e.find('{%s}fin' % NS_MAM)
        after = fin.findtext('{%s}set/{%s}last' % (NS_RSM, NS_RSM))
        if fin.get('complete') == 'true' or after is None:
            return texts


def visit(owner, guest, service):
    """A room of owner's server, with a guest from the other one: all that people do there."""
    room = 'tea@' + service
    make(owner, room, 'host')
    own = enters(guest, room, 'guest', more='<show>chat</show>')
    check(next(own.iter('{%s}item' % NS_USER)).get('role') == 'participant', xmpp.text_of(own))
    sees(guest, room + '/host')
    check(sees(owner, room + '/guest').findtext('{jabber:client}show') == 'chat', 'the presence lost its show')
    # XEP-0045 §7.2.15: the subject ends what a newcomer gets
    guest.wait_for(lambda e: xmpp.local(e) == 'message' and e.find('{jabber:client}subject') is not None, timeout=LONG)
    talk(owner, guest, room)

    says(guest, room + '/host', 'secret', 'chat')
    owner.wait_for(lambda e: body(e) == 'secret' and e.get('from') == room + '/guest', timeout=LONG)
    owner.send("<message type='groupchat' to='%s'><subject>biscuits</subject></message>" % room)
    guest.wait_for(lambda e: e.findtext('{jabber:client}subject') == 'biscuits', timeout=LONG)

    guest.send("<presence to='%s/visitor'/>" % room)
    sees(owner, room + '/guest', 'unavailable', '303')
    sees(owner, room + '/visitor')
    sees(guest, room + '/visitor')

    get(guest, service, "<query xmlns='http://jabber.org/protocol/disco#items'/>")
    features = {f.get('var') for f in get(guest, room, "<query xmlns='http://jabber.org/protocol/disco#info'/>").iter(
        '{http://jabber.org/protocol/disco#info}feature')}
    check(NS_MUC in features and NS_MAM in features, features)
    expected = {'%s%d' % (letter, n) for letter in 'og' for n in range(30)}
    for one in (guest, owner):
        texts = archive(one, room)
        check(set(texts) == expected and len(texts) == 60, 'the archive: %s' % texts)

    guest.send("<iq type='get' id='between' to='%s/host'><ping xmlns='urn:xmpp:ping'/></iq>" % room)
    question = owner.wait_for(lambda e: e.find('{urn:xmpp:ping}ping') is not None, timeout=LONG)
    owner.send("<iq type='result' id='%s' to='%s'/>" % (question.get('id'), question.get('from')))
    answer = guest.wait_for(lambda e: e.get('id') == 'between', timeout=LONG)
    check(answer.get('type') == 'result', xmpp.text_of(answer))

    guest.send("<presence type='unavailable' to='%s/visitor'><status>bye</status></presence>" % room)
    check(sees(owner, room + '/visitor', 'unavailable').findtext('{jabber:client}status') == 'bye', 'bye was lost')
    sees(guest, room + '/visitor', 'unavailable')
    own = enters(guest, room, 'guest', "<history maxstanzas='3'/>")
    history = [guest.wait_for(lambda e: is_said(e, body(e)) and e.find('{%s}delay' % NS_DELAY) is not None, timeout=LONG)
               for _ in range(3)]
    check(len({body(e) for e in history}) == 3, 'history')
    sees(owner, room + '/guest')
    return room


def throw_out(owner, guest, room):
    """Kicked, and banned."""
    admin = "<query xmlns='%s#admin'><item %%s><reason>enough</reason></item></query>" % NS_MUC
    get(owner, room, admin % "nick='guest' role='none'", 'set')
    out = sees(guest, room + '/guest', 'unavailable', '307')
    check(next(out.iter('{%s}reason' % NS_USER)).text == 'enough', xmpp.text_of(out))
    sees(owner, room + '/guest', 'unavailable', '307')
    says(guest, room, 'still here?')
    refused = guest.wait_for(lambda e: xmpp.local(e) == 'message' and e.get('type') == 'error', timeout=LONG)
    check(condition_of(refused) == 'not-acceptable', xmpp.text_of(refused))
    enters(guest, room, 'guest')
    sees(owner, room + '/guest')
    get(owner, room, admin % ("affiliation='outcast' jid='%s'" % bare(guest.jid)), 'set')
    sees(guest, room + '/guest', 'unavailable', '301')
    guest.send("<presence to='%s/guest'><x xmlns='%s'/></presence>" % (room, NS_MUC))
    refused = guest.wait_for(lambda e: xmpp.local(e) == 'presence' and e.get('type') == 'error', timeout=LONG)
    check(condition_of(refused) == 'forbidden', xmpp.text_of(refused))
    answer = ask(guest, room, "<query xmlns='%s'/>" % NS_MAM, 'set')
    check(answer.get('type') == 'error', 'an outcast reads the archive: ' + xmpp.text_of(answer))


def invite(owner, member, service):
    """A members-only room: an invitation opens it, one who has none stays outside."""
    room = 'club@' + service
    enters(owner, room, 'host')
    form = get(owner, room, "<query xmlns='%s#owner'/>" % NS_MUC)
    check('muc#roomconfig_membersonly' in xmpp.text_of(form), xmpp.text_of(form))
    get(owner, room, "<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>%s#roomconfig"
        "</value></field><field var='muc#roomconfig_membersonly'><value>1</value></field></x></query>" % (NS_MUC, NS_MUC), 'set')
    member.send("<presence to='%s/member'><x xmlns='%s'/></presence>" % (room, NS_MUC))
    refused = member.wait_for(lambda e: is_presence(e, e.get('from'), 'error') and bare(e.get('from')) == room, timeout=LONG)
    check(condition_of(refused) == 'registration-required', xmpp.text_of(refused))
    owner.send("<message to='%s'><x xmlns='%s'><invite to='%s'><reason>come</reason></invite></x></message>"
               % (room, NS_USER, bare(member.jid)))
    invitation = member.wait_for(lambda e: e.find('{%s}x/{%s}invite' % (NS_USER, NS_USER)) is not None, timeout=LONG)
    check(invitation.get('from') == room, xmpp.text_of(invitation))
    enters(member, room, 'member')
    sees(owner, room + '/member')
    return room


def both_sides(a, p, cut_leaves=True):
    juliet, romeo = a.login('juliet', presence=False), p.login('romeo', presence=False)
    for one in (juliet, romeo):
        one.send('<presence/>')
    room = visit(juliet, romeo, 'conference.' + a.host)
    throw_out(juliet, romeo, room)
    invite(juliet, romeo, 'conference.' + a.host)
    other_room = visit(romeo, juliet, 'conference.' + p.host)
    throw_out(romeo, juliet, other_room)
    club = invite(romeo, juliet, 'conference.' + p.host)
    # Whoever loses his connection leaves the rooms of the other server, too.
    juliet.cut()
    sees(romeo, club + '/member', 'unavailable')


@accounts()
def test_prosody(t):
    """rooms on our side and on Prosody's: enter, talk, whisper, nick, archive, invitation, kick, ban, lost connection"""
    with federation(t, with_prosody(t)) as (a, p):
        both_sides(a, p)


@accounts()
def test_ejabberd(t):
    """rooms on our side and on ejabberd's"""
    with federation(t, with_ejabberd(t)) as (a, p):
        both_sides(a, p)


@accounts()
def test_sterna(t):
    """rooms on two servers of ours"""
    with federation(t, with_sterna(t)) as (a, p):
        both_sides(a, p)
