"""Faults with real partners: Prosody and ejabberd are killed under load, DNS lies, links rest."""
import contextlib
import time

import nameserver
import partners
import xmpp
from federation import federation, records, with_ejabberd, with_prosody
from s2s import body, domains, hears, is_message, says
from suite import accounts, check

RATE = 50


def with_sm(one):
    one.send("<enable xmlns='%s'/>" % xmpp.NS_SM)
    one.wait_for(lambda e: e.tag == '{%s}enabled' % xmpp.NS_SM)
    return one


def gathers(one, heard, until, timeout):
    """What one hears, with the time, until the text comes."""
    end = time.monotonic() + timeout
    while until not in [text for _, text in heard] and time.monotonic() < end:
        with contextlib.suppress(xmpp.TimedOut):
            got = one.next(0.5)
            if is_message(got) and got.get('type') == 'chat' and body(got):
                heard.append((time.monotonic(), body(got)))


def partner_is_killed(a, p, forgiven=0):
    """Fifty a second to a partner that is killed, and comes back after seconds: nothing that was acknowledged to the sender is
    lost, order is kept, and it flows again within 5 s. What the partner took and had not confirmed may come twice: it forgets. forgiven: so many it may take, and not show to a user who logs in at that
    moment."""
    juliet, romeo = with_sm(a.login('juliet')), p.login('romeo')
    says(juliet, 'romeo@p.example', 'hello')
    hears(romeo, 'hello', timeout=15)
    heard, refused = [], []
    total, back = 400, None
    for n in range(total):
        says(juliet, 'romeo@p.example', 'n%d' % n)
        with contextlib.suppress(xmpp.TimedOut):
            got = juliet.next(1 / RATE)
            if is_message(got) and got.get('type') == 'error':
                refused.append(got)
        if n == 100:
            gathers(romeo, heard, 'n90', 10)       # he has these; what came later is his server's to keep
            p.kill()
        if n == 250:
            p.start()
            back = time.monotonic()
            romeo = p.login('romeo')
    juliet.send("<r xmlns='%s'/>" % xmpp.NS_SM)
    juliet.wait_for(lambda e: e.tag == '{%s}a' % xmpp.NS_SM and int(e.get('h')) >= total, timeout=20)
    count = len(heard)
    gathers(romeo, heard, 'n%d' % (total - 1), 30)
    check(not refused, '%d came back: %s' % (len(refused), [xmpp.text_of(e) for e in refused[:1]]))
    texts = [text for _, text in heard]
    first = list(dict.fromkeys(texts))
    # What lay between the partner's answer to our ping and its kill may be in its archive alone: he had no session.
    missing = [n for n in range(total) if 'n%d' % n not in first]
    gone = [n for n in missing if n > 100]
    check(all(n > 90 for n in missing) and len(gone) <= forgiven, 'lost: %s' % missing)
    check(all(p.log().count("id='n%d'" % n) for n in gone), 'never sent: %s' % gone)
    check(first == sorted(first, key=lambda text: int(text[1:])), 'not in order')
    check(heard[count][0] - back < 5 + 1, 'the first came %.1f s after the return' % (heard[count][0] - back))
    check(len(texts) - len(first) <= 30, '%d came twice' % (len(texts) - len(first)))


@accounts()
def test_prosody_is_killed(t):
    """kill -9 of Prosody under load"""
    with federation(t, with_prosody(t)) as (a, p):
        partner_is_killed(a, p)


@accounts()
def test_ejabberd_is_killed(t):
    """kill -9 of ejabberd under load"""
    with federation(t, with_ejabberd(t)) as (a, p):
        partner_is_killed(a, p, forgiven=5)


@accounts()
def test_dns_lies(t):
    """A name server that sends us to the wrong server: nothing is told to that one, and when it says the truth again, what waits
    arrives"""
    if not nameserver.is_there():
        t.skip('nsd is not installed')
    with domains(t, 'c.example') as liar:
        made = []

        def before(a):
            a.tree.pop('routes', None)
            made.append(nameserver.NameServer('example', ''))
            made.append(partners.Sterna(t, 'p.example', a.authority, made[0].port))
            made[1].s2s_port, right = liar.s2s_port, made[1].s2s_port
            made[0].change(records(a, made[1]))
            made[1].s2s_port = right
            a.tree['dns'] = {'servers': ['127.0.0.1@%d' % made[0].port], 'negative_time': '1s', 'cache_time': '1s'}
            a.configure()
        with domains(t, 'a.example', before=before) as a:
            p = made[1].start()
            juliet, romeo = a.login('juliet'), p.login('romeo')
            says(juliet, 'romeo@p.example', 'told to nobody')
            got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=20)
            check('host-unknown' in xmpp.text_of(got) or 'certificate' in xmpp.text_of(got), xmpp.text_of(got))
            check('p.example' in a.ctl('s2s', 'explain', 'p.example'), 'explain')
            made[0].change(records(a, p))
            end = time.monotonic() + 40
            arrived = False
            while not arrived and time.monotonic() < end:
                says(juliet, 'romeo@p.example', 'the truth')
                with contextlib.suppress(xmpp.TimedOut):
                    arrived = body(romeo.wait_for(is_message, timeout=1)) == 'the truth'
            check(arrived, 'it did not come back')
            check('told to nobody' not in liar.log(), 'told')
            for one in reversed(made):
                problems = one.close()
                check(not problems, problems)


@accounts()
def test_links_rest(t):
    """s2s.idle_time: a link that nobody uses is closed, and is made anew by the next word; nothing is lost"""
    with domains(t, 'a.example', 'b.example', s2s__idle_time='10s') as (a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        says(juliet, romeo.jid, 'one')
        hears(romeo, 'one', juliet.jid, timeout=10)
        end = time.monotonic() + 30
        while '"state": "connected"' in a.ctl('--json', 's2s', 'show', 'b.example') and time.monotonic() < end:
            time.sleep(0.5)
        check('"state": "connected"' not in a.ctl('--json', 's2s', 'show', 'b.example'), 'still connected')
        says(juliet, romeo.jid, 'two')
        hears(romeo, 'two', juliet.jid, timeout=10)
        says(romeo, juliet.jid, 'three')
        hears(juliet, 'three', romeo.jid, timeout=10)
