"""Where other servers are: RFC 6120 §3.2, XEP-0368, with a name server of our own."""
import contextlib
import hashlib
import json
import subprocess
import time

import nameserver
import xmpp
from s2s import Authority, domains, hears, says
from suite import accounts, check


def srv(server, service='xmpp-server', priority=0, weight=1, target='host', port=None):
    port = port or (server.s2s_tls_port if service.startswith('xmpps') else server.s2s_port)
    return '_%s._tcp.%s IN SRV %d %d %d %s' % (service, server.host.split('.')[0], priority, weight, port, target)


@contextlib.contextmanager
def named(t, *names, records=None, signed=False, zone='example', **options):
    """Servers of domains in a zone; records(*servers) gives its lines. A zone server that can be changed comes first."""
    if not nameserver.is_there(signed):
        t.skip('nsd or ldnsutils is not installed')
    made = []

    def before(*servers):
        for one in servers:
            one.tree.pop('routes', None)
        lines = records(*servers) if records else '\n'.join(srv(one) for one in servers) + '\nhost IN A 127.0.0.1\n'
        made.append(nameserver.NameServer(zone, lines, signed))
        for one in servers:
            one.tree['dns'] = {'servers': ['127.0.0.1@%d' % made[0].port], 'negative_time': '1s'}
            if signed:
                one.tree['dns']['trust_anchor'] = str(made[0].anchor)
            one.configure()
    try:
        with domains(t, *names, before=before, **options) as servers:
            yield (made[0], *servers) if isinstance(servers, list) else (made[0], servers)
    finally:
        for one in made:
            one.close()


def meet(a, b):
    juliet, romeo = a.login('juliet'), b.login('romeo')
    says(juliet, 'romeo@%s' % b.host, 'one')
    hears(romeo, 'one', juliet.jid, timeout=10)
    says(romeo, juliet.jid, 'two')
    hears(juliet, 'two', romeo.jid, timeout=10)
    return juliet, romeo


def bounced(one, condition, why, timeout=10):
    got = one.wait_for(lambda e: e.get('type') == 'error', timeout=timeout)
    check(xmpp.condition_of(got) == condition and why in xmpp.text_of(got), xmpp.text_of(got))


@accounts()
def test_srv(t):
    """SRV records say machine and port"""
    with named(t, 'a.example', 'b.example') as (_, a, b):
        meet(a, b)


@accounts()
def test_direct_tls_by_srv(t):
    """XEP-0368: _xmpps-server beside _xmpp-server, as one list by priority"""
    def records(a, b):
        return '\n'.join([srv(b, 'xmpps-server', 1), srv(b, 'xmpp-server', 5, port=1), srv(a), 'host IN A 127.0.0.1'])
    with named(t, 'a.example', 'b.example', records=records) as (_, a, b):
        meet(a, b)


@accounts()
def test_next_target(t):
    """A target that refuses, one that has no address, one that speaks no XMPP: the next priority is tried"""
    def records(a, b):
        return '\n'.join([srv(b, priority=1, target='nowhere'), srv(b, priority=2, port=1), srv(b, 'xmpps-server', 3, port=b.http_port),
                          srv(b, priority=9), srv(a), 'host IN A 127.0.0.1'])
    with named(t, 'a.example', 'b.example', records=records) as (_, a, b):
        meet(a, b)


@accounts()
def test_happy_eyeballs(t):
    """RFC 8305: an IPv6 address that nobody answers on does not hold up the IPv4 one"""
    def records(a, b):
        return '\n'.join([srv(b), srv(a), 'host IN A 127.0.0.1', 'host IN AAAA 100::1', 'host IN AAAA ::1'])
    with named(t, 'a.example', 'b.example', records=records) as (_, a, b):
        began = time.monotonic()
        meet(a, b)
        check(time.monotonic() - began < 5, 'it took %.1f s' % (time.monotonic() - began))


@accounts()
def test_no_service(t):
    """RFC 2782: '.' says that there is no server: remote-server-not-found at once; so does a name that nobody has"""
    def records(a, b):
        return '\n'.join([srv(a), srv(b, target='.', port=5269), 'host IN A 127.0.0.1'])
    with named(t, 'a.example', 'b.example', records=records) as (_, a, b):
        juliet = a.login('juliet')
        says(juliet, 'romeo@b.example', 'one')
        bounced(juliet, 'remote-server-not-found', 'no server')
        says(juliet, 'romeo@nobody.example', 'two')
        bounced(juliet, 'remote-server-not-found', 'no server')


@accounts()
def test_private_addresses(t):
    """Without s2s.private_addresses DNS sends us to no inner address, and an address as a domain neither"""
    with named(t, 'a.example', 'b.example') as (_, a, b):
        a.configure(s2s__private_addresses=False)
        a.ctl('reload')
        juliet = a.login('juliet')
        for domain in ('b.example', '127.0.0.1', '[::1]', '169.254.169.254'):
            says(juliet, 'x@' + domain, 'no')
            bounced(juliet, 'remote-server-not-found', 'no public address')


@accounts()
def test_internationalised(t):
    """IDNA: a domain in U-labels is looked up, and its certificate checked, in A-labels"""
    def records(a, b):
        return '\n'.join([srv(a), '_xmpp-server._tcp.xn--bcher-kva IN SRV 0 0 %d host' % b.s2s_port, 'host IN A 127.0.0.1'])
    with named(t, 'a.example', 'bücher.example', records=records) as (_, a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        says(juliet, 'romeo@xn--bcher-kva.example', 'one')
        hears(romeo, 'one', juliet.jid, timeout=10)
        says(romeo, juliet.jid, 'two')
        hears(juliet, 'two', romeo.jid, timeout=10)


@accounts()
def test_resolver_is_away(t):
    """Without an answer messages wait; they arrive when DNS is back"""
    with named(t, 'a.example', 'b.example') as (dns, a, b):
        dns.stop()
        juliet, romeo = a.login('juliet'), b.login('romeo')
        says(juliet, 'romeo@b.example', 'one')
        time.sleep(2)
        dns.start()
        hears(romeo, 'one', timeout=20)


@accounts()
def test_forged_answers(t):
    """DNSSEC: answers whose signatures do not hold are not believed"""
    with named(t, 'a.example', 'b.example', signed=True) as (dns, a, b):
        juliet, _ = meet(a, b)
        dns.signed = False
        dns.change(srv(b) + '\nhost IN A 127.0.0.1\n' + '_xmpp-server._tcp.c IN SRV 0 0 %d host' % b.s2s_port)
        juliet.send("<iq type='get' id='q' to='c.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        bounced(juliet, 'remote-server-timeout', '', timeout=30)


def tlsa(server, crt, usage='3 1 1'):
    """A TLSA record: DANE-EE with the SHA-256 of the key, on the port of the server."""
    der = subprocess.run('openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER' % crt, shell=True, check=True,
                         capture_output=True).stdout
    return '_%d._tcp.host IN TLSA %s %s' % (server.s2s_port, usage, hashlib.sha256(der).hexdigest())


@accounts()
def test_dane(t):
    """RFC 7673: trust dane: a certificate that nobody signed is believed for its TLSA record; not for another's"""
    other = Authority('Another CA')

    def records(a, b):
        for one in (a, b):
            one.configure(tls__authorities=str(other.crt), s2s__trust='dane')
        return '\n'.join([srv(a), srv(b), 'host IN A 127.0.0.1', tlsa(a, a.cert), tlsa(b, b.cert)])
    with named(t, 'a.example', 'b.example', records=records, signed=True) as (dns, a, b):
        juliet, _ = meet(a, b)
        check('DANE' in a.ctl('s2s', 'explain', 'b.example'), 'no DANE')
        dns.change('\n'.join([srv(a), srv(b), 'host IN A 127.0.0.1', tlsa(a, a.cert), tlsa(b, a.cert)]))
        until = time.monotonic() + 20                   # the name server has to take it up, and what is cached to go
        tried = {'ok': True}
        while tried['ok'] and time.monotonic() < until:
            time.sleep(1)
            tried = json.loads(a.ctl('--json', 's2s', 'test', 'b.example'))
        check(not tried['ok'] and tried['steps'][-1]['what'] in ('certificate', 'connect')
              and any(s['what'] == 'certificate' and not s['ok'] for s in tried['steps']), tried)
    other.close()
