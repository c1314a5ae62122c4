"""Reload by SIGHUP and by sternactl, and modules that come and go, while people are connected and talk."""
import json
import re
import shutil
import signal
import subprocess
import threading
import time

import sterna
import xmpp
from suite import accounts, check, client, daemon

DISCO = 'http://jabber.org/protocol/disco#info'


def is_message(elem):
    return elem.tag == '{jabber:client}message'


def body(to, ident):
    return "<message to='%s' type='chat' id='%s'><body>x</body></message>" % (to, ident)


def serial(sock):
    """Of the certificate that was shown."""
    der = sock.getpeercert(True)
    return subprocess.run(['openssl', 'x509', '-inform', 'DER', '-noout', '-serial'], input=der, capture_output=True,
                          check=True).stdout


def wait_log(server, text, since=0):
    until = time.monotonic() + 10
    while text not in server.log()[since:]:
        check(time.monotonic() < until, 'the log does not say: %s\n%s' % (text, server.log_tail(10)))
        time.sleep(0.02)
    return server.log()[since:]


def hup(server, says='reload: applied'):
    since = len(server.log())
    server.process.send_signal(signal.SIGHUP)
    return wait_log(server, says, since)


def refused(server, *words):
    """sternactl reload is refused, says these words, and the log does."""
    try:
        server.ctl('reload')
    except sterna.ServerError as error:
        for word in words:
            check(word in str(error), '%r does not say %r' % (str(error), word))
        return
    check(False, 'the reload was not refused: %s' % (words,))


@accounts()
def test_certificate(t):
    """A new certificate is shown to those who come now; those who are there stay; a broken one is refused"""
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        old = serial(juliet.sock)
        good = server.crt.read_bytes(), server.key.read_bytes()
        for how in (lambda: hup(server), lambda: server.ctl('reload')):
            before = serial(client(t, server, 'juliet', resource='x').login().sock)
            sterna.certificate(server.home / 'tls')
            how()
            romeo = client(t, server, 'romeo').login()      # who trusts the new one only
            check(serial(romeo.sock) != before, 'the old certificate is still shown')
            romeo.send(body(juliet.jid, 'm1'))
            juliet.wait_for(is_message)
        check(serial(juliet.sock) == old, 'juliet was moved')
        now = server.crt.read_bytes(), server.key.read_bytes()
        server.key.write_bytes(good[1])                     # the key of another
        since = len(server.log())
        refused(server, 'certificate')
        check(str(server.key) in server.log()[since:], 'the file is not named')
        server.crt.unlink()
        refused(server, 'certificate')
        check('nothing was changed' in hup(server, 'refused'), 'SIGHUP')
        server.crt.write_bytes(now[0])
        server.key.write_bytes(now[1])
        third = client(t, server, 'romeo', resource='third').login()
        check(serial(third.sock) != old, 'an older certificate')
        juliet.ping('alive')


@accounts()
def test_limits_and_log(t):
    """Limits count at once, also for those who are there; the log's level and file change"""
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        server.configure(limits__stanza_bytes=10000, limits__roster_items=1, log__level='warning')
        said = server.ctl('reload')
        check('limits.roster_items' in said and 'log.level' in said, said)
        since = len(server.log())
        for name in ('a', 'b'):
            juliet.send("<iq type='set' id='%s'><query xmlns='jabber:iq:roster'><item jid='%s@localhost'/></query></iq>"
                        % (name, name))
        check(juliet.wait_for(lambda e: e.get('id') == 'b').get('type') == 'error', 'roster_items is the old one')
        romeo = client(t, server, 'romeo')
        romeo.secure()
        romeo.authenticate()
        limits = '{urn:xmpp:stream-limits:0}'
        check(romeo.features.findtext(limits + 'limits/' + limits + 'max-bytes') == '10000', 'max-bytes is the old one')
        check(' info ' not in server.log()[since:] and ' debug ' not in server.log()[since:], server.log()[since:])
        other = server.home / 'other.log'
        server.configure(log__level='debug', log__file=str(other))
        hup_since = len(server.log())
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 5
        while not other.exists() or 'applied' not in other.read_text():
            check(time.monotonic() < until, 'no new log; the old one says: ' + server.log()[hup_since:])
            time.sleep(0.02)
        other.rename(server.home / 'rotated.log')           # as logrotate does
        server.process.send_signal(signal.SIGHUP)
        while not other.exists() or 'applied' not in other.read_text():
            check(time.monotonic() < until + 5, 'the file was not opened anew')
            time.sleep(0.02)
        juliet.ping('alive')


@accounts()
def test_log_level_by_hand(t):
    """sternactl log level: until the next reload"""
    with daemon(t, log__level='warning') as server:
        server.ctl('log', 'level', 'debug')
        since = len(server.log())
        client(t, server, 'juliet').login()
        wait_log(server, 'logged in', since)
        before = len(server.log())
        server.ctl('reload')                                # answers when the level is the file's again
        since = len(server.log())
        client(t, server, 'romeo').login()
        check('logged in' not in server.log()[since:], 'the level stayed: ' + server.log()[before:])


@accounts()
def test_refused_reload_changes_nothing(t):
    """What is wrong, or needs a restart, refuses the whole reload with the place; what was good in it is not applied"""
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        good = server.config_file.read_text()
        modules = server.ctl('modules')
        for change, words in (
                (lambda text: text.replace('plain: true', 'plian: true'), ("'plian'", "'plain'", 'sterna.yaml:')),
                (lambda text: text + 'x: [\n', ('sterna.yaml:',)),
                (lambda text: text.replace('workers: 2', 'workers: 3'), ('restart', 'server.workers')),
                (lambda text: re.sub(r'port: %d' % server.port, 'port: 1', text), ('restart', 'listen')),
                (lambda text: text.replace('modules:\n', 'modules:\n  teleport: {}\n'), ('teleport',)),
                (lambda text: re.sub(r'  mam: ?\{\}', '  mam: { page_maxx: 3 }', text), ('page_maxx', 'sterna.yaml:')),
                (lambda text: text.replace('hosts:\n', 'hosts:\n  verona: {}\n'), ('verona',)),
                (lambda text: text.replace("level: 'debug'", "level: 'debug'\n  file: '/nonexistent/log'"),
                 ('/nonexistent/log',))):
            changed = change(good)
            check(changed != good, 'nothing changed: %s' % (words,))
            server.config_file.write_text(changed.replace('connections_per_address: 1000', 'connections_per_address: 1'))
            refused(server, *words)
            hup(server, 'refused')
            clients = [client(t, server, 'romeo').connect() for _ in range(3)]
            for each in clients:
                each.open()                                 # the limit is the old one
                each.cut()
            server.config_file.write_text(good)
            check(server.ctl('modules') == modules, 'modules changed')
        server.config_file.unlink()
        refused(server, 'sterna.yaml')
        server.config_file.write_text(good)
        server.ctl('reload')
        juliet.ping('alive')


def features(one):
    ident = 'd%d' % time.monotonic_ns()
    one.send("<iq type='get' id='%s' to='localhost'><query xmlns='%s'/></iq>" % (ident, DISCO))
    answer = one.wait_for(lambda e: e.get('id') == ident)
    return {each.get('var') for each in answer.iter('{%s}feature' % DISCO)}


@accounts()
def test_modules_by_reload(t):
    """A module taken out of the configuration goes, one put in comes; options change; nobody is dropped"""
    with daemon(t) as server:
        juliet = client(t, server, 'juliet').login()
        ping = "<iq type='get' id='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
        check('urn:xmpp:ping' in features(juliet), 'no ping')
        server.configure(modules__ping=False)
        hup(server)
        juliet.send(ping % 'p1')
        answer = juliet.wait_for(lambda e: e.get('id') == 'p1')
        check(xmpp.condition_of(answer) == 'service-unavailable', xmpp.text_of(answer))
        check('urn:xmpp:ping' not in features(juliet), 'still in disco')
        server.configure(modules__ping={})
        server.ctl('reload')
        juliet.ping('p2')
        options = json.loads(subprocess.run([str(sterna.program('sternactl')), '-c', str(server.config_file), '--json',
                                             'config', 'show'], capture_output=True, text=True).stdout or '{}')
        check(options is not None, 'config show')
        server.configure(modules__mam={'max_page': 5})
        said = server.ctl('reload')
        check('modules.mam' in said, said)
        for i in range(8):
            juliet.send(body('romeo@localhost', 'm%d' % i))
        juliet.send("<iq type='set' id='q1'><query xmlns='urn:xmpp:mam:2'>"
                    "<set xmlns='http://jabber.org/protocol/rsm'><max>100</max></set></query></iq>")
        fin = juliet.wait_for(lambda e: e.get('id') == 'q1')
        check(fin.get('type') == 'result', xmpp.text_of(fin))
        page = [e for e in juliet.queue if is_message(e)]
        check(len(page) == 5, 'a page of %d' % len(page))


@accounts()
def test_usual_modules(t):
    """The usual modules are there unless they are off; 'usual: off' leaves those that are named; a served domain stays"""
    def loaded():
        return set(module['name'] for module in json.loads(server.ctl('--json', 'modules')))

    with daemon(t) as server:
        server.tree['modules'] = {}
        server.configure()
        server.ctl('reload')
        usual = loaded()
        check({'ping', 'mam', 'time', 'metrics'} <= usual and 'external' in usual, usual)
        server.tree['modules'] = {'ping': False, 'time': {'utc_only': True}, 'mam': True}
        server.configure()
        server.ctl('reload')
        check(usual - loaded() == {'ping'}, usual - loaded())
        before = loaded()
        server.tree['modules'] = {'usual': False, 'ping': True, 'disco': {}, 'pubsub': {}}
        server.configure()
        refused(server, "'muc'", "'conference.localhost'", 'restart')
        check(loaded() == before, 'a refused reload changed %s' % (loaded() ^ before))
        server.stop()
        server.tree['modules'].pop('pubsub')
        server.configure()
        server.start()
        check(loaded() - {'roster', 'register', 'invite', 'clients'} == {'ping', 'disco'}, loaded())
        server.tree['modules'].update(time={}, mam={})
        server.configure()
        server.ctl('reload')
        check(loaded() - {'roster', 'register', 'invite', 'clients'} == {'ping', 'disco', 'time', 'mam'}, loaded())
        server.tree['modules'] = {'usual': False, 'ping': True, 'disco': {}}
        server.configure()
        server.ctl('reload')
        check(loaded() - {'roster', 'register', 'invite', 'clients'} == {'ping', 'disco'}, loaded())
        server.tree['modules'] = {'disco': False}
        server.configure()
        refused(server, "needs 'disco'", 'off')
        check(loaded() - {'roster', 'register', 'invite', 'clients'} == {'ping', 'disco'}, loaded())


@accounts()
def test_reload_under_traffic(t):
    """Reloads while messages flow: no session is dropped, no message lost, doubled or overtaken"""
    with daemon(t, limits__stanzas='100000/s') as server:
        juliet, romeo = client(t, server, 'juliet').login(), client(t, server, 'romeo').login()
        stop, sent = threading.Event(), []

        def talk():
            while not stop.is_set():
                sent.append('m%d' % len(sent))
                romeo.send(body(juliet.jid, sent[-1]))
                time.sleep(0.001)
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            for i in range(8):
                sterna.certificate(server.home / 'tls')
                server.configure(limits__offline_messages=100 + i, modules__carbons=bool(i % 2))
                server.ctl('reload')
        finally:
            stop.set()
            thread.join()
        for ident in sent:
            got = juliet.wait_for(is_message)
            check(got.get('id') == ident, '%s instead of %s' % (got.get('id'), ident))
        juliet.ping('last')
        check(not [e for e in juliet.queue if is_message(e)], 'doubled')


# -- modules by hand, under traffic ---------------------------------------------------------------------

class Asker(threading.Thread):
    """Sends requests without pause; each must get exactly one answer."""

    def __init__(self, one, payload, to, kind='get'):
        super().__init__()
        self.one, self.text = one, "<iq type='%s' id='%%s'%s>%s</iq>" % (kind, " to='%s'" % to if to else '', payload)
        self.stopping = threading.Event()
        self.sent, self.answers, self.error = 0, {}, None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.one.send(''.join(self.text % ('i%d' % (self.sent + i)) for i in range(10)))
                self.sent += 10
                self.take(self.sent - 20)
            self.take(self.sent)
        except Exception as error:      # told by done()
            self.error = error

    def take(self, count):
        while len(self.answers) < count:
            elem = self.one.next()
            if elem.tag != '{jabber:client}iq':
                continue
            ident = elem.get('id')
            check(ident not in self.answers, 'a second answer to %s' % ident)
            self.answers[ident] = elem.get('type') if elem.get('type') == 'result' else xmpp.condition_of(elem)

    def done(self):
        self.stopping.set()
        self.join()
        if self.error is not None:
            raise AssertionError('after %d requests, %d answers: %s' % (self.sent, len(self.answers), self.error))
        self.one.ping('done')
        check(not [e for e in self.one.queue if e.tag == '{jabber:client}iq'], 'answers too many')
        return set(self.answers.values())


@accounts()
def test_modules_under_traffic(t):
    """Modules unloaded, loaded, reloaded while requests to them come: each gets exactly one answer"""
    # without those that need one of them, and so keep it
    with daemon(t, limits__stanzas='100000/s', modules__bookmarks=False, modules__muc=False) as server:
        cases = {
            'time': ("<time xmlns='urn:xmpp:time'/>", 'localhost', 'get'),
            'private': ("<query xmlns='jabber:iq:private'><a xmlns='x:y'/></query>", None, 'get'),
            'mam': ("<query xmlns='urn:xmpp:mam:2'/>", None, 'set'),
            'vcard': ("<vCard xmlns='vcard-temp'><FN>J</FN></vCard>", None, 'set'),
        }
        askers = {name: Asker(client(t, server, 'juliet').login(presence=False), *case) for name, case in cases.items()}
        talker, listener = client(t, server, 'romeo').login(), client(t, server, 'juliet').login()
        for asker in askers.values():
            asker.start()
        try:
            for i in range(6):
                talker.send(body(listener.jid, 'm%d' % i))
                for name in cases:
                    server.ctl('modules', 'reload', name)
                for name in cases:
                    server.ctl('modules', 'unload', name)
                for name in cases:
                    server.ctl('modules', 'load', name)
        finally:
            answers = {name: asker.done() for name, asker in askers.items()}
        for name, kinds in answers.items():
            check(kinds <= {'result', 'service-unavailable'}, '%s: %r' % (name, kinds))
            check('result' in kinds, '%s never answered' % name)
        for i in range(6):
            check(listener.wait_for(is_message).get('id') == 'm%d' % i, 'a message is missing')


@accounts()
def test_module_that_cannot_go(t):
    """A module that others need stays, and the command says so; unknown ones are refused"""
    with daemon(t) as server:
        def fails(*words, why=''):
            since = len(server.log())
            try:
                server.ctl('modules', *words)
            except sterna.ServerError:
                check(why in server.log()[since:], 'the log does not say why: ' + server.log()[since:])
                return
            check(False, 'modules %s' % ' '.join(words))
        fails('unload', 'teleport')
        fails('load', 'teleport')
        fails('load', '../ping')
        fails('load', 'ping')
        fails('reload', 'teleport')
        fails('unload', 'disco', why='another module needs it')
        fails('unload', 'pubsub', why='it serves a domain')
        fails('reload', 'pubsub', why='it serves a domain')
        client(t, server, 'juliet').login().ping('p')


@accounts()
def test_module_replaced_on_disk_by_a_broken_one(t):
    """modules reload of a file that was broken meanwhile: said, and the rest goes on"""
    with daemon(t) as server:
        folder = server.home / 'modules'
        folder.mkdir()
        for path in sterna.module_files():
            shutil.copy(path, folder)
        server.stop()
        server.configure(server__module_dir=str(folder))
        server.start()
        juliet = client(t, server, 'juliet').login()
        file = next(path for path in folder.iterdir() if path.stem.endswith('_time'))
        keep = file.read_bytes()
        file.unlink()
        file.write_text('no library\n')
        try:
            server.ctl('modules', 'reload', 'time')
        except sterna.ServerError:
            pass
        else:
            check(False, 'a broken module was loaded')
        juliet.ping('alive')
        file.unlink()
        file.write_bytes(keep)
        if 'time' not in [line.split()[0] for line in server.ctl('modules').splitlines() if line]:
            server.ctl('modules', 'load', 'time')
        juliet.send("<iq type='get' id='t1' to='localhost'><time xmlns='urn:xmpp:time'/></iq>")
        check(juliet.wait_for(lambda e: e.get('id') == 't1').get('type') == 'result', 'not back')


def resident(server):
    with open('/proc/%d/status' % server.process.pid) as status:
        return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))


def many_reloads(server, count, change):
    with open(server.log_file) as log:
        log.seek(0, 2)
        for i in range(count):
            change(i)
            server.process.send_signal(signal.SIGHUP)
            until, said = time.monotonic() + 30, ''
            while 'reload: applied' not in said:
                check(time.monotonic() < until, 'reload %d: %s' % (i, said[-2000:]))
                said += log.read()
                time.sleep(0.002)


@accounts()
def test_many_reloads_cost_no_memory(t):
    """200 reloads under traffic: what they replace is freed, the core's configuration and the modules' options"""
    trusted = {'d%d.example' % i: 'pkix' for i in range(800)}       # large, to be seen

    def before(server):
        env = server.environment()
        env['ASAN_OPTIONS'] = env['ASAN_OPTIONS'] + ':quarantine_size_mb=8'
        server.environment = lambda: env
        server.configure(tls__authorities=str(server.crt))  # the system's are slow to read

    with daemon(t, before=before, s2s__trust_of=trusted, limits__stanzas='100000/s', log__level='info') as server:
        askers = [Asker(client(t, server, 'juliet').login(), "<time xmlns='urn:xmpp:time'/>", 'localhost'),
                  Asker(client(t, server, 'romeo').login(), "<query xmlns='jabber:iq:version'/>", 'localhost')]

        def change(i):
            server.configure(limits__offline_messages=100 + i, modules__time={'utc_only': bool(i % 2)},
                             modules__version={'name': 'Sterna %d' % i}, limits__tls_time='%ds' % (20 + i % 3))
        for asker in askers:
            asker.start()
        try:
            many_reloads(server, 40, change)
            early = resident(server)
            many_reloads(server, 160, change)
            grown = resident(server) - early
        finally:
            kinds = [asker.done() for asker in askers]
        check(kinds == [{'result'}, {'result'}], 'answers: %r' % kinds)
        check(grown < 16 * 1024, '160 reloads cost %d KiB' % grown)
