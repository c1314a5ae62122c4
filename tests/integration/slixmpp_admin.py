"""slixmpp_admin.py ADDRESS PORT CAFILE: the first account (`jid password` lines on stdin) administers; the second is there
to be administered. Every command of XEP-0133 is executed as a client does it: discover, fill in the form, submit."""
import asyncio
import sys

import slixmpp

ADMIN = 'http://jabber.org/protocol/admin#'
TIMEOUT = 20
NODES = '''add-user delete-user disable-user reenable-user end-user-session change-user-password get-user-roster
get-user-lastlogin user-stats edit-blacklist add-to-blacklist-in add-to-blacklist-out edit-whitelist add-to-whitelist
add-to-whitelist-in add-to-whitelist-out get-registered-users-num get-disabled-users-num get-online-users-num
get-active-users-num get-idle-users-num get-registered-users-list get-disabled-users-list get-online-users-list
get-active-users get-idle-users announce set-motd edit-motd delete-motd set-welcome delete-welcome edit-admin restart
shutdown'''.split()


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid, password, cafile, resource='slix'):
        super().__init__(jid + '/' + resource, password)
        self.ca_certs = cafile or None
        self.started, self.ended, self.texts = asyncio.Event(), asyncio.Event(), asyncio.Queue()
        for plugin in ('xep_0004', 'xep_0030', 'xep_0050', 'xep_0199'):
            self.register_plugin(plugin)
        self.add_event_handler('session_start', self.on_start)
        self.add_event_handler('disconnected', lambda _e: self.ended.set())
        self.add_event_handler('message', lambda m: self.texts.put_nowait((m['from'].full, m['body'])))

    async def on_start(self, _event):
        await self.get_roster()
        self.send_presence()
        self.started.set()

    async def execute(self, node, expect='completed', stages=1, **fields):
        """The whole of a command; returns the form of the result."""
        host = self.boundjid.domain
        answer = await self['xep_0050'].send_command(host, node, timeout=TIMEOUT)
        command = answer['command']
        while command['status'] == 'executing':
            assert stages > 0, 'one stage too many: %s' % answer
            stages -= 1
            form = self['xep_0004'].make_form('submit')
            for field in command['form'].get_fields().values():
                if field['type'] == 'hidden':
                    form.add_field(field['var'], 'hidden', value=field['value'])
                elif field['var'] in fields and field['type'] != 'fixed':
                    form.add_field(field['var'], field['type'], value=fields[field['var']])
            action = next(name for name in ('next', 'complete') if name in command['actions'])
            last = answer
            payload = form if command['form'].get_fields() and action == 'next' or stages == 0 and action == 'complete' \
                and 'prev' not in command['actions'] else None
            answer = await self['xep_0050'].send_command(host, node, action=action, sessionid=command['sessionid'],
                                                         payload=payload, timeout=TIMEOUT)
            command = answer['command']
            if command['status'] == 'executing' and stages == 0:
                assert expect == 'executing', '%s\nasks again: %s' % (last, answer)
                return command
        assert command['status'] == expect, answer
        return command

    async def value(self, node, field, **fields):
        stages = 1 if fields or node in WITH_FORM else 0
        command = await self.execute(ADMIN + node, stages=stages, **fields)
        return command['form'].get_values().get(field)


WITH_FORM = {node for node in NODES if node.startswith('get-')}


def many(value):
    """The values of a field: slixmpp makes a text of those that it takes for single."""
    return value.split('\n') if isinstance(value, str) else list(value or [])


async def login(address, port, jid, password, cafile, resource='slix'):
    person = Person(jid, password, cafile, resource)
    person.connect((address, port))
    await person.started.wait()
    return person


async def accounts(admin, host, where):
    new = 'mercutio-%s@%s' % (admin.boundjid.user, host)
    before = int(await admin.value('get-registered-users-num', 'registeredusersnum'))
    await admin.execute(ADMIN + 'add-user', accountjid=new, password='queen mab', **{
        'password-verify': 'queen mab', 'email': 'mercutio@example.org', 'given_name': 'Mercutio', 'surname': 'della Scala'})
    assert int(await admin.value('get-registered-users-num', 'registeredusersnum')) >= before + 1
    assert new in many(await admin.value('get-registered-users-list', 'registereduserjids', max_items='none'))
    person = await login(*where[:2], new, 'queen mab', where[2])
    assert new in many(await admin.value('get-online-users-list', 'onlineuserjids'))
    assert new in many(await admin.value('get-active-users', 'activeuserjids'))
    assert new not in many(await admin.value('get-idle-users', 'activeuserjids'))
    assert int(await admin.value('get-online-users-num', 'onlineusersnum')) >= 2
    assert int(await admin.value('get-active-users-num', 'activeusersnum')) >= 2
    assert int(await admin.value('get-idle-users-num', 'idleusersnum')) >= 0
    stats = (await admin.execute(ADMIN + 'user-stats', accountjid=new))['form'].get_values()
    assert stats['onlineresources'] in ('slix', ['slix']) and stats['rostersize'] == '0', stats
    assert '127.0.0.1' in ''.join(stats['ipaddresses']) and float(stats['stanzaspersecond']) > 0, stats
    assert float(stats['loginsperminute']) > 0, stats
    last = await admin.execute(ADMIN + 'get-user-lastlogin', accountjids=[new])
    assert 'T' in ''.join(last['form'].get_values()['lastlogin']), last
    await admin.execute(ADMIN + 'end-user-session', accountjids=[new + '/slix'])
    await person.ended.wait()
    print('made, seen, kicked')
    await admin.execute(ADMIN + 'change-user-password', accountjid=new, password='tybalt')
    person = await login(*where[:2], new, 'tybalt', where[2])
    await admin.execute(ADMIN + 'disable-user', accountjids=[new])
    await person.ended.wait()
    assert new in many(await admin.value('get-disabled-users-list', 'disableduserjids'))
    assert int(await admin.value('get-disabled-users-num', 'disabledusersnum')) >= 1
    await admin.execute(ADMIN + 'reenable-user', accountjids=[new])
    person = await login(*where[:2], new, 'tybalt', where[2])
    print('another password, disabled, enabled')
    command = await admin.execute(ADMIN + 'delete-user', stages=2, accountjids=[new])
    await person.ended.wait()
    assert new not in many(await admin.value('get-registered-users-list', 'registereduserjids'))
    assert command['status'] == 'completed'
    print('deleted')


async def lists(admin, other, host):
    # slixmpp has no name for the roster within a form: its text will do
    answer = await admin.execute(ADMIN + 'get-user-roster', accountjids=[admin.boundjid.bare])
    assert 'jabber:iq:roster' in str(answer), answer
    await admin.execute(ADMIN + 'add-to-blacklist-in', blacklistjids=['evil.example'])
    await admin.execute(ADMIN + 'add-to-blacklist-out', blacklistjids=[other.boundjid.bare])
    form = (await admin['xep_0050'].send_command(host, ADMIN + 'edit-blacklist', timeout=TIMEOUT))['command']['form']
    assert set(form.get_values()['blacklistjids']) == {'evil.example', other.boundjid.bare}, form
    try:
        await admin['xep_0199'].send_ping(other.boundjid.full, timeout=TIMEOUT)
        raise AssertionError('a black list does nothing')
    except slixmpp.exceptions.IqError as e:
        assert e.condition == 'not-allowed', e
    await admin.execute(ADMIN + 'edit-blacklist', blacklistjids=[])
    await admin['xep_0199'].send_ping(other.boundjid.full, timeout=TIMEOUT)
    for node in ('add-to-whitelist', 'add-to-whitelist-in', 'add-to-whitelist-out'):
        await admin.execute(ADMIN + node, whitelistjids=['friend.example'])
    form = (await admin['xep_0050'].send_command(host, ADMIN + 'edit-whitelist', timeout=TIMEOUT))['command']['form']
    assert form.get_values()['whitelistjids'] == ['friend.example'], form
    await admin['xep_0199'].send_ping(other.boundjid.full, timeout=TIMEOUT)
    await admin.execute(ADMIN + 'edit-whitelist', whitelistjids=[])
    print('lists')


async def notices(admin, other, host, where):
    await admin.execute(ADMIN + 'announce', announcement=['the balcony', 'is closed'])
    assert await other.texts.get() == (host, 'the balcony\nis closed')
    await admin.execute(ADMIN + 'set-motd', motd='mind the gap')
    await admin.execute(ADMIN + 'edit-motd', motd='mind the step')
    again = await login(*where[:2], other.boundjid.bare, other.password, where[2], 'phone')
    assert await again.texts.get() == (host, 'mind the step')
    await again.disconnect()
    again = await login(*where[:2], other.boundjid.bare, other.password, where[2], 'phone')
    await again['xep_0199'].send_ping(host, timeout=TIMEOUT)
    assert again.texts.empty(), 'told twice'
    await again.disconnect()
    await admin.execute(ADMIN + 'delete-motd')
    await admin.execute(ADMIN + 'set-welcome', welcome=['welcome'])
    new = 'paris-%s@%s' % (admin.boundjid.user, host)
    await admin.execute(ADMIN + 'add-user', accountjid=new, password='pw')
    guest = await login(*where[:2], new, 'pw', where[2])
    assert await guest.texts.get() == (host, 'welcome')
    await guest.disconnect()
    await admin.execute(ADMIN + 'delete-welcome')
    await admin.execute(ADMIN + 'delete-user', stages=2, accountjids=[new])
    print('announcements')


async def refusals(admin, other, host):
    commands = admin['xep_0050']
    # what is wrong is said with the form, and nothing is done
    command = await admin.execute(ADMIN + 'add-user', expect='executing', accountjid='x@elsewhere.example', password='pw')
    assert 'none of the configured hosts' in str(command) and 'error' in str(command), command
    done = await commands.send_command(host, command['node'], action='cancel', sessionid=command['sessionid'], timeout=TIMEOUT)
    assert done['command']['status'] == 'canceled', done
    for action in ('complete', 'cancel'):
        try:
            await commands.send_command(host, command['node'], action=action, sessionid=command['sessionid'], timeout=TIMEOUT)
            raise AssertionError('a session that has ended goes on')
        except slixmpp.exceptions.IqError as e:
            assert e.condition == 'bad-request', e
    # back from the second stage
    first = (await commands.send_command(host, ADMIN + 'delete-user', timeout=TIMEOUT))['command']
    form = admin['xep_0004'].make_form('submit')
    form.add_field('accountjids', 'jid-multi', value=[other.boundjid.bare])
    second = (await commands.send_command(host, first['node'], action='next', sessionid=first['sessionid'], payload=form,
                                          timeout=TIMEOUT))['command']
    assert 'prev' in second['actions'], second
    back = (await commands.send_command(host, first['node'], action='prev', sessionid=first['sessionid'],
                                        timeout=TIMEOUT))['command']
    assert back['status'] == 'executing' and back['form'].get_values()['accountjids'] == [other.boundjid.bare], back
    await commands.send_command(host, first['node'], action='cancel', sessionid=first['sessionid'], timeout=TIMEOUT)
    # whose session it is not
    try:
        await other['xep_0050'].send_command(host, first['node'], action='next', sessionid=first['sessionid'],
                                             timeout=TIMEOUT)
        raise AssertionError("another's session goes on")
    except slixmpp.exceptions.IqError as e:
        assert e.condition == 'bad-request', e
    # who has no role: every command is forbidden, and none is listed
    items = (await other['xep_0050'].get_commands(host, timeout=TIMEOUT))['disco_items']['items']
    assert {item[1] for item in items} <= {'urn:xmpp:invite#invite'}, items
    for node in NODES:
        try:
            await other['xep_0050'].send_command(host, ADMIN + node, timeout=TIMEOUT)
            raise AssertionError('%s for anyone' % node)
        except slixmpp.exceptions.IqError as e:
            assert e.condition == 'forbidden', (node, e)
    print('refusals')


async def run(address, port, cafile, people):
    where = (address, port, cafile)
    admin, other = [await login(address, port, jid, password, cafile) for jid, password in people]
    host = admin.boundjid.domain
    info = await admin['xep_0030'].get_info(host, timeout=TIMEOUT)
    assert 'http://jabber.org/protocol/commands' in info['disco_info']['features']
    items = {item[1] for item in (await admin['xep_0050'].get_commands(host, timeout=TIMEOUT))['disco_items']['items']}
    missing = [node for node in NODES if ADMIN + node not in items]
    assert not missing, missing
    for node in NODES:
        info = (await admin['xep_0030'].get_info(host, node=ADMIN + node, timeout=TIMEOUT))['disco_info']
        assert ('automation', 'command-node') in {(i[0], i[1]) for i in info['identities']}, node
    print('all of XEP-0133 is there')
    await accounts(admin, host, where)
    await lists(admin, other, host)
    await notices(admin, other, host, where)
    await refusals(admin, other, host)
    await admin.execute(ADMIN + 'edit-admin', adminjids=[other.boundjid.bare])
    items = (await other['xep_0050'].get_commands(host, timeout=TIMEOUT))['disco_items']['items']
    assert len(items) > 1, 'an administrator has no commands'
    await admin.execute(ADMIN + 'edit-admin', adminjids=[])
    assert len((await other['xep_0050'].get_commands(host, timeout=TIMEOUT))['disco_items']['items']) == 1
    print('administrators')
    await admin.execute(ADMIN + 'restart', stages=2, delay='1', announcement=['back in a moment'])
    assert await other.texts.get() == (host, 'back in a moment')
    await admin.ended.wait()
    for _ in range(100):
        try:
            again = await asyncio.wait_for(login(address, port, *people[0], cafile), 5)
            break
        except asyncio.TimeoutError:
            pass
    print('restarted')
    await again.execute(ADMIN + 'shutdown', stages=2, delay='1')
    await again.ended.wait()
    print('shut down')


def main():
    address, port, cafile = sys.argv[1:4]
    people = [line.split() for line in sys.stdin if line.strip()]
    asyncio.get_event_loop().run_until_complete(asyncio.wait_for(run(address, int(port), cafile, people), 80))


if __name__ == '__main__':
    main()
