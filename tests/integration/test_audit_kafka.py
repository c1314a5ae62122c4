"""The audit in a real Kafka: $STERNA_TEST_KAFKA is the script that starts one (up, env, crash, tool); without it, skipped.

    STERNA_TEST_KAFKA=../shared/services/kafka STERNA_TEST_KAFKA_MESSAGES=20000 tests/integration/run.py -k audit_kafka
"""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time
import uuid

import sterna
from suite import check, client, daemon
from test_audit import audited, settle, query, validate, verify

TOOL = os.environ.get('STERNA_TEST_KAFKA', '')
MESSAGES = int(os.environ.get('STERNA_TEST_KAFKA_MESSAGES', '2000'))
AWAY_S = float(os.environ.get('STERNA_TEST_KAFKA_AWAY', '20'))     # how long the broker is away, in test_a_long_absence
NEWER = os.environ.get('STERNA_TEST_RDKAFKA', '')       # a folder with librdkafka.so.1, 2.6.1 or later
WITH_LOCK = threading.Lock()            # there is one broker


def kafka(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=300, check=True).stdout


def broker(t):
    """Its addresses and credentials; it runs then."""
    if not TOOL or not pathlib.Path(TOOL).exists():
        t.skip('no Kafka: STERNA_TEST_KAFKA')
    kafka('up')
    pairs = [line.removeprefix('export ').split('=', 1) for line in kafka('env').splitlines() if '=' in line]
    return {name: value.strip('"\'') for name, value in pairs}


def topic_of(t, partitions=3):
    name = 'audit-' + uuid.uuid4().hex[:12]
    kafka('tool', 'TopicCommand', '--create', '--topic', name, '--partitions', str(partitions))
    return name


def secure(env, topic, **more):
    return {'brokers': [env['STERNA_KAFKA_TLS_BROKERS']], 'topic': topic, 'security': 'sasl_tls', 'mechanism': 'PLAIN',
            'user': env['STERNA_KAFKA_USER'], 'password': env['STERNA_KAFKA_PASSWORD'],
            'authorities': env['STERNA_KAFKA_CA'], **more}


def consumed(env, topic):
    python = sterna.build_dir() / 'venv' / 'bin' / 'python3'
    done = subprocess.run([str(python), str(pathlib.Path(__file__).with_name('kafka_consumer.py')), env['STERNA_KAFKA_TLS_BROKERS'],
                           topic, env['STERNA_KAFKA_CA'], env['STERNA_KAFKA_USER'], env['STERNA_KAFKA_PASSWORD']],
                          capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def all_sent(server, timeout=120):
    """Until all that there is now is sent; its last number. (To ask is an event too, so there is always one more.)"""
    end = time.monotonic() + timeout
    settle(server, timeout)
    newest = int(query(server, 'SELECT max(seq) FROM audit_event')[0][0])
    while True:
        status = json.loads(server.ctl('--json', 'audit', 'status'))
        if status['sent'] >= newest:
            return newest
        check(time.monotonic() < end, 'not all is sent: %r' % status)
        time.sleep(0.2)


def compare(server, env, topic):
    """The topic against the database. How often a record came again."""
    last = all_sent(server)
    stored = {row[0]: row[1] for row in query(server, 'SELECT seq, event FROM audit_event WHERE seq > 0')}
    got = consumed(env, topic)
    newest, seen = collections.defaultdict(int), set()
    for one in got:
        event = dict(one['event'])
        check(one['type'].startswith('application/cloudevents+json'), one['type'])
        validate(event)
        seq = event.pop('chainseq')
        event.pop('chainhash')
        check(json.loads(stored.get(str(seq), json.dumps(event))) == event, 'record %d is another in the topic' % seq)
        check(one['key'] == event['partitionkey'], 'key')
        if seq not in seen:
            check(seq > newest[one['key']], 'record %d comes behind %d of %s' % (seq, newest[one['key']], one['key']))
            newest[one['key']] = seq
        seen.add(seq)
    missing = {int(seq) for seq in stored if int(seq) <= last} - seen
    check(not missing, '%d of %d records are not in the topic' % (len(missing), len(stored)))
    dump = server.home / 'dump'
    dump.write_text(''.join(json.dumps(one['event']) + '\n' for one in got))
    code, said = verify(server, '--file', str(dump), '--key', str(server.home / 'audit.pub'))
    check(code == 0, said)
    code, said = verify(server, '--key', str(server.home / 'audit.pub'))
    check(code == 0, said)
    return len(got) - len(seen), dump


def login(t, server, user):
    made = client(t, server, user).connect()
    made.secure()
    made.authenticate()
    made.bind()
    made.send("<enable xmlns='urn:xmpp:sm:3'/>")
    return made


def chat(made, first, count):
    """Messages, all of which are acknowledged."""
    for n in range(first, first + count):
        made.send("<message id='m%d' to='romeo@localhost' type='chat'><body>%d</body></message>" % (n, n))
    while True:
        made.send("<r xmlns='urn:xmpp:sm:3'/>")
        got = made.next(timeout=60)
        while not got.tag.endswith('}a'):
            got = made.next(timeout=60)
        made.acked = int(got.get('h'))
        if made.acked >= made.sent + count:
            made.sent += count
            return


def test_broker_and_server_are_killed(t):
    """TLS and SASL; the broker killed twice, sternad twice, under load: each record in the topic, in order, once by its id"""
    with WITH_LOCK:
        env = broker(t)
        topic = topic_of(t)

        def before(server):
            audited(server, messages='envelope', kafka=secure(env, topic))
            server.configure(limits__offline_messages=1000000)

        with daemon(t, before=before) as server:
            done, part = 0, max(MESSAGES // 20, 1)
            juliet = login(t, server, 'juliet')
            juliet.sent = 0
            for turn in range(20):
                chat(juliet, done, part)
                done += part
                if turn in (4, 11):
                    kafka('crash', 'broker')
                if turn in (7, 14):
                    threading.Thread(target=kafka, args=('up',)).start()
                if turn in (9, 16):
                    server.kill()
                    server.start()
                    juliet = login(t, server, 'juliet')
                    juliet.sent = 0
            kafka('up')
            again, dump = compare(server, env, topic)
            ids = [json.loads(line)['data']['stanza'] for line in dump.read_text().splitlines()
                   if json.loads(line)['type'] == 'sterna.message.v1']
            check(len(set(ids)) == done, '%d of %d messages' % (len(set(ids)), done))
            t.transcript.append('%d messages, %d records came again' % (done, again))
            if shutil.which('kcat'):
                kcat = subprocess.run(['kcat', '-C', '-q', '-e', '-o', 'beginning', '-b', env['STERNA_KAFKA_TLS_BROKERS'], '-t', topic,
                                       '-X', 'security.protocol=sasl_ssl', '-X', 'sasl.mechanisms=PLAIN', '-X',
                                       'sasl.username=' + env['STERNA_KAFKA_USER'], '-X', 'sasl.password='
                                       + env['STERNA_KAFKA_PASSWORD'], '-X', 'ssl.ca.location=' + env['STERNA_KAFKA_CA']],
                                      capture_output=True, text=True, timeout=120)
                (server.home / 'kcat').write_text(kcat.stdout)
                code, said = verify(server, '--file', str(server.home / 'kcat'), '--key', str(server.home / 'audit.pub'))
                check(code == 0 and kcat.stdout.count('\n') == len(dump.read_text().splitlines()), said + kcat.stderr)
                lines = kcat.stdout.splitlines()
                for line in lines:
                    validate(json.loads(line))
                one = json.loads(lines[3])
                other = json.dumps({**one, 'subject': 'paris@localhost'})
                only = [line for line in lines if json.loads(line)['chainseq'] != one['chainseq']]
                for changed, wanted in ((only, 'record %d is missing' % one['chainseq']),
                                        (only[:3] + [other] + only[3:], 'record %d (' % one['chainseq'])):
                    (server.home / 'kcat').write_text('\n'.join(changed) + '\n')
                    code, said = verify(server, '--file', str(server.home / 'kcat'))
                    check(code == 1 and wanted in said, said)


def test_a_wrong_password(t):
    """a wrong password at the broker: chat goes on, records wait; with the right one all of them arrive"""
    with WITH_LOCK:
        env = broker(t)
        topic = topic_of(t)

        def before(server):
            audited(server, kafka=secure(env, topic, password='wrong'))

        with daemon(t, before=before) as server:
            juliet = login(t, server, 'juliet')
            juliet.sent = 0
            chat(juliet, 0, 50)
            time.sleep(3)
            status = json.loads(server.ctl('--json', 'audit', 'status'))
            check(status['kafka'] == 'away' and status['sent'] == 0 and status['pending'] > 50, 'status %r' % status)
            check('Kafka cannot be used now' in server.log(), 'nobody is told')
            audited_key = {'kafka': secure(env, topic)}
            server.configure(modules__audit={**server.tree['modules']['audit'], **audited_key})
            server.ctl('reload')
            server.ctl('modules', 'reload', 'audit')
            compare(server, env, topic)


def paced(juliet, romeo, seconds, rate):
    """Messages at a fixed rate; how long each took, in seconds, sorted."""
    took, sent_at = [], {}

    def read():
        while len(took) < count:
            got = romeo.next(timeout=30)
            if got.tag.endswith('}message'):
                took.append(time.monotonic() - sent_at[got.get('id')])

    count = int(seconds * rate)
    reader = threading.Thread(target=read)
    reader.start()
    begun = time.monotonic()
    for n in range(count):
        time.sleep(max(begun + n / rate - time.monotonic(), 0))
        sent_at['p%d' % n] = time.monotonic()
        juliet.send("<message id='p%d' to='romeo@localhost' type='chat'><body>%d</body></message>" % (n, n))
    reader.join()
    return sorted(took)


def test_a_long_absence(t):
    """the broker is away for long at 200 messages a second: chat is as quick as before, and all records arrive in the end.
    How quick is in the transcript; what is asserted leaves room for a machine that does something else too"""
    with WITH_LOCK:
        env = broker(t)
        topic = topic_of(t)

        def before(server):
            audited(server, messages='metadata', kafka=secure(env, topic))
            server.configure(log__level='info', limits__idle_time='1d') # nobody here answers pings

        with daemon(t, before=before) as server:
            juliet, romeo = client(t, server, 'juliet').login(), client(t, server, 'romeo').login()
            juliet.transcript = romeo.transcript = []
            paced(juliet, romeo, 3, 200)
            there = paced(juliet, romeo, max(AWAY_S / 4, 5), 200)
            kafka('crash', 'broker')
            away = paced(juliet, romeo, AWAY_S, 200)
            status = json.loads(server.ctl('--json', 'audit', 'status'))
            kafka('up')
            begun = time.monotonic()
            compare(server, env, topic)
            text = 'p50 %.2f -> %.2f ms, p99 %.2f -> %.2f ms; away %.0f s, %d records waited; all there %.1f s later' % (
                *(1000 * each[int(len(each) * part)] for part in (0.5, 0.99) for each in (there, away)), AWAY_S, status['pending']
                if status['pending'] else status['records'] - status['sent'], time.monotonic() - begun)
            t.transcript.append(text)
            if 'STERNA_TEST_KAFKA_AWAY' in os.environ:
                print(text)
            check(away[int(len(away) * 0.99)] < 3 * there[int(len(there) * 0.99)] + 0.05, text)


def test_scram_with_a_newer_librdkafka(t):
    """SCRAM over TLS, with librdkafka 2.6.1 or later in place of Debian's"""
    if not NEWER:
        t.skip('no newer librdkafka: STERNA_TEST_RDKAFKA')
    with WITH_LOCK:
        env = broker(t)
        for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-512'):
            topic = topic_of(t)

            def before(server):
                audited(server, kafka=secure(env, topic, mechanism=mechanism)) # pylint: disable=cell-var-from-loop
                server.more_environment = {'LD_LIBRARY_PATH': NEWER}

            with daemon(t, before=before) as server:
                juliet = login(t, server, 'juliet')
                juliet.sent = 0
                chat(juliet, 0, 50)
                compare(server, env, topic)
                check('wrong nonce' not in server.log(), 'the warning')


def test_scram_is_warned_of(t):
    """SCRAM with an old librdkafka: what Kafka 4 does to it is said at the start"""
    with WITH_LOCK:
        env = broker(t)

        def before(server):
            audited(server, kafka=secure(env, 'audit', mechanism='SCRAM-SHA-256'))

        with daemon(t, before=before) as server:
            time.sleep(1)
            check('sends a wrong nonce with SCRAM' in server.log() or 'librdkafka 2.6' in server.log(), 'not said')
