#!/usr/bin/env python3
"""What a message over a link between two servers costs: Sterna and Sterna, Prosody and Prosody, ejabberd and ejabberd.

    STERNA_BUILD=… tests/bench/s2s.py [--messages N] [--window N] [sterna|prosody|ejabberd …]

Both servers of a pair run on this machine, found by a name server of our own, with TLS and certificates of a test CA, each
with its own storage and its archive, at its level `warning`. One person on one server writes to one on the other, so many
messages at once under way. CPU is user and system time of all processes of both servers, from /proc. The time to the
first message is from its last byte sent to its first byte received, on servers that have never spoken to each other:
DNS, connection, TLS, authentication, delivery.
"""
import argparse
import os
import pathlib
import sys
import time
import types

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests' / 'integration'))

import nameserver  # noqa: E402
import partners  # noqa: E402
import s2s  # noqa: E402
from federation import records  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')
BODY = 'A sentence of the length that people write to each other, more or less, on an ordinary day.'
partners.PROSODY = partners.PROSODY.replace('log = { debug', 'log = { warn')
partners.EJABBERD = partners.EJABBERD.replace('loglevel: debug', 'loglevel: warning')
KINDS = {'sterna': partners.Sterna, 'prosody': partners.Prosody, 'ejabberd': partners.Ejabberd}
OPTIONS = {'prosody': {'bidi': True, 'smacks': True}}


def cpu(server):
    """Seconds, of the process that was started and all of its session."""
    first, ticks = server.process.pid, 0
    for entry in pathlib.Path('/proc').iterdir():
        try:
            fields = (entry / 'stat').read_text().rsplit(')', 1)[1].split() if entry.name.isdigit() else None
        except OSError:
            continue
        if fields and (int(entry.name) == first or int(fields[3]) == first):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def message(to, n, hint):
    return "<message type='chat' id='m%d' to='%s'><body>%s</body>%s</message>" % (n, to, BODY, hint)


class Pair:
    def __init__(self, kind):
        self.t = types.SimpleNamespace(name='bench.' + kind, transcript=[], server=types.SimpleNamespace(db='sqlite'))
        self.rest = b''                        # of what was read: a message may end in it
        self.authority, self.dns = s2s.Authority(), nameserver.NameServer('example', '')
        self.servers = [KINDS[kind](self.t, name, self.authority, self.dns.port, **OPTIONS.get(kind, {}))
                        for name in ('a.example', 'b.example')]
        self.dns.change(records(*self.servers, target='localhost.' if kind == 'ejabberd' else 'host'))
        for one in self.servers:
            if kind == 'sterna':
                one.tree.pop('routes', None)
                one.configure(limits__stanzas='100000/s', limits__bytes='100MiB/s', log__level='warning')
            one.start()
        self.juliet, self.romeo = self.servers[0].login('juliet'), self.servers[1].login('romeo')

    def close(self):
        for one in (*self.servers, self.dns, self.authority):
            one.close()

    def first(self):
        # Before any login's presence may have opened a link.
        began = time.monotonic()
        self.juliet.send(message('romeo@b.example', 0, ''))
        self.take(1)
        return time.monotonic() - began

    def take(self, count):
        """Reads until so many messages have ended; what they are is not looked at."""
        got = 0
        while got < count:
            data = self.romeo.sock.recv(262144)
            if not data:
                raise RuntimeError('closed')
            data = self.rest + data
            got += data.count(b'</message>')
            self.rest = b'' if data.endswith(b'</message>') else data[-9:]
        return got

    def run(self, count, window, hint):
        before, began, sent, got = [cpu(one) for one in self.servers], time.monotonic(), 0, 0
        while got < count:
            room = min(window - (sent - got), count - sent)
            if room > 0:
                self.juliet.sock.sendall(''.join(message('romeo@b.example', sent + i, hint) for i in range(room)).encode())
                sent += room
            got += self.take(1)
        seconds = time.monotonic() - began
        time.sleep(1)                          # what is written behind belongs to it
        return seconds, [after - b for after, b in zip((cpu(one) for one in self.servers), before)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--messages', type=int, default=5000)
    parser.add_argument('--window', type=int, default=200)
    parser.add_argument('kinds', nargs='*', default=list(KINDS))
    given = parser.parse_args()
    for kind in given.kinds:
        pair = Pair(kind)
        try:
            first = pair.first()
            pair.run(given.messages // 5, given.window, '')
            for what, hint in (('archived', ''), ('not stored', "<no-store xmlns='urn:xmpp:hints'/>")):
                seconds, used = pair.run(given.messages, given.window, hint)
                print('%-9s %-11s %7.0f messages/s  %7.1f µs CPU per message (%.1f + %.1f)  %8.0f messages per CPU-second; first '
                      'message after %.0f ms' % (kind, what, given.messages / seconds, sum(used) / given.messages * 1e6,
                                                 used[0] / given.messages * 1e6, used[1] / given.messages * 1e6,
                                                 given.messages / max(sum(used), 1e-9), first * 1000), flush=True)
        finally:
            pair.close()


if __name__ == '__main__':
    main()
