"""slixmpp_chat.py ADDRESS PORT CAFILE: two accounts (`jid password` lines on stdin) subscribe, chat, read the archive."""
import asyncio
import sys

import slixmpp

TIMEOUT = 20


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid, password, cafile):
        super().__init__(jid + '/slix', password)
        self.ca_certs = cafile or None
        self.started, self.texts, self.seen = asyncio.Event(), asyncio.Queue(), asyncio.Queue()
        for plugin in ('xep_0030', 'xep_0059', 'xep_0198', 'xep_0199', 'xep_0280', 'xep_0313'):
            self.register_plugin(plugin)
        self.auto_authorize = self.auto_subscribe = True
        self.add_event_handler('session_start', self.on_start)
        self.add_event_handler('message', self.on_message)
        self.add_event_handler('presence_available', lambda p: self.seen.put_nowait(p['from'].bare))

    async def on_start(self, _event):
        await self.get_roster()
        self.send_presence()
        self.started.set()

    def on_message(self, message):
        if message['body']:
            self.texts.put_nowait((message['from'].bare, message['body']))


async def sees(person, other):
    while await person.seen.get() != other.boundjid.bare:
        pass


async def chat(address, port, cafile, accounts):
    first, second = (Person(jid, password, cafile) for jid, password in accounts)
    for person in (first, second):
        person.connect((address, port))
        await person.started.wait()
    first.send_presence_subscription(pto=second.boundjid.bare)
    await sees(first, second)
    await sees(second, first)
    print('they see each other')
    first.send_message(second.boundjid.bare, 'hello', mtype='chat')
    assert await second.texts.get() == (first.boundjid.bare, 'hello')
    second.send_message(first.boundjid.bare, 'hello yourself', mtype='chat')
    assert await first.texts.get() == (second.boundjid.bare, 'hello yourself')
    print('they have talked')
    bodies = [m['mam_result']['forwarded']['stanza']['body']
              async for m in first['xep_0313'].iterate(with_jid=slixmpp.JID(second.boundjid.bare))]
    assert bodies == ['hello', 'hello yourself'], bodies
    print('the archive has it')
    await asyncio.gather(first.disconnect(), second.disconnect())


def main():
    address, port, cafile = sys.argv[1:4]
    accounts = [line.split() for line in sys.stdin if line.strip()]
    loop = asyncio.get_event_loop()
    loop.run_until_complete(asyncio.wait_for(chat(address, int(port), cafile, accounts), TIMEOUT))


if __name__ == '__main__':
    main()
