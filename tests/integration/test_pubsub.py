"""PubSub and PEP where a script does not reach: accounts that go."""
import json
import time
import tempfile
import xml.etree.ElementTree as ET

from suite import accounts, check, client, daemon, private

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


@accounts('juliet', 'romeo')
def test_bookmarks_of_before(t):
    """XEP-0411 §5: bookmarks that lie in private XML alone are there for new clients at the next login"""
    storage = "<storage xmlns='storage:bookmarks'>%s</storage>"
    with daemon(t, modules__bookmarks='off') as server:
        juliet = client(t, server, 'juliet').login()
        juliet.send("<iq type='set' id='p'><query xmlns='jabber:iq:private'>%s</query></iq>" % storage %
                    "<conference jid='play@rooms.example' name='Play'/><url url='https://example.org/'/>")
        check(juliet.wait_for(lambda e: e.get('id') == 'p').get('type') == 'result', 'stored')
        juliet.close()
        server.stop()
        server.configure(modules__bookmarks={})
        server.start()
        juliet = client(t, server, 'juliet').login()
        until, made = time.monotonic() + 10, []         # it is made while the account is loaded, and nobody waits for it
        while not made and time.monotonic() < until:
            items = ask(juliet, 'get', None, "<items node='urn:xmpp:bookmarks:1'/>")
            made = [e.get('id') for e in items.iter('{%s}item' % NS)]
        check(made == ['play@rooms.example'], 'no item was made')
        juliet.send("<iq type='get' id='g'><query xmlns='jabber:iq:private'>%s</query></iq>" % storage % '')
        found = juliet.wait_for(lambda e: e.get('id') == 'g')
        check([e.tag.rpartition('}')[2] for e in found.iter() if e.get('name') or e.get('url')] == ['conference', 'url'],
              'the list has changed')


@private()
@accounts('juliet', 'romeo')
def test_reports_are_listed(t):
    """XEP-0377: what users have reported is there for the administrator, with the ids of the messages"""
    juliet = t.client('juliet').login()
    juliet.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='spam@example.net'>"
                "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>never \N{GREEK SMALL LETTER ALPHA}%s"
                "</text><stanza-id xmlns='urn:xmpp:sid:0' by='x@example.net' id='7'/><report-origin/></report></item>"
                "<item jid='other@example.net'/></block></iq>" % ('x' * 3000))
    check(juliet.wait_for(lambda e: e.get('id') == 'b').get('type') == 'result', 'blocked')
    reports = json.loads(t.server.ctl('--json', 'report', 'list'))
    check(len(reports) == 1, reports)
    report = reports[0]
    check(report['jid'] == 'spam@example.net' and report['by'] == juliet.jid.partition('/')[0], report)
    check(report['reason'] == 'urn:xmpp:reporting:spam' and report['to_origin'] and not report['to_others'], report)
    check(report['messages'] == [{'by': 'x@example.net', 'id': '7'}], report)
    check(report['text'].startswith('never') and len(report['text'].encode()) == 2000, len(report['text']))
    check('spam@example.net' in t.server.ctl('report', 'list', '5'), 'the table')
    t.server.ctl('report', 'list', 'x', check=False)
    t.server.ctl('report', 'drop', '1')
    check(len(json.loads(t.server.ctl('--json', 'report', 'list'))) == 1, 'a new one was dropped')


@private(modules__blocking__max_reports=2)
@accounts('juliet')
def test_reports_are_bounded(t):
    """XEP-0377: an account's reports are kept up to a limit; blocking goes on"""
    juliet = t.client('juliet').login()
    for n in range(4):
        juliet.send("<iq type='set' id='b%d'><block xmlns='urn:xmpp:blocking'><item jid='s%d@example.net'><report "
                    "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:abuse'/></item></block></iq>" % (n, n))
        check(juliet.wait_for(lambda e: e.get('id') == 'b%d' % n).get('type') == 'result', 'blocked')
    check(len(json.loads(t.server.ctl('--json', 'report', 'list'))) == 2, 'more than the limit')


@accounts('juliet', 'romeo')
def test_recipients_policy(t):
    """e2e_policy: what an account requires holds for what comes to it, from whoever it comes"""
    romeos, juliets = 'romeo@' + t.host, 'juliet@' + t.host
    with daemon(t, modules__e2e_policy__accounts={romeos: 'required'}) as server:
        juliet, romeo = client(t, server, 'juliet').login(), client(t, server, 'romeo').login()

        def sent(c, ident, to, inner):
            c.send("<message type='chat' id='%s' to='%s'>%s</message>" % (ident, to, inner))

        def condition(c, ident):
            answer = c.wait_for(lambda e: e.get('id') == ident)
            return answer.get('type'), [e.tag.rpartition('}')[2] for e in answer.iter()]
        sent(juliet, 'p', romeos, '<body>plain</body>')
        check('policy-violation' in condition(juliet, 'p')[1], 'what comes is not refused')
        sent(romeo, 'q', juliets, '<body>plain</body>')
        check('policy-violation' in condition(romeo, 'q')[1], 'its own is not refused')
        sent(juliet, 'e', romeos, "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>")
        check(condition(romeo, 'e')[0] == 'chat', 'refused what is encrypted')


@private(modules__e2e_policy__policy='required')
@accounts('juliet', 'romeo')
def test_refusals_are_events(t):
    """e2e_policy: every refusal is a line of the log, without what was said"""
    juliet = t.client('juliet').login()
    juliet.send("<message type='chat' id='m' to='%s'><body>a secret word</body></message>" % t.bare('romeo'))
    check(juliet.wait_for(lambda e: e.get('id') == 'm').get('type') == 'error', 'not refused')
    log = t.server.log()
    check('a message was refused' in log and t.bare('romeo') in log, 'no line')
    check('a secret word' not in log, 'the log has the message')


@private()
@accounts('juliet', 'romeo')
def test_nodes_are_exported_and_imported(t):
    """XEP-0227 §4.9: nodes go out and in whole - configuration, members, items in their order"""
    juliet = t.client('juliet').login()
    options = ''.join("<field var='pubsub#%s'>%s</field>" % (var, ''.join('<value>%s</value>' % v for v in values))
                      for var, values in (('access_model', ['roster']), ('roster_groups_allowed', ['A &amp; B', 'C']),
                                          ('max_items', ['max']), ('title', ["&lt;it's&gt;"]), ('notify_retract', ['0'])))
    check(ask(juliet, 'set', None, "<create node='urn:o&apos;k'/><configure><x xmlns='jabber:x:data' type='submit'>%s</x>"
              "</configure>" % options).get('type') == 'result', 'create')
    for name in 'ba':
        check(ask(juliet, 'set', None, "<publish node='urn:o&apos;k'><item id='%s'><x xmlns='urn:t'>&lt;%s&gt;</x></item>"
                  "</publish>" % (name, name)).get('type') == 'result', 'publish')
    check(ask(juliet, 'set', None, "<affiliations node='urn:o&apos;k'><affiliation jid='m@x.example' affiliation='member'/>"
              "</affiliations>", NS + '#owner').get('type') == 'result', 'affiliations')
    bookmark = "<publish node='urn:xmpp:bookmarks:1'><item id='r@x.example'><conference xmlns='urn:xmpp:bookmarks:1'/></item></publish>"
    check(ask(juliet, 'set', None, bookmark).get('type') == 'result', 'bookmark')

    def everything(c):
        return [ET.tostring(ask(c, 'get', None, inner, ns)[0]) for inner, ns in (
            ("<items node='urn:o&apos;k'/>", NS), ("<configure node='urn:o&apos;k'/>", NS + '#owner'),
            ("<affiliations node='urn:o&apos;k'/>", NS + '#owner'), ("<items node='urn:xmpp:bookmarks:1'/>", NS),
            ("<configure node='urn:xmpp:bookmarks:1'/>", NS + '#owner'))]

    before, bare = everything(juliet), t.bare('juliet')
    with tempfile.TemporaryDirectory(prefix='sterna-nodes-') as folder:
        file = folder + '/all.xml'
        t.server.ctl('export', file, '--account', bare)
        t.server.ctl('user', 'delete', bare)
        t.server.ctl('import', file)
        again = t.client('juliet').login()
        check(everything(again) == before, '%s\n%s' % (before, everything(again)))
        t.server.ctl('import', file)    # once more changes nothing
        check(everything(t.client('juliet').login()) == before, 'a second import')


@private()
@accounts('juliet')
def test_what_an_import_cannot_take(t):
    """XEP-0227 §4.9.1: unknown fields are ignored; a node whose access is not known is not opened"""
    ns = "xmlns='http://jabber.org/protocol/pubsub%s'"

    def configure(node, *fields):
        return "<configure node='%s'><x xmlns='jabber:x:data' type='form'>%s</x></configure>" % (
            node, ''.join("<field var='pubsub#%s'><value>%s</value></field>" % f for f in fields))
    user = t.users['juliet'][0]
    text = ("<server-data xmlns='urn:xmpp:pie:0'><host jid='%s'><user name='%s'><pubsub %s>%s</pubsub><pubsub %s>"
            "<items node='a'><item id='1'><x xmlns='urn:t'/></item><item/></items><items node='b'><item id='2'/></items>"
            "<items><item id='3'/></items></pubsub></user></host></server-data>" % (
                t.host, user, ns % '#owner',
                configure('a', ('access_model', 'open'), ('presence_based_delivery', '1'), ('no_such', 'x'))
                + configure('b', ('access_model', 'friends-of-friends'))
                + "<subscriptions node='a'><subscription jid='@' subscription='subscribed'/></subscriptions>", ns % ''))
    with tempfile.TemporaryDirectory(prefix='sterna-nodes-') as folder:
        with open(folder + '/in.xml', 'w') as out:
            out.write(text)
        t.server.ctl('import', folder + '/in.xml')
    juliet = t.client('juliet').login()
    check(ask(juliet, 'get', None, "<items node='a'/>").get('type') == 'result', 'the known node')
    check(ask(juliet, 'get', None, "<items node='b'/>").get('type') == 'error', 'the node that cannot be read')
    check('cannot be read' in t.server.log(), 'no line in the log')
