// Two people with xmpp.js (@xmpp/client): presence, a message each way, a ping, the roster, and a session that is resumed
// after its connection was cut, with what was said meanwhile.
//
//   node xmppjs.mjs SERVICE DOMAIN JULIET PASSWORD ROMEO PASSWORD      SERVICE: xmpp:, xmpps: or wss:
import WebSocket from 'ws';
import { client, xml } from '@xmpp/client';

globalThis.WebSocket = WebSocket;       // one whose connection can be cut

const [service, domain, ...people] = process.argv.slice(2);
const deadline = setTimeout(() => { console.log('too slow'); process.exit(1); }, 60000);

function person(username, password) {
    const xmpp = client({ service, domain, username, password, resource: 'js' });
    xmpp.seen = [];
    xmpp.waiting = [];
    xmpp.on('stanza', stanza => {
        xmpp.seen.push(stanza);
        xmpp.waiting = xmpp.waiting.filter(w => !w(stanza));
    });
    xmpp.on('error', error => console.log('#', username, error.message));
    return xmpp;
}

// The first stanza for which it is true, of those that came or come.
function stanza(xmpp, is) {
    const found = xmpp.seen.find(is);
    return found ? Promise.resolve(found) : new Promise(resolve => xmpp.waiting.push(s => is(s) && (resolve(s), true)));
}

const says = body => s => s.is('message') && s.getChildText('body') === body;
const message = (to, body) => xml('message', { to, type: 'chat' }, xml('body', {}, body));

const juliet = person(people[0], people[1]), romeo = person(people[2], people[3]);
const [first, second] = [await juliet.start(), await romeo.start()];
await juliet.send(xml('presence'));
await romeo.send(xml('presence'));
await stanza(juliet, s => s.is('presence') && s.attrs.from === first.toString());
await stanza(romeo, s => s.is('presence') && s.attrs.from === second.toString());
console.log('ok there');

await juliet.send(message(second.toString(), 'Art thou not Romeo?'));
await stanza(romeo, says('Art thou not Romeo?'));
await romeo.send(message(first.bare().toString(), 'Neither, fair saint.'));
await stanza(juliet, says('Neither, fair saint.'));
console.log('ok a message each way');

await juliet.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
const roster = await juliet.iqCaller.get(xml('query', 'jabber:iq:roster'));
if (!roster)
    throw new Error('no roster');
console.log('ok requests');

const resumed = new Promise(resolve => romeo.streamManagement.on('resumed', resolve));
const cut = new Promise(resolve => romeo.once('disconnect', resolve));
const socket = romeo.socket.socket ?? romeo.socket;
service.startsWith('ws') ? socket.terminate() : socket.destroy();
await cut;
await juliet.send(message(second.toString(), 'O, swear not by the moon'));
await resumed;
await stanza(romeo, says('O, swear not by the moon'));
await romeo.send(message(first.toString(), 'What shall I swear by?'));
await stanza(juliet, says('What shall I swear by?'));
console.log('ok resumed');

await Promise.all([juliet.stop(), romeo.stop()]);
clearTimeout(deadline);
console.log('done');
