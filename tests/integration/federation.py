"""A Sterna at a.example and a partner at p.example, both with rooms at conference.*, found by DNS."""
import contextlib

import nameserver
import partners
import xmpp
from s2s import domains, hears, says
from suite import check


def srv(service, name, port, target):
    return '_%s._tcp.%s IN SRV 1 0 %d %s' % (service, name.encode('idna').decode().removesuffix('.example'), port, target)


def records(*servers, direct=False, target='host'):
    """For the zone `example`; a server may have more names than one."""
    lines = []
    for one in servers:
        for host in getattr(one, 'hosts', (one.host,)):
            for name in (host, 'conference.' + host):
                lines.append(srv('xmpps-server', name, one.s2s_tls_port, target) if direct
                             else srv('xmpp-server', name, one.s2s_port, target))
    return '\n'.join([*lines, 'host IN A 127.0.0.1'])


@contextlib.contextmanager
def federation(t, make, direct=False, trust='pkix', names=('a.example', 'p.example'), our_more_hosts=(), **options):
    """(the Sterna, the partner)"""
    if not nameserver.is_there():
        t.skip('nsd is not installed')
    made, good, problems = [], False, []

    def before(a):
        a.tree.pop('routes', None)
        made.append(nameserver.NameServer('example', ''))
        made.append(make(t, names[1], a.authority, made[0].port, **options))
        # ejabberd asks DNS for services, but the system for addresses.
        made[0].change(records(a, made[1], direct=direct, target='localhost.' if make is partners.Ejabberd else 'host'))
        a.tree['dns'] = {'servers': ['127.0.0.1@%d' % made[0].port], 'negative_time': '1s'}
        a.configure(s2s__trust=trust)
    try:
        with domains(t, names[0], before=before, more_hosts=our_more_hosts) as a:
            yield a, made[1].start()
        good = True
    finally:
        for one in reversed(made):
            problems += one.close() or []
    if good and problems:
        raise AssertionError(problems[0])


def with_prosody(t):
    if not partners.prosody_is_there():
        t.skip('prosody is not installed')
    return partners.Prosody


def with_ejabberd(t):
    if not partners.ejabberd_is_there():
        t.skip('ejabberd is not installed')
    return partners.Ejabberd


def with_sterna(_t):
    return partners.Sterna


asked = iter(range(1, 1000000))


def ask(one, to, payload, kind='get', timeout=15):
    """The answer to a request, whatever it says."""
    ident = 'ask%d' % next(asked)
    one.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, ident, " to='%s'" % to if to else '', payload))
    return one.wait_for(lambda e: xmpp.local(e) == 'iq' and e.get('id') == ident and e.get('type') in ('result', 'error'), timeout)


def get(one, to, payload, kind='get', timeout=15):
    """The answer, which has to be a result."""
    answer = ask(one, to, payload, kind, timeout)
    check(answer.get('type') == 'result', '%s to %s: %s' % (payload, to, xmpp.text_of(answer)))
    return answer


def bare(jid):
    return jid.partition('/')[0]


def befriend(one, other):
    """Both see each other's presence; both have to be online."""
    for this, that in ((one, other), (other, one)):
        this.send("<presence type='subscribe' to='%s'/>" % bare(that.jid))
        that.wait_for(lambda e: e.get('type') == 'subscribe', timeout=15)
        that.send("<presence type='subscribed' to='%s'/>" % bare(this.jid))
        this.wait_for(lambda e, that=that: xmpp.local(e) == 'presence' and e.get('from') == that.jid and e.get('type') is None,
                      timeout=15)


def meet(a, p, first='a'):
    """Chat, presence and subscription in all directions."""
    juliet, romeo = a.login('juliet'), p.login('romeo')
    pairs = [(juliet, romeo), (romeo, juliet)]
    for one, other in pairs if first == 'a' else reversed(pairs):
        says(one, other.jid, 'from ' + one.jid)
        hears(other, 'from ' + one.jid, one.jid, timeout=15)
    befriend(juliet, romeo)
    for one, other in pairs:
        one.send('<presence><show>away</show></presence>')
        other.wait_for(lambda e, one=one: e.get('from') == one.jid and e.findtext('{jabber:client}show') == 'away', timeout=15)
    for n in range(50):
        says(juliet, romeo.jid, 'j%d' % n)
        says(romeo, juliet.jid, 'r%d' % n)
    for n in range(50):
        hears(romeo, 'j%d' % n, timeout=15)
        hears(juliet, 'r%d' % n, timeout=15)
    for one, other in pairs:
        get(one, other.host, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    return juliet, romeo
