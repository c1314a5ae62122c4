// Two people with Converse, the web client that we serve, in a headless Chromium, by its own buttons: log in, see who is
// there, ask somebody else to be a contact, write each way, send a picture, show a face, meet in a room with a history.
//
//   node converse.mjs URL FOLDER JULIET PASSWORD ROMEO PASSWORD THIRD      juliet and romeo are contacts
//
// A screenshot of each step goes to FOLDER. The last line is "done" if all was seen; a request to any other host fails it.
import { chromium } from 'playwright-core';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

const [url, folder, ...people] = process.argv.slice(2);
const [juliet, romeo] = [{ name: people[0], password: people[1] }, { name: people[2], password: people[3] }];
const third = people[4];
const LONG = 60000;                     // under sanitizers, beside others
const strangers = [];
let shots = 0;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--ignore-certificate-errors', '--disable-dev-shm-usage'] });

async function shot(who, what) {
    await who.page.screenshot({ path: join(folder, `${String(++shots).padStart(2, '0')}-${who === juliet ? 'juliet' : 'romeo'}-${what}.png`) });
    console.log(`ok ${what}`);
}

async function open(who, options) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    who.page = await context.newPage();
    who.page.setDefaultTimeout(LONG);
    who.page.on('request', r => {
        const at = new URL(r.url());
        if (!['blob:', 'data:'].includes(at.protocol) && at.host !== new URL(url).host)
            strangers.push(r.url());
    });
    who.page.on('console', m => m.type() === 'error' && console.log('# console:', m.text().slice(0, 300)));
    who.page.on('websocket', w => { who.websocket = w.url(); });
    who.page.on('request', r => { who.bosh ||= r.url().endsWith('/http-bind'); });
    await who.page.goto(url + '/chat/');
}

async function logIn(who) {
    await who.page.fill('input[name=jid]', who.name);
    await who.page.fill('input[name=password]', who.password);
    await who.page.keyboard.press('Enter');
    await who.page.waitForSelector('#converse-roster .dropdown-toggle', { state: 'visible' });
}

const entry = (who, whom) => who.page.locator('.roster-group .list-item', { hasText: whom.name });

// An entry of a menu. Menus are drawn anew while they are open, whenever something comes: a pointer misses them then.
const choose = (who, what) => who.page.locator(what).first().dispatchEvent('click');

const online = (who, whom) => entry(who, whom).locator('.chat-status--avatar[title*="online"]').first().waitFor();

async function addContact(who, address) {
    await choose(who, '#converse-roster .add-contact');
    await who.page.fill('.modal.show input[name=jid]', address);
    await who.page.locator('.modal.show button[type=submit]').click();
    await who.page.locator('.modal.show').waitFor({ state: 'hidden' });
}

async function openChat(who, whom) {
    await entry(who, whom).locator('a.open-chat').first().click();
    who.pane = 'converse-chat';
    await who.page.locator('converse-chat .chat-textarea:visible').waitFor();
}

async function write(who, text) {
    const area = who.page.locator(`${who.pane} .chat-textarea:visible`).first();
    await area.fill(text);
    await area.press('Enter');
}

const said = (who, text) => who.page.locator(`${who.pane} .chat-msg__text:visible`, { hasText: text }).first().waitFor();

async function enterRoom(who, room) {
    await choose(who, '#chatrooms .show-add-muc-modal');
    await who.page.fill('.modal.show [name=chatroom] input, .modal.show input[name=chatroom]', room);
    const nickname = who.page.locator('.modal.show input[name=nickname]');
    if (await nickname.count() > 0)
        await nickname.fill(who.name);
    await who.page.locator('.modal.show [type=submit]').click();
    who.pane = 'converse-muc';
    await who.page.locator('converse-muc .chat-textarea:visible').waitFor();
}

// A picture of 64 by 64: red left, blue right (an uncompressed PNG has too many parts; the browser makes it).
async function picture(page) {
    const data = await page.evaluate(() => {
        const c = Object.assign(document.createElement('canvas'), { width: 64, height: 64 }), d = c.getContext('2d');
        d.fillStyle = '#c00'; d.fillRect(0, 0, 32, 64);
        d.fillStyle = '#00c'; d.fillRect(32, 0, 32, 64);
        return c.toDataURL('image/png').split(',')[1];
    });
    const file = join(folder, 'picture.png');
    writeFileSync(file, Buffer.from(data, 'base64'));
    return file;
}

try {
    await open(juliet, { viewport: { width: 1200, height: 800 } });
    await juliet.page.waitForSelector('input[name=jid]');
    await shot(juliet, 'login');
    await open(romeo, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    romeo.domain = juliet.domain = (await juliet.page.locator('.input-group-text').first().textContent()).trim().slice(1);
    await logIn(juliet);
    await logIn(romeo);
    await shot(romeo, 'roster-on-a-phone');
    await online(juliet, romeo);
    await online(romeo, juliet);
    await addContact(juliet, `${third}@${juliet.domain}`);
    await entry(juliet, { name: third }).waitFor();
    await shot(juliet, 'contacts');

    await openChat(juliet, romeo);
    await write(juliet, 'Art thou not Romeo?');
    await openChat(romeo, juliet);
    await said(romeo, 'Art thou not Romeo?');
    await write(romeo, 'Neither, fair saint.');
    await said(juliet, 'Neither, fair saint.');
    await shot(romeo, 'chat-on-a-phone');

    const file = await picture(juliet.page);
    await juliet.page.locator('input[type=file].fileupload').first().setInputFiles(file);
    const image = romeo.page.locator('img.chat-image:visible').first();
    await image.waitFor();
    await romeo.page.waitForFunction(() => document.querySelector('img.chat-image')?.naturalWidth === 64);
    await shot(juliet, 'file');

    await juliet.page.click('a.show-profile');
    await juliet.page.locator('.modal.show input[type=file]').setInputFiles(file);
    await juliet.page.locator('.modal.show button[type=submit]:visible').first().click();
    await romeo.page.waitForFunction(() => [...document.querySelectorAll('converse-avatar image, converse-avatar img')]
        .some(e => (e.getAttribute('href') || e.getAttribute('src') || '').startsWith('data:image/')));
    await juliet.page.keyboard.press('Escape');
    await shot(romeo, 'avatar');

    await enterRoom(juliet, 'balcony');
    for (const line of ['first line', 'second line', 'third line'])
        await write(juliet, line);
    await said(juliet, 'third line');
    await romeo.page.reload();
    await romeo.page.waitForSelector('#converse-roster, .chatbox', { state: 'attached' });
    await shot(romeo, 'after-a-reload');
    await romeo.page.locator('.chatbox-navback:visible').first().click({ timeout: 3000 }).catch(() => {});
    await enterRoom(romeo, 'balcony');
    await said(romeo, 'first line');
    await said(romeo, 'third line');
    await write(romeo, 'I take thee at thy word');
    await said(juliet, 'I take thee at thy word');
    await shot(juliet, 'room');
    await shot(romeo, 'room-on-a-phone');

    console.log('# transport:', juliet.websocket ? 'websocket' : juliet.bosh ? 'bosh' : 'none');
    if (strangers.length > 0)
        throw new Error('requests to others: ' + strangers.join(' '));
    console.log(juliet.websocket ? 'done websocket' : 'done bosh');
} catch (error) {
    for (const who of [juliet, romeo])
        await who.page?.screenshot({ path: join(folder, `failed-${who === juliet ? 'juliet' : 'romeo'}.png`) }).catch(() => {});
    console.log(error.stack);
    process.exitCode = 1;
} finally {
    await browser.close();
}
