"""Regions: what is pinned to another one is refused here, with the reason; routes to others, and what is counted of them."""
import json
import time

import sterna
import xmpp
from s2s import domains, hears, says
from suite import accounts, check, daemon

RULES = {'eve@a.example': 'us', 'mallory@a.example': 'us', 'lounge@conference.a.example': 'us', '*.b.example': 'us', 'juliet@a.example': 'eu'}
MUC = 'http://jabber.org/protocol/muc'


def explained(a, jid):
    return json.loads(a.ctl('--json', 'residency', 'explain', jid))


def refused(one, sent):
    one.send(sent)
    got = one.wait_for(lambda e: e.get('type') == 'error', timeout=20)
    check(xmpp.condition_of(got) == 'not-allowed' and 'stays in the region us' in xmpp.text_of(got), xmpp.text_of(got))


@accounts()
def test_residency(t):
    """An account, a room and a domain that stay elsewhere: no login, no delivery, no room, no new account; all else as ever"""
    def before(a):
        a.add_users([('eve', 'pw')])
        a.configure(server__region='eu', residency=RULES)
    with domains(t, 'a.example', before=before) as a:
        juliet, romeo = a.login('juliet'), a.login('romeo')
        says(juliet, 'romeo@a.example', 'one')
        hears(romeo, 'one', juliet.jid)
        refused(juliet, "<message type='chat' id='m' to='eve@a.example'><body>b</body></message>")
        refused(juliet, "<iq type='get' id='i' to='eve@a.example'><query xmlns='jabber:iq:version'/></iq>")
        refused(juliet, "<presence to='lounge@conference.a.example/j'><x xmlns='%s'/></presence>" % MUC)
        juliet.send("<presence to='garden@conference.a.example/j'><x xmlns='%s'/></presence>" % MUC)
        juliet.wait_for(lambda e: e.get('from') == 'garden@conference.a.example/j' and e.get('type') is None, timeout=20)
        try:
            a.login('eve')
        except Exception as e:  # whatever this client says of a login that is refused
            check('not-authorized' in str(e), str(e))
        else:
            raise AssertionError('eve could log in')
        check('stays in the region us, and this server is in eu' in a.log(), 'the log does not say why')
        got = explained(a, 'juliet@a.example')
        check(got['region'] == 'eu' and got['rule'] == 'juliet@a.example' and got['refused'] is False, str(got))
        got = explained(a, 'eve@a.example')
        check(got['region'] == 'us' and got['here'] == 'eu' and got['refused'] is True, str(got))
        got = explained(a, 'someone@x.b.example')
        check(got['rule'] == '*.b.example' and got['ours'] is False and got['server_in'] is None, str(got))
        check(explained(a, 'romeo@a.example')['region'] is None, 'a rule where there is none')
        check('eve@a.example' in a.ctl('user', 'show', 'eve@a.example'), 'what is there can be looked at')
        try:
            a.ctl('user', 'add', 'mallory@a.example', stdin='pw\n')
        except sterna.ServerError as e:
            check('stays in the region us' in str(e), str(e))
        else:
            raise AssertionError('an account that stays elsewhere was made')


@accounts()
def test_links(t):
    """Links to another region: listed, their latency and what waits counted by region; a domain that nobody names is not"""
    def before(a, b):
        a.route_to(b, region='us')
        a.configure(server__region='eu', residency={'*.example': 'eu', 'b.example': 'us'}, modules={'metrics': {}})
        b.configure(server__region='us')
    with domains(t, 'a.example', 'b.example', before=before) as (a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        says(juliet, 'romeo@b.example', 'one')
        hears(romeo, 'one', juliet.jid)
        deadline = time.monotonic() + 30
        while True:
            links = json.loads(a.ctl('--json', 'region', 'list'))
            if len(links) == 1 and links[0]['latency_ms'] > 0:
                break
            check(time.monotonic() < deadline, str(links))
            time.sleep(0.2)
        check(links[0]['region'] == 'us' and links[0]['domain'] == 'b.example' and links[0]['state'] == 'connected', str(links))
        got = explained(a, 'romeo@b.example')
        check(got['server_in'] == 'us' and 'as the rule wants it' in got['text'], str(got))
        stats = a.ctl('stats')
        check('sterna_region_confirmation_seconds_count{region="us"}' in stats, stats[-2000:])


def test_configuration(t):
    """Mistakes: rules without server.region, a host that stays elsewhere, names and addresses that are none"""
    with daemon(t) as server:
        good = json.dumps(server.tree)
        host = next(iter(server.tree['hosts']))

        def wrong(text, **options):
            server.tree = json.loads(good)
            server.configure(**options)
            try:
                server.ctl('config', 'check')
            except sterna.ServerError as e:
                check(text in str(e), '%s: %s' % (text, e))
            else:
                raise AssertionError('taken: %s' % options)
        wrong('residency needs server.region', residency={'a.example': 'eu'})
        wrong('stays in the region us', server__region='eu', residency={host: 'us'})
        wrong('no name of a region', server__region='E U')
        wrong('no name of a region', server__region='eu', residency={'x.example': 'U S'})
        wrong("'Juliet@a.example' is no address", server__region='eu', residency={'Juliet@a.example': 'eu'})
        wrong('server.region does not say', routes={'b.example': {'address': '127.0.0.1', 'region': 'us'}})
        server.tree = json.loads(good)
        server.configure()
