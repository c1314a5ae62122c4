"""Commands beyond XEP-0133: clients, rooms, traces, reports, the audit's records, and commands that a second administrator
has to approve. At whichever door: what is asked here by the API, sternactl or a client is the same registry."""
import json
import time

from suite import check, client, daemon
from test_admin import ask, execute, node_of, online, run
from test_api import Api, as_owner, expect, token, with_api
from test_audit import records, validate
from test_register import condition
from test_sasl2 import AGENT, NS_FAST, Token, agent
from xmpp import XmppError

MUC = 'http://jabber.org/protocol/muc'

# What sternactl does without a server, or on this machine's files, and why it is no command of the registry.
ALONE = {
    'user list': 'list registered', 'config check': 'a file, before the server has it', 'config show': 'the same',
    'migrate': 'before a server can run', 'options': 'what docs/options.md is made of', 'manual': 'the same',
    'export': 'a file on this machine', 'import': 'a file on this machine', 'audit verify': 'proof by somebody else than the server',
}


def test_what_sternactl_can_do_is_a_command(t):
    """each command of sternactl's help is one of the registry, so at every door, or has a reason"""
    with daemon(t, before=as_owner) as server:
        registry = {c['name'] for c in json.loads(server.ctl('--json', 'commands'))}
        names = set()
        for line in server.ctl('--help').splitlines():
            if line.startswith('  ') and not line.lstrip().startswith('-'):
                words = [w for w in line.split('  ')[1].split() if w.islower() and w[0].isalpha()]
                name = ' '.join(words)
                names.add(next((known for known in sorted(registry | set(ALONE), key=len, reverse=True)
                                if (name + ' ').startswith(known + ' ')), name))
        check(len(names) > 25, 'the help: %r' % names)
        check(names <= registry | set(ALONE), 'neither a command nor a reason: %r' % (names - registry - set(ALONE)))
        check(not registry & set(ALONE), 'a reason too many: %r' % (registry & set(ALONE)))


def secured(t, server):
    made = client(t, server, 'romeo').connect()
    made.secure()
    return made


def test_clients_lose_their_access(t):
    """sessions and tokens are listed by the client's id; revoked, the session ends and the token is good for nothing"""
    with daemon(t, before=as_owner) as server:
        api = Api(server, token(server, 'juliet@localhost', 'client')['token'])
        romeo = secured(t, server)
        success = romeo.authenticate2('<bind xmlns="urn:xmpp:bind:0"/>', outer=agent()
                                      + "<request-token xmlns='%s' mechanism='HT-SHA-256-NONE'/>" % NS_FAST)
        secret = success.find('{%s}token' % NS_FAST).get('token')
        other = online(t, server, 'romeo')
        rows = expect(api('GET', '/v1/client/list', accountjid='romeo@localhost'), 200)['result']
        mine = next(r for r in rows if r['id'] == AGENT)
        check(mine['type'] == 'session' and mine['connected'] and mine['token_expires'], 'the client: %r' % rows)
        check(len(rows) == 2, 'clients: %r' % rows)
        done = expect(api('POST', '/v1/client/revoke', {'accountjid': 'romeo@localhost', 'id': AGENT}), 200)['result']
        check(done == {'token': True, 'ended': 1, 'password_reset_required': True}, '%r' % done)
        romeo.wait_closed()
        check(other.ping('still-here') is not False, 'another session ended')
        again = secured(t, server)
        try:
            again.authenticate2(outer=agent() + "<fast xmlns='%s'/>" % NS_FAST, exchange=Token(again.user, secret))
            check(False, 'a token that was revoked')
        except XmppError:
            pass
        rows = expect(api('GET', '/v1/client/list', accountjid='romeo@localhost'), 200)['result']
        check([r['id'] for r in rows] == [other.jid.partition('/')[2]], 'what is left: %r' % rows)
        expect(api('POST', '/v1/client/revoke', {'accountjid': 'romeo@localhost', 'id': AGENT}), 404, 'not-found', 'id')
        expect(api('POST', '/v1/client/revoke', {'accountjid': 'nobody@localhost', 'id': 'x'}), 404, 'not-found', 'accountjid')
        expect(api('GET', '/v1/client/list', accountjid='romeo@localhost/x'), 400, 'usage', 'accountjid')
        check(expect(api('GET', '/v1/client/list', accountjid='juliet@localhost'), 200)['result'] == [], 'nobody is there')


def join(made, room, nick):
    made.send("<presence to='%s/%s'><x xmlns='%s'/></presence>" % (room, nick, MUC))
    while True:
        got = made.stanza(timeout=20)
        if got.tag.endswith('}presence') and got.get('from') == '%s/%s' % (room, nick):
            return got


def test_rooms(t):
    """rooms are listed, shown, given affiliations, and destroyed, by administrators of their host; who is inside is told"""
    def before(server):
        with_api(server)
        server.configure(hosts__second={'certificate': str(server.crt), 'key': str(server.key)})
        server.configure(admins={'juliet@localhost': {'role': 'owner'}, 'nurse@localhost': {'role': 'admin', 'hosts': ['second']}})

    with daemon(t, users=('juliet', 'romeo', 'nurse'), before=before) as server:
        api = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        nurse = Api(server, token(server, 'nurse@localhost', 'all')['token'])
        room = 'balcony@conference.localhost'
        romeo = online(t, server, 'romeo')
        romeo.send('<presence/>')
        join(romeo, room, 'Romeo')
        made = ask(romeo, "<iq type='set' id='%%s' to='%s'><query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'/>"
                   "</query></iq>" % (room, MUC))
        check(made.get('type') == 'result', 'the room is not made')
        rows = expect(api('GET', '/v1/room/list'), 200)['result']
        check([(r['room'], r['sessions'], r['members']) for r in rows] == [(room, 1, 1)], 'rooms: %r' % rows)
        check(expect(api('GET', '/v1/room/list', headers={'Sterna-Host': 'second'}), 200)['result'] == [], "another host's")
        shown = expect(api('GET', '/v1/room/show', room=room), 200)['result']
        check(shown['occupants'][0]['nick'] == 'Romeo' and shown['occupants'][0]['affiliation'] == 'owner', '%r' % shown)
        check('password' not in shown['config'], 'the password is shown')
        form = run(online(t, server, 'juliet'), 'sterna#room-show', room=room)
        check('"nick":"Romeo"' in ''.join(form.itertext()), 'who is inside, as a form')
        second = {'Sterna-Host': 'second'}
        expect(nurse('GET', '/v1/room/show', headers=second, room=room), 403, 'forbidden', 'room')
        expect(nurse('POST', '/v1/room/destroy', {'room': room}, second), 403, 'forbidden', 'room')
        for wrong in ('balcony@localhost', 'conference.localhost', room + '/Romeo', 'x@conference.example', 'a b@c'):
            expect(api('GET', '/v1/room/show', room=wrong), 400, 'usage', 'room')
        expect(api('GET', '/v1/room/show', room='nothing@conference.localhost'), 404, 'not-found')
        expect(api('POST', '/v1/room/destroy', {'room': 'nothing@conference.localhost'}), 404, 'not-found')
        change = {'room': room, 'jid': 'romeo@localhost', 'affiliation': 'member'}
        expect(api('POST', '/v1/room/affiliate', change), 409, 'conflict')
        expect(api('POST', '/v1/room/affiliate', dict(change, affiliation='king')), 400, 'usage', 'affiliation')
        expect(api('POST', '/v1/room/affiliate', dict(change, jid='juliet@localhost/x')), 400, 'usage')
        expect(api('POST', '/v1/room/affiliate', dict(change, jid='juliet@localhost', affiliation='owner')), 200)
        expect(api('POST', '/v1/room/affiliate', change), 200)
        rows = expect(api('GET', '/v1/room/affiliations', room=room), 200)['result']
        check({(r['jid'], r['affiliation']) for r in rows} == {('juliet@localhost', 'owner'), ('romeo@localhost', 'member')},
              'affiliations: %r' % rows)
        expect(api('POST', '/v1/room/destroy', {'room': room, 'reason': 'the lark'}), 200)
        while True:
            got = romeo.stanza(timeout=20)
            if got.get('type') == 'unavailable' and got.find('.//{%s#user}destroy' % MUC) is not None:
                break
        check('the lark' in ''.join(got.itertext()), 'without the reason')
        check(expect(api('GET', '/v1/room/list'), 200)['result'] == [], 'the room is still there')
        expect(api('GET', '/v1/room/show', room=room), 404, 'not-found')
        # One that nobody has in memory is loaded for it.
        join(romeo, room, 'Romeo')
        ask(romeo, "<iq type='set' id='%%s' to='%s'><query xmlns='%s#owner'><x xmlns='jabber:x:data' type='submit'><field "
            "var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>" % (room, MUC))
        romeo.cut()
        server.stop()
        server.start()
        check(expect(api('GET', '/v1/room/show', room=room), 200)['result']['room'] == room, 'not loaded')
        expect(api('POST', '/v1/room/destroy', {'room': room}), 200)


def test_traces(t):
    """stanzas of a traced account are noted without their content, for as long as was said; others are not"""
    with daemon(t, users=('juliet', 'romeo', 'nurse'), before=as_owner) as server:
        api = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        for body, field in (({'accountjid': 'romeo@localhost', 'minutes': 0}, None), ({'accountjid': 'romeo@localhost',
                            'minutes': 61}, None), ({'accountjid': 'romeo@localhost/x'}, None), ({'accountjid': 'a@elsewhere'},
                            'accountjid')):
            expect(api('POST', '/v1/trace/start', body), 400, 'usage', field)
        expect(api('GET', '/v1/trace/show', accountjid='romeo@localhost'), 404, 'not-found')
        expect(api('POST', '/v1/trace/stop', {'accountjid': 'romeo@localhost'}), 404, 'not-found')
        expect(api('POST', '/v1/trace/start', {'accountjid': 'romeo@localhost'}), 200)
        romeo, nurse = online(t, server, 'romeo'), online(t, server, 'nurse')
        nurse.send('<presence/>')
        romeo.send("<message to='nurse@localhost' id='m1' type='chat'><body>geheimnis</body></message>")
        nurse.send("<message to='romeo@localhost' id='m2' type='chat'><body>geheimnis</body></message>")
        nurse.send("<message to='juliet@localhost' id='m3' type='chat'><body>geheimnis</body></message>")
        romeo.ping('p1')
        nurse.ping('p2')
        end = time.monotonic() + 20
        while True:
            seen = {r['id']: r for r in expect(api('GET', '/v1/trace/show', accountjid='romeo@localhost'), 200)['result']}
            if {'m1', 'm2'} <= set(seen) or time.monotonic() > end:
                break
            time.sleep(0.1)
        check({'m1', 'm2'} <= set(seen) and 'm3' not in seen, 'seen: %r' % seen)
        check(seen['m1']['from'].startswith('romeo@localhost/') and seen['m1']['kind'] == 'message', '%r' % seen['m1'])
        check('geheimnis' not in json.dumps(seen), 'content is shown')
        rows = expect(api('GET', '/v1/trace/list'), 200)['result']
        check({r['accountjid'] for r in rows} == {'romeo@localhost'} and all(r['active'] for r in rows), '%r' % rows)
        expect(api('POST', '/v1/trace/start', {'accountjid': 'romeo@localhost', 'stanza': 'one', 'minutes': 1}), 200)
        for ident in ('two', 'one'):
            romeo.send("<message to='nurse@localhost' id='%s' type='chat'><body>x</body></message>" % ident)
        end = time.monotonic() + 20
        while True:
            seen = [r['id'] for r in expect(api('GET', '/v1/trace/show', accountjid='romeo@localhost'), 200)['result']]
            if seen or time.monotonic() > end:
                break
            time.sleep(0.1)
        check(seen == ['one'], 'one stanza: %r' % seen)
        expect(api('POST', '/v1/trace/stop', {'accountjid': 'romeo@localhost'}), 200)
        check(expect(api('GET', '/v1/trace/list'), 200)['result'] == [], 'it goes on')


def test_reports_and_records(t):
    """reports of spam, and the audit's records, are found from every door"""
    def before(server):
        as_owner(server)
        server.configure(modules__audit={})

    with daemon(t, before=before) as server:
        api = Api(server, token(server, 'juliet@localhost', 'read', 'report')['token'])
        romeo = online(t, server, 'romeo')
        said = ask(romeo, "<iq type='set' id='%s'><block xmlns='urn:xmpp:blocking'><item jid='spam@example.net'><report "
                   "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>Never came trouble</text></report></item>"
                   "</block></iq>")
        check(said.get('type') == 'result', 'the report')
        rows = expect(api('GET', '/v1/report/list'), 200)['result']
        check([(r['jid'], r['by'], r['text']) for r in rows] == [('spam@example.net', 'romeo@localhost', 'Never came trouble')],
              'reports: %r' % rows)
        check(expect(api('GET', '/v1/report/list', headers={'Sterna-Host': 'localhost'}), 200)['result'] == rows, 'at its host')
        expect(api('GET', '/v1/report/list', count=0), 400, 'usage', 'count')
        expect(api('POST', '/v1/report/drop', {'days': 0}), 400, 'usage', 'days')
        expect(api('POST', '/v1/report/drop', {'days': 1}), 200)
        check(len(expect(api('GET', '/v1/report/list'), 200)['result']) == 1, 'one of today')
        end = time.monotonic() + 20
        while True:
            rows = expect(api('GET', '/v1/audit/search', type='login.accepted', key='romeo@localhost'), 200)['result']
            if rows or time.monotonic() > end:
                break
            time.sleep(0.1)
        check([r['type'] for r in rows] == ['sterna.login.accepted.v1'], 'records: %r' % rows)
        check(expect(api('GET', '/v1/audit/search', type='login.accepted', since='2999-01-01T00:00:00Z'), 200)['result'] == [],
              'of a time to come')
        check(len(expect(api('GET', '/v1/audit/search', count=2), 200)['result']) == 2, 'count')
        for wrong in ({'since': 'yesterday'}, {'until': '2026-13-01T00:00:00Z'}, {'count': 0}, {'count': 10001}):
            expect(api('GET', '/v1/audit/search', **wrong), 400, 'usage')


def test_a_second_administrator(t):
    """commands that are named wait, over a restart, until somebody else who may approves; the one who asked does not"""
    def before(server):
        with_api(server)
        server.configure(modules__audit={}, approval__commands=['user delete', 'user passwd', 'no such thing'])
        server.configure(admins={'juliet@localhost': {'role': 'admin'}, 'nurse@localhost': {'role': 'admin'},
                                 'romeo@localhost': {'role': 'operator'}})

    with daemon(t, users=('juliet', 'romeo', 'nurse', 'tybalt', 'paris', 'county'), before=before) as server:
        juliet, nurse, romeo = (Api(server, token(server, who + '@localhost', 'all')['token'])
                                for who in ('juliet', 'nurse', 'romeo'))
        done = expect(juliet('POST', '/v1/user/delete', {'accountjids': ['tybalt@localhost']}), 202)['result']
        check(done['command'] == 'user delete' and 'tybalt@localhost' in server.ctl('user', 'list'), 'it was done: %r' % done)
        expect(juliet('POST', '/v1/user/delete', {'accountjids': ['x y']}), 400, 'usage', 'accountjids')
        expect(juliet('POST', '/v1/user/passwd', {'accountjid': 'tybalt@localhost', 'password': 'x'}), 500, 'failed')
        rows = expect(nurse('GET', '/v1/pending/list'), 200)['result']
        check([(r['id'], r['command'], r['accountjid'], r['args']) for r in rows] == [
            (done['pending'], 'user delete', 'juliet@localhost', {'accountjids': ['tybalt@localhost']})], '%r' % rows)
        it = {'id': done['pending']}
        expect(juliet('POST', '/v1/pending/approve', it), 403, 'forbidden', 'id')
        expect(romeo('POST', '/v1/pending/approve', it), 403, 'forbidden')
        expect(romeo('POST', '/v1/pending/refuse', it), 403, 'forbidden')
        expect(nurse('POST', '/v1/pending/approve', {'id': 'nothing'}), 404, 'not-found', 'id')
        check('tybalt@localhost' in server.ctl('user', 'list'), 'it was done')
        server.stop()
        server.start()
        done = expect(nurse('POST', '/v1/pending/approve', it), 200)['result']
        check('tybalt@localhost' not in server.ctl('user', 'list'), 'it was not done: %r' % done)
        expect(nurse('POST', '/v1/pending/approve', it), 404, 'not-found', 'id')
        # Refused, and taken back.
        for who in (nurse, juliet):
            it = {'id': expect(juliet('POST', '/v1/user/delete', {'accountjids': ['paris@localhost']}), 202)['result']['pending']}
            expect(who('POST', '/v1/pending/refuse', it), 200)
            expect(nurse('POST', '/v1/pending/approve', it), 404)
        # Who asked has lost the role meanwhile: nothing is done.
        it = {'id': expect(juliet('POST', '/v1/user/delete', {'accountjids': ['paris@localhost']}), 202)['result']['pending']}
        server.configure(admins={'nurse@localhost': {'role': 'admin'}})
        server.tree['admins'].pop('juliet@localhost', None)
        server.configure()
        server.ctl('reload')
        expect(nurse('POST', '/v1/pending/approve', it), 403, 'forbidden')
        check('paris@localhost' in server.ctl('user', 'list'), 'without a role')
        # From a client: the form says that it waits; at the socket nothing does.
        server.configure(admins={'juliet@localhost': {'role': 'admin'}, 'nurse@localhost': {'role': 'admin'}})
        server.ctl('reload')
        said = run(online(t, server, 'juliet'), node_of(server, 'user delete'), accountjids='county@localhost')
        check(not isinstance(said, str) and 'approve' in ''.join(said.itertext()), 'a form: %r' % said)
        server.ctl('user', 'delete', 'county@localhost')
        check('county@localhost' not in server.ctl('user', 'list'), 'the socket waits')
        end = time.monotonic() + 20
        while True:
            seen = records(server)
            used = [r['data'] for r in seen if r['type'] == 'sterna.admin.command.v1' and r['data'].get('command') == 'user delete']
            if any(u.get('approved_by') and u['outcome'] == 'forbidden' for u in used) or time.monotonic() > end:
                break
            time.sleep(0.1)
        for record in seen:
            validate(record)
        check('names what is no command' in server.log(), 'a name that is none')
        check({'pending', 'done', 'forbidden'} <= {u['outcome'] for u in used}, 'the audit: %r' % used)
        check({u.get('approved_by') for u in used if u['outcome'] == 'done' and u['door'] == 'rest'} == {'nurse@localhost'},
              'who has approved: %r' % used)


def test_what_waits_is_bounded_and_ends(t):
    """more than approval.pending do not wait, and none for longer than approval.time"""
    def before(server):
        with_api(server)
        server.configure(approval__commands=['user disable'], approval__pending=2, approval__time='1m')
        server.configure(admins={'juliet@localhost': {'role': 'admin'}})

    with daemon(t, before=before) as server:
        juliet = Api(server, token(server, 'juliet@localhost', 'all')['token'])
        for status in (202, 202, 503):
            expect(juliet('POST', '/v1/user/disable', {'accountjids': ['romeo@localhost']}), status)
        rows = expect(juliet('GET', '/v1/pending/list'), 200)['result']
        check(len(rows) == 2 and all(r['expires'] > r['asked'] for r in rows), '%r' % rows)
        if server.db == 'sqlite':
            import sqlite3
            with sqlite3.connect(server.home / 'sterna.db', timeout=20) as db:
                db.execute('UPDATE admin_pending SET expires = 1')
            check(expect(juliet('GET', '/v1/pending/list'), 200)['result'] == [], 'too old')
            expect(juliet('POST', '/v1/pending/refuse', {'id': rows[0]['id']}), 404, 'not-found', 'id')
            expect(juliet('POST', '/v1/user/disable', {'accountjids': ['romeo@localhost']}), 202)


def test_quotas(t):
    """an account has quotas of its own for files, in place of the configuration's, until they are taken away"""
    with daemon(t, before=as_owner) as server:
        api = Api(server, token(server, 'juliet@localhost', 'quota')['token'])
        romeo = online(t, server, 'romeo')

        def slot(size):
            got = ask(romeo, "<iq type='get' id='%%s' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a.txt' "
                      "size='%d' content-type='text/plain'/></iq>" % size)
            return got.get('type')

        before = expect(api('GET', '/v1/quota/show', accountjid='romeo@localhost'), 200)['result']
        check(not before['own'] and before['bytes'] == 0 and before['limit'] == 2 << 30, '%r' % before)
        expect(api('POST', '/v1/quota/set', {'accountjid': 'romeo@localhost', 'bytes': 5000}), 200)
        check(slot(3000) == 'result' and slot(3000) == 'error', 'the account\'s own quota')
        now = expect(api('GET', '/v1/quota/show', accountjid='romeo@localhost'), 200)['result']
        check(now['own'] and now['limit'] == now['limit_today'] == 5000 and now['bytes'] == 3000, '%r' % now)
        expect(api('POST', '/v1/quota/set', {'accountjid': 'romeo@localhost', 'bytes': 50000, 'day-bytes': 4000}), 200)
        check(slot(3000) == 'error', 'the quota of a day')
        expect(api('POST', '/v1/quota/clear', {'accountjid': 'romeo@localhost'}), 200)
        check(slot(3000) == 'result', 'the configuration\'s quota')
        expect(api('POST', '/v1/quota/set', {'accountjid': 'romeo@localhost', 'bytes': 'much'}), 400, 'usage', 'bytes')
        expect(api('POST', '/v1/quota/set', {'accountjid': 'romeo@localhost', 'bytes': 1, 'day-bytes': -1}), 400, 'usage', 'day-bytes')
        expect(api('GET', '/v1/quota/show', accountjid='nobody@localhost'), 404, 'not-found')
        expect(api('POST', '/v1/quota/set', {'accountjid': 'nobody@localhost', 'bytes': 1}), 404, 'not-found')
        expect(api('POST', '/v1/quota/set', {'accountjid': 'romeo@localhost', 'bytes': 7}), 200)
        server.ctl('user', 'delete', 'romeo@localhost')
        server.ctl('user', 'add', 'romeo@localhost', stdin='pw\n')
        check(not expect(api('GET', '/v1/quota/show', accountjid='romeo@localhost'), 200)['result']['own'], 'it is inherited')


NS_CAM = 'urn:xmpp:cam:0'


def cam(who, kind, payload, to=''):
    ident = 'cam%d' % time.monotonic_ns()
    who.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, ident, to, payload))
    return who.wait_for(lambda e: e.get('id') == ident)


def clients_of(who):
    found = cam(who, 'get', "<list xmlns='%s'/>" % NS_CAM).find('{%s}clients' % NS_CAM)
    return {e.get('id'): (e.get('connected'), {a.tag.partition('}')[2] for a in e.find('{%s}auth' % NS_CAM)}) for e in found}


def until_listed(who, ident, wanted):
    end = time.monotonic() + 20
    while clients_of(who).get(ident) != wanted:
        check(time.monotonic() < end, repr(clients_of(who)))
        time.sleep(0.05)


def revoke(who, ident):
    return cam(who, 'set', "<revoke xmlns='%s' id='%s'/>" % (NS_CAM, ident))


def test_users_revoke_clients(t):
    """XEP-0494: a user sees what has access to the account, and takes it away: tokens and sessions; not by others; a client that
    knows the password is not sent away in vain"""
    with daemon(t) as server:
        juliet, romeo = client(t, server, 'juliet').login(), client(t, server, 'romeo').login()
        features = cam(juliet, 'get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", " to='localhost'")
        check(NS_CAM in [f.get('var') for f in features[0]], 'not announced')
        first = client(t, server, 'juliet')
        first.connect().secure()
        success = first.authenticate2('<bind xmlns="urn:xmpp:bind:0"/>', outer=agent() + "<request-token xmlns='%s' mechanism='HT-SHA-256-NONE'/>" % NS_FAST)
        secret = success.find('{%s}token' % NS_FAST).get('token')
        first.cut()
        listed = clients_of(juliet)
        own = juliet.jid.partition('/')[2]
        check(listed[own] == ('true', {'password'}), repr(listed))
        until_listed(juliet, AGENT, ('false', {'fast'}))
        again = client(t, server, 'juliet')
        again.connect().secure()
        again.authenticate2('<bind xmlns="urn:xmpp:bind:0"/>', outer=agent() + "<fast xmlns='%s'/>" % NS_FAST,
                            exchange=Token(again.user, secret))
        until_listed(juliet, AGENT, ('true', {'fast'}))
        for who, payload in ((romeo, "<list xmlns='%s'/>"), (romeo, "<revoke id='x' xmlns='%s'/>")):
            answer = cam(who, 'set' if 'revoke' in payload else 'get', payload % NS_CAM, " to='juliet@localhost'")
            check(answer.get('type') == 'error', 'of another account')
        check(condition(revoke(juliet, 'nobody')) == 'item-not-found' and condition(revoke(juliet, '')) == 'bad-request', 'wrong ids')
        answer = revoke(juliet, own)
        check(condition(answer) == 'service-unavailable' and answer.find('.//{%s}password-reset-required' % NS_CAM) is not None, 'own')
        check(revoke(juliet, AGENT).get('type') == 'result', 'refused')
        check(again.wait_closed() == 'not-authorized', 'the session goes on')
        check(set(clients_of(juliet)) == {own}, repr(clients_of(juliet)))
        late = client(t, server, 'juliet')
        late.connect().secure()
        try:
            late.authenticate2(outer=agent() + "<fast xmlns='%s'/>" % NS_FAST, exchange=Token(late.user, secret))
            check(False, 'the token is good')
        except XmppError:
            pass
