#!/usr/bin/env python3
"""crash.py - the real daemon under load by 50 clients is killed; nothing acknowledged may be lost. See README.md.

    crash.py kill [--db sqlite|postgresql] [--runs N] [--seed S]

STERNA_BUILD is the build folder; postgresql needs STERNA_TEST_PG (tests/pg). Ends with `N passed, N failed`.
"""
import argparse
import asyncio
import sys
import time
import traceback

from world import Fault, World, server_for, sterna


def report(world, what, run, began):
    ledger = world.ledger
    print('ok %s %d: %d sent, %d acknowledged, %d sent again, %d doubled on the way, %.2f s to the first login, %.1f s'
          % (what, run, len(ledger.sent), len(ledger.acked), len(ledger.again), world.doubled(),
             world.times[-1] if world.times else 0, time.monotonic() - began), flush=True)


async def kill(world, args):
    """kill -9, in odd runs at a random moment, in even ones when a client has just read an <a/>."""
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
        report(world, 'kill', run, began)


SCENARIOS = {'kill': kill}


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
    server = server_for(args.db)
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
    parser.add_argument('--first-login', type=float, default=1.0, help='seconds that a restart may take')
    args = parser.parse_args()
    sys.exit(asyncio.run(run(args)))


if __name__ == '__main__':
    main()
