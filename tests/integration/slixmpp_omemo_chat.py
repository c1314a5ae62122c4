"""slixmpp_omemo_chat.py ADDRESS PORT CAFILE: two accounts (`jid password` lines on stdin), strangers to each other, exchange
encrypted messages both ways with slixmpp-omemo; the second is away when the first writes."""
import asyncio
import sys
import typing

import slixmpp
import slixmpp_omemo
from omemo.storage import Just, Nothing, Storage
from slixmpp.plugins import register_plugin

TIMEOUT = 60
NAMESPACES = {'urn:xmpp:omemo:2', 'eu.siacs.conversations.axolotl'}


class Memory(Storage):
    """A device's keys, kept from one login to the next."""

    def __init__(self):
        super().__init__(True)
        self.values = {}

    async def _load(self, key):
        return Just(self.values[key]) if key in self.values else Nothing()

    async def _store(self, key, value):
        self.values[key] = value

    async def _delete(self, key):
        self.values.pop(key, None)


class Omemo(slixmpp_omemo.XEP_0384):
    default_config: typing.ClassVar = {'fallback_message': 'encrypted', 'memory': None}

    @property
    def storage(self):
        return self.memory

    @property
    def _btbv_enabled(self):
        return True

    async def _prompt_manual_trust(self, manually_trusted, identifier):
        raise AssertionError('everybody is trusted blindly at first')


register_plugin(Omemo)


class Device(slixmpp.ClientXMPP):
    def __init__(self, jid, password, cafile, memory):
        super().__init__(jid + '/omemo', password)
        self.ca_certs = cafile or None
        self.ready, self.gone, self.texts = asyncio.Event(), asyncio.Event(), asyncio.Queue()
        for plugin in ('xep_0030', 'xep_0060', 'xep_0115', 'xep_0163', 'xep_0199', 'xep_0280', 'xep_0334'):
            self.register_plugin(plugin)
        self.register_plugin('xep_0384', {'memory': memory}, module=sys.modules[__name__])
        self.add_event_handler('session_start', self.on_start)
        self.add_event_handler('omemo_initialized', lambda _e: self.ready.set())
        self.add_event_handler('message', self.on_message)
        self.add_event_handler('disconnected', lambda _e: self.gone.set())

    async def on_start(self, _event):
        await self.get_roster()
        self.send_presence()

    async def on_message(self, message):
        namespaces = self['xep_0384'].is_encrypted(message)
        if namespaces:
            assert namespaces <= NAMESPACES
            plain, _device = await self['xep_0384'].decrypt_message(message)
            self.texts.put_nowait((message['from'].bare, plain['body']))

    async def say(self, to, text):
        message = self.make_message(mto=slixmpp.JID(to), mtype='chat', mbody=text)
        encrypted, errors = await self['xep_0384'].encrypt_message(message, slixmpp.JID(to))
        assert encrypted is not None and not errors, errors
        assert text not in str(encrypted)
        encrypted.send()

    async def leave(self):
        self.disconnect()
        await self.gone.wait()


async def login(where, account, cafile, memory):
    device = Device(*account, cafile, memory)
    device.connect(where)
    await device.ready.wait()
    return device


async def chat(where, cafile, accounts):
    (first_jid, _), (second_jid, _) = accounts
    memories = Memory(), Memory()
    first = await login(where, accounts[0], cafile, memories[0])
    second = await login(where, accounts[1], cafile, memories[1])
    print('both have published their keys')
    await second.leave()
    await first.say(second_jid, 'you are away')
    await first['xep_0199'].ping(slixmpp.JID(first.boundjid.domain))
    second = await login(where, accounts[1], cafile, memories[1])
    assert await second.texts.get() == (first_jid, 'you are away')
    print('who was away has read it')
    await second.say(first_jid, 'not any more')
    assert await first.texts.get() == (second_jid, 'not any more')
    await first.say(second_jid, 'good')
    assert await second.texts.get() == (first_jid, 'good')
    print('they have talked')
    await asyncio.gather(first.leave(), second.leave())


def main():
    address, port, cafile = sys.argv[1:4]
    accounts = [line.split() for line in sys.stdin if line.strip()]
    asyncio.get_event_loop().run_until_complete(
        asyncio.wait_for(chat((address, int(port)), cafile, accounts), TIMEOUT))


if __name__ == '__main__':
    main()
