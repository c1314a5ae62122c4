// The pages that people see, as they see them: by light and dark, at a phone's width, by keyboard alone.
//
//   node pages.mjs FOLDER HOME INVITATION UNKNOWN
import { chromium } from 'playwright-core';
import { join } from 'node:path';

const [folder, ...urls] = process.argv.slice(2);
const names = ['home', 'invitation', 'unknown'];
const looks = {
    light: { viewport: { width: 1000, height: 900 }, colorScheme: 'light' },
    dark: { viewport: { width: 1000, height: 900 }, colorScheme: 'dark' },
    phone: { viewport: { width: 360, height: 800 }, colorScheme: 'light', isMobile: true, hasTouch: true },
};
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'] });

function ensure(is, what) {
    if (!is)
        throw new Error(what);
}

// WCAG 2.2, 1.4.3: the contrast of each text with what is behind it.
const contrasts = () => {
    const parse = c => c.match(/[\d.]+/g).map(Number);
    const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0)
                return c;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('h1,h2,p,li,a,dt,dd,code,time,label,input,button')].filter(e => e.textContent.trim() || e.value && e.type !== 'hidden').map(e => {
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
        return { text: e.textContent.trim().slice(0, 30), ratio: (a + 0.05) / (b + 0.05) };
    }).filter(c => c.ratio < 4.5);
};

try {
    for (const [look, options] of Object.entries(looks)) {
        const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
        const page = await context.newPage();
        const strangers = [];
        page.on('request', r => new URL(r.url()).host === new URL(urls[0]).host || strangers.push(r.url()));
        for (const [i, url] of urls.entries()) {
            await page.goto(url);
            await page.screenshot({ path: join(folder, `${names[i]}-${look}.png`), fullPage: true });
            const pale = await page.evaluate(contrasts);
            ensure(pale.length === 0, `hard to read in ${look}: ${JSON.stringify(pale)}`);
            const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            ensure(wide <= 0, `${names[i]} is ${wide} pixels too wide in ${look}`);
            const links = await page.locator('a, button, input:not([type=hidden])').count();
            const reached = new Set();
            for (let n = 0; n < links; n++) {
                await page.keyboard.press('Tab');
                reached.add(await page.evaluate(() => {
                    const e = document.activeElement, style = getComputedStyle(e);
                    return /^(A|BUTTON|INPUT)$/.test(e.tagName) && style.outlineStyle !== 'none' ? e.href || e.id || e.tagName : '';
                }));
            }
            ensure(!reached.has('') && reached.size === links, `${names[i]}: the keyboard reaches ${reached.size} of ${links} links`);
        }
        ensure(strangers.length === 0, `requests to others: ${strangers}`);
        if (look === 'phone') { // an account is made by keyboard alone, after a slip
            await page.goto(urls[1]);
            for (const again of ['other', 'secret words']) {
                await page.locator('#name').focus();
                await page.keyboard.press('ControlOrMeta+A');
                await page.keyboard.type('paris');
                for (const word of ['secret words', again]) {
                    await page.keyboard.press('Tab');
                    await page.keyboard.type(word);
                }
                await page.keyboard.press('Enter');
                await page.waitForSelector(again === 'other' ? '[role=alert]' : 'h1:has-text("Your account is made")');
                await page.screenshot({ path: join(folder, `join-${again === 'other' ? 'again' : 'done'}-${look}.png`), fullPage: true });
            }
            ensure((await page.locator('main').innerText()).includes('paris@localhost'), 'no address');
        }
        if (look === 'dark') {
            await page.goto(urls[1]);
            await page.locator('svg[role=img]').screenshot({ path: join(folder, 'code.png') });
            const tree = await page.locator('main').ariaSnapshot();
            ensure(/img "QR code/.test(tree) && /heading .*\[level=1\]/.test(tree) && /link "Open in my app"/.test(tree), tree);
        }
        await context.close();
        console.log('ok', look);
    }
    console.log('done');
} catch (error) {
    console.log(error.stack);
    process.exitCode = 1;
} finally {
    await browser.close();
}
