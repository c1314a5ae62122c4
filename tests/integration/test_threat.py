"""Threat detection: what the rules see is done about, ends by itself, and is taken back; each of it an event (docs/threats.md)."""
import contextlib
import json
import time

import mmdb
import s2s
import sterna
from suite import accounts, check, client, daemon
from test_audit import audited, online, settle
from test_audit_events import found, iq


def ruled(rules, **more):
    """Before a daemon: the audit, and these rules."""
    def before(server):
        audited(server)
        server.configure(modules__threat={'rules': rules, **more})
    return before


def rule(event, **more):
    return {'event': event, 'within': '10m', 'hold': '1h', **more}


def fails(t, server, user, source='127.0.0.1', password='wrong'):
    """A login that is refused: the condition; 'closed' where nobody listens to that address."""
    one = client(t, server, user, source=source)
    one.password = password
    try:
        one.connect().secure()
        one.authenticate()
    except (OSError, EOFError):
        return 'closed'
    except Exception as e:                          # what the library makes of a refusal
        return 'closed' if 'closed the stream' in str(e) else str(e)
    finally:
        one.cut()
    return None


def listed(server, *words):
    return json.loads(server.ctl('--json', *words))


def refused(server, *words):
    """What sternactl says of a command that is refused."""
    try:
        server.ctl(*words)
    except sterna.ServerError as e:
        return str(e)
    raise AssertionError('%r is done' % (words,))


def until(what, truth, timeout=20):
    end = time.monotonic() + timeout
    while not truth():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


def test_guessing_from_an_address(t):
    """many accounts tried from one address: it is kept out, its sessions end, others are not touched; undone by command"""
    with daemon(t, before=ruled({'spray': rule('login.failed', by='address', distinct='subject', count=4,
                                               action=['alert', 'isolate'])})) as server:
        here = online(t, server, 'romeo')
        there = client(t, server, 'juliet', source='127.0.0.9').connect()
        there.secure()
        there.authenticate()
        there.bind()
        for _ in range(6):
            fails(t, server, 'one', '127.0.0.9')    # one account: no spray
        check(listed(server, 'threat', 'list') == [], 'too early')
        for user in ('two', 'three', 'four'):
            fails(t, server, user, '127.0.0.9')
        until('not kept out', lambda: listed(server, 'isolation', 'list') != [])
        kept = listed(server, 'isolation', 'list')
        check([(k['target'], k['kind']) for k in kept] == [('127.0.0.9', 'address')] and 'rule spray' in kept[0]['reason'], repr(kept))
        there.wait_for(lambda e: e.tag.endswith('}error'), timeout=20)
        answer = fails(t, server, 'juliet', '127.0.0.9', 'pw')
        check(answer == 'closed', 'let in: %s' % answer)
        check(fails(t, server, 'juliet', password='pw') is None, 'another address is refused')
        iq(here, 'get', 'localhost', "<ping xmlns='urn:xmpp:ping'/>")
        server.stop()
        server.start()                              # it outlives the process
        check(fails(t, server, 'juliet', '127.0.0.9', 'pw') == 'closed', 'let in after a restart')
        server.ctl('release', '127.0.0.9')
        check(fails(t, server, 'juliet', '127.0.0.9', 'pw') is None, 'not let in again')
        check('not kept out' in refused(server, 'release', '127.0.0.9'), 'twice')
        got = found(server, 'threat.detected', 'isolation.began', 'isolation.ended', 'admin.command')
        seen = got['threat.detected'][0]['data']
        check((seen['rule'], seen['target'], seen['count'], seen['actions'], seen['mode'])
              == ('spray', '127.0.0.9', 4, 'alert isolate', 'real'), repr(seen))
        check(got['isolation.began'][0]['data']['by'] == 'module threat', repr(got['isolation.began']))
        check(got['isolation.ended'][0]['data']['cause'] == 'command', repr(got['isolation.ended']))
        check(any(r['data']['door'] == 'module' and r['data']['outcome'] == 'done' for r in got['admin.command']), 'the order')


def test_accounts(t):
    """an account is suspended for a time, throttled, or has to log in anew; what is over ends by itself"""
    rules = {'guessing': rule('login.failed', count=3, hold='4s', action=['suspend'])}
    with daemon(t, before=ruled(rules)) as server:
        juliet = online(t, server, 'juliet')
        for _ in range(3):
            fails(t, server, 'juliet')
        juliet.wait_for(lambda e: e.tag.endswith('}error'), timeout=20)
        check('account-disabled' in fails(t, server, 'juliet', password='pw'), 'a suspended account logs in')
        check(fails(t, server, 'romeo', password='pw') is None, 'another one does not')
        until('it does not end', lambda: listed(server, 'isolation', 'list') == [])
        online(t, server, 'juliet')
        got = found(server, 'isolation.ended')
        check(got['isolation.ended'][0]['data'] == {'kind': 'account', 'target': 'juliet@localhost', 'cause': 'expired'},
              repr(got['isolation.ended']))
        server.ctl('throttle', 'juliet@localhost', '10m', 'by hand')
        answers = [fails(t, server, 'juliet', password='pw') for _ in range(4)]
        check(answers[:2] == [None, None] and all('temporary-auth-failure' in a for a in answers[2:]), repr(answers))
        server.ctl('release', 'juliet@localhost')
        juliet = online(t, server, 'juliet')
        server.ctl('session', 'relogin', 'juliet@localhost', 'strange')
        juliet.wait_for(lambda e: e.tag.endswith('}error'), timeout=20)
        check(fails(t, server, 'juliet', password='pw') is None, 'not even anew')


def test_undone(t):
    """what a detection did is taken back by its number, and what was counted is forgotten; exceptions and dry runs do nothing"""
    rules = {'many': rule('room.joined', by='jid', distinct='subject', count=3, action=['alert', 'suspend']),
             'guess': rule('login.failed', count=2, action=['suspend'], dry_run=True)}
    with daemon(t, users=('juliet', 'romeo', 'nurse'), before=ruled(rules, exceptions=['nurse@localhost'])) as server:
        def join(user, names):
            one = online(t, server, user)
            for name in names:
                one.send("<presence to='%s@conference.localhost/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % (name, user))
            with contextlib.suppress(Exception):
                iq(one, 'get', 'localhost', "<ping xmlns='urn:xmpp:ping'/>")

        join('nurse', 'abc')
        until('not seen', lambda: len(listed(server, 'threat', 'list')) == 1)
        check(listed(server, 'isolation', 'list') == [], 'an exception is kept out')
        fails(t, server, 'romeo')
        fails(t, server, 'romeo')
        until('not seen', lambda: len(listed(server, 'threat', 'list')) == 2)
        check(fails(t, server, 'romeo', password='pw') is None, 'a dry run does something')
        join('juliet', 'def')
        until('not kept out', lambda: [k['target'] for k in listed(server, 'isolation', 'list')] == ['juliet@localhost'])
        newest = listed(server, 'threat', 'list')[0]
        check((newest['rule'], newest['actions'], newest['dry_run']) == ('many', 'alert suspend', False), repr(newest))
        check(listed(server, 'threat', 'undo', str(newest['detection'])) == {'released': True}, 'undo')
        until('not let in', lambda: listed(server, 'isolation', 'list') == [])
        server.ctl('threat', 'undo', str(newest['detection']), check=False)
        check(listed(server, 'threat', 'list')[0]['undone'], 'not said')
        join('juliet', 'de')
        settle(server)
        check(len(listed(server, 'threat', 'list')) == 3, 'what was before still counts')
        got = found(server, 'threat.detected')
        check([r['data']['mode'] for r in got['threat.detected']] == ['real', 'dry', 'real'], repr(got['threat.detected']))
        check(got['threat.detected'][0]['data']['actions'] == 'alert', repr(got['threat.detected'][0]))


@accounts()
def test_a_reported_server(t):
    """reports about users of another server: no link to it for a time; messages go back, streams end; then it is as before"""
    def before(a, b):
        ruled({'spam': rule('report.received', by='domain:jid', distinct='subject', count=2, action='isolate')})(a)

    with s2s.domains(t, 'a.example', 'b.example', before=before) as (a, b):
        juliet, romeo, spammer = a.login('juliet'), a.login('romeo'), b.login('juliet')
        s2s.says(spammer, 'romeo@a.example', 'buy')
        s2s.hears(romeo, 'buy', spammer.jid)
        for one in (juliet, romeo):
            iq(one, 'set', None, "<block xmlns='urn:xmpp:blocking'><item jid='juliet@b.example'><report "
               "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>")
        until('not kept out', lambda: [k['target'] for k in listed(a, 'isolation', 'list')] == ['b.example'])
        s2s.says(juliet, 'romeo@b.example', 'are you there')
        got = juliet.wait_for(lambda e: e.get('type') == 'error', timeout=20)
        check(s2s.xmpp.condition_of(got) == 'not-allowed', s2s.xmpp.text_of(got))
        s2s.says(spammer, 'romeo@a.example', 'buy more')
        check('that domain' in found(a, 'link.refused')['link.refused'][0]['data']['reason'], 'not refused')
        a.ctl('release', 'b.example')
        b.ctl('s2s', 'reset', 'a.example', check=False)
        s2s.says(juliet, 'romeo@b.example', 'again')
        s2s.hears(b.login('romeo'), 'again', juliet.jid)


def test_impossible_travel(t):
    """two logins from places that are too far apart: the account has to log in anew; without a database of places, nothing"""
    rules = {'travel': rule('login.accepted', speed=1000, within='1d', action=['alert', 'relogin'])}

    def before(server):
        mmdb.write(server.home / 'places.mmdb', {
            '127.1.0.0/16': {'location': {'latitude': 52.52, 'longitude': 13.4, 'accuracy_radius': 20}},
            '127.2.0.0/16': {'location': {'latitude': -33.87, 'longitude': 151.2, 'accuracy_radius': 50}}})
        ruled(rules, geo=str(server.home / 'places.mmdb'))(server)

    with daemon(t, before=before) as server:
        if 'this build has no libmaxminddb' in server.log():
            t.skip('no libmaxminddb')

        def come(source):
            one = client(t, server, 'juliet', source=source).connect()
            one.secure()
            one.authenticate()
            one.bind()
            return one

        berlin = come('127.1.0.1')
        come('127.1.7.7')
        come('127.0.0.1')                           # nowhere that is known
        check(listed(server, 'threat', 'list') == [], 'too early')
        come('127.2.0.1')
        berlin.wait_for(lambda e: e.tag.endswith('}error'), timeout=20)
        seen = found(server, 'threat.detected')['threat.detected'][0]
        check(seen['subject'] == 'juliet@localhost' and seen['data']['rule'] == 'travel' and seen['data']['count'] > 1000, repr(seen))


def test_exports(t):
    """accounts that are exported add up"""
    with daemon(t, before=ruled({'exports': rule('data.exported', sum='accounts', count=5)})) as server:
        for number in range(3):
            check((listed(server, 'threat', 'list') != []) == (number == 3), 'after %d' % number)
            server.ctl('export', str(server.home / ('%d.xml' % number)))
        until('not seen', lambda: [d['count'] for d in listed(server, 'threat', 'list')] == [6])


def test_what_is_wrong_is_said(t):
    """rules that cannot be are refused at the start; targets and times that are none, and domains of ours, at the command"""
    with daemon(t, before=ruled({'spray': rule('login.failed', by='address', count=3)})) as server:
        for words, said in ((('isolate', 'a@b@c'), 'no IP address'), (('isolate', 'localhost'), 'a domain of ours'),
                            (('isolate', 'romeo@far.example'), 'no account of ours'), (('throttle', 'far.example'), 'only addresses'),
                            (('isolate', '192.0.2.1', 'soon'), 'a time like'), (('isolate', '192.0.2.1', '0s'), 'a time like'),
                            (('release', '192.0.2.1'), 'not kept out'), (('threat', 'undo', '7'), ''),
                            (('isolate',), '')):
            answer = refused(server, *words)
            check(said in answer, '%r: %r' % (words, answer))
        check(listed(server, 'isolation', 'list') == [], 'something was done')
        server.ctl('isolate', '2001:db8:1:2:3::4', '1h')
        server.ctl('isolate', 'far.example', '1h', 'spam')
        check({k['target'] for k in listed(server, 'isolation', 'list')} == {'2001:db8:1:2::', 'far.example'},
              repr(listed(server, 'isolation', 'list')))
        server.configure(limits__isolations=2)
        server.ctl('reload')
        check('too many' in refused(server, 'isolate', '192.0.2.7'), 'no limit')
        server.stop()
        server.configure(modules__threat={'rules': {'odd': rule('login.failed', by='address', action='suspend')}})
        try:
            server.start()
            check(False, 'it starts with a rule that cannot be')
        except sterna.ServerError as e:
            check('an address can be throttled or isolated' in str(e), str(e))
        server.configure(modules__threat={})
        server.start()
