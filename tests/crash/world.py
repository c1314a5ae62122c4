"""Fifty accounts under load against one real sternad, and the check that no promise was broken.

Roles: most accounts are connected and talk to each other; some are absent, and fetch what waits for them after each
fault; some lose their network in the midst of traffic (a half-open connection) and resume over another one; after a
crash most resume, and some begin a session of their own and send again what they have no ack for.
"""
import asyncio
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'integration'))
import sterna  # noqa: E402
from peer import WAIT, Fault, Ledger, Peer  # noqa: E402

CLIENTS, ABSENT = 50, 8


class World:
    def __init__(self, server, seed, clients=CLIENTS, absent=ABSENT):
        self.server, self.dice = server, random.Random(seed)
        self.ledger = Ledger()
        names = ['user%02d' % i for i in range(clients)]
        self.peers = [Peer(self.ledger, server, name) for name in names]
        self.absent, self.present = self.peers[:absent], self.peers[absent:]
        self.newest = {}                # account -> id of the last row of its archive that was looked at
        self.kept = {}                  # account -> ids of messages in its archive, in order
        self.began = {}                 # account -> sessions of its own so far: there it may get something twice
        self.talking = False
        self.crash_on_ack = None
        self.dead = asyncio.Event()
        self.paths = {}                 # (from, to) -> last number looked at, for the order of what came
        self.seen = {}                  # recipient -> how much of what it got was looked at
        self.times = []                 # from exec to the first login, seconds
        self.databases = []

    def add_accounts(self):
        self.server.add_users([(peer.name, 'pw') for peer in self.peers])

    def clusters(self, count):
        from cluster import Cluster
        for each in range(count):
            self.databases.append(Cluster())
            if each == 0:
                self.databases[0].start()
        return self.databases

    # -- traffic ---------------------------------------------------------------------------------------

    async def everybody(self, peers, what, at_once=25):
        gate = asyncio.Semaphore(at_once)

        async def one(peer):
            async with gate:
                await what(peer)
        await asyncio.gather(*(one(peer) for peer in peers))

    async def begin_session(self, peer):
        self.began[peer.name] = self.began.get(peer.name, 0) + 1
        await peer.login()

    async def talk(self, peer, pause):
        """Sends to two or three others and now and then to one who is absent, and asks for acks."""
        others = self.dice.sample([p for p in self.present if p is not peer], 3)
        others.append(self.dice.choice(self.absent) if self.absent else others[0])
        while self.talking:
            if not peer.alive:
                return
            if len(peer.unacked) < peer.window:
                for _ in range(self.dice.randint(1, 4)):
                    to = self.dice.choice(others)
                    peer.say(to.name, self.ledger.new(peer.name, to.name), 'x' * self.dice.choice((10, 80, 200, 700)))
                peer.ask()
            await asyncio.sleep(pause * (0.5 + self.dice.random()))

    async def part_and_return(self, peer):
        """Half-open: nothing is read any more; a while later the client comes over another network."""
        await asyncio.sleep(self.dice.random() * 0.4)
        if not (self.talking and peer.alive):
            return
        peer.part()
        await asyncio.sleep(0.05 + self.dice.random() * 0.3)
        while not self.dead.is_set():   # the server may go meanwhile, or say that it has no database
            try:
                await peer.resume()
                return
            except Fault as error:
                if 'temporary-auth-failure' not in str(error):
                    raise
            except (OSError, asyncio.TimeoutError, ValueError):
                pass
            await asyncio.sleep(0.2)

    async def traffic(self, seconds, pause=0.02, parting=4):
        """Until the time is over or the server is gone."""
        self.talking = True
        self.dead.clear()
        running = [asyncio.ensure_future(self.talk(peer, pause)) for peer in self.present]
        running += [asyncio.ensure_future(self.part_and_return(peer))
                    for peer in self.dice.sample(self.present, min(parting, len(self.present)))]
        try:
            await asyncio.wait_for(self.dead.wait(), seconds)
        except asyncio.TimeoutError:
            pass
        self.talking = False
        done, _ = await asyncio.wait(running, timeout=WAIT)
        for each in done:
            if each.exception() is not None:
                raise each.exception()
        # the answers to what is half open may still be on their way

    # -- faults of the server --------------------------------------------------------------------------

    def kill(self):
        if self.server.process is not None and not self.dead.is_set():
            self.server.process.kill()
            self.dead.set()

    def on_ack(self):
        if self.crash_on_ack is not None:
            self.crash_on_ack -= 1
            if self.crash_on_ack <= 0:
                self.crash_on_ack = None
                self.kill()

    async def gone(self):
        """The process is gone, and everybody has read what had left it."""
        await asyncio.to_thread(self.server.process.wait)
        self.server.process = None
        for peer in self.present:
            if peer.task is not None and not peer.task.done():
                await asyncio.wait([peer.task], timeout=WAIT)
            peer.drop()

    async def first_login(self, peer):
        """The time from the start of the process to the first login."""
        began = time.monotonic()
        starting = asyncio.ensure_future(asyncio.to_thread(self.server.start))
        while True:
            try:
                await peer.resume()
                break
            except (OSError, asyncio.TimeoutError):
                if time.monotonic() - began > WAIT:
                    raise Fault('no login %d s after the start' % WAIT) from None
                await asyncio.sleep(0.005)
        self.times.append(time.monotonic() - began)
        await starting

    async def restart(self, anew=0.15):
        """A new process; most resume, some begin anew."""
        order = self.present[:]
        self.dice.shuffle(order)
        await self.first_login(order[0])
        count = int(len(order) * anew)
        fresh, back = order[1:1 + count], order[1 + count:]
        await self.everybody(back, lambda peer: peer.resume())
        await self.everybody(fresh, self.begin_session)

    # -- judgement -------------------------------------------------------------------------------------

    async def fetch_absent(self):
        """The absent ones come, take what waits, and go again."""
        wanted = {}
        for ident in self.ledger.acked - self.ledger.refused:
            to = self.ledger.sent[ident][1]
            wanted.setdefault(to, set()).add(ident)

        async def one(peer):
            await self.begin_session(peer)
            end = time.monotonic() + WAIT
            while not wanted.get(peer.name, set()) <= set(self.ledger.got.get(peer.name, ())) and time.monotonic() < end:
                await peer.ping()
                await asyncio.sleep(0.05)
            await peer.ping()
            await self.read_archive(peer)
            await peer.settle()
            await peer.close()
        await self.everybody(self.absent, one, at_once=4)

    async def read_archive(self, peer):
        rows = await peer.archive(self.newest.get(peer.name, ''))
        if rows:
            self.newest[peer.name] = rows[-1][0]
        self.kept.setdefault(peer.name, []).extend(ident for _, ident, _ in rows)

    def missing(self):
        """Accounts in whose archives, as far as they were read, something acknowledged is not."""
        kept = {name: set(idents) for name, idents in self.kept.items()}
        return {name for ident in self.ledger.acked for name in self.ledger.sent[ident][:2]
                if ident not in kept.get(name, ())}

    async def read_again(self, peer):
        """The whole archive: a row may have been committed behind one with a higher id that was read already."""
        rows = await peer.archive()
        late = [ident for _, ident, _ in rows if ident not in set(self.kept.get(peer.name, ()))]
        print('%s: %d rows came behind later ones: %s' % (peer.name, len(late), ', '.join(late[:4])), flush=True)
        self.kept[peer.name] = [ident for _, ident, _ in rows]

    async def judge(self):
        """Everything settles; then what was acknowledged is compared with both archives and with what came."""
        await asyncio.gather(*(peer.settle() for peer in self.present))
        await asyncio.gather(*(peer.ping() for peer in self.present))
        await self.fetch_absent()
        await self.everybody(self.present, self.read_archive)
        missing = self.missing()
        await self.everybody([peer for peer in self.present if peer.name in missing], self.read_again)
        await asyncio.gather(*(peer.settle() for peer in self.present))
        self.check_acked()
        self.check_archives()
        self.check_deliveries()
        if self.ledger.faults:
            raise Fault('; '.join(self.ledger.faults[:5]))

    def fault_if(self, what, idents):
        if idents:
            self.ledger.fault('%d %s: %s' % (len(idents), what, ', '.join(sorted(idents)[:4])))

    def check_acked(self):
        ledger = self.ledger
        self.fault_if('refused, though nobody is over a limit', ledger.refused)
        kept = {name: set(idents) for name, idents in self.kept.items()}
        got = {name: set(idents) for name, idents in ledger.got.items()}
        acked = [(ident, *ledger.sent[ident][:2]) for ident in ledger.acked]
        self.fault_if('acknowledged, and not in the archive of the sender',
                      {i for i, sender, _ in acked if i not in kept.get(sender, ())})
        self.fault_if('acknowledged, and not in the archive of the recipient',
                      {i for i, _, to in acked if i not in kept.get(to, ())})
        self.fault_if('acknowledged, and never came', {i for i, _, to in acked if i not in got.get(to, ())})

    def check_archives(self):
        for name, idents in self.kept.items():
            self.fault_if('archived twice for %s' % name, {i for i in idents if idents.count(i) > 1}
                          if len(set(idents)) != len(idents) else ())
            self.check_order('the archive of %s' % name, idents)

    def check_order(self, where, idents):
        last = {}
        for ident in dict.fromkeys(idents):
            if ident not in self.ledger.sent:
                self.ledger.fault('%s has %r, which nobody sent' % (where, ident))
                continue
            sender, to, number = self.ledger.sent[ident]
            if number < last.get((sender, to), 0):
                self.ledger.fault('order: %s has %s behind %d' % (where, ident, last[sender, to]))
            last[sender, to] = number

    def check_deliveries(self):
        for name, idents in self.ledger.got.items():
            self.check_order('what %s got' % name, idents)
            twice = {i for i in idents if idents.count(i) > 1} if len(set(idents)) != len(idents) else set()
            if self.began.get(name, 0) <= 1:    # live messages need not wait for the commit, so one sent again may
                self.fault_if('came twice to %s, who always resumed, and were sent once' % name, twice - self.ledger.again)

    def doubled(self):
        return sum(len(idents) - len(set(idents)) for idents in self.ledger.got.values())

    def report(self, what, run, began, words):
        print('ok %s %d: %d sent, %d acknowledged, %d sent again, %d came twice; %s; %.1f s' % (
            what, run, len(self.ledger.sent), len(self.ledger.acked), len(self.ledger.again), self.doubled(), words,
            time.monotonic() - began), flush=True)

    async def refused_login(self, peer):
        """The condition that a login gets now, or None."""
        other = Peer(self.ledger, self.server, peer.name)
        try:
            await asyncio.wait_for(other.authenticate(), WAIT)
        except Fault as error:
            return 'temporary-auth-failure' if 'temporary-auth-failure' in str(error) else str(error)
        finally:
            other.drop()
        return None

    def close(self):
        for peer in self.peers:
            peer.drop()

    def end(self):
        for each in self.databases:
            each.end()


def server_for(db, **options):
    """A daemon as for the integration tests, without debug log and with room for this load."""
    settings = {'limits__stanzas': '100000/s', 'limits__offline_messages': 1000000, 'log__level': 'info',
                'limits__uncommitted_stanzas': 100000, 'auth__plain': False}
    settings.update(options)
    return sterna.Server(db, {key.replace('__', '.'): value for key, value in settings.items()}, name='crash')
