"""PubSub and PEP where a script does not reach: accounts that go."""
from suite import accounts, check, private

NS = 'http://jabber.org/protocol/pubsub'


def ask(c, kind, to, inner, ns=NS):
    ask.count += 1
    ident = 'ps%d' % ask.count
    c.send("<iq type='%s' id='%s'%s><pubsub xmlns='%s'>%s</pubsub></iq>"
           % (kind, ident, " to='%s'" % to if to else '', ns, inner))
    return c.wait_for(lambda e: e.get('id') == ident)


ask.count = 0


def nodes(answer, what):
    return sorted(e.get('node') for e in answer.iter('{%s}%s' % (NS, what)) if e.get('node'))


@private()
@accounts('juliet', 'romeo')
def test_account_that_goes_takes_its_rights_along(t):
    """XEP-0060 §4.1: whoever gets the address of a deleted account gets neither its nodes nor its rights at others'"""
    service = 'pubsub.' + t.host
    juliet, romeo = t.client('juliet').login(), t.client('romeo').login()
    bare = romeo.jid.partition('/')[0]
    check(ask(juliet, 'set', service, "<create node='hers'/>").get('type') == 'result', 'create')
    check(ask(juliet, 'set', service, "<affiliations node='hers'><affiliation jid='%s' affiliation='publisher'/>"
              "</affiliations>" % bare, NS + '#owner').get('type') == 'result', 'affiliation')
    for inner in ("<subscribe node='hers' jid='%s'/>" % bare, "<subscribe node='hers' jid='%s'/>" % romeo.jid,
                  "<publish node='his'><item id='a'><x xmlns='urn:t'/></item></publish>"):
        check(ask(romeo, 'set', service, inner).get('type') == 'result', inner)
    check(ask(romeo, 'set', None, "<publish node='urn:his'><item id='a'><x xmlns='urn:t'/></item></publish>")
          .get('type') == 'result', 'publish')
    user, password = t.users['romeo']
    t.server.ctl('user', 'delete', bare)
    t.server.add_users([(user, password)])
    again = t.client('romeo').login()
    check(nodes(ask(again, 'get', service, '<affiliations/>'), 'affiliation') == [], 'affiliations are left')
    check(nodes(ask(again, 'get', service, '<subscriptions/>'), 'subscription') == [], 'subscriptions are left')
    check(ask(again, 'get', None, "<items node='urn:his'/>").get('type') == 'error', 'the account has the old nodes')
    check(nodes(ask(juliet, 'get', service, '<affiliations/>'), 'affiliation') == ['hers'], 'others lost something')
