"""slixmpp_bytestream.py ADDRESS PORT CAFILE: two accounts (`jid password` lines on stdin) send each other a file by XEP-0065:
they find the server's proxy themselves."""
import asyncio
import hashlib
import os
import sys

import slixmpp

TIMEOUT = 60
SIZE = 3000001


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid, password, cafile):
        super().__init__(jid + '/slix', password)
        self.ca_certs = cafile or None
        self.started, self.got, self.enough = asyncio.Event(), b'', asyncio.Event()
        self.register_plugin('xep_0030')
        self.register_plugin('xep_0065', {'auto_accept': True})
        self.add_event_handler('session_start', self.on_start)
        self.add_event_handler('socks5_data', self.on_data)

    async def on_start(self, _event):
        self.send_presence()
        self.started.set()

    def on_data(self, data):
        self.got += data
        if len(self.got) >= SIZE:
            self.enough.set()


async def send(address, port, cafile, accounts):
    first, second = (Person(jid, password, cafile) for jid, password in accounts)
    for person in (first, second):
        person.connect((address, port))
        await person.started.wait()
    stream = await first['xep_0065'].handshake(second.boundjid, timeout=20)
    assert stream is not None, 'no stream'
    print('they are joined')
    data = os.urandom(SIZE)
    await stream.write(data)
    await second.enough.wait()
    assert hashlib.sha256(second.got).digest() == hashlib.sha256(data).digest()
    print('it has arrived')
    stream.transport.close()
    await asyncio.gather(first.disconnect(), second.disconnect())


def main():
    address, port, cafile = sys.argv[1:4]
    accounts = [line.split() for line in sys.stdin if line.strip()]
    asyncio.get_event_loop().run_until_complete(asyncio.wait_for(send(address, int(port), cafile, accounts), TIMEOUT))


if __name__ == '__main__':
    main()
