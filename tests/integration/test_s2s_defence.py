"""What other servers may ask of us: budgets of their domains, what is held back or refused, isolation by rule and by hand."""
import json
import time

import xmpp
from s2s import Listener, Peer, body, domains, hears, is_message, says
from suite import accounts, check


def ctl(server, *words):
    return json.loads(server.ctl('--json', 's2s', *words))


def isolated(server):
    return json.loads(server.ctl('--json', 'isolation', 'list'))


def peer_of(t, a, domain='peer.example', **more):
    crt, key = a.authority.issue(domain)
    return Peer(t, domain, a, crt, key).authenticated(**more)


def used(shown):
    return {b['budget']: b for b in shown['budgets']}


@accounts()
def test_budget_holds_back(t):
    """s2s.peer_stanzas: all streams of a domain share it; what is beyond is held back, and comes later; another domain's is its
    own; peer_factor makes it larger"""
    with domains(t, 'a.example', s2s__peer_stanzas='20/s', s2s__peer_factor={'big.example': '50'}) as a:
        juliet = a.login('juliet')
        began = time.monotonic()
        peers = [peer_of(t, a), peer_of(t, a)]
        for n in range(30):
            for k, peer in enumerate(peers):
                peer.send("<message type='chat' from='x@peer.example' to='%s'><body>%d-%d</body></message>" % (juliet.jid, k, n))
        other = peer_of(t, a, 'other.example')
        other.send("<message type='chat' from='x@other.example' to='%s'><body>quick</body></message>" % juliet.jid)
        texts = []
        while len(texts) < 61:
            texts.append(body(juliet.wait_for(is_message, timeout=10, dropped=[])))
            if texts[-1] == 'quick':
                check(len(texts) < 58, 'the other one had to wait')
        check(time.monotonic() - began > 1.5, 'not held back: %.2f s' % (time.monotonic() - began))
        for k in (0, 1):
            check([x for x in texts if x.startswith('%d-' % k)] == ['%d-%d' % (k, n) for n in range(30)], 'lost, or not in order')
        shown = ctl(a, 'show', 'peer.example')
        check(used(shown)['stanzas']['count'] == 20 and used(shown)['stanzas']['beyond'] > 0, shown)
        check(used(ctl(a, 'show', 'other.example'))['stanzas']['beyond'] == 0, 'another paid for it')
        check(used(ctl(a, 'show', 'big.example'))['stanzas']['count'] == 1000, 'peer_factor')
        check('beyond it so far' in a.ctl('s2s', 'show', 'peer.example'), 'for people')


@accounts()
def test_budget_of_joins_and_presence(t):
    """s2s.peer_joins: who enters many rooms at once is held back; all of it is done in the end"""
    with domains(t, 'a.example', s2s__peer_joins='10/s') as a:
        peer = peer_of(t, a, bidi=True, to='conference.a.example')
        began = time.monotonic()
        for n in range(25):
            peer.send("<presence from='x@peer.example/r' to='room%d@conference.a.example/nick'><x xmlns='http://jabber.org/protocol/muc'/>"
                      "</presence>" % n)
        peer.send("<iq type='get' id='end' from='x@peer.example/r' to='conference.a.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        peer.wait_for(lambda e: e.get('id') == 'end', timeout=15)
        check(time.monotonic() - began > 1, 'not held back')
        check(used(ctl(a, 'show', 'peer.example'))['joins']['beyond'] > 0, 'not counted')


def asks(peer, n):
    peer.send("<presence type='subscribe' id='s%d' from='spam%d@%s' to='juliet@a.example'/>" % (n, n, peer.domain))


@accounts()
def test_subscriptions_and_isolation(t):
    """s2s.peer_subscriptions: more requests are refused with resource-constraint; so many refusals within a time isolate the domain:
    its streams end, new ones are refused, nothing is sent to it; another domain notices nothing; it ends by itself"""
    with domains(t, 'a.example', s2s__peer_subscriptions='5/m', s2s__isolate_after=10, s2s__isolate_time='10s') as a:
        juliet = a.login('juliet', roster=True)
        peer, other = peer_of(t, a, bidi=True), peer_of(t, a, 'other.example', bidi=True)
        for n in range(8):
            asks(peer, n)
        refused = peer.wait_for(lambda e: e.get('id') == 's5', timeout=10)
        check('resource-constraint' in xmpp.text_of(refused), xmpp.text_of(refused))
        asks(other, 0)
        for _ in range(6):
            juliet.wait_for(lambda e: e.get('type') == 'subscribe')
        for n in range(8, 17):
            asks(peer, n)
        check(peer.wait_closed(10) == 'policy-violation', 'not isolated')
        listed = isolated(a)
        check([one['target'] for one in listed] == ['peer.example'] and 'subscriptions' in listed[0]['reason'], listed)
        check(ctl(a, 'show', 'peer.example')['isolated'], 'not shown')
        again = Peer(t, 'peer.example', a, *a.authority.issue('peer.example'))
        again.connect()
        again.send(again.header())
        check(again.wait_closed() == 'policy-violation', 'let in')
        says(juliet, 'x@peer.example', 'hello')
        got = juliet.wait_for(lambda e: e.get('type') == 'error')
        check(xmpp.condition_of(got) == 'not-allowed' and 'at present' in xmpp.text_of(got), xmpp.text_of(got))
        other.send("<message type='chat' from='x@other.example' to='%s'><body>still here</body></message>" % juliet.jid)
        hears(juliet, 'still here')
        end = time.monotonic() + 30
        while isolated(a) and time.monotonic() < end:
            time.sleep(0.5)
        peer = peer_of(t, a)
        peer.send("<message type='chat' from='x@peer.example' to='%s'><body>back</body></message>" % juliet.jid)
        hears(juliet, 'back')


@accounts()
def test_isolated_by_hand(t):
    """sternactl isolate of another server: what waits for it goes back, it survives kill -9, and release lets it in again"""
    with domains(t, 'a.example') as a:
        crt, key = a.authority.issue('peer.example')
        home = Listener(t, 'peer.example', a, crt, key)
        port = home.port
        a.route('peer.example', port)
        a.ctl('reload')
        home.close()
        juliet = a.login('juliet')
        says(juliet, 'x@peer.example', 'waits')
        a.ctl('isolate', 'peer.example', '7d', 'they sell something')
        check(ctl(a, 'show', 'peer.example')['isolated'] and 'isolated' in a.ctl('s2s', 'show', 'peer.example'), 'not shown')
        got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=15)
        check(got.get('id') == 'waits' and xmpp.condition_of(got) == 'not-allowed', xmpp.text_of(got))
        time.sleep(1)                                  # its row goes behind that
        a.kill()
        a.start()
        listed = isolated(a)
        check([(one['target'], one['reason']) for one in listed] == [('peer.example', 'they sell something')], listed)
        juliet = a.login('juliet')
        says(juliet, 'x@peer.example', 'not yet')
        check(xmpp.condition_of(juliet.wait_for(lambda e: e.get('type') == 'error')) == 'not-allowed', 'sent')
        a.ctl('release', 'peer.example')
        home = Listener(t, 'peer.example', a, crt, key, port)
        says(juliet, 'x@peer.example', 'now')
        check(body(home.accept(10).accepted_external().wait_for(is_message)) == 'now', 'not sent')
        home.close()
        for word in ('a.example', 'x@peer.example', ''):
            check(a.ctl('s2s', 'show', word, check=False) == '', word)


@accounts()
def test_who_speaks_for_others(t):
    """Stanzas in the name of other domains end the stream, and count: so many of them, and the domain is isolated"""
    with domains(t, 'a.example', s2s__isolate_after=25) as a:
        juliet = a.login('juliet')
        for _ in range(3):
            peer = peer_of(t, a)
            peer.send("<message type='chat' from='x@other.example' to='%s'><body>no</body></message>" % juliet.jid)
            peer.wait_closed()
        listed = isolated(a)
        check(listed and listed[0]['target'] == 'peer.example' and 'name of others' in listed[0]['reason'], listed)
        shown = ctl(a, 'show', 'peer.example')
        check(shown['all_offences'] == 30 and shown['streams_in'] == 0, shown)


@accounts()
def test_metrics(t):
    """sterna_s2s_*: links, backlog, time to confirm, what was beyond a budget, isolations"""
    with domains(t, 'a.example', 'b.example', s2s__peer_subscriptions='1/m') as (a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        for n in range(5):
            says(juliet, romeo.jid, 'n%d' % n)
        for n in range(5):
            hears(romeo, 'n%d' % n)
        a.ctl('isolate', 'bad.example')
        end = time.monotonic() + 15
        while time.monotonic() < end:
            stats = a.ctl('stats')
            if 'sterna_s2s_confirmation_seconds_count' in stats and ' 0\n' not in stats.partition('confirmation_seconds_count')[2][:5]:
                break
            time.sleep(0.3)
        for name in ('sterna_s2s_links', 'sterna_s2s_waiting', 'sterna_s2s_isolations_total', 'sterna_s2s_over_budget_total'):
            check(name in stats, '%s is not in: %s' % (name, stats))
        link = ctl(a, 'show', 'b.example')['links'][0]
        check(link['latency_ms'] > 0 and link['unconfirmed'] == 0, link)
