"""Who may administer what, from a client (XEP-0050) and with sternactl: the same commands, the same checks."""
import json

import sterna
import xmpp
from suite import check, client, daemon

COMMANDS = 'http://jabber.org/protocol/commands'
DATA = 'jabber:x:data'
INFO = 'http://jabber.org/protocol/disco#info'
ROLES = ('owner', 'admin', 'operator', 'auditor', 'support')

# Every command there is, and who may use it besides owners. A new command has to be put in here.
A, O, U, S = 'admin', 'operator', 'auditor', 'support'
MAY = {
    'api token create': {A, O, U, S}, 'api token list': {A, O, U, S}, 'api token revoke': {A, O, U, S},
    'audit status': {A, O, U}, 'isolate': {A, O}, 'isolation list': {A, O, U, S}, 'release': {A, O}, 'session relogin': {A, S},
    'threat list': {A, O, U}, 'threat undo': {A, O}, 'throttle': {A, O},
    'audit search': {U},
    'client list': {A, S}, 'client revoke': {A, S}, 'report list': {A, S}, 'report drop': {A},
    'quota show': {A, O, S}, 'quota set': {A}, 'quota clear': {A},
    'pending approve': {A, O, U, S}, 'pending list': {A, O, U, S}, 'pending refuse': {A, O, U, S},
    'room list': {A, O, S}, 'room show': {A, O, S}, 'room affiliations': {A, O, S}, 'room affiliate': {A}, 'room destroy': {A},
    'trace list': {A, O}, 'trace show': {A, O}, 'trace start': {A, O}, 'trace stop': {A, O},
    'announce': {A}, 'blacklist add-in': {A}, 'blacklist add-out': {A}, 'blacklist edit': {A}, 'commands': {A, O, U, S},
    'count active': {A, O, S}, 'count disabled': {A, O, S}, 'count idle': {A, O, S}, 'count online': {A, O, S},
    'count registered': {A, O, S}, 'hooks': {A, O}, 'list active': {A, O, S}, 'list disabled': {A, O, S},
    'invite contact': {A, O, U, S, 'nobody'}, 'invite create': {A, S}, 'invite list': {A, S}, 'invite revoke': {A, S},
    'list idle': {A, O, S}, 'list online': {A, O, S}, 'list registered': {A, O, S}, 'log level': {A, O}, 'modules': {A, O},
    'openapi': {A, O, U, S}, 'modules load': {A, O}, 'modules reload': {A, O}, 'modules unload': {A, O}, 'motd delete': {A}, 'motd edit': {A},
    'motd set': {A}, 'reload': {A, O}, 'restart': {A, O}, 'role edit': set(), 'role grant': set(), 'role list': {A, U},
    'role revoke': set(), 'region list': {A, O}, 'rtbl add': {A, O}, 'rtbl check': {A, O}, 'rtbl list': {A, O}, 'rtbl remove': {A, O},
    'residency explain': {A, O, U}, 's2s explain': {A, O}, 's2s list': {A, O}, 's2s show': {A, O}, 's2s reset': {A, O}, 's2s test': {A, O}, 'session kick': {A, O, S}, 'session list': {A, O, S}, 'shutdown': {A, O}, 'stats': {A, O},
    'status': {A, O, U, S}, 'user add': {A}, 'user delete': {A}, 'user disable': {A, S}, 'user enable': {A, S},
    'user lastlogin': {A, S}, 'user passwd': {A, S}, 'user roster': {A}, 'user show': {A, S}, 'user stats': {A, O, S},
    'welcome delete': {A}, 'welcome set': {A}, 'whitelist add': {A}, 'whitelist add-in': {A}, 'whitelist add-out': {A},
    'whitelist edit': {A},
}
# Those that concern the whole server.
SERVER = {'hooks', 'log level', 'modules', 'modules load', 'modules reload', 'modules unload', 'reload', 'restart', 'shutdown',
          'stats', 'status',
          'region list', 'residency explain', 'rtbl add', 'rtbl check', 'rtbl list', 'rtbl remove',
          's2s explain', 's2s list', 's2s reset', 's2s show', 's2s test', 'audit status', 'audit search', 'isolate', 'isolation list',
          'release', 'threat list', 'threat undo', 'throttle'}


def online(t, server, user):
    made = client(t, server, user).connect()
    made.secure()
    made.authenticate()
    made.bind()
    return made


def ask(made, xml):
    """The answer to an IQ set or get."""
    made.count = getattr(made, 'count', 0) + 1
    wanted = 'q%d' % made.count
    made.send(xml % wanted)
    while True:
        answer = made.stanza(timeout=20)
        if answer.get('id') == wanted:
            return answer


def execute(made, node, sessionid=None, action=None, host='localhost', **fields):
    """The <command/> of the answer, or the condition of the error."""
    form = ''.join("<field var='%s'>%s</field>" % (name.replace('_', '-') if name == 'password_verify' else name, ''.join(
        '<value>%s</value>' % v for v in (value if isinstance(value, list) else [value]))) for name, value in fields.items())
    attributes = ''.join(" %s='%s'" % pair for pair in (('sessionid', sessionid), ('action', action)) if pair[1])
    answer = ask(made, "<iq type='set' id='%%s' to='%s'><command xmlns='%s' node='%s'%s>%s</command></iq>" % (
        host, COMMANDS, node, attributes, "<x xmlns='%s' type='submit'>%s</x>" % (DATA, form) if fields else ''))
    if answer.get('type') == 'error':
        return xmpp.condition_of(answer)
    return answer.find('{%s}command' % COMMANDS)


def run(made, node, host='localhost', **fields):
    """A command in one go: form, and for dangerous ones the second stage. The condition, or the <command/>."""
    command = execute(made, node, host=host)
    while not isinstance(command, str) and command.get('status') == 'executing':
        action = command.find('{%s}actions' % COMMANDS).get('execute')
        command = execute(made, node, command.get('sessionid'), action, host=host, **fields)
        fields = {}
        note = None if isinstance(command, str) else command.find('{%s}note' % COMMANDS)
        if note is not None and note.get('type') == 'error':
            execute(made, node, command.get('sessionid'), 'cancel', host=host)
            return note.text
    return command


def node_of(server, name):
    return next(c['node'] for c in json.loads(server.ctl('--json', 'commands')) if c['name'] == name)


def test_every_command_and_role(t):
    """each command is forbidden to each role that it does not name, and to those who have none"""
    def before(server):
        server.configure(admins={'%s@%s' % (role, server.host): {'role': role} for role in ROLES})

    with daemon(t, users=ROLES + ('nobody',), before=before) as server:
        commands = [c for c in json.loads(server.ctl('--json', 'commands')) if c['name'] not in ('user changed', 'user exported')]
        check({c['name'] for c in commands} == set(MAY), 'commands that the table does not have, or the other way: %r' % (
            {c['name'] for c in commands} ^ set(MAY)))
        for role in ROLES + ('nobody',):
            made = online(t, server, role)
            for c in commands:
                may = role == 'owner' or role in MAY[c['name']]
                answer = ask(made, "<iq type='get' id='%%s' to='%s'><query xmlns='%s' node='%s'/></iq>" % (
                    server.host, INFO, c['node']))
                check((answer.get('type') == 'result') == may, '%s, %s: %s' % (role, c['name'], xmpp.text_of(answer)))
                if not may:
                    got = execute(made, c['node'])
                    check(got == 'forbidden', '%s runs %s: %r' % (role, c['name'], got))
            listed = ask(made, "<iq type='get' id='%%s' to='%s'><query xmlns='http://jabber.org/protocol/disco#items' "
                         "node='%s'/></iq>" % (server.host, COMMANDS))
            nodes = {item.get('node') for item in listed[0]}
            wanted = {c['node'] for c in commands if role == 'owner' or role in MAY[c['name']]}
            check(nodes == wanted, '%s sees %r' % (role, nodes ^ wanted))
            got = execute(made, 'sterna#user-changed')
            check(got == 'forbidden', 'a command for sternactl alone: %r' % got)
        check(server.log().count('command refused') > 100, 'refusals are not in the log')


def test_a_role_on_one_host_ends_there(t):
    """a host's administrator administers that host: not the other one, not its accounts, not the server"""
    def before(server):
        server.configure(hosts__second={'certificate': str(server.crt), 'key': str(server.key)})
        server.configure(admins={'juliet@' + server.host: {'role': 'owner', 'hosts': [server.host]}})

    with daemon(t, before=before) as server:
        server.ctl('user', 'add', 'tybalt@second', stdin='pw\n')
        juliet = online(t, server, 'juliet')
        for c in json.loads(server.ctl('--json', 'commands')):
            if c['name'] in ('user changed', 'user exported'):
                continue
            here, there = (ask(juliet, "<iq type='get' id='%%s' to='%s'><query xmlns='%s' node='%s'/></iq>" % (
                host, INFO, c['node'])).get('type') for host in (server.host, 'second'))
            check(there == 'error', '%s at the other host' % c['name'])
            check((here == 'result') == (c['name'] not in SERVER), '%s: %s' % (c['name'], here))
        for name in ('user show', 'user passwd'):
            said = run(juliet, node_of(server, name), accountjid='tybalt@second', **(
                {'password': 'x'} if name == 'user passwd' else {}))
            check(said == 'forbidden', '%s of the other host: %r' % (name, said))
        said = run(juliet, node_of(server, 'list registered'), max_items='none')
        check(b'tybalt' not in xmpp.ET.tostring(said) and b'romeo' in xmpp.ET.tostring(said), 'the list of another host')
        said = run(juliet, node_of(server, 'role grant'), accountjid='romeo@localhost', role='admin')
        check(not isinstance(said, str) and said.get('status') == 'completed', 'grant: %r' % said)
        romeo = online(t, server, 'romeo')
        check(run(romeo, node_of(server, 'user add'), accountjid='x@second', password='pw') == 'forbidden', 'over there')
        check(run(romeo, node_of(server, 'modules')) == 'forbidden', 'the whole server')


def test_nobody_reaches_above(t):
    """who has a lower role does nothing to those who have a higher one; roles come and go, and end with the account"""
    def before(server):
        server.configure(admins={'juliet@' + server.host: {'role': 'owner'}})

    with daemon(t, before=before) as server:
        romeo = online(t, server, 'romeo')
        passwd, delete = node_of(server, 'user passwd'), node_of(server, 'user delete')
        check(execute(romeo, passwd) == 'forbidden', 'no role yet')
        server.ctl('role', 'grant', 'romeo@localhost', 'admin')
        check(run(romeo, passwd, accountjid='juliet@localhost', password='x') == 'forbidden', "an owner's password")
        check(run(romeo, delete, accountjids='juliet@localhost') == 'forbidden', 'an owner is deleted')
        check(run(romeo, delete, accountjids='romeo@localhost') == 'forbidden', 'oneself')
        check(run(romeo, node_of(server, 'user show'), accountjid='x@localhost') == 'item-not-found', 'not there')
        rows = json.loads(server.ctl('--json', 'role', 'list'))
        check({(r['accountjid'], r['role'], r['configured']) for r in rows} == {
            ('juliet@localhost', 'owner', True), ('romeo@localhost', 'admin', False)}, 'roles %r' % rows)
        server.stop()
        server.start()
        romeo = online(t, server, 'romeo')
        check(run(romeo, node_of(server, 'list online')).get('status') == 'completed', 'a role is forgotten')
        server.ctl('user', 'delete', 'romeo@localhost')
        server.ctl('user', 'add', 'romeo@localhost', stdin='pw\n')
        romeo = online(t, server, 'romeo')
        check(execute(romeo, passwd) == 'forbidden', 'a role is inherited')
        server.ctl('role', 'grant', 'romeo@localhost', 'support')
        server.ctl('role', 'revoke', 'romeo@localhost')
        check(execute(romeo, passwd) == 'forbidden', 'a role that was taken away')
        try:
            server.ctl('role', 'revoke', 'juliet@localhost')
            check(False, 'a role of the configuration was taken away')
        except sterna.ServerError as e:
            check('by the configuration' in str(e), str(e))
        server.configure(admins={'romeo@localhost': {'role': 'support'}})
        server.ctl('reload')
        check(not isinstance(execute(romeo, passwd), str), 'a reload does not bring the role')


def test_what_is_wrong_is_said(t):
    """bad input: the field at fault, with the form; nothing is done"""
    def before(server):
        server.configure(admins={'juliet@' + server.host: {'role': 'owner'}})

    with daemon(t, before=before) as server:
        juliet = online(t, server, 'juliet')
        add = node_of(server, 'user add')
        for fields, word in (({'accountjid': 'a@localhost'}, 'password'),
                             ({'accountjid': 'a b@localhost', 'password': 'x'}, 'no address'),
                             ({'accountjid': 'a@localhost/r', 'password': 'x'}, 'without a resource'),
                             ({'accountjid': 'a@localhost', 'password': 'x', 'password_verify': 'y'}, 'not the same'),
                             ({'accountjid': ['a@localhost', 'b@localhost'], 'password': 'x'}, 'one value'),
                             ({'accountjid': 'a@localhost', 'password': 'x', 'colour': 'red'}, 'colour'),
                             ({'accountjid': 'a@localhost', 'password': 'x' * 2000}, '1023')):
            said = run(juliet, add, **fields)
            check(isinstance(said, str) and word in said, '%r: %r' % (fields, said))
        check(run(juliet, add, accountjid='romeo@localhost', password='x') == 'conflict', 'there already')
        check('juliet@localhost\nromeo@localhost\n' == server.ctl('user', 'list'), 'something was made')
        said = run(juliet, node_of(server, 'user delete'), accountjids=['romeo@localhost', 'nobody@localhost'])
        check(said == 'item-not-found', 'one of two: %r' % said)
        check('romeo@localhost' in server.ctl('user', 'list'), 'half of it was done')
        check(execute(juliet, 'sterna#nothing') == 'item-not-found', 'no such command')
        check(execute(juliet, add, action='prev') == 'bad-request', 'begins with prev')
        form = execute(juliet, add)
        check(execute(juliet, add, form.get('sessionid'), 'sideways') == 'bad-request', 'no such action')
        check(execute(juliet, add, form.get('sessionid'), 'prev') == 'bad-request', 'before the first stage')
        check(execute(juliet, 'sterna#status', form.get('sessionid')) == 'bad-request', "another command's session")
        for _ in range(12):
            last = execute(juliet, add)
        check(execute(juliet, add, form.get('sessionid'), 'cancel') == 'bad-request', 'sessions without end')
        check(execute(juliet, add, last.get('sessionid'), 'cancel').get('status') == 'canceled', 'the last one')
        code = server.ctl('user', 'roster', check=False)
        check(code == '', 'roster without an address')
        check(run(juliet, node_of(server, 'modules unload'), module='commands') == 'resource-constraint',
              'the door is shut from inside')
        check(run(juliet, node_of(server, 'modules unload'), module='time').get('status') == 'completed', 'unload')
        check(run(juliet, node_of(server, 'modules load'), module='time').get('status') == 'completed', 'load')
        server.ctl('modules', 'unload', 'commands')
        check(execute(juliet, add) == 'service-unavailable', 'commands without their module')
        server.ctl('modules', 'load', 'commands')
