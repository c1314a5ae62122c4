#!/usr/bin/env python3
"""torture.py - each call of the daemon that can fail does so in turn, while clients converse (torture.c says which calls).

    torture.py [--runs N] [--seed S]      N calls of a conversation, spread evenly; 0: every one, which takes long

STERNA_BUILD is the build folder: with ASan leaks are seen, without it libraries' allocations fail too. Whatever a client is told, or however it is cut off: the daemon lives on,
serves the next login, ends in order, and leaks nothing. Ends with `N passed, N failed`."""
import argparse
import collections
import mmap
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'integration'))
import sterna  # noqa: E402
import web  # noqa: E402
import xmpp  # noqa: E402

NAMES = ('none', 'read', 'recv', 'write', 'send', 'sync', 'open', 'accept', 'socket', 'truncate', 'memory')
SM = 'urn:xmpp:sm:3'
PUBSUB = 'http://jabber.org/protocol/pubsub'
IQS = (      # what clients ask for, and thereby all kinds of reads and writes
    ('get', 'localhost', "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ('set', '', "<query xmlns='jabber:iq:roster'><item jid='romeo@localhost' name='R'><group>f</group></item></query>"),
    ('get', '', "<query xmlns='jabber:iq:roster'/>"),
    ('set', '', "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>"),
    ('set', '', "<query xmlns='jabber:iq:private'><x xmlns='urn:x'>1</x></query>"),
    ('set', '', "<block xmlns='urn:xmpp:blocking'><item jid='paris@localhost'/></block>"),
    ('set', '', "<pubsub xmlns='%s'><publish node='urn:x'><item id='1'><x xmlns='urn:x'>%s</x></item></publish></pubsub>"
     % (PUBSUB, 'y' * 3000)),
    ('get', '', "<pubsub xmlns='%s'><items node='urn:x'/></pubsub>" % PUBSUB),
    ('set', '', "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>5</max><before/></set></query>"),
    ('get', 'nobody@far.example', "<ping xmlns='urn:xmpp:ping'/>"),
)


class Plan:
    """What torture.c shares with us."""

    def __init__(self, path):
        path.write_bytes(bytes(24))
        with open(path, 'r+b') as file:
            self.map = mmap.mmap(file.fileno(), 24)

    def read(self):
        return struct.unpack('<3q', self.map[:24])

    def arm(self, n):
        self.map[:24] = struct.pack('<3q', n, 0, 0)


class Conversation:
    """What clients do; whatever is refused or lost on the way is no matter here."""

    def __init__(self, server):
        self.server, self.juliet = server, None

    def attempt(self, step):
        try:
            step()
        except (xmpp.XmppError, OSError, AssertionError, AttributeError, ValueError):
            pass

    def run(self):
        for step in (self.come, self.talk, self.ask, self.room, self.upload, self.resume, self.page, self.leave):
            self.attempt(step)
        if self.juliet is not None:
            self.juliet.cut()

    def come(self):
        self.juliet = self.server.client('juliet', 'pw')
        self.juliet.login(roster=True)
        self.juliet.send("<enable xmlns='%s' resume='true'/>" % SM)
        self.id = self.juliet.wait_for(lambda e: e.tag == '{%s}enabled' % SM).get('id')

    def talk(self):
        romeo = self.server.client('romeo', 'pw')
        try:
            romeo.login()
            self.juliet.send("<message to='%s' type='chat' id='m'><body>%s</body></message>" % (romeo.jid, 'z' * 500))
            self.juliet.send("<message to='nurse@localhost' type='chat' id='n'><body>later</body></message><r xmlns='%s'/>" % SM)
            romeo.wait_for(lambda e: e.get('id') == 'm')
            self.juliet.wait_for(lambda e: e.tag == '{%s}a' % SM)
        finally:
            romeo.cut()

    def ask(self):
        for n, (kind, to, what) in enumerate(IQS):
            self.juliet.send("<iq type='%s' id='q%d'%s>%s</iq>" % (kind, n, " to='%s'" % to if to else '', what))
            if '.example' not in to:
                self.juliet.wait_for(lambda e, n=n: e.get('id') == 'q%d' % n)

    def room(self):
        self.juliet.send("<presence to='r@conference.localhost/j'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        self.juliet.send("<message to='r@conference.localhost' type='groupchat' id='g'><body>all</body></message>")
        self.juliet.wait_for(lambda e: e.get('id') == 'g')

    def upload(self):
        self.juliet.send("<iq type='get' id='u' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='f' "
                         "size='5'/></iq>")
        slot = self.juliet.wait_for(lambda e: e.get('id') == 'u')
        path = re.sub(r'^\w+://[^/]+', '', slot.find('.//{*}put').get('url'))
        urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:%d%s' % (self.server.http_port, path), b'hello',
                                                      method='PUT'), timeout=xmpp.TIMEOUT).close()

    def resume(self):
        self.juliet.cut()
        self.juliet.connect().secure()
        self.juliet.authenticate()
        self.juliet.send("<resume xmlns='%s' h='0' previd='%s'/>" % (SM, self.id))
        self.juliet.wait_for(lambda e: e.tag == '{%s}resumed' % SM)

    def page(self):
        one = web.WsClient('nurse', 'pw', host='localhost', port=self.server.http_port)
        try:
            one.login()
        finally:
            one.cut()

    def leave(self):
        self.juliet.close()


def served(server):
    """Whether somebody can log in, within 20 s."""
    end = time.monotonic() + 20
    while server.process.poll() is None and time.monotonic() < end:
        one = server.client('tybalt', 'pw')
        try:
            one.login()
            one.ping('p')
            one.close()
            return True
        except (xmpp.XmppError, OSError):
            one.cut()
            time.sleep(0.2)
    return False


def begin():
    server = sterna.Server('sqlite', name='torture')
    library, shared = server.home / 'torture.so', server.home / 'plan'
    linked = subprocess.run(['ldd', str(sterna.program('sternad'))], check=True, capture_output=True, text=True).stdout
    memory = [] if 'libasan' in linked else ['-DWITH_MEMORY']
    subprocess.run(['cc', '-O1', '-shared', '-fPIC', *memory, '-o', str(library),
                    str(pathlib.Path(__file__).with_name('torture.c')), '-ldl'], check=True)
    plan, port = Plan(shared), sterna.free_ports(1)[0]              # nobody listens there
    server.configure(log__level='warning', s2s={'enabled': True, 'private_addresses': True},
                     routes={'far.example': {'address': '127.0.0.1', 'port': port}})
    server.add_users([(user, 'pw') for user in ('juliet', 'romeo', 'nurse', 'tybalt')])
    plain = server.environment()
    server.environment = lambda: {
        **plain, 'LD_PRELOAD': str(library), 'TORTURE_FILE': str(shared),
        'ASAN_OPTIONS': plain['ASAN_OPTIONS'] + ':verify_asan_link_order=0'}
    return server.start(), plan


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--runs', type=int, default=100)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    xmpp.TIMEOUT = 3
    server, plan = begin()
    passed, failed, hit = 0, 0, collections.Counter()
    try:
        for _ in range(2):                      # the second knows what is loaded once
            plan.arm(0)
            Conversation(server).run()
        total = plan.read()[1]
        print('%d calls can fail' % total)
        step = max(total / args.runs, 1) if args.runs else 1
        at = random.Random(args.seed).random() * (step - 1)
        while at < total:
            plan.arm(int(at) + 1)
            Conversation(server).run()
            left, _, which = plan.read()
            plan.arm(0)
            hit[NAMES[which] if left == 0 else 'none'] += 1
            if served(server):
                passed += 1
            else:
                failed += 1
                print('FAIL after call %d (%s)' % (at + 1, NAMES[which]), flush=True)
                break
            at += step
    finally:
        for each in server.close(sterna.build_dir() / 'integration'):
            print('FAIL ' + each)
            failed += 1
    print('failed once each: ' + ', '.join('%d %s' % (n, name) for name, n in hit.most_common()))
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
