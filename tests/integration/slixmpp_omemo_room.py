"""slixmpp_omemo_room.py ADDRESS PORT CAFILE: two accounts (`jid password` lines on stdin), strangers to each other, talk
encrypted in a room for members where everybody sees real addresses; then one has lost its connection, and reads later
what was said."""
import asyncio
import sys
import uuid

import slixmpp
from slixmpp_omemo_chat import NAMESPACES, Device, Memory

TIMEOUT = 90


class Occupant(Device):
    """Its device in a room."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_plugin('xep_0004')
        self.register_plugin('xep_0045')
        self.register_plugin('xep_0313')
        self.add_event_handler('groupchat_message', self.on_said)

    @property
    def muc(self):
        return self['xep_0045']

    async def on_message(self, message):
        if message['type'] != 'groupchat':
            await super().on_message(message)

    async def on_said(self, message):
        text = await self.plain(message)
        if text is not None:
            self.texts.put_nowait((message['from'].resource, text))

    async def plain(self, message):
        namespaces = self['xep_0384'].is_encrypted(message)
        if not namespaces:
            return None
        assert namespaces <= NAMESPACES
        plain, _device = await self['xep_0384'].decrypt_message(message)
        return plain['body']

    def members(self, room):
        """Real addresses of who is inside, as every client of a non-anonymous room knows them."""
        return {slixmpp.JID(self.muc.get_jid_property(room, nick, 'jid')).bare for nick in self.muc.get_roster(room)}

    async def say_to_all(self, room, text, to):
        message = self.make_message(mto=room, mtype='groupchat', mbody=text)
        encrypted, errors = await self['xep_0384'].encrypt_message(message, {slixmpp.JID(jid) for jid in to})
        assert encrypted is not None and not errors, errors
        assert text not in str(encrypted)
        encrypted.send()


async def login(where, account, cafile, memory):
    device = Occupant(*account, cafile, memory)
    device.connect(where)
    await device.ready.wait()
    return device


async def make_room(owner, room, member):
    await owner.muc.join_muc_wait(room, 'Owner', maxstanzas=0)
    form = await owner.muc.get_room_config(room)
    form['type'] = 'submit'
    values = form.get_values()
    values.update({'muc#roomconfig_membersonly': True, 'muc#roomconfig_persistentroom': True,
                   'muc#roomconfig_whois': 'anyone', 'muc#roomconfig_enablelogging': True})
    form.set_values(values)
    await owner.muc.set_room_config(room, form)
    await owner.muc.set_affiliation(room, 'member', jid=slixmpp.JID(member))


async def read_archive(device, room):
    """What was said while it was away, by its own reading of the archive."""
    texts = []
    results = device['xep_0313'].retrieve(jid=slixmpp.JID(room), iterator=True, rsm={'max': '50'})
    async for page in results:
        for result in page['mam']['results']:
            message = result['mam_result']['forwarded']['stanza']
            if message['from'].resource == 'Owner' and device['xep_0384'].is_encrypted(message):
                texts.append(message)
    return [await device.plain(message) for message in texts[-1:]]


async def talk(where, cafile, accounts):
    (first_jid, _), (second_jid, _) = accounts
    memories = Memory(), Memory()
    first = await login(where, accounts[0], cafile, memories[0])
    second = await login(where, accounts[1], cafile, memories[1])
    room = slixmpp.JID('omemo-%s@conference.%s' % (uuid.uuid4().hex[:8], first.boundjid.domain))
    await make_room(first, room, second_jid)
    await second.muc.join_muc_wait(room, 'Guest', maxstanzas=0)
    assert second.members(room) == {first_jid, second_jid}, second.members(room)
    print('both are inside, and see who is')
    await first.say_to_all(room, 'welcome', {second_jid})
    assert await second.texts.get() == ('Owner', 'welcome')
    await second.say_to_all(room, 'thanks', second.members(room) - {second_jid})
    said = [await first.texts.get(), await first.texts.get()]
    assert said[-1] == ('Guest', 'thanks'), said
    print('they have talked')
    await second.leave()
    await first.say_to_all(room, 'you are away', {second_jid})
    await first['xep_0199'].ping(slixmpp.JID(first.boundjid.domain))
    second = await login(where, accounts[1], cafile, memories[1])
    await second.muc.join_muc_wait(room, 'Guest', maxstanzas=0)
    assert await read_archive(second, room) == ['you are away']
    print('who was away has read it in the archive')
    await asyncio.gather(first.leave(), second.leave())


def main():
    address, port, cafile = sys.argv[1:4]
    accounts = [line.split() for line in sys.stdin if line.strip()]
    asyncio.get_event_loop().run_until_complete(
        asyncio.wait_for(talk((address, int(port)), cafile, accounts), TIMEOUT))


if __name__ == '__main__':
    main()
