"""Events of the audit: each is made by a real client, server or administrator, and read from the database by its schema."""
import json
import os
import re
import signal
import time

import s2s
from suite import accounts, check, client, daemon
from test_audit import SCHEMAS, audited, online, query, records, settle, validate, verify
from test_invite import invite, newcomer, show
from test_register import ask as register
from test_register import pair

MUC = 'http://jabber.org/protocol/muc'


def found(server, *wanted, timeout=20):
    """All records, by type, once those are there; each is valid."""
    end = time.monotonic() + timeout
    while True:
        settle(server)
        all_of_them = records(server)
        types = {r['type'].removeprefix('sterna.').rpartition('.')[0] for r in all_of_them}
        if set(wanted) <= types or time.monotonic() > end:
            break
        time.sleep(0.1)
    for record in all_of_them:
        validate(record)
    check(set(wanted) <= types, 'not recorded: %r of %r' % (set(wanted) - types, types))
    by_type = {}
    for record in all_of_them:
        by_type.setdefault(record['type'].removeprefix('sterna.').rpartition('.')[0], []).append(record)
    return by_type


def iq(who, kind, to, payload):
    """Sends a request; its answer."""
    who.asked = getattr(who, 'asked', 0) + 1
    wanted = 'q%d' % who.asked
    who.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, wanted, " to='%s'" % to if to else '', payload))
    return who.wait_for(lambda e: e.get('id') == wanted, timeout=20)


def test_every_schema_is_published(t):
    """the AsyncAPI document names each schema, and each that it names is there"""
    listed = set(re.findall(r"ref: './([a-z0-9.]+)\.schema\.json'", (SCHEMAS / 'asyncapi.yaml').read_text())) - {'event'}
    there = {p.name.removesuffix('.schema.json') for p in SCHEMAS.glob('*.schema.json')} - {'event'}
    check(listed == there, 'one of them alone: %r' % (listed ^ there))
    for path in SCHEMAS.glob('*.v*.schema.json'):
        what, _, version = path.name.removesuffix('.schema.json').rpartition('.v')
        check(json.loads(path.read_text())['$id'] == 'urn:sterna:audit:%s:%s' % (what, version), path.name)


@accounts()
def test_rooms(t):
    """rooms: made, entered, configured, affiliations, roles, a message taken back, left, destroyed; by whom"""
    with daemon(t, before=audited) as server:
        juliet, romeo = online(t, server, 'juliet'), online(t, server, 'romeo')
        room = 'cave@conference.localhost'
        juliet.send("<presence to='%s/Juliet'><x xmlns='%s'/></presence>" % (room, MUC))
        form = ("<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_roomname'>"
                "<value>Dark</value></field><field var='muc#roomconfig_roomsecret'><value>hush-hush</value></field>"
                "<field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query>" % MUC)
        check(iq(juliet, 'set', room, form).get('type') == 'result', 'not configured')
        romeo.send("<presence to='%s/Romeo'><x xmlns='%s'/></presence>" % (room, MUC))
        romeo.wait_for(lambda e: e.find('subject') is not None or e.find('{jabber:client}subject') is not None)
        romeo.send("<message type='groupchat' id='m' to='%s'><body>oops</body></message>" % room)
        said = juliet.wait_for(lambda e: e.find('{jabber:client}body') is not None)
        stanza_id = said.find('{urn:xmpp:sid:0}stanza-id').get('id')
        taken = iq(juliet, 'set', room, "<moderate xmlns='urn:xmpp:message-moderate:1' id='%s'><retract "
                   "xmlns='urn:xmpp:message-retract:1'/><reason>rude</reason></moderate>" % stanza_id)
        check(taken.get('type') == 'result', 'not taken back')
        for item in ("nick='Romeo' role='visitor'", "jid='romeo@localhost' affiliation='member'", "nick='Romeo' role='none'"):
            done = iq(juliet, 'set', room, "<query xmlns='%s#admin'><item %s><reason>so</reason></item></query>" % (MUC, item))
            check(done.get('type') == 'result', item)
        iq(juliet, 'set', room, "<query xmlns='%s#owner'><destroy><reason>over</reason></destroy></query>" % MUC)
        juliet.send("<presence to='brief@conference.localhost/J'><x xmlns='%s'/></presence>" % MUC)
        iq(juliet, 'set', 'brief@conference.localhost', "<query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'/></query>" % MUC)
        juliet.send("<presence to='brief@conference.localhost/J' type='unavailable'/>")
        iq(juliet, 'get', 'localhost', "<ping xmlns='urn:xmpp:ping'/>")
        got = found(server, 'room.created', 'room.configured', 'room.joined', 'room.left', 'room.role', 'room.affiliation',
                    'room.destroyed', 'message.retracted')
        check(all(r['subject'].endswith('@conference.localhost') for name in got if name.startswith('room.') for r in got[name]),
              'the subject is the room')
        changed = got['room.configured'][0]['data']
        check(changed['by'] == 'juliet@localhost' and 'muc#roomconfig_roomsecret' in changed['changed'].split(), repr(changed))
        check('hush-hush' not in json.dumps(got), 'a secret is in the audit')
        check([(r['data']['was'], r['data']['role']) for r in got['room.role']] == [('participant', 'visitor'), ('participant', 'none')],
              repr(got['room.role']))
        member = got['room.affiliation'][0]['data']
        check((member['jid'], member['was'], member['affiliation'], member['reason'])
              == ('romeo@localhost', 'none', 'member', 'so'), repr(member))
        check({(r['subject'], r['data']['cause']) for r in got['room.destroyed']}
              == {(room, 'owner'), ('brief@conference.localhost', 'empty')}, repr(got['room.destroyed']))
        check(got['message.retracted'][0]['data']['archive'] == stanza_id, repr(got['message.retracted']))


@accounts()
def test_users(t):
    """reports, refusals by policy, retractions, slots for uploads, invitations: with what they are about, and by whom"""
    def before(server):
        audited(server, redact=['content'])
        server.configure(modules__e2e_policy={'policy': 'optional', 'accounts': {'romeo@localhost': 'required'}})

    with daemon(t, before=before) as server:
        juliet, romeo = online(t, server, 'juliet'), online(t, server, 'romeo')
        iq(juliet, 'set', None, "<block xmlns='urn:xmpp:blocking'><item jid='spam@example.net'><report xmlns='urn:xmpp:reporting:1' "
           "reason='urn:xmpp:reporting:spam'><text>Never came trouble</text></report></item></block>")
        romeo.send("<message to='juliet@localhost' type='chat' id='clear'><body>in the clear</body></message>")
        romeo.wait_for(lambda e: e.get('id') == 'clear' and e.get('type') == 'error')
        juliet.send("<message to='juliet@localhost' type='chat' id='w1'><body>wrong</body></message>"
                    "<message to='juliet@localhost' type='chat' id='w2'><retract id='w1' xmlns='urn:xmpp:message-retract:1'/></message>")
        answer = iq(juliet, 'get', 'upload.localhost', "<request xmlns='urn:xmpp:http:upload:0' filename='secret.png' size='23' "
                    "content-type='image/png'/>")
        check(answer.get('type') == 'result', 'no slot')
        token = invite(juliet)
        tybalt = newcomer(t, server, 'tybalt')
        check(show(tybalt, token) == 'result', 'the token is refused')
        check(register(tybalt, pair('tybalt', 'pw')).get('type') == 'result', 'no account')
        made = json.loads(server.ctl('--json', 'invite', 'create', 'paris', '', 'localhost'))
        check('uri' in made, repr(made))
        ident = next(i['id'] for i in json.loads(server.ctl('--json', 'invite', 'list')) if i['username'] == 'paris')
        server.ctl('invite', 'revoke', ident)
        got = found(server, 'report.received', 'e2e.refused', 'policy.refused', 'message.retracted', 'upload.granted',
                    'invitation.created', 'invitation.used', 'invitation.revoked', 'account.created', 'retention.applied')
        report = got['report.received'][0]
        check(report['subject'] == 'juliet@localhost' and report['data']['jid'] == 'spam@example.net'
              and report['data']['text'] == '(redacted)', repr(report))
        refused = got['e2e.refused'][0]
        check(refused['subject'] == 'romeo@localhost' and refused['data']['policy'] == 'required'
              and refused['data']['by'] == 'account', repr(refused))
        check(got['policy.refused'][0]['data']['module'] == 'e2e_policy', repr(got['policy.refused']))
        check(got['upload.granted'][0]['data']['bytes'] == 23 and 'secret.png' not in json.dumps(got), repr(got['upload.granted']))
        used = {r['data']['kind']: r for r in got['invitation.used']}
        check(used['account']['subject'] == 'juliet@localhost' and used['account']['data']['by'] == 'tybalt@localhost', repr(used))
        check([r['data']['invitation'] for r in got['invitation.revoked']] == [ident], repr(got['invitation.revoked']))
        check({r['data']['kind'] for r in got['invitation.created']} == {'contact and account', 'account'}, repr(got['invitation.created']))
        check(token not in json.dumps(got), 'a token is in the audit')


def test_the_server(t):
    """a configuration that is refused, exports, and what sternactl does while no server runs; types that are left out"""
    with daemon(t, before=lambda server: audited(server, leave_out=['session.bound'])) as server:
        online(t, server, 'juliet')
        good = server.config_file.read_text()
        server.config_file.write_text(good + 'nonsense: 1\n')
        os.kill(server.process.pid, signal.SIGHUP)
        found(server, 'config.reloaded')
        server.config_file.write_text(good)
        server.ctl('reload')
        server.ctl('export', str(server.home / 'all.xml'))
        server.ctl('export', '--account', 'romeo@localhost', str(server.home / 'one.xml'))
        got = found(server, 'config.reloaded', 'data.exported', 'login.accepted')
        check([r['data']['outcome'] for r in got['config.reloaded']] == ['refused', 'done'], repr(got['config.reloaded']))
        check('nonsense' in got['config.reloaded'][0]['data']['reason'], repr(got['config.reloaded'][0]))
        check([(r['data']['scope'], r['data']['accounts']) for r in got['data.exported']] == [('all', 2), ('romeo@localhost', 1)],
              repr(got['data.exported']))
        check('session.bound' not in got, 'that was to be left out')
        server.stop()
        server.ctl('export', str(server.home / 'again.xml'))
        server.ctl('user', 'add', 'nurse@localhost', stdin='secretpassword\n')
        server.ctl('user', 'delete', 'nurse@localhost')
        server.start()
        got = found(server, 'data.exported')
        check(got['data.exported'][-1]['data'] == {'scope': 'all', 'accounts': 2, 'door': 'storage'}, repr(got['data.exported']))
        done = [(r['data']['command'], json.loads(r['data']['args'])) for r in got['admin.command'] if r['data']['door'] == 'storage'
                and 'args' in r['data'] and 'nurse' in r['data']['args']]
        check(done == [('user add', {'accountjids': ['nurse@localhost']}), ('user delete', {'accountjids': ['nurse@localhost']})],
              repr(done))
        check(verify(server)[0] == 0, verify(server)[1])


def test_old_records_go(t):
    """what the database kept long enough leaves it, which is an event; the chain goes on behind it"""
    with daemon(t, before=lambda server: audited(server, keep='1m')) as server:
        online(t, server, 'juliet')
        settle(server)
        before = len(records(server))
        old = int((time.time() - 3600) * 1000) << 20
        query(server, 'UPDATE audit_event SET id = id - (SELECT min(id) FROM audit_event) + %d WHERE seq <= %d' % (old, before - 1))
        server.stop()
        server.start()
        got = found(server, 'retention.applied', timeout=90)
        check(got['retention.applied'][0]['data']['what'] == 'audit', repr(got['retention.applied']))
        check(query(server, 'SELECT count(*) FROM audit_event WHERE seq <= %d' % (before - 1)) == [['0']], 'they are still there')
        check(verify(server)[0] == 0, verify(server)[1])


@accounts()
def test_links(t):
    """other servers: links that are authorised, by what; refused ones, by certificate, key or configuration"""
    def before(a, b):
        audited(a)
        audited(b)
        b.configure(s2s__deny=['evil.example'])

    with s2s.domains(t, 'a.example', 'b.example', before=before) as (a, b):
        juliet = a.login('juliet')
        s2s.says(juliet, 'romeo@b.example', 'one')
        out = found(a, 'link.authorised')['link.authorised'][0]
        check(out['subject'] == 'b.example' and out['data']['direction'] == 'out' and out['data']['by'] == 'EXTERNAL'
              and out['data']['proof'] == 'pkix', repr(out))
        into = found(b, 'link.authorised')['link.authorised'][0]
        check(into['subject'] == 'a.example' and into['data']['direction'] == 'in' and into['data']['host'] == 'b.example', repr(into))

    def strangers(a, b):
        audited(a)
        audited(b)
        a.configure(tls__authorities=str(other.crt))

    other = s2s.Authority('Another CA')
    try:
        with s2s.domains(t, 'a.example', 'b.example', before=strangers) as (a, b):
            juliet = a.login('juliet')
            s2s.says(juliet, 'romeo@b.example', 'one')
            refused = found(a, 'link.refused')['link.refused'][0]
            check(refused['subject'] == 'b.example' and refused['data']['by'] == 'certificate'
                  and refused['data']['proof'] == 'none', repr(refused))
    finally:
        other.close()
