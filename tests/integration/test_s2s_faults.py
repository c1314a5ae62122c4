"""Faults between servers: what a peer refuses, cuts, delays or never reads, and that others do not notice."""
import contextlib
import time

import xmpp
from s2s import Listener, body, domains, is_message, says
from suite import accounts, check


def homed(t, a, **more):
    """peer.example as a server that a connects to."""
    crt, key = a.authority.issue('peer.example', **more)
    home = Listener(t, 'peer.example', a, crt, key)
    a.route('peer.example', home.port)
    a.ctl('reload')
    return home


def serves(peer, poison, heard):
    """As a server without XEP-0198 that cannot take that message: until it came, or nothing comes. Pings are answered."""
    while True:
        got = peer.next(20)
        if is_message(got) and body(got) == poison:
            peer.send("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
            return
        if is_message(got):
            heard.append(body(got))
            if heard[-1] == 'end':
                return
        elif got.find('{urn:xmpp:ping}ping') is not None:
            peer.send("<iq type='result' id='%s' from='peer.example' to='a.example'/>" % got.get('id'))


@accounts()
def test_a_stanza_that_the_peer_refuses(t):
    """A stanza that makes the peer end its stream goes back to its sender, and does not stop what comes behind it"""
    with domains(t, 'a.example') as a:
        home = homed(t, a)
        juliet = a.login('juliet')
        for n in range(5):
            says(juliet, 'x@peer.example', 'before%d' % n)
        says(juliet, 'x@peer.example', 'poison')
        for n in range(5):
            says(juliet, 'x@peer.example', 'after%d' % n)
        says(juliet, 'x@peer.example', 'end')
        heard, streams = [], 0
        while 'end' not in heard:
            # It writes on our stream what answers our pings.
            peer = home.accept(20)
            peer.accepted_external(features="<bidi xmlns='urn:xmpp:features:bidi'/>")
            streams += 1
            serves(peer, 'poison', heard)
            if 'end' not in heard:
                peer.cut()
        said = ['before%d' % n for n in range(5)] + ['after%d' % n for n in range(5)] + ['end']
        check(list(dict.fromkeys(heard)) == said, heard)
        check(streams <= 4, '%d streams for one stanza' % streams)
        refused = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=10)
        check(refused.get('id') == 'poison' and xmpp.condition_of(refused) == 'not-acceptable', xmpp.text_of(refused))
        check('policy-violation' in xmpp.text_of(refused), xmpp.text_of(refused))
        with contextlib.suppress(xmpp.TimedOut):
            got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=0.5)
            check(False, 'another one: ' + xmpp.text_of(got))
        home.close()


@accounts()
def test_a_peer_that_ends_every_stream(t):
    """A peer that ends each stream as soon as it is there, for no fault of ours, is not asked many times a second; what waits
    is kept"""
    with domains(t, 'a.example') as a:
        home = homed(t, a)
        juliet = a.login('juliet')
        says(juliet, 'x@peer.example', 'hello')
        began, streams = time.monotonic(), 0
        while time.monotonic() < began + 6:
            try:
                peer = home.accept(1)
            except TimeoutError:
                continue
            peer.accepted_external()
            peer.wait_for(is_message)
            streams += 1
            peer.send("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
            peer.cut()
        check(3 <= streams <= 9, '%d streams in six seconds' % streams)
        peer = home.accept(10).accepted_external()
        check(body(peer.wait_for(is_message)) == 'hello', 'lost')
        home.close()
