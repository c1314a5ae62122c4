"""Real Prosody, real ejabberd and a second Sterna as partners: each way to authenticate."""
import xmpp
from federation import federation, get, meet, with_ejabberd, with_prosody, with_sterna
from s2s import body, hears, says
from suite import accounts, check


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


@accounts()
def test_sterna(t):
    """a second Sterna, found by DNS"""
    with federation(t, with_sterna(t)) as (a, p):
        meet(a, p)


@accounts()
def test_sterna_dialback(t):
    """two of ours with dialback both ways"""
    with federation(t, with_sterna(t), trust='dialback', s2s__trust='dialback') as (a, p):
        meet(a, p, first='p')


@accounts()
def test_ejabberd_direct_tls(t):
    """ejabberd over TLS from the first byte, with dialback and certificates that need not hold"""
    with federation(t, with_ejabberd(t), direct=True, trust='dialback') as (a, p):
        meet(a, p, first='p')


def idn(t, make):
    """Both domains are written with letters that DNS and certificates have in their ASCII form only."""
    with federation(t, make, names=('münchen.example', 'bücher.example')) as (a, p):
        juliet, romeo = meet(a, p)
        check(romeo.jid.startswith('romeo@bücher.example/'), romeo.jid)
        # The ASCII form of a domain is the same domain.
        says(juliet, 'romeo@xn--bcher-kva.example', 'in ascii')
        hears(romeo, 'in ascii', juliet.jid, timeout=15)


@accounts()
def test_prosody_idn(t):
    """internationalised domains on both sides, with Prosody"""
    idn(t, with_prosody(t))


@accounts()
def test_ejabberd_idn(t):
    """internationalised domains on both sides, with ejabberd"""
    idn(t, with_ejabberd(t))


@accounts()
def test_sterna_idn(t):
    """internationalised domains on both sides, with a second Sterna"""
    idn(t, with_sterna(t))


def finds(one, text, sender):
    """From several senders: no order among them."""
    got = one.wait_for(lambda e: body(e) == text, timeout=15)
    check(got.get('from') == sender and got.get('to') == one.jid, xmpp.text_of(got))


def virtual_hosts(t, make, **options):
    """Two domains on each side: each pair is authenticated by itself, and nobody hears another's."""
    with federation(t, make, our_more_hosts=('c.example',), more_hosts=('q.example',), **options) as (a, p):
        ours = {host: a.login('juliet', host=host) for host in a.hosts}
        theirs = {host: p.login('romeo', host=host) for host in p.hosts}
        for here, juliet in ours.items():
            for there, romeo in theirs.items():
                says(juliet, romeo.jid, '%s to %s' % (here, there))
                says(romeo, juliet.jid, '%s to %s' % (there, here))
        for here, juliet in ours.items():
            for there in theirs:
                finds(juliet, '%s to %s' % (there, here), theirs[there].jid)
        for there, romeo in theirs.items():
            for here in ours:
                finds(romeo, '%s to %s' % (here, there), ours[here].jid)
        for juliet in ours.values():
            for there in theirs:
                get(juliet, there, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        get(ours['c.example'], 'conference.q.example', "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        get(theirs['q.example'], 'conference.c.example', "<query xmlns='http://jabber.org/protocol/disco#info'/>")


@accounts()
def test_prosody_virtual_hosts(t):
    """two domains on each side, with Prosody"""
    virtual_hosts(t, with_prosody(t))


@accounts()
def test_prosody_virtual_hosts_bidi(t):
    """two domains on each side, with Prosody and bidirectional streams"""
    virtual_hosts(t, with_prosody(t), bidi=True)


@accounts()
def test_prosody_virtual_hosts_dialback(t):
    """two domains on each side, with Prosody and dialback"""
    virtual_hosts(t, with_prosody(t), external=False, secure=False, trust='dialback')


@accounts()
def test_ejabberd_virtual_hosts(t):
    """two domains on each side, with ejabberd"""
    virtual_hosts(t, with_ejabberd(t))


@accounts()
def test_sterna_virtual_hosts(t):
    """two domains on each side, with a second Sterna"""
    virtual_hosts(t, with_sterna(t))
