"""A client on asyncio for many at once: TLS, SCRAM, XEP-0198 with resumption, and a ledger of what was promised.

What it knows is what a real client knows: which of its stanzas were covered by an <a/> or a <resumed/>, and how many
it has taken in itself. After a cut it resumes, and sends again what the server did not take, under the same origin-id.
"""
import asyncio
import base64
import ssl
import time

import xmpp
from xmpp import NS_SM

CLIENT = '{jabber:client}'
COUNTED = (CLIENT + 'message', CLIENT + 'presence', CLIENT + 'iq')
MAM = 'urn:xmpp:mam:2'
RSM = 'http://jabber.org/protocol/rsm'
SID = 'urn:xmpp:sid:0'
WAIT = 20
WINDOW = 24


class Fault(Exception):
    """A promise was broken, or somebody does not get on."""


class Ledger:
    """Who sent what to whom, what of it was acknowledged, and what has come."""

    def __init__(self):
        self.sent = {}          # id -> (from, to, number of the pair)
        self.acked = set()
        self.again = set()      # ids that were sent more than once
        self.refused = set()
        self.numbers = {}       # (from, to) -> how many
        self.got = {}           # recipient -> ids in the order in which they came
        self.faults = []

    def fault(self, text):
        self.faults.append(text)

    def new(self, sender, to):
        number = self.numbers[sender, to] = self.numbers.get((sender, to), 0) + 1
        ident = '%s-%s-%d' % (sender, to, number)
        self.sent[ident] = (sender, to, number)
        return ident


class Peer:
    """One account with one device. `name` is the account."""

    def __init__(self, ledger, server, name, password='pw'):
        self.ledger, self.server, self.name, self.password = ledger, server, name, password
        self.reader = self.writer = self.task = None
        self.stream, self.elems = None, None
        self.parted = []                # connections that were left without a word
        self.on_ack = lambda: None
        self.sm_id = None
        self.window = WINDOW            # messages that may be unacknowledged before it waits
        self.fresh()

    def fresh(self):
        """Nothing is known of a session any more."""
        self.sm_id, self.h_in, self.out = None, 0, 0
        self.unacked = []               # (number, id or None, text)
        self.waiting = {}               # iq id -> future
        self.alive = False
        self.asked = 0
        self.acked_event = asyncio.Event()

    # -- bytes -----------------------------------------------------------------------------------------

    def write(self, text):
        if self.writer is not None:
            self.writer.write(text.encode())

    async def element(self, timeout=WAIT):
        """The next element while nobody else reads."""
        while not self.elems:
            data = await asyncio.wait_for(self.reader.read(65536), timeout)
            if not data:
                raise ConnectionError('closed')
            self.elems.extend(self.stream.feed(data))
        return self.elems.pop(0)

    async def open(self):
        self.stream, self.elems = xmpp.Stream(), []
        self.write("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
                   "xmlns:stream='http://etherx.jabber.org/streams'>" % self.server.host)
        await self.element()
        return await self.element()

    async def authenticate(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(self.server.crt))
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(
            '127.0.0.1', self.server.tls_port, ssl=context, server_hostname=self.server.host), WAIT)
        await self.open()
        scram = xmpp.Scram('SCRAM-SHA-1', self.name, self.password)
        self.write("<auth xmlns='%s' mechanism='SCRAM-SHA-1'>%s</auth>" % (
            xmpp.NS_SASL, base64.b64encode(scram.first()).decode()))
        elem = await self.element()
        if xmpp.local(elem) != 'challenge':
            raise Fault('%s: no challenge: %s' % (self.name, xmpp.text_of(elem)))
        self.write("<response xmlns='%s'>%s</response>" % (
            xmpp.NS_SASL, base64.b64encode(scram.final(base64.b64decode(elem.text))).decode()))
        elem = await self.element()
        if xmpp.local(elem) != 'success':
            raise Fault('%s: not logged in: %s' % (self.name, xmpp.text_of(elem)))
        await self.open()

    # -- sessions --------------------------------------------------------------------------------------

    async def login(self):
        """A new session, with XEP-0198; initial presence. What was not acknowledged before is sent again."""
        left = [entry for entry in self.unacked if entry[1] is not None]
        self.fresh()
        await self.authenticate()
        self.write("<iq type='set' id='bind'><bind xmlns='%s'><resource>r</resource></bind></iq>" % xmpp.NS_BIND)
        elem = await self.element()
        if elem.get('type') != 'result':
            raise Fault('%s: not bound: %s' % (self.name, xmpp.text_of(elem)))
        self.write("<enable xmlns='%s' resume='true'/>" % NS_SM)
        elem = await self.element()
        if xmpp.local(elem) != 'enabled':
            raise Fault('%s: not enabled: %s' % (self.name, xmpp.text_of(elem)))
        self.sm_id = elem.get('id')
        self.begin()
        self.count("<presence/>", None)
        for _, ident, text in left:
            self.ledger.again.add(ident)
            self.count(text, ident)
        self.ask()

    async def resume(self):
        """The same session on a new connection. Sends again what was not taken."""
        await self.authenticate()
        self.write("<resume xmlns='%s' previd='%s' h='%d'/>" % (NS_SM, self.sm_id, self.h_in))
        elem = await self.element()
        if xmpp.local(elem) != 'resumed':
            raise Fault('%s asked for its session and did not get it: %s' % (self.name, xmpp.text_of(elem)))
        self.take_ack(int(elem.get('h')))
        left, self.unacked, self.out = self.unacked, [], int(elem.get('h'))
        self.begin()
        for _, ident, text in left:
            if ident is not None:
                self.ledger.again.add(ident)
            self.count(text, ident)
        self.ask()

    def begin(self):
        self.alive = True
        self.task = asyncio.ensure_future(self.read_on(self.reader, self.stream, self.elems))

    def part(self):
        """The network is gone: nothing is read or written any more, and the server is not told."""
        self.alive = False
        self.task.cancel()
        self.parted.append(self.writer)
        self.writer = None

    async def close(self):
        """In order, with all acknowledged."""
        self.write("<a xmlns='%s' h='%d'/></stream:stream>" % (NS_SM, self.h_in))
        self.alive = False
        try:
            await asyncio.wait_for(self.task, WAIT)
        except asyncio.TimeoutError:
            raise Fault('%s: the server does not close the stream' % self.name) from None
        self.drop()
        self.sm_id = None

    def drop(self):
        for writer in [self.writer, *self.parted]:
            if writer is not None:
                writer.transport.abort()
        self.writer, self.parted = None, []
        if self.task is not None:
            self.task.cancel()
        self.alive = False

    # -- stanzas ---------------------------------------------------------------------------------------

    def count(self, text, ident):
        self.out += 1
        self.unacked.append((self.out, ident, text))
        self.write(text)

    def ask(self):
        self.asked = self.out
        self.write("<r xmlns='%s'/>" % NS_SM)

    def say(self, to, ident, body=''):
        self.count("<message to='%s@%s' type='chat' id='%s'><body>%s %s</body><origin-id xmlns='%s' id='%s'/></message>" % (
            to, self.server.host, ident, ident, body, SID, ident), ident)

    def take_ack(self, h):
        while self.unacked and self.unacked[0][0] <= h:
            ident = self.unacked.pop(0)[1]
            if ident is not None:
                self.ledger.acked.add(ident)
        self.acked_event.set()

    async def read_on(self, reader, stream, elems):
        try:
            while True:
                for elem in elems:
                    self.take(elem)
                elems = []
                data = await reader.read(65536)
                if not data:
                    break
                elems = list(stream.feed(data))
        except (OSError, ValueError, ssl.SSLError) as error:
            del error                   # the connection is gone, which is what all this is about
        except xmpp.ET.ParseError as error:
            self.ledger.fault('%s: not well-formed: %s' % (self.name, error))
        self.alive = False
        self.acked_event.set()
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(ConnectionError('closed'))

    def take(self, elem):
        if elem.tag == '{%s}a' % NS_SM:
            self.take_ack(int(elem.get('h')))
            self.on_ack()
            return
        if elem.tag == '{%s}r' % NS_SM:
            self.write("<a xmlns='%s' h='%d'/>" % (NS_SM, self.h_in))
            return
        if elem.tag == '{http://etherx.jabber.org/streams}error':
            self.ledger.fault('%s: %s' % (self.name, xmpp.text_of(elem)))
            return
        if elem.tag not in COUNTED:
            return
        self.h_in += 1
        if elem.tag == CLIENT + 'iq':
            future = self.waiting.pop(elem.get('id'), None)
            if future is not None and not future.done():
                future.set_result(elem)
        elif elem.tag == CLIENT + 'message':
            self.take_message(elem)

    def take_message(self, elem):
        result = elem.find('{%s}result' % MAM)
        if result is not None:
            self.page.append((result.get('id'), result.find('.//' + CLIENT + 'message')))
        elif elem.get('type') == 'error':
            self.ledger.refused.add(elem.get('id'))
        else:
            self.ledger.got.setdefault(self.name, []).append(elem.get('id'))

    async def request(self, payload, kind='get', to=None):
        ident = 'q%d' % time.monotonic_ns()
        future = self.waiting[ident] = asyncio.get_running_loop().create_future()
        self.count("<iq type='%s' id='%s'%s>%s</iq>" % (kind, ident, " to='%s'" % to if to else '', payload), None)
        try:
            return await asyncio.wait_for(future, WAIT)
        except asyncio.TimeoutError:
            raise Fault('%s: no answer to a request' % self.name) from None

    async def ping(self):
        await self.request("<ping xmlns='urn:xmpp:ping'/>", to=self.server.host)

    async def settle(self):
        """Until all that was sent is acknowledged."""
        end = time.monotonic() + WAIT
        while self.unacked:
            if not self.alive or time.monotonic() > end:
                raise Fault('%s: %d stanzas are not acknowledged' % (self.name, len(self.unacked)))
            self.acked_event.clear()
            self.ask()
            try:
                await asyncio.wait_for(self.acked_event.wait(), 1)
            except asyncio.TimeoutError:
                pass

    async def archive(self, after=''):
        """The archive behind an id: [(archive id, message id, sender)], oldest first."""
        found = []
        while True:
            self.page = []
            fin = await self.request(
                "<query xmlns='%s'><set xmlns='%s'><max>250</max>%s</set></query>" % (
                    MAM, RSM, '<after>%s</after>' % after if after else ''), 'set')
            if fin.get('type') != 'result':
                raise Fault('%s: the archive refuses: %s' % (self.name, xmpp.text_of(fin)))
            for ident, message in self.page:
                found.append((ident, message.get('id'), message.get('from').split('@')[0]))
            last = fin.findtext('.//{%s}last' % RSM)
            if fin[0].get('complete') == 'true' or last is None:
                return found
            after = last
