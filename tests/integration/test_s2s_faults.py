"""Faults between servers: what a peer refuses, cuts, delays or never reads, and that others do not notice."""
import contextlib
import random
import threading
import time

import xmpp
from relay import Relay
from s2s import Listener, Peer, body, domains, fingerprint, hears, is_message, says
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
def test_what_is_too_large_for_the_peer(t):
    """XEP-0478: what is larger than the peer's <max-bytes/> goes back without a try; what is behind it goes on its way"""
    with domains(t, 'a.example') as a:
        home = homed(t, a)
        juliet = a.login('juliet')
        says(juliet, 'x@peer.example', 'small')
        peer = home.accept().accepted_external(then="<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>")
        check(body(peer.wait_for(is_message)) == 'small', 'not sent')
        juliet.send("<message type='chat' to='x@peer.example' id='large'><body>%s</body></message>" % ('x' * 20000))
        says(juliet, 'x@peer.example', 'behind')
        refused = juliet.wait_for(lambda e: e.get('type') == 'error')
        check(refused.get('id') == 'large' and xmpp.condition_of(refused) == 'policy-violation', xmpp.text_of(refused))
        check(body(peer.wait_for(is_message)) == 'behind', 'the large one was sent')
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


# --- resumption by hand -----------------------------------------------------------------------------

SM = xmpp.NS_SM


def peer_of(t, a, domain='peer.example'):
    crt, key = a.authority.issue(domain)
    return Peer(t, domain, a, crt, key).authenticated()


def enables(peer, resume=True):
    peer.send("<enable xmlns='%s'%s/>" % (SM, " resume='true'" if resume else ''))
    return peer.expect('{%s}enabled' % SM)


def sends(peer, juliet, *texts):
    for text in texts:
        peer.send("<message type='chat' id='%s' from='x@%s' to='%s'><body>%s</body></message>" % (text, peer.domain, juliet.jid, text))


def resumes(peer, previd, h=0):
    peer.send("<resume xmlns='%s' previd='%s' h='%s'/>" % (SM, previd, h))
    return peer.wait_for(lambda e: xmpp.local(e) in ('resumed', 'failed'))


@accounts()
def test_peer_resumes(t):
    """XEP-0198 §5: a stream that was cut goes on for the pair of domains that it was of, and for nobody else; h is what came"""
    with domains(t, 'a.example') as a:
        juliet = a.login('juliet')
        peer = peer_of(t, a)
        enabled = enables(peer)
        previd = enabled.get('id')
        check(previd and enabled.get('resume') == 'true' and int(enabled.get('max')) > 0, xmpp.text_of(enabled))
        sends(peer, juliet, 'one', 'two', 'three')
        for text in ('one', 'two', 'three'):
            hears(juliet, text)
        peer.cut()
        other = peer_of(t, a, 'other.example')
        check(xmpp.local(resumes(other, previd)) == 'failed', "another's stream was resumed")
        peer = peer_of(t, a)
        check(xmpp.local(resumes(peer, 'guessed')) == 'failed', 'an id that is none')
        resumed = resumes(peer, previd)
        check(resumed.get('h') == '3' and resumed.get('previd') == previd, xmpp.text_of(resumed))
        sends(peer, juliet, 'four')
        hears(juliet, 'four')
        peer.send("<r xmlns='%s'/>" % SM)
        check(peer.expect('{%s}a' % SM).get('h') == '4', 'the count does not go on')
        # Before the end of the old one was seen: that ends then, and the new one goes on.
        late = peer_of(t, a)
        check(resumes(late, previd).get('h') == '4', 'not taken over')
        check(peer.wait_closed() == 'conflict', 'the old stream stays')
        late.close()                            # in order: nothing is left to resume
        peer = peer_of(t, a)
        check(xmpp.local(resumes(peer, previd)) == 'failed', 'a stream that was closed in order was resumed')
        sends(peer, juliet, 'five')
        hears(juliet, 'five')
        check(xmpp.local(resumes(peer, previd)) == 'failed', 'resumed in the middle of a stream')


@accounts()
def test_peer_resumes_both_ways(t):
    """A bidirectional stream of the peer's: what it had not confirmed comes again, what it had does not; more than it was sent is
    an error"""
    with domains(t, 'a.example') as a:
        juliet = a.login('juliet')

        def bidi():
            crt, key = a.authority.issue('peer.example')
            return Peer(t, 'peer.example', a, crt, key).authenticated(bidi=True)
        peer = bidi()
        previd = enables(peer).get('id')
        for text in ('one', 'two', 'three'):
            says(juliet, 'x@peer.example', text)
        for text in ('one', 'two', 'three'):
            check(body(peer.wait_for(is_message, dropped=[])) == text, text)
        peer.cut()
        says(juliet, 'x@peer.example', 'four')
        peer = bidi()
        check(resumes(peer, previd, 2).get('h') == '0', 'h')
        for text in ('three', 'four'):
            check(body(peer.wait_for(is_message, dropped=[])) == text, text)
        peer.cut()
        peer = bidi()
        peer.send("<resume xmlns='%s' previd='%s' h='5'/>" % (SM, previd))
        check(peer.wait_closed() == 'undefined-condition', 'more than was sent')
        # A stream that does not resume: all that is not confirmed comes again.
        peer = bidi()
        enables(peer)
        for text in ('three', 'four'):
            check(body(peer.wait_for(is_message, dropped=[])) == text, text)


@accounts()
def test_we_resume(t):
    """The same with us as the one who resumes: <resume/> says what came, <resumed/> what need not go again, <failed h=''/> too"""
    with domains(t, 'a.example') as a:
        home = homed(t, a)
        juliet = a.login('juliet')
        sm = "<sm xmlns='%s'/>" % SM
        bidi = "<bidi xmlns='urn:xmpp:features:bidi'/>"
        for text in ('one', 'two', 'three'):
            says(juliet, 'x@peer.example', text)
        peer = home.accept().accepted_external(features=bidi, then=sm)
        check(peer.wait_for(lambda e: xmpp.local(e) == 'enable').get('resume') == 'true', 'resumption is not asked for')
        peer.send("<enabled xmlns='%s' resume='true' id='an &amp; id' max='60'/>" % SM)
        for text in ('one', 'two', 'three'):
            check(body(peer.wait_for(is_message, dropped=[])) == text, text)
        sends(peer, juliet, 'hello')
        hears(juliet, 'hello')
        peer.cut()
        for answer, rest in (("<resumed xmlns='%s' previd='an &amp; id' h='2'/>" % SM, ('three', 'four')),
                             ("<failed xmlns='%s' h='3'/>" % SM, ('four', 'five'))):
            says(juliet, 'x@peer.example', rest[-1])
            peer = home.accept(10).accepted_external(features=bidi, then=sm)
            asked = peer.wait_for(lambda e: xmpp.local(e) in ('resume', 'enable', 'message'))
            check(xmpp.local(asked) == 'resume' and asked.get('previd') == 'an & id' and asked.get('h') == '1', xmpp.text_of(asked))
            peer.send(answer)
            for text in rest:
                check(body(peer.wait_for(is_message, dropped=[])) == text, '%s after %s' % (text, answer))
            if 'resumed' in answer:
                peer.cut()
        home.close()


@accounts()
def test_what_comes_again(t):
    """A peer that cannot resume sends again what was not confirmed, first of all: that is taken once. The same text under the same
    id later on is a message like any other, and so is one without an id"""
    with domains(t, 'a.example') as a:
        juliet = a.login('juliet')
        peer = peer_of(t, a)
        sends(peer, juliet, 'one', 'two')
        for text in ('one', 'two'):
            hears(juliet, text)
        peer.cut()
        peer = peer_of(t, a)
        enables(peer)
        sends(peer, juliet, 'one', 'two', 'three', 'one')
        peer.send("<message type='chat' from='x@peer.example' to='%s'><body>four</body></message>" % juliet.jid)
        peer.send("<r xmlns='%s'/>" % SM)
        check(peer.expect('{%s}a' % SM).get('h') == '5', 'what comes again is confirmed, too')
        for text in ('three', 'one', 'four'):
            hears(juliet, text)
        peer.cut()
        peer = peer_of(t, a)
        peer.send("<message type='chat' from='x@peer.example' to='%s'><body>four</body></message>" % juliet.jid)
        hears(juliet, 'four')


@accounts()
def test_what_came_before_a_crash(t):
    """What a peer sends once more after our kill -9 is known from the archive: all of it that was stored, and only that"""
    with domains(t, 'a.example') as a:
        juliet = a.login('juliet')
        peer = peer_of(t, a)
        enables(peer)
        sends(peer, juliet, 'one', 'two', 'three')
        peer.send("<r xmlns='%s'/>" % SM)
        check(peer.expect('{%s}a' % SM).get('h') == '3', 'stored')
        for text in ('one', 'two', 'three'):
            hears(juliet, text)
        resource = juliet.jid.partition('/')[2]
        a.kill()
        a.start()
        juliet = a.login('juliet', resource=resource)
        peer = peer_of(t, a)
        enables(peer)
        sends(peer, juliet, 'two', 'three', 'four', 'two')
        peer.send("<r xmlns='%s'/>" % SM)
        check(peer.expect('{%s}a' % SM).get('h') == '4', 'not all is confirmed')
        for text in ('four', 'two'):
            hears(juliet, text)


# --- a relay between two of ours --------------------------------------------------------------------

class Talk:
    """Two people on two servers who say something fifty times a second, each in a thread; and what each hears."""

    def __init__(self, a, b, rate=50):
        self.people = [a.login('juliet'), b.login('romeo')]
        self.rate, self.said, self.heard, self.problem = rate, [0, 0], [[], []], None
        self.refused = [[], []]
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in (0, 1)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def run(self, me):
        try:
            one, other = self.people[me], self.people[1 - me].jid.partition('/')[0]
            following = time.monotonic()
            while not self.over.is_set():
                says(one, other, 'n%d' % self.said[me])
                self.said[me] += 1
                following += 1 / self.rate
                self.listen(me, following)
        except Exception as error:             # told by the test's own thread
            self.problem = error

    def listen(self, me, until):
        while True:
            try:
                got = self.people[me].next(max(until - time.monotonic(), 0))
            except xmpp.TimedOut:
                return
            if is_message(got) and got.get('type') == 'error':
                self.refused[me].append(got)
            elif is_message(got) and body(got):
                self.heard[me].append((time.monotonic(), body(got)))

    def finish(self, timeout=30):
        """All that was said has come, once, in order."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.problem:
            raise self.problem
        end = time.monotonic() + timeout
        for me in (0, 1):
            wanted = ['n%d' % n for n in range(self.said[1 - me])]
            while time.monotonic() < end and (not self.heard[me] or self.heard[me][-1][1] != wanted[-1]):
                self.listen(me, time.monotonic() + 0.2)
            self.listen(me, time.monotonic() + 0.3)        # and nothing behind it
            texts = [text for _, text in self.heard[me]]
            check(not self.refused[me], '%d came back: %s' % (len(self.refused[me]), [xmpp.text_of(e) for e in self.refused[me][:1]]))
            check(texts == wanted, 'lost: %s, twice: %s, order: %s' % (
                sorted(set(wanted) - set(texts))[:20], sorted({x for x in texts if texts.count(x) > 1})[:20],
                list(dict.fromkeys(texts)) == [w for w in wanted if w in texts]))

    def gap(self, me, after):
        """How long after that moment the next message came."""
        return next(when for when, _ in self.heard[me] if when > after) - after


@contextlib.contextmanager
def through_relays(t, before=None, **options):
    """a.example and b.example, each reaching the other by a relay of its own."""
    relays = []

    def prepare(a, b):
        relays.extend((Relay(b.s2s_port, **options), Relay(a.s2s_port, **options)))
        a.route('b.example', relays[0].port)
        b.route('a.example', relays[1].port)
        if before:
            before(a, b)
    try:
        with domains(t, 'a.example', 'b.example', before=prepare) as (a, b):
            yield a, b, relays
    finally:
        for relay in relays:
            relay.close()


@accounts()
def test_cut_at_any_moment(t):
    """XEP-0198 §5 between servers: a link that is cut again and again under load loses nothing, repeats nothing, keeps the order"""
    with through_relays(t) as (a, b, relays):
        talk = Talk(a, b).start()
        moments = random.Random(7)
        time.sleep(1)
        for _ in range(12):
            relays[moments.randrange(2)].cut()
            relays[0].cut()
            time.sleep(moments.uniform(0.02, 0.9))
        talk.finish()
        check('the stream goes on' in a.log() + b.log(), 'never resumed')
        t.transcript.append('%s said, %s streams' % (talk.said, [r.count for r in relays]))


@accounts()
def test_long_cut(t):
    """A link that is down for seconds: what was said meanwhile arrives within 5 s of its return, once, in order"""
    with through_relays(t) as (a, b, relays):
        talk = Talk(a, b).start()
        time.sleep(1)
        for relay in relays:
            relay.refuse()
            relay.cut()
        time.sleep(8)
        for relay in relays:
            relay.refuse(False)
        back = time.monotonic()
        time.sleep(6)
        talk.finish()
        for me in (0, 1):
            check(talk.gap(me, back) < 5, 'the first came %.1f s after' % talk.gap(me, back))


@accounts()
def test_delay(t):
    """A slow way (50 to 100 ms), cut now and then: the same"""
    with through_relays(t, delay=0.05, jitter=0.05) as (a, b, relays):
        talk = Talk(a, b).start()
        for _ in range(3):
            time.sleep(3)
            relays[0].cut()
            relays[1].cut()
        time.sleep(2)
        talk.finish()


@accounts()
def test_way_that_swallows(t):
    """A way on which nothing arrives any more, without a word (s2s.stall_time): the link is made anew, nothing is lost or comes
    twice"""
    def before(a, b):
        for one in (a, b):
            one.configure(s2s__stall_time='2s')
    with through_relays(t, before=before) as (a, b, relays):
        talk = Talk(a, b).start()
        time.sleep(1)
        relays[0].stop()
        time.sleep(4)
        relays[0].cut()
        relays[0].stop(False)
        talk.finish()


# --- certificates, and partners that do not listen --------------------------------------------------

@accounts()
def test_certificate_is_changed(t):
    """A new certificate, and reload: links stay as they are, new streams show the new one, nothing is lost"""
    with through_relays(t) as (a, b, relays):
        talk = Talk(a, b).start()
        time.sleep(1)
        old = fingerprint(b.cert)
        before = [relay.count for relay in relays]
        for one in (a, b):
            one.authority.issue(one.host)              # over the old files
            one.ctl('reload')
        time.sleep(1.5)
        check([relay.count for relay in relays] == before, 'links were dropped')
        check(fingerprint(b.cert) != old, 'it is the same')
        for relay in relays:
            relay.cut()
        time.sleep(1)
        talk.finish()
        check('the certificate holds' in a.ctl('s2s', 'explain', 'b.example'), 'the new one does not hold')


@accounts()
def test_certificate_has_expired(t):
    """An expired certificate: nothing is sent, the sender and the operator are told why; with a new one all goes on by itself"""
    with domains(t, 'a.example', 'b.example', s2s__queue_time='2m') as (a, b):
        juliet, romeo = a.login('juliet'), b.login('romeo')
        b.authority.issue('b.example', days=-1)
        b.ctl('reload')
        says(juliet, 'romeo@b.example', 'one')
        got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=15)
        check('expired' in xmpp.text_of(got), xmpp.text_of(got))
        check('expired' in a.ctl('s2s', 'explain', 'b.example'), 'explain')
        b.authority.issue('b.example')
        b.ctl('reload')
        end = time.monotonic() + 20
        while time.monotonic() < end:
            says(juliet, 'romeo@b.example', 'two')
            with contextlib.suppress(xmpp.TimedOut):
                if body(romeo.wait_for(is_message, timeout=1)) == 'two':
                    return
        check(False, 'it did not come back')


@accounts()
def test_partner_that_does_not_read(t):
    """A partner that takes a stream and never reads from it: what waits is bounded, the rest goes back, others notice nothing"""
    with domains(t, 'a.example', 'b.example', s2s__queue_bytes='256KiB', s2s__stall_time='10m') as (a, b):
        home = homed(t, a)
        juliet, romeo, other = a.login('juliet'), b.login('romeo'), a.login('romeo')
        says(juliet, 'x@peer.example', 'first')
        home.accept().accepted_external()              # and that is all it does
        refused = 0
        for n in range(400):
            juliet.send("<message type='chat' to='x@peer.example' id='m%d'><body>%s</body></message>" % (n, 'x' * 20000))
            if n % 20 == 0:
                says(other, romeo.jid, 'o%d' % n)
                check(body(romeo.wait_for(is_message, timeout=10)) == 'o%d' % n, 'another link has to wait')
            with contextlib.suppress(xmpp.TimedOut):
                got = juliet.next(0)
                refused += got.get('type') == 'error'
        got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=20)
        check(xmpp.condition_of(got) == 'resource-constraint', xmpp.text_of(got))
        home.close()
