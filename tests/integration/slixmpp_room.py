"""slixmpp_room.py ADDRESS PORT CAFILE: two accounts (`jid password` lines on stdin) and the whole life of a room."""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError, PresenceError

TIMEOUT = 60


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid, password, cafile):
        super().__init__(jid + '/slix', password)
        self.ca_certs = cafile or None
        self.started, self.texts, self.events = asyncio.Event(), asyncio.Queue(), asyncio.Queue()
        for plugin in ('xep_0004', 'xep_0030', 'xep_0045', 'xep_0059', 'xep_0199', 'xep_0249', 'xep_0313',
                       'xep_0421'):
            self.register_plugin(plugin)
        self.add_event_handler('session_start', self.on_start)
        self.add_event_handler('groupchat_message', lambda m: self.texts.put_nowait((m['from'].resource, m['body'])))
        self.add_event_handler('message', self.on_message)

    async def on_start(self, _event):
        self.send_presence()
        self.started.set()

    def on_message(self, message):
        if message['type'] == 'chat' and message['body']:
            self.texts.put_nowait(('private ' + message['from'].resource, message['body']))

    @property
    def muc(self):
        return self['xep_0045']


async def life(address, port, cafile, accounts):
    owner, guest = (Person(jid, password, cafile) for jid, password in accounts)
    for person in (owner, guest):
        person.connect((address, port))
        await person.started.wait()
    room = slixmpp.JID('life-%s@conference.%s' % (owner.boundjid.local, owner.boundjid.domain))

    await owner.muc.join_muc_wait(room, 'Owner', maxstanzas=0)
    form = await owner.muc.get_room_config(room)
    form.reply()
    form['type'] = 'submit'
    values = form.get_values()
    values['muc#roomconfig_persistentroom'] = True
    values['muc#roomconfig_roomname'] = 'Life'
    form.set_values(values)
    await owner.muc.set_room_config(room, form)
    print('made and configured')

    await guest.muc.join_muc_wait(room, 'Guest')
    assert sorted(guest.muc.get_roster(room)) == ['Guest', 'Owner'], guest.muc.get_roster(room)
    guest.send_message(room, 'hello all', mtype='groupchat')
    for person in (owner, guest):
        assert await person.texts.get() == ('Guest', 'hello all')
    owner.send_message(slixmpp.JID(str(room) + '/Guest'), 'psst', mtype='chat')
    assert await guest.texts.get() == ('private Owner', 'psst')
    info = await guest['xep_0030'].get_info(room)
    assert 'muc_persistent' in info['disco_info']['features']
    assert ('conference', 'text', None, 'Life') in info['disco_info']['identities'], info
    print('they have talked')

    await owner.muc.set_affiliation(room, 'member', jid=guest.boundjid.bare)
    assert await owner.muc.get_affiliation_list(room, 'member') == [guest.boundjid.bare]
    await owner.muc.set_role(room, 'Guest', 'none')
    await asyncio.sleep(0.2)
    try:
        await guest['xep_0199'].send_ping(slixmpp.JID(str(room) + '/Guest'))
        raise AssertionError('who was kicked is still inside')
    except IqError as error:
        assert error.condition == 'not-acceptable', error
    await guest.muc.join_muc_wait(room, 'Again')
    assert await guest.texts.get() == ('Guest', 'hello all')
    bodies = [m['mam_result']['forwarded']['stanza']['body'] async for m in guest['xep_0313'].iterate(jid=room)]
    assert 'hello all' in bodies, bodies
    print('kicked, back, and the archive has it')

    await owner.muc.set_affiliation(room, 'outcast', jid=guest.boundjid.bare)
    try:
        await guest.muc.join_muc_wait(room, 'Again')
        raise AssertionError('who is banned came in')
    except PresenceError as error:
        assert error.condition == 'forbidden', error
    await owner.muc.destroy(room, reason='over')
    try:
        await guest['xep_0030'].get_info(room)
        raise AssertionError('the room is still there')
    except IqError as error:
        assert error.condition == 'item-not-found', error
    print('banned, and destroyed')
    await asyncio.gather(owner.disconnect(), guest.disconnect())


def main():
    address, port, cafile = sys.argv[1:4]
    accounts = [line.split() for line in sys.stdin if line.strip()]
    loop = asyncio.get_event_loop()
    loop.run_until_complete(asyncio.wait_for(life(address, int(port), cafile, accounts), TIMEOUT))


if __name__ == '__main__':
    main()
