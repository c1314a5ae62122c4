#!/usr/bin/env python3
"""crash.py - the real daemon under load by 50 clients is killed; nothing acknowledged may be lost. See README.md.

    crash.py kill [--db sqlite|postgresql] [--runs N] [--seed S]
    crash.py power [--sync full|normal] [--runs N] [--seed S]
    crash.py soak [--seconds N]
    crash.py clock [--runs N] [--seed S]
    crash.py pg-kill|pg-still|pg-switch|pg-away [--runs N] [--seconds N]

STERNA_BUILD is the build folder; postgresql needs STERNA_TEST_PG (tests/pg). Ends with `N passed, N failed`.
"""
import argparse
import asyncio
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import traceback

from cluster import memory, use
from world import Fault, World, server_for, sterna


async def kill(world, args):
    """kill -9, in odd runs at a random moment, in even ones when a client has just read an <a/>."""
    world.add_accounts()
    world.server.start()
    await world.everybody(world.present, world.begin_session)
    for peer in world.present:
        peer.on_ack = world.on_ack
    for run in range(1, args.runs + 1):
        began = time.monotonic()
        if run % 2 == 0:
            world.crash_on_ack = world.dice.randint(50, 1200)
        else:
            asyncio.get_running_loop().call_later(0.2 + world.dice.random(), world.kill)
        await world.traffic(3)
        world.kill()
        await world.gone()
        await world.restart()
        await world.judge()
        world.report('kill', run, began, '%.2f s to the first login' % world.times[-1])


# -- the power ----------------------------------------------------------------------------------------

def library(server, name):
    """One of the C files here, to be preloaded."""
    out = server.home / (name + '.so')
    subprocess.run(['cc', '-O1', '-shared', '-fPIC', '-o', str(out), str(pathlib.Path(__file__).with_name(name + '.c')),
                    '-ldl'], check=True)
    return out


class Disk:
    """The database's folder, and what of it would be there after a loss of power (powercut.c)."""

    def __init__(self, server):
        self.folder, self.shadow = server.home / 'data', server.home / 'shadow'
        self.folder.mkdir()
        self.shadow.mkdir()
        self.library = library(server, 'powercut')
        server.configure(storage__path=str(self.folder / 'sterna.db'))

    def begin(self, server):
        """What is there now is on the disk."""
        for each in self.folder.iterdir():
            shutil.copy(each, self.shadow)
        plain = server.environment()
        server.environment = lambda: {**plain, 'LD_PRELOAD': str(self.library), 'POWERCUT_DIR': str(self.folder),
                                      'POWERCUT_SHADOW': str(self.shadow)}

    def lose_power(self):
        for each in self.folder.iterdir():
            each.unlink()
        for each in self.shadow.iterdir():
            shutil.copy(each, self.folder)


async def power(world, args):
    """The power is cut: SQLite's files are what was synced, and some sectors more. With --sync normal this must lose
    something, or the test shows nothing."""
    disk = Disk(world.server)
    world.server.configure(storage__sync=args.sync)
    world.add_accounts()
    disk.begin(world.server)
    world.server.start()
    await world.everybody(world.present, world.begin_session)
    for peer in world.present:
        peer.on_ack = world.on_ack
    for run_number in range(1, args.runs + 1):
        began = time.monotonic()
        if run_number % 2 == 0:
            asyncio.get_running_loop().call_later(0.2 + world.dice.random(), world.kill)
        else:
            world.crash_on_ack = world.dice.randint(50, 900)
        await world.traffic(3)
        world.kill()
        await world.gone()
        disk.lose_power()
        await world.restart()
        await world.judge()
        world.report('power', run_number, began, '%.2f s to the first login' % world.times[-1])


# -- the clock ----------------------------------------------------------------------------------------

async def clock(world, args):
    """The clock is set by an hour or a day in the midst of traffic, forward and back; in even runs the daemon is killed
    behind that."""
    wrong, file = 0, world.server.home / 'offset'
    file.write_bytes((0).to_bytes(8, 'little'))
    world.add_accounts()
    plain, preload = world.server.environment(), str(library(world.server, 'clock'))
    world.server.environment = lambda: {**plain, 'LD_PRELOAD': preload, 'CLOCK_OFFSET': str(file)}
    world.server.start()
    await world.everybody(world.present, world.begin_session)
    for run_number in range(1, args.runs + 1):
        began, by = time.monotonic(), world.dice.choice((3600, -3600, 86400, -86400))
        wrong += by
        new = wrong

        def jump(new=new):
            with open(file, 'r+b') as out:          # in place: it is mapped
                out.write(new.to_bytes(8, 'little', signed=True))

        loop = asyncio.get_running_loop()
        loop.call_later(0.3 + world.dice.random() * 0.3, jump)
        if run_number % 2 == 0:
            loop.call_later(0.7 + world.dice.random() * 0.6, world.kill)
        await world.traffic(1.4)
        if run_number % 2 == 0:
            world.kill()
            await world.gone()
            await world.restart(anew=0)
        await world.judge()
        world.report('clock', run_number, began, 'set by %d s' % by)


# -- the database -------------------------------------------------------------------------------------

async def back(world, since, most):
    """Everything that was sent is acknowledged, most seconds after the database was there again."""
    await asyncio.gather(*(peer.settle() for peer in world.present))
    took = time.monotonic() - since
    if took > most:
        raise Fault('all is acknowledged %.1f s after the database is back, not %.1f s' % (took, most))
    return took


async def begin_with(world, clusters, **options):
    use(world.server, clusters, **options)
    world.add_accounts()
    world.server.start()
    await world.everybody(world.present, world.begin_session)


async def outage(world, args, what, go, come_back, seconds):
    """The database goes in the midst of traffic and comes back; the daemon and the sessions stay."""
    for run_number in range(1, args.runs + 1):
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        talking = asyncio.ensure_future(world.traffic(seconds + 1.5, pause=0.08))
        await asyncio.sleep(0.3 + world.dice.random() * 0.5)
        await loop.run_in_executor(None, go, run_number)
        await asyncio.sleep(seconds)
        await loop.run_in_executor(None, come_back, run_number)
        since = time.monotonic()
        await talking
        took = await back(world, max(since, time.monotonic() - 1), args.back)
        await world.judge()
        if any(not peer.alive for peer in world.present):
            raise Fault('a session was ended')
        world.report(what, run_number, began, '%.1f s until all was acknowledged' % took)


async def pg_kill(world, args):
    """kill -9 of PostgreSQL with all its processes; it recovers and is there again after a second."""
    one = world.clusters(1)[0]
    await begin_with(world, [one])
    await outage(world, args, 'pg-kill', lambda _: one.signal(signal.SIGKILL), lambda _: one.start(), 1)


async def pg_still(world, args):
    """PostgreSQL stands still (SIGSTOP) for longer than a connection is given, and goes on."""
    one = world.clusters(1)[0]
    await begin_with(world, [one], answer_wait='1s')
    await outage(world, args, 'pg-still', lambda _: one.signal(signal.SIGSTOP), lambda _: one.signal(signal.SIGCONT), 3)


async def pg_switch(world, args):
    """The primary is killed, or stands still for ever; its synchronous standby is promoted. Then the other way round."""
    pair = world.clusters(2)
    await begin_with(world, pair, answer_wait='2s')
    pair[1].standby_of(pair[0])

    def go(run_number):
        pair[0].signal(signal.SIGKILL if run_number % 2 else signal.SIGSTOP)

    def come_back(_):
        pair[1].pg('promote')
        pair.reverse()

    for run_number in range(1, args.runs + 1):
        if run_number > 1:                      # the old primary begins anew as a standby
            pair[1].signal(signal.SIGKILL)
            await asyncio.to_thread(pair[1].standby_of, pair[0])
        await outage(world, argparse.Namespace(**{**vars(args), 'runs': 1}), 'pg-switch %d' % run_number,
                     lambda _, n=run_number: go(n), come_back, 0.5)


async def pg_away(world, args):
    """No database for a while at 500 messages a second: sessions stay, logins hear of it, memory is bounded."""
    one = world.clusters(1)[0]
    await begin_with(world, [one])
    for peer in world.present:
        peer.window = 100000                    # they go on sending, whatever is not acknowledged
    before, most, refused = memory(world.server.process.pid), 0, []
    began = time.monotonic()
    talking = asyncio.ensure_future(world.traffic(args.seconds + 2, pause=0.21, parting=0))
    await asyncio.sleep(1)
    one.signal(signal.SIGKILL)
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        await asyncio.sleep(1)
        most = max(most, memory(world.server.process.pid))
        if len(refused) < 3 and time.monotonic() > end - args.seconds / 2:
            refused.append(await world.refused_login(world.absent[0]))
    one.start()
    since = time.monotonic()
    await talking
    took = await back(world, max(since, time.monotonic() - 1), 20)
    await world.judge()
    rate = len(world.ledger.sent) / (args.seconds + 2)
    if set(refused) != {'temporary-auth-failure'}:
        raise Fault('logins got %r' % refused)
    if most - before > 64 * 1024:
        raise Fault('memory grew by %d KiB' % (most - before))
    world.report('pg-away', 1, began, '%d s without database at %d messages/s, memory + %d KiB, %.1f s until all was '
                 'acknowledged' % (args.seconds, rate, most - before, took))


# -- a long time ---------------------------------------------------------------------------------------

def plot(samples, path):
    """Memory (KiB) and descriptors over time, as two lines of an SVG."""
    end, most, fds = samples[-1][0] or 1, max(s[1] for s in samples), max(s[2] for s in samples)

    def line(index, top, colour):
        return "<polyline fill='none' stroke='%s' points='%s'/>" % (colour, ' '.join(
            '%.1f,%.1f' % (40 + 740 * s[0] / end, 280 - 260 * s[index] / top) for s in samples))

    path.write_text("<svg xmlns='http://www.w3.org/2000/svg' width='800' height='320' font-family='sans-serif' "
                    "font-size='12'><rect width='800' height='320' fill='white'/>%s%s"
                    "<text x='40' y='300'>%d s; blue: resident memory, at most %d KiB; red: descriptors, at most %d</text>"
                    "</svg>" % (line(1, most, 'blue'), line(2, fds, 'red'), end, most, fds))


async def soak(world, args):
    """A long time under load, with connections that break: memory and descriptors stay where they are."""
    world.add_accounts()
    world.server.start()
    await world.everybody(world.present, world.begin_session)
    pid, began, samples = world.server.process.pid, time.monotonic(), []
    while time.monotonic() - began < args.seconds:
        await world.traffic(min(10, args.seconds), pause=0.8)
        samples.append((time.monotonic() - began, memory(pid), len(list(pathlib.Path('/proc/%d/fd' % pid).iterdir()))))
    await world.judge()
    out = sterna.build_dir() / 'crash'
    out.mkdir(exist_ok=True)
    (out / 'soak.csv').write_text(''.join('%.0f,%d,%d\n' % each for each in samples))
    plot(samples, out / 'soak.svg')
    settled = samples[len(samples) // 4:]
    half = len(settled) // 2
    first, last = settled[:half] or settled, settled[half:]
    grown = (sum(s[1] for s in last) / len(last)) - (sum(s[1] for s in first) / len(first))
    if grown > 8 * 1024:
        raise Fault('memory grew by %d KiB' % grown)
    if max(s[2] for s in last) > max(s[2] for s in first) + 10:
        raise Fault('descriptors grew')
    world.report('soak', 1, began, 'memory %+d KiB, %d descriptors; %s' % (grown, samples[-1][2], out / 'soak.svg'))


SCENARIOS = {'soak': soak, 'kill': kill, 'power': power, 'clock': clock, 'pg-kill': pg_kill, 'pg-still': pg_still, 'pg-switch': pg_switch, 'pg-away': pg_away}


def sum_up(world, args):
    slow = [each for each in world.times if each > args.first_login]
    if world.times:
        print('first login after a restart: %.2f s at most, %.2f s in the median' % (
            max(world.times), sorted(world.times)[len(world.times) // 2]))
    print('%d messages acknowledged, 0 lost; %d sent again, %d came twice' % (
        len(world.ledger.acked), len(world.ledger.again), world.doubled()))
    if slow:
        raise Fault('%d of %d restarts took more than %.1f s to the first login' % (
            len(slow), len(world.times), args.first_login))


async def run(args):
    server = server_for('sqlite' if args.scenario.startswith('pg-') else args.db)
    passed, problems = 0, []
    try:
        world = World(server, args.seed)
        try:
            await SCENARIOS[args.scenario](world, args)
            sum_up(world, args)
            passed = args.runs
        except Exception as error:                      # whatever it is, the daemon's log is wanted
            print('FAIL %s: %s' % (args.scenario, error or type(error).__name__), flush=True)
            if not isinstance(error, Fault):
                traceback.print_exc()
        finally:
            world.close()
    finally:
        problems = server.close(sterna.build_dir() / 'crash')
        world.end()
    for each in problems:
        print('FAIL ' + each)
    failed = 0 if passed and not problems else 1
    print('%d passed, %d failed' % (passed, failed))
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('scenario', choices=sorted(SCENARIOS))
    parser.add_argument('--db', choices=('sqlite', 'postgresql'), default='sqlite')
    parser.add_argument('--runs', type=int, default=10)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=60, help='pg-away: how long there is no database')
    parser.add_argument('--back', type=float, default=5.0, help='seconds until all is acknowledged when it is back')
    parser.add_argument('--sync', choices=('full', 'normal'), default='full', help='power: storage.sync')
    parser.add_argument('--first-login', type=float, default=1.0, help='seconds that a restart may take')
    args = parser.parse_args()
    sys.exit(asyncio.run(run(args)))


if __name__ == '__main__':
    main()
