"""Real Prosody and real ejabberd as partners, found by DNS."""
import contextlib

import nameserver
import partners
import xmpp
from s2s import domains, hears, says
from suite import accounts, check


def records(*servers, target='host'):
    lines = ['_xmpp-server._tcp.%s IN SRV 1 0 %d %s' % (one.host.split('.')[0], one.s2s_port, target) for one in servers]
    return '\n'.join(lines + ['host IN A 127.0.0.1'])


@contextlib.contextmanager
def federation(t, make, direct=False, trust='pkix', **options):
    """A Sterna at a.example and a partner at p.example."""
    if not nameserver.is_there():
        t.skip('nsd is not installed')
    made = []

    def before(a):
        a.tree.pop('routes', None)
        made.append(nameserver.NameServer('example', ''))
        made.append(make(t, 'p.example', a.authority, made[0].port, **options))
        # ejabberd asks DNS for services, but the system for addresses.
        lines = records(a, made[1], target='localhost.' if make is partners.Ejabberd else 'host')
        if direct:
            lines = '\n'.join(['_xmpps-server._tcp.%s IN SRV 1 0 %d host' % (one.host.split('.')[0], one.s2s_tls_port)
                               for one in (a, made[1])] + ['host IN A 127.0.0.1'])
        made[0].change(lines)
        a.tree['dns'] = {'servers': ['127.0.0.1@%d' % made[0].port], 'negative_time': '1s'}
        a.configure(s2s__trust=trust)
    try:
        with domains(t, 'a.example', before=before) as a:
            yield a, made[1].start()
    finally:
        for one in reversed(made):
            one.close()


def meet(a, p, first='a'):
    """Chat, presence and subscription in all directions."""
    juliet, romeo = a.login('juliet'), p.login('romeo')
    pairs = [(juliet, romeo), (romeo, juliet)]
    for one, other in pairs if first == 'a' else reversed(pairs):
        says(one, other.jid, 'from ' + one.jid)
        hears(other, 'from ' + one.jid, one.jid, timeout=15)
    for one, other in pairs:
        bare = other.jid.partition('/')[0]
        one.send("<presence type='subscribe' to='%s'/>" % bare)
        other.wait_for(lambda e: e.get('type') == 'subscribe', timeout=10)
        other.send("<presence type='subscribed' to='%s'/>" % one.jid.partition('/')[0])
        one.wait_for(lambda e, other=other: xmpp.local(e) == 'presence' and e.get('from') == other.jid and e.get('type') is None,
                     timeout=10)
    for one, other in pairs:
        one.send('<presence><show>away</show></presence>')
        other.wait_for(lambda e, one=one: e.get('from') == one.jid and e.findtext('{jabber:client}show') == 'away', timeout=10)
    for n in range(50):
        says(juliet, romeo.jid, 'j%d' % n)
        says(romeo, juliet.jid, 'r%d' % n)
    for n in range(50):
        hears(romeo, 'j%d' % n, timeout=10)
        hears(juliet, 'r%d' % n, timeout=10)
    for one, other in pairs:
        one.send("<iq type='get' id='disco' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                 % other.host)
        answer = one.wait_for(lambda e: e.get('id') == 'disco', timeout=10)
        check(answer.get('type') == 'result', xmpp.text_of(answer))
    return juliet, romeo


def with_prosody(t):
    if not partners.prosody_is_there():
        t.skip('prosody is not installed')
    return partners.Prosody


def with_ejabberd(t):
    if not partners.ejabberd_is_there():
        t.skip('ejabberd is not installed')
    return partners.Ejabberd


@accounts()
def test_prosody_external(t):
    """Prosody, SASL EXTERNAL both ways, certificates for servers only: chat, presence, subscription, IQs"""
    with federation(t, with_prosody(t)) as (a, p):
        meet(a, p)
        check('by=EXTERNAL' in a.log(), 'no EXTERNAL')


@accounts()
def test_prosody_bidi(t):
    """Prosody with bidirectional streams (XEP-0288), begun by either side"""
    with federation(t, with_prosody(t), bidi=True) as (a, p):
        meet(a, p, first='p')


@accounts()
def test_prosody_direct_tls(t):
    """Prosody over TLS from the first byte (XEP-0368), found by _xmpps-server alone"""
    with federation(t, with_prosody(t), direct=True) as (a, p):
        meet(a, p)


@accounts()
def test_prosody_dialback(t):
    """Prosody whose certificates hold for nobody, with dialback (XEP-0220) both ways"""
    with federation(t, with_prosody(t), external=False, secure=False, trust='dialback') as (a, p):
        meet(a, p, first='p')
        check('by=dialback' in a.log(), 'no dialback')


@accounts()
def test_ejabberd(t):
    """ejabberd: chat, presence, subscription, IQs"""
    with federation(t, with_ejabberd(t)) as (a, p):
        meet(a, p)


@accounts()
def test_ejabberd_first(t):
    """ejabberd begins"""
    with federation(t, with_ejabberd(t)) as (a, p):
        meet(a, p, first='p')
