"""What becomes of promises when the database, the disk or the server itself goes away (XEP-0198 acks; RELIABILITY R1, R3, R4).

An <a/> is a promise: whatever it covers is in the archive, and delivered or deliverable, once. Without a database
nothing is promised, and nobody is dropped.
"""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import sterna
import xmpp
from suite import accounts, check, client, daemon
from xmpp import NS_SM

MAM = 'urn:xmpp:mam:2'
FORWARDED = '{urn:xmpp:forward:0}forwarded'


def is_message(elem):
    return elem.tag == '{jabber:client}message'


def is_answer(elem):
    return elem.tag == '{%s}a' % NS_SM


def body(to, ident):
    return "<message to='%s' type='chat' id='%s'><body>%s</body></message>" % (to, ident, ident)


class Cluster:
    """A PostgreSQL cluster of this test's own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='sterna-pg-'))
        self.folder.chmod(0o755)
        self.port = sterna.free_ports(1)[0]
        self.conninfo = None

    def pg(self, *words):
        done = subprocess.run([str(sterna.TOP / 'tests' / 'pg'), words[0], str(self.folder), *words[1:]],
                              capture_output=True, text=True, timeout=90)
        check(done.returncode == 0, 'tests/pg %s: %s' % (words[0], done.stderr))
        return done.stdout.strip()

    def start(self):
        self.conninfo = self.pg('start', str(self.port))
        return self

    def processes(self):
        """The postmaster and its children."""
        first = (self.folder / 'data' / 'postmaster.pid').read_text().split()[0]
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', first], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in [first, *children]]

    def signal(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def end(self):
        try:
            self.signal(signal.SIGCONT)
            self.pg('crash')
        except (OSError, AssertionError):
            pass
        subprocess.run(['rm', '-rf', str(self.folder)], check=False)


def with_cluster(function):
    """The test gets a cluster of its own; skipped where PostgreSQL is not installed."""
    def test(t):
        cluster = Cluster()
        try:
            cluster.start()
        except AssertionError as error:
            cluster.end()
            if 'not installed' in str(error):
                t.skip('PostgreSQL is not installed')
            raise
        try:
            function(t, cluster)
        finally:
            cluster.end()
    test.__name__, test.__doc__, test.__module__ = function.__name__, function.__doc__, function.__module__
    return test


def own_database(t, cluster, **options):
    def before(server):
        name = 'sterna_' + uuid.uuid4().hex[:12]
        subprocess.run(['psql', '-X', '-q', '-d', cluster.conninfo, '-c', 'create database %s' % name], check=True,
                       capture_output=True)
        server.tree['storage'] = {'driver': 'postgresql', 'sql_dir': str(sterna.TOP / 'sql'), 'read_wait': '1s',
                                  'conninfo': re.sub(r'dbname=\S+', 'dbname=' + name, cluster.conninfo)}
        server.configure()
    return daemon(t, db='sqlite', before=before, **options)


def login(t, server, user, resume=True, **options):
    """A session with XEP-0198."""
    one = client(t, server, user, **options).login()
    one.send("<enable xmlns='%s'%s/>" % (NS_SM, " resume='true'" if resume else ''))
    enabled = one.wait_for(lambda e: e.tag == '{%s}enabled' % NS_SM)
    one.sm_id, one.out, one.taken = enabled.get('id'), 0, 0
    return one


def say(one, to, *idents):
    one.send(''.join(body(to, ident) for ident in idents))
    one.out += len(idents)


def request(one):
    one.send("<r xmlns='%s'/>" % NS_SM)


def answer(one, timeout=None):
    """The next <a/>: its h."""
    return int(one.wait_for(is_answer, timeout).get('h'))


def no_answer(one, seconds):
    try:
        found = answer(one, seconds)
    except xmpp.TimedOut:
        return
    check(False, 'acknowledged up to %d' % found)


def received(one, idents, timeout=None):
    """These come next, in this order; what else the server sends between is passed over."""
    for ident in idents:
        got = one.wait_for(is_message, timeout)
        check(got.get('id') == ident, '%s came instead of %s' % (got.get('id'), ident))


def archive(one, timeout=None):
    """The ids of all that is in the archive, in order."""
    found, after = [], ''
    while True:
        ident = 'mam%d' % time.monotonic_ns()
        one.send("<iq type='set' id='%s'><query xmlns='%s' queryid='%s'><set xmlns='http://jabber.org/protocol/rsm'>"
                 "<max>100</max>%s</set></query></iq>" % (ident, MAM, ident, after))
        page = []
        fin = one.wait_for(lambda e: e.get('id') == ident, timeout, page)
        check(fin.get('type') == 'result', xmpp.text_of(fin))
        for each in page:
            result = each.find('{%s}result' % MAM)
            if result is not None and result.get('queryid') == ident:
                found.append(result.find(FORWARDED + '/{jabber:client}message').get('id'))
            else:
                one.queue.append(each)
        last = fin.findtext('.//{http://jabber.org/protocol/rsm}last')
        if fin[0].get('complete') == 'true' or last is None:
            return found
        after = '<after>%s</after>' % last


def readable(one):
    """Is an archive read, or is the asker told to wait?"""
    ident = 'mam%d' % time.monotonic_ns()
    one.send("<iq type='set' id='%s'><query xmlns='%s'><set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set>"
             "</query></iq>" % (ident, MAM))
    fin = one.wait_for(lambda e: e.get('id') == ident)
    check(fin.get('type') == 'result' or xmpp.condition_of(fin) == 'resource-constraint', xmpp.text_of(fin))
    return fin.get('type') == 'result'


def refused_login(t, server, user):
    """What a login gets now: the condition, or None if it succeeds."""
    one = client(t, server, user)
    one.secure()
    try:
        one.authenticate()
    except xmpp.TimedOut:
        return 'nothing'
    except xmpp.XmppError as error:
        return 'temporary-auth-failure' if 'temporary-auth-failure' in str(error) else str(error)
    return None


def until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


def away_and_back(t, server, go, come_back):
    """Two people talk while the database goes and comes back."""
    juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
    say(romeo, juliet.jid, 'a1', 'a2')
    request(romeo)
    check(answer(romeo) == 2, 'no ack with the database')
    received(juliet, ('a1', 'a2'))
    go()
    say(romeo, juliet.jid, 'b1', 'b2', 'b3')
    received(juliet, ('b1', 'b2', 'b3'))        # live messages flow
    say(juliet, romeo.jid, 'c1')
    received(romeo, ('c1',))
    request(romeo)
    request(juliet)
    no_answer(romeo, 0.5)                       # nothing is promised
    no_answer(juliet, 0.2)
    check(refused_login(t, server, 'mercutio') == 'temporary-auth-failure', 'a login got another answer')
    romeo.ping('still-here')
    say(romeo, juliet.jid, 'b4')
    received(juliet, ('b4',))
    come_back()
    check(answer(romeo, 10) in (5, 6, 7), 'the ack does not cover what it was asked for')
    check(answer(juliet, 10) == 1, 'the ack does not cover what it was asked for')
    request(romeo)
    check(answer(romeo) == 7, 'the last one is not acknowledged')      # six messages and a ping
    until(lambda: refused_login(t, server, 'mercutio') is None, 10, 'logins are still refused')
    for one in (juliet, romeo):
        until(lambda: readable(one), 10, 'reads are still refused')     # each worker finds the database by itself
        kept = archive(one)
        check(sorted(kept) == ['a1', 'a2', 'b1', 'b2', 'b3', 'b4', 'c1'], '%s has %r' % (one.jid, kept))
        check([each for each in kept if each != 'c1'] == ['a1', 'a2', 'b1', 'b2', 'b3', 'b4'], 'order: %r' % kept)
        one.ping('end')
        check(not [e for e in one.queue if is_message(e)], 'something came twice')
    return juliet, romeo


EVERYBODY = ('juliet', 'romeo', 'mercutio')


@accounts()
@with_cluster
def test_database_crashes(t, cluster):
    """PostgreSQL crashes and comes back: sessions stay, messages flow, acks and logins wait, nothing is lost or doubled"""
    with own_database(t, cluster, users=EVERYBODY) as server:
        away_and_back(t, server, lambda: cluster.pg('crash'), cluster.start)


@accounts()
@with_cluster
def test_database_stands_still(t, cluster):
    """The same when it stands still (SIGSTOP): connections stay open and nothing answers"""
    with own_database(t, cluster, users=EVERYBODY) as server:
        away_and_back(t, server, lambda: cluster.signal(signal.SIGSTOP), lambda: cluster.signal(signal.SIGCONT))


@accounts()
@with_cluster
def test_connections_are_cut(t, cluster):
    """Connections to the database are ended by its administrator in the midst of traffic: nothing is lost or doubled"""
    with own_database(t, cluster, users=EVERYBODY) as server:
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        idents = ['m%d' % i for i in range(120)]
        for i, ident in enumerate(idents):
            say(romeo, juliet.jid, ident)
            if i % 30 == 15:
                subprocess.run(['psql', '-X', '-q', '-d', cluster.conninfo, '-c', 'select pg_terminate_backend(pid) '
                                "from pg_stat_activity where application_name = 'sterna'"], check=True, capture_output=True)
        request(romeo)
        until_h = time.monotonic() + 10
        while answer(romeo, 10) < len(idents):
            check(time.monotonic() < until_h, 'not all acknowledged')
            request(romeo)
        received(juliet, idents)
        check(archive(juliet) == idents and archive(romeo) == idents, 'the archives differ')


@accounts()
@with_cluster
def test_server_stops_without_database(t, cluster):
    """SIGTERM while the database is away: the server ends in time, and nothing that it has acknowledged is missing"""
    with own_database(t, cluster, users=EVERYBODY) as server:
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        say(romeo, juliet.jid, 'a1')
        request(romeo)
        check(answer(romeo) == 1, 'no ack')
        cluster.pg('crash')
        say(romeo, juliet.jid, 'b1')
        received(juliet, ('a1', 'b1'))
        began = time.monotonic()
        server.stop()
        check(time.monotonic() - began < 20, 'it took %.1f s' % (time.monotonic() - began))
        cluster.start()
        server.start()
        again = client(t, server, 'romeo').login()
        check('a1' in archive(again), 'what was acknowledged is gone')


# -- kill -9 --------------------------------------------------------------------------------------------

class Talker(threading.Thread):
    """Sends without pause and asks for acks, until the server dies."""

    def __init__(self, one, to, prefix):
        super().__init__()
        self.one, self.to, self.prefix = one, to, prefix
        self.sent, self.acked = [], 0

    def run(self):
        try:
            while True:
                batch = ['%s-%d' % (self.prefix, len(self.sent) + i) for i in range(5)]
                self.sent += batch
                say(self.one, self.to, *batch)
                request(self.one)
                self.acked = max(self.acked, answer(self.one))
                time.sleep(0.005)           # enough for a kill in the midst; the rest is only time
        except (xmpp.XmppError, OSError, ValueError):
            pass


def collect(one, into):
    """Takes in all messages that have come."""
    one.ping('collect-%d' % time.monotonic_ns())
    for each in [e for e in one.queue if is_message(e)]:
        into.append(each.get('id'))
    one.queue = [e for e in one.queue if not is_message(e)]


@accounts()
def test_tools_beside_a_server(t):
    """sternactl writes while the server does: neither ends the other's connections"""
    with daemon(t) as server:
        def writers():
            return server.psql("select pid from pg_locks join pg_database d on d.oid = database where locktype = 'advisory'"
                               " and classid = 1398035022 and datname = '%s' order by pid" % server.database).split()

        postgres = server.db == 'postgresql'
        juliet = client(t, server, 'juliet').login()
        before = writers() if postgres else []
        check(len(before) >= 2 or not postgres, 'writers: %s' % before)
        since, failed = len(server.log()), []

        def add(i):
            done = subprocess.run([str(sterna.program('sternactl')), '-c', str(server.config_file), 'user', 'add', '--from',
                                   '-'], input='tool%d@localhost pw\n' % i, capture_output=True, text=True,
                                  timeout=60, env=server.environment())
            if done.returncode or 'away' in done.stderr or 'ended first' in done.stderr:
                failed.append(done.stderr)
        tools = [threading.Thread(target=add, args=(i,)) for i in range(6)]
        for tool in tools:
            tool.start()
        for tool in tools:
            tool.join()
        check(not failed, failed)
        check('away' not in server.log()[since:], server.log()[since:])
        check(not postgres or writers() == before, 'connections for writes were replaced')
        juliet.ping('alive')
        client(t, server, 'tool5').login()


@accounts()
def test_a_second_server_is_refused(t):
    """PostgreSQL: a second sternad on the same database does not start, and says why; the first goes on. After a kill -9 it does"""
    if t.server.db != 'postgresql':
        t.skip('a file has one server, by its control socket')
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        second = sterna.Server('postgresql', name=t.name + '.second')
        try:
            second.tree['storage'] = server.tree['storage']
            second.configure()
            try:
                second.start()
                check(False, 'it starts')
            except sterna.ServerError as e:
                check('another sternad works on this database' in str(e), str(e))
            juliet.send("<message id='m' to='romeo@localhost' type='chat'><body>x</body></message>")
            juliet.ping('p')
            server.ctl('user', 'add', 'nurse@localhost', stdin='secretpassword\n')
            server.kill()
            began = time.monotonic()
            second.start()
            check(time.monotonic() - began < 20, 'it waits for the dead one')
            second.stop()
        finally:
            second.close()


@accounts()
def test_of_two_that_start_together_one_does(t):
    """PostgreSQL: of two sternads that start in the same moment on one database one runs, the other is refused; also on a new one"""
    if t.server.db != 'postgresql':
        t.skip('a file has one server, by its control socket')

    def start(server, outcome):
        try:
            server.start()
            outcome[server] = 'runs'
        except sterna.ServerError as e:
            outcome[server] = str(e)
    both = [sterna.Server('postgresql', name=t.name + str(i)) for i in range(2)]
    try:
        both[1].tree['storage'] = both[0].tree['storage']
        both[1].configure()
        for round in range(2):
            outcome = {}
            threads = [threading.Thread(target=start, args=(server, outcome)) for server in both]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            said = list(outcome.values())
            check(said.count('runs') == 1, '%d: %r' % (round, said))
            check(any('another sternad works on this database' in each for each in said), '%d: %r' % (round, said))
            for server in both:
                if outcome[server] == 'runs':
                    server.stop()
    finally:
        for server in both:
            server.close()


@accounts()
def test_killed_in_traffic(t):
    """R1 in small: five kills; what was acknowledged is archived on both sides and delivered or deliverable, once"""
    with daemon(t, users=('juliet', 'romeo', 'rosaline'), limits__stanzas='100000/s', limits__offline_messages=1000000,
                log__level='info') as server:
        promised, delivered, offline_promised = [], [], []
        for kill in range(5):
            juliet = client(t, server, 'juliet').login()
            collect(juliet, delivered)
            live = Talker(login(t, server, 'romeo'), juliet.jid.split('/')[0], 'live%d' % kill)
            late = Talker(login(t, server, 'romeo', resource='late'), 'rosaline@localhost', 'late%d' % kill)
            live.start()
            late.start()
            time.sleep(0.15 + 0.07 * kill)
            server.kill()
            live.join()
            late.join()
            try:                                    # what was on the wire to her when the server died
                while True:
                    elem = juliet.next(0.2)
                    if is_message(elem):
                        delivered.append(elem.get('id'))
            except xmpp.XmppError:
                pass
            promised += live.sent[:live.acked]
            offline_promised += late.sent[:late.acked]
            server.start()
        check(len(promised) > 20 and len(offline_promised) > 20, 'too little traffic: %d' % len(promised))
        juliet, rosaline = client(t, server, 'juliet').login(), client(t, server, 'rosaline').login()
        waiting = []
        end = time.monotonic() + 10                 # they come page by page
        while not set(offline_promised) <= set(waiting) and time.monotonic() < end:
            time.sleep(0.1)
            collect(rosaline, waiting)
        collect(rosaline, waiting)
        collect(juliet, delivered)
        romeo = client(t, server, 'romeo').login()
        kept, sent, rosalines = archive(juliet), archive(romeo), archive(rosaline)
        for name, listing in (('her archive', kept), ('his archive', sent), ('rosaline\'s', rosalines),
                              ('what rosaline got', waiting)):
            check(len(listing) == len(set(listing)), 'doubled in %s: %r' % (
                name, sorted({each for each in listing if listing.count(each) > 1})[:5]))
        for name, listing, wanted in (('her archive', kept, promised), ('his archive', sent, promised + offline_promised),
                                      ('rosaline\'s', rosalines, offline_promised),
                                      ('what rosaline got', waiting, offline_promised)):
            lost = [each for each in wanted if each not in set(listing)]
            check(not lost, '%d acknowledged ones are missing in %s: %r' % (len(lost), name, lost[:5]))


@accounts()
def test_resumed_after_kills(t):
    """Both ends resume after each kill: all arrives in order; twice only what was never acknowledged to the sender"""
    with daemon(t, limits__stanzas='100000/s', log__level='info') as server:
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        got, sent, repeated = [], [], set()

        def take(wait):
            try:
                while True:
                    elem = juliet.next(wait)
                    if elem.tag in ('{jabber:client}message', '{jabber:client}iq', '{jabber:client}presence'):
                        juliet.taken += 1
                    if is_message(elem):
                        got.append(elem.get('id'))
            except xmpp.XmppError:
                pass

        def resume(one, h):
            one.cut()
            user_out, sm_id, taken = one.out, one.sm_id, one.taken
            one.secure()
            one.authenticate()
            one.out, one.sm_id, one.taken = user_out, sm_id, taken
            one.send("<resume xmlns='%s' previd='%s' h='%d'/>" % (NS_SM, sm_id, h))
            answered = one.next()
            check(answered.tag == '{%s}resumed' % NS_SM, 'not resumed: %s' % xmpp.text_of(answered))
            return int(answered.get('h'))

        for kill in range(4):
            batch = ['k%d-%d' % (kill, i) for i in range(40)]
            sent += batch
            try:
                for at in range(0, 40, 4):
                    say(romeo, 'juliet@localhost', *batch[at:at + 4])
                    request(romeo)
                    if at == 20:
                        time.sleep(0.01 * kill)
                        server.kill()
            except xmpp.XmppError:
                romeo.out = len(sent)
            if server.process is not None:
                server.kill()
            romeo.out = len(sent)
            take(0.1)
            server.start()
            h = resume(romeo, 0 if romeo.taken == 0 else romeo.taken)
            check(h <= len(sent), 'h=%d of %d' % (h, len(sent)))
            for ident in sent[h:]:                  # the client sends again what was not taken
                romeo.send(body('juliet@localhost', ident))
                repeated.add(ident)
            resume(juliet, juliet.taken)
            take(0.4)
        once = list(dict.fromkeys(got))
        check(once == sent, 'got %d of %d; first difference at %r' % (
            len(once), len(sent), next(((a, b) for a, b in zip(once, sent) if a != b), None)))
        twice = {each for each in got if got.count(each) > 1} - repeated
        check(not twice, 'came twice, though the sender was told that it is there: %r' % sorted(twice)[:5])
        reader = client(t, server, 'juliet', resource='reader').login()
        check(archive(reader) == sent, 'the archive differs')


# -- the disk -------------------------------------------------------------------------------------------

class Small:
    """A file system of few MiB, where root may mount one; else None."""

    def __init__(self, folder, megabytes):
        self.folder = folder
        folder.mkdir()
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % megabytes, 'tmpfs', str(folder)],
                              capture_output=True)
        self.mounted = done.returncode == 0

    def fill(self):
        with open(self.folder / 'ballast', 'wb', buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4096))
            except OSError:
                pass

    def free(self):
        (self.folder / 'ballast').unlink()

    def end(self):
        if self.mounted:
            subprocess.run(['umount', '-l', str(self.folder)], check=False)


@accounts()
def test_disk_is_full(t):
    """SQLite on a full disk: no ack, no crash, nobody dropped; when there is room again all is committed"""
    small = []

    def before(server):
        small.append(Small(server.home / 'small', 8))
        server.configure(storage__path=str(small[0].folder / 'sterna.db'), storage__read_wait='1s')

    try:
        with daemon(t, db='sqlite', before=before) as server:
            if not small[0].mounted:
                t.skip('no file system can be mounted here')
            juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
            say(romeo, juliet.jid, 'a1')
            request(romeo)
            check(answer(romeo) == 1, 'no ack')
            small[0].fill()
            idents = ['b%d' % i for i in range(300)]
            for ident in idents:                    # more than the room that is left within SQLite's files
                say(romeo, juliet.jid, ident)
            request(romeo)
            received(juliet, ['a1', *idents])
            juliet.ping('alive')
            until(lambda: 'cannot write' in server.log(), 5, 'the log says nothing')
            small[0].free()
            until_all = time.monotonic() + 10
            while answer(romeo, 10) < 301:
                check(time.monotonic() < until_all, 'not all acknowledged')
                request(romeo)
            until(lambda: 'writes again' in server.log(), 5, 'the log does not say that it is over')
            check(archive(juliet) == ['a1', *idents], 'her archive')
            check(archive(romeo) == ['a1', *idents], 'his archive')
    finally:
        for each in small:
            each.end()


@accounts()
def test_disk_is_full_for_long(t):
    """A full disk and more than the queue holds: senders hear resource-constraint or are held up; memory is bounded"""
    small = []

    def before(server):
        small.append(Small(server.home / 'small', 48))
        server.configure(storage__path=str(small[0].folder / 'sterna.db'), storage__queue='1MiB', storage__read_wait='1s',
                         limits__stanzas='100000/s', limits__offline_messages=1000000)

    try:
        with daemon(t, users=EVERYBODY, db='sqlite', before=before, log__level='info') as server:
            if not small[0].mounted:
                t.skip('no file system can be mounted here')
            third, romeo = login(t, server, 'mercutio'), login(t, server, 'romeo')
            small[0].fill()
            sent = 0
            end = time.monotonic() + 3
            try:
                while time.monotonic() < end and sent < 2000:
                    romeo.send(''.join("<message to='%s' type='chat' id='m%d'><body>%s</body></message>"
                                       % ('juliet@localhost', sent + i, 'A' * 4000) for i in range(5)))
                    sent += 5
            except (xmpp.XmppError, OSError):
                pass                                # held up: the socket is full
            until(lambda: 'cannot write' in server.log(), 5, 'the log says nothing')
            third.ping('alive')
            check(server.process.poll() is None, 'the server has died')
            small[0].free()
            back = []

            def logs_in():                          # while the queue drains, this may still be refused
                other = client(t, server, 'juliet', resource='other%d' % time.monotonic_ns())
                try:
                    other.login()
                except (xmpp.XmppError, OSError):
                    return False
                back.append(other)
                return True

            until(logs_in, 20, 'logins are still refused')
            tybalt = back[0]

            def stored():                           # and this
                tybalt.send(body('juliet@localhost', 'after'))
                try:
                    return 'after' in archive(tybalt)
                except AssertionError:
                    return False

            until(stored, 20, 'nothing is archived any more')
    finally:
        for each in small:
            each.end()
