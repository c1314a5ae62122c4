"""The audit: what is recorded, its chain, and what is found when somebody changes it. Kafka itself: test_audit_kafka.py."""
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import time

import sterna
from suite import check, client, daemon

SCHEMAS = sterna.TOP / 'docs' / 'audit'


def valid(schema, value, where='record'):
    """What of JSON Schema the published schemas use."""
    kinds = {'object': dict, 'string': str, 'integer': int}
    check('type' not in schema or isinstance(value, kinds[schema['type']]), '%s: %r is no %s' % (where, value, schema.get('type')))
    check('const' not in schema or value == schema['const'], '%s: %r' % (where, value))
    check('enum' not in schema or value in schema['enum'], '%s: %r' % (where, value))
    check('pattern' not in schema or re.search(schema['pattern'], value), '%s: %r' % (where, value))
    check('minimum' not in schema or value >= schema['minimum'], '%s: %r' % (where, value))
    if schema.get('type') == 'object':
        for name in schema.get('required', ()):
            check(name in value, '%s: %s is not there: %r' % (where, name, value))
        for name, one in value.items():
            known = schema.get('properties', {})
            check(name in known or schema.get('additionalProperties', True), '%s: %s is too much' % (where, name))
            valid(known.get(name, {}), one, where + '.' + name)


def validate(record):
    """A record against the schema of records and that of its type."""
    valid(json.loads((SCHEMAS / 'event.schema.json').read_text()), record)
    _, what, version = record['dataschema'].rsplit(':', 2)
    valid(json.loads((SCHEMAS / ('%s.v%s.schema.json' % (what, version))).read_text()), record['data'], what)
    check(record['type'] == 'sterna.%s.v%s' % (what, version), 'type and schema: %r' % record)


def query(server, statement):
    """Rows of texts; or what a statement changes."""
    if server.db == 'sqlite':
        with sqlite3.connect(server.home / 'sterna.db', timeout=20) as db:
            return [[None if v is None else str(v) for v in row] for row in db.execute(statement)]
    conninfo = re.sub(r'\s*dbname=\S+', '', os.environ['STERNA_TEST_PG']) + ' dbname=' + server.database
    done = subprocess.run(['psql', '-X', '-q', '-A', '-t', '-F', '\x1f', '-R', '\x1e', '-v', 'ON_ERROR_STOP=1', '-d', conninfo,
                           '-c', statement], capture_output=True, text=True, check=True)
    return [row.split('\x1f') for row in done.stdout.rstrip('\n').split('\x1e') if row]


def records(server):
    return [json.loads(row[0]) for row in query(server, 'SELECT event FROM audit_event ORDER BY seq')]


def settle(server, timeout=20):
    """Until every record has its place in the chain."""
    end = time.monotonic() + timeout
    while query(server, 'SELECT count(*) FROM audit_event WHERE seq IS NULL') != [['0']]:
        check(time.monotonic() < end, 'records without a place in the chain')
        time.sleep(0.1)


def keys(folder):
    """A private and a public key, in files."""
    private, public = pathlib.Path(folder) / 'audit.key', pathlib.Path(folder) / 'audit.pub'
    subprocess.run(['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', str(private)], check=True)
    subprocess.run(['openssl', 'ec', '-in', str(private), '-pubout', '-out', str(public)], check=True, capture_output=True)
    return private, public


def online(t, server, user):
    made = client(t, server, user).connect()
    made.secure()
    made.authenticate()
    made.bind()
    return made


def verify(server, *arguments):
    """Exit code and what it says."""
    done = subprocess.run([str(sterna.program('sternactl')), '-c', str(server.config_file), 'audit', 'verify', *arguments],
                          capture_output=True, text=True, timeout=60, env=server.environment())
    return done.returncode, done.stdout + done.stderr


def audited(server, **more):
    private, public = keys(server.home)
    server.configure(modules__audit={'messages': 'whole', 'seal_every': '1s', 'key': str(private), **more})
    return public


def test_what_is_recorded(t):
    """logins, sessions, roster, messages, refusals, commands, configuration: each by its schema, in a chain that is sealed"""
    with daemon(t, before=audited) as server:
        public = server.home / 'audit.pub'
        bad = client(t, server, 'juliet').connect()
        bad.password = 'wrong'
        bad.secure()
        try:
            bad.authenticate()
        except Exception:
            pass
        juliet = online(t, server, 'juliet')
        juliet.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query></iq>"
                    "<message id='m1' to='romeo@localhost' type='chat'><body>good &lt;night&gt; \"\\\t\u00e9</body></message>"
                    "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        while juliet.stanza().get('id') != 'p':
            pass
        server.ctl('blacklist', 'add-out', 'evil.example', check=False)
        server.ctl('session', 'kick', 'juliet@localhost', 'enough')
        server.ctl('user', 'add', 'nurse@localhost', stdin='secretpassword\n')
        server.ctl('user', 'add', 'nurse@localhost', stdin='secretpassword\n', check=False)
        server.ctl('user', 'delete', 'nurse@localhost')
        server.ctl('modules', 'reload', 'time')
        server.ctl('reload')
        time.sleep(2.5)
        settle(server)
        all_of_them = records(server)
        for record in all_of_them:
            validate(record)
        types = {record['type'] for record in all_of_them}
        for what in ('login.failed', 'login.accepted', 'session.bound', 'session.ended', 'roster.changed', 'message',
                     'admin.command', 'config.reloaded', 'module.loaded', 'module.unloaded', 'account.deleted', 'audit.sealed'):
            check('sterna.%s.v1' % what in types, '%s is not recorded: %r' % (what, types))
        message = next(r for r in all_of_them if r['type'] == 'sterna.message.v1')
        check(message['partitionkey'] == 'romeo@localhost' and message['data']['stanza'] == 'm1', 'message: %r' % message)
        check('good &lt;night&gt;' in message['data']['content'], 'content: %r' % message)
        failed = next(r for r in all_of_them if r['type'] == 'sterna.login.failed.v1')
        check(failed['subject'] == 'juliet@localhost' and failed['data']['condition'] == 'not-authorized', repr(failed))
        commands = [r['data'] for r in all_of_them if r['type'] == 'sterna.admin.command.v1']
        check({'done', 'conflict'} <= {c['outcome'] for c in commands if c['command'] == 'user add'}, repr(commands))
        check('secretpassword' not in json.dumps(all_of_them), 'a password is in the audit')
        code, said = verify(server, '--key', str(public))
        check(code == 0 and 'the chain is whole' in said and 'seals    0' not in said, said)


def test_policies(t):
    """of messages: as the host, the account, or a label says; classes of data are left out where that is wanted"""
    def before(server):
        audited(server, messages='metadata', policies={'romeo@localhost': 'envelope', 'label:SECRET': 'none',
                                                       'nurse@localhost': 'none'}, redact=['personal'])

    with daemon(t, users=('juliet', 'romeo', 'nurse'), before=before) as server:
        juliet = online(t, server, 'juliet')
        label = "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>SECRET</displaymarking></securitylabel>"
        for number, (to, inner) in enumerate((('juliet', ''), ('romeo', ''), ('nurse', ''), ('romeo', label))):
            juliet.send("<message id='m%d' to='%s@localhost' type='chat'><body>x</body>%s</message>" % (number, to, inner))
        juliet.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        while juliet.stanza().get('id') != 'p':
            pass
        time.sleep(1)
        settle(server)
        found = {r['data']['stanza']: r['data'] for r in records(server) if r['type'] == 'sterna.message.v1'}
        check(set(found) == {'m0', 'm1'}, 'recorded: %r' % found)
        check('sha256' not in found['m0'] and 'sha256' in found['m1'] and 'content' not in found['m1'], repr(found))
        check(found['m0']['from'] == '(redacted)', 'an address: %r' % found['m0'])


def test_a_changed_record_is_found(t):
    """altered, removed, exchanged, at the end or within: the first broken link is named; a wrong key too"""
    with daemon(t, before=audited) as server:
        public = server.home / 'audit.pub'
        for _ in range(3):
            online(t, server, 'juliet')
        time.sleep(2.5)
        settle(server)
        server.stop()
        code, said = verify(server, '--key', str(public))
        check(code == 0, said)
        dump = server.home / 'dump'
        rows = query(server, 'SELECT seq, hash, event FROM audit_event ORDER BY seq')
        check(len(rows) > 8, 'few records: %d' % len(rows))
        lines = ['{"chainhash":"%s","chainseq":%s,%s' % (row[1], row[0], row[2][1:]) for row in rows]

        def dumped(what, wanted):
            dump.write_text('\n'.join(what) + '\n')
            got, words = verify(server, '--file', str(dump), '--key', str(public))
            check((got == 0) == (wanted is None) and (wanted or 'the chain is whole') in words, '%s: %s' % (wanted, words))

        dumped(lines, None)
        dumped(lines + lines[2:4], None)                                    # at least once
        dumped(lines[3:], None)                                             # the beginning is gone in order
        dumped(lines[:4] + lines[5:], 'record 5 is missing')
        dumped(lines[:4] + [lines[4].replace('localhost', 'lokalhost')] + lines[5:], 'record 5 ')
        dumped(lines + [lines[4].replace('localhost', 'lokalhost')], 'record 5 is there twice')
        swapped = [re.sub('"chainseq":%s,' % a, '"chainseq":%s,' % b, line) for line, a, b in
                   zip(lines[4:6], (5, 6), (6, 5))]
        dumped(lines[:4] + swapped[::-1] + lines[6:], 'record 5 ')
        same = [n for n, row in enumerate(rows) if json.loads(row[2])['partitionkey'] == 'juliet@localhost'][:2]
        mixed = list(lines)
        mixed[same[0]], mixed[same[1]] = mixed[same[1]], mixed[same[0]]
        dumped(mixed, 'of the same key')
        other = pathlib.Path(server.home) / 'other'
        other.mkdir()
        _, wrong = keys(other)
        code, said = verify(server, '--key', str(wrong))
        check(code == 1 and "signature does not hold" in said, said)
        number = rows[same[0]][0]
        query(server, "UPDATE audit_event SET event = replace(event, 'juliet', 'rosaline') WHERE seq = %s" % number)
        code, said = verify(server)
        check(code == 1 and 'record %s ' % number in said and 'not what was hashed' in said, said)
        query(server, "UPDATE audit_event SET event = replace(event, 'rosaline', 'juliet') WHERE seq = %s" % number)
        check(verify(server)[0] == 0, 'mended')
        query(server, 'DELETE FROM audit_event WHERE seq = 7')
        code, said = verify(server)
        check(code == 1 and 'record 7 is missing' in said, said)


def test_the_chain_survives_a_crash(t):
    """kill -9 and again: what was acknowledged is in the chain, which goes on"""
    with daemon(t, before=audited) as server:
        public = server.home / 'audit.pub'
        sent = []
        for turn in range(3):
            juliet = online(t, server, 'juliet')
            juliet.send("<enable xmlns='urn:xmpp:sm:3'/>")
            for n in range(20):
                juliet.send("<message id='t%d-%d' to='romeo@localhost' type='chat'><body>x</body></message>" % (turn, n))
            juliet.send("<r xmlns='urn:xmpp:sm:3'/>")
            while True:
                got = juliet.next(timeout=20)
                if got.tag.endswith('}a') and got.get('h') == '20':
                    break
                if got.tag.endswith('}a'):
                    juliet.send("<r xmlns='urn:xmpp:sm:3'/>")
            sent += ['t%d-%d' % (turn, n) for n in range(20)]
            server.kill()
            server.start()
        time.sleep(2)
        settle(server)
        got = [r['data']['stanza'] for r in records(server) if r['type'] == 'sterna.message.v1']
        check(got == sent, 'records %r' % got)
        code, said = verify(server, '--key', str(public))
        check(code == 0, said)


def test_a_full_outbox(t):
    """Kafka away and the outbox full: messages are refused; or go without their records, which is recorded"""
    for on_full in ('refuse', 'drop_messages_metadata'):
        def before(server):
            audited(server, outbox=100, on_full=on_full, kafka={'brokers': ['127.0.0.1:1']})

        with daemon(t, before=before) as server:
            juliet = online(t, server, 'juliet')
            for n in range(150):
                juliet.send("<message id='m%d' to='romeo@localhost' type='chat'><body>x</body></message>" % n)
                if n % 50 == 49:
                    time.sleep(1)               # what is under way then goes beyond the limit
            juliet.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
            errors = 0
            while True:
                got = juliet.stanza(timeout=20)
                if got.get('id') == 'p':
                    break
                errors += got.get('type') == 'error'
            status = json.loads(server.ctl('--json', 'audit', 'status'))
            check(status['kafka'] == 'away' and status['pending'] >= 100, 'status %r' % status)
            check((errors > 20) == (on_full == 'refuse'), '%s: %d errors' % (on_full, errors))
            settle(server)
            time.sleep(3)
            settle(server)
            dropped = sum(r['data']['messages'] for r in records(server) if r['type'] == 'sterna.audit.dropped.v1')
            check((dropped > 20) == (on_full != 'refuse'), '%s: %d dropped' % (on_full, dropped))
            check('the outbox is nearly full' in server.log(), 'no alarm')


def test_modules_come_and_go(t):
    """the audit is unloaded and loaded while messages flow; a key that is none is said"""
    with daemon(t, before=audited) as server:
        juliet = online(t, server, 'juliet')
        for turn in range(3):
            server.ctl('modules', 'unload', 'audit')
            juliet.send("<message id='m%d' to='romeo@localhost' type='chat'><body>x</body></message>" % turn)
            server.ctl('modules', 'load', 'audit')
        settle(server)
        check(verify(server)[0] == 0, verify(server)[1])
        server.ctl('modules', 'unload', 'audit')
        server.configure(modules__audit={'key': '/nonexistent'})
        server.stop()
        try:
            server.start()
            check(False, 'it starts without the key')
        except sterna.ServerError as e:
            check('the key cannot be used' in str(e), str(e))
        audited(server)
        server.start()
