"""The console in a real Chromium: every view, light and dark, on a telephone's width, and with the keyboard only."""
import contextlib
import json
import time

import sterna
from browser import Browser
from suite import check, daemon
from test_admin import ask, online
from test_api import Api, token
from test_clients import packages
from test_commands import MUC, join
from test_console import with_console

EVIL = '<img src=x onerror=alert(1)>'
VIEWS = ['Health', 'Sessions', 'Users', 'Rooms', 'Federation', 'Reports', 'Audit', 'Waiting', 'Commands']


@contextlib.contextmanager
def page(t, server, user=None, **size):
    """A browser with the page; logged in, if a user is named."""
    packages(t, 'chromium')
    browser = Browser(**size)
    try:
        browser.go('https://localhost:%d/' % server.console_port)
        browser.wait("document.getElementById('jid') !== null")
        if user:
            login(browser, user)
            browser.wait("document.querySelector('#view h2') !== null")
        yield browser
        errors = [e['entry']['text'] for e in browser.seen('Log.entryAdded') if e['entry']['level'] == 'error']
        errors += [e['exceptionDetails']['text'] for e in browser.seen('Runtime.exceptionThrown')]
        check(not errors, 'the browser complains: %r' % errors)
        asked = {e['request']['url'].split('/')[2] for e in browser.seen('Network.requestWillBeSent')
                 if e['request']['url'].startswith('http')}
        check(asked == {'localhost:%d' % server.console_port}, 'other hosts are asked: %r' % asked)
    finally:
        browser.close()


def login(browser, user, password='pw'):
    browser.evaluate("document.getElementById('jid').value = '%s@localhost'; document.getElementById('password').value = '%s';"
                     "document.querySelector('#login button').click()" % (user, password))


def open_view(browser, name):
    """How long it takes, in milliseconds, until it is there."""
    return browser.evaluate("""new Promise(async (resolve, reject) => {
        const began = performance.now(), section = document.getElementById('view');
        delete section.dataset.name;
        [...document.querySelectorAll('nav button')].find(b => b.textContent === %s).click();
        for (let i = 0; i < 3000; i++) {
            if (section.dataset.name === %s) { resolve(performance.now() - began); return; }
            await new Promise(r => setTimeout(r, 2));
        }
        reject(new Error('it does not come'));
    })""" % (json.dumps(name), json.dumps(name)))


def fill(t, server):
    """Something to see everywhere."""
    romeo = online(t, server, 'romeo')
    romeo.send('<presence/>')
    join(romeo, 'balcony@conference.localhost', 'Romeo')
    ask(romeo, "<iq type='set' id='%%s' to='balcony@conference.localhost'><query xmlns='%s#owner'><x xmlns='jabber:x:data' "
        "type='submit'><field var='muc#roomconfig_roomname'><value>%s</value></field></x></query></iq>" % (
            MUC, EVIL.replace('<', '&lt;')))
    ask(romeo, "<iq type='set' id='%%s'><block xmlns='urn:xmpp:blocking'><item jid='spam@example.net'><report "
        "xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>%s</text></report></item></block></iq>" % (
            EVIL.replace('<', '&lt;')))
    romeo.send("<message to='mercutio@closed.example' type='chat'><body>who is there?</body></message>")
    friar = Api(server, token(server, 'friar@localhost', 'all')['token'])
    check(friar('POST', '/v1/user/delete', {'accountjids': ['tybalt@localhost']})[0] == 202, 'nothing waits')
    return romeo


def before_all(server):
    with_console(server)
    closed = sterna.free_ports(1)[0]
    server.configure(s2s__enabled=True, s2s__private_addresses=True,
                     routes={'closed.example': {'address': '127.0.0.1', 'port': closed}})


USERS = ('juliet', 'romeo', 'nurse', 'friar', 'tybalt', 'nobody')


def test_every_view(t):
    """each view shows what there is, in light and dark and on a telephone's width; text from outside stays text"""
    pictures = sterna.build_dir() / 'clients' / 'shots' / 'console'
    with daemon(t, users=USERS, before=before_all) as server, page(t, server, 'juliet') as browser:
        fill(t, server)
        wanted = {'Health': 'Stanzas per second', 'Sessions': 'romeo@localhost/', 'Users': 'tybalt@localhost', 'Rooms': EVIL,
                  'Federation': 'closed.example', 'Reports': EVIL, 'Audit': 'sterna.', 'Waiting': 'user delete',
                  'Commands': 'room destroy'}
        took = {}
        for name in VIEWS:
            took[name] = open_view(browser, name)
            until = time.monotonic() + 30
            while wanted[name] not in browser.evaluate("document.getElementById('view').innerText"):
                check(time.monotonic() < until, '%s: %s' % (name, browser.evaluate(
                    "document.getElementById('view').innerText")[:800]))
                time.sleep(0.2)
                open_view(browser, name)
            check(browser.evaluate("document.querySelector('nav [aria-current=page]').textContent") == name, 'the present view')
            browser.picture(pictures / ('%s.png' % name.lower()))
            browser.dark(True)
            browser.picture(pictures / ('%s-dark.png' % name.lower()))
            browser.dark(False)
            browser.size(390, 844, phone=True)
            check(browser.evaluate('document.documentElement.scrollWidth <= innerWidth'), '%s is wider than a telephone' % name)
            browser.picture(pictures / ('%s-phone.png' % name.lower()))
            browser.size(1280, 900)
        print('views, milliseconds: ' + ', '.join('%s %d' % (n, ms) for n, ms in took.items()), flush=True)
        check(browser.evaluate("document.querySelectorAll('#view img, #dialog img').length") == 0, 'text became markup')
        nameless = [n for n in browser.call('Accessibility.getFullAXTree')['nodes'] if not n.get('ignored')
                    and n.get('role', {}).get('value') in ('button', 'textbox', 'searchbox', 'link', 'combobox', 'table', 'navigation')
                    and not n.get('name', {}).get('value')]
        check(not nameless, 'without a name for a screen reader: %r' % nameless[:3])
        open_view(browser, 'Federation')
        browser.evaluate("document.querySelector('[aria-label=\"Explain closed.example\"]').click()")
        browser.wait("document.getElementById('dialog').open && document.getElementById('dialog').innerText.includes('connect')")
        browser.picture(pictures / 'explain.png')


def test_with_the_keyboard_only(t):
    """logging in, going to a view, a command with its question, and logging out, without a mouse"""
    with daemon(t, users=USERS, before=before_all) as server, page(t, server) as browser:
        check(browser.focused() == 'jid', 'the focus is on %s' % browser.focused())
        browser.type('juliet@localhost')
        browser.key('Tab')
        browser.type('wrong')
        browser.key('Enter')
        browser.wait("document.getElementById('login-error').textContent.includes('wrong')")
        check(browser.focused() == 'jid', 'after a mistake')
        browser.key('Tab')
        browser.evaluate("document.getElementById('password').select()")
        browser.type('pw')
        browser.key('Enter')
        browser.wait("document.querySelector('nav button') !== null && document.querySelector('#view h2') !== null")
        check(browser.focused() == 'main', 'the new view has the focus')
        browser.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        browser.tab_to('Users')
        browser.key('Enter')
        browser.wait("document.getElementById('view').dataset.name === 'Users'")
        browser.tab_to('Disable romeo@localhost')
        browser.key('Enter')
        browser.wait("document.getElementById('dialog').open")
        check(browser.focused() == 'ask-reason', 'the question has not the focus, but %s' % browser.focused())
        browser.key('Escape')
        browser.wait("!document.getElementById('dialog').open")
        check('romeo' not in server.ctl('list', 'disabled', 'none'), 'Escape is no')
        browser.tab_to('Disable romeo@localhost')
        browser.key('Enter')
        browser.wait("document.getElementById('dialog').open")
        browser.type('a duel')
        browser.key('Enter')
        browser.wait("document.querySelector('#view').innerText.includes('disabled')")
        check(json.loads(server.ctl('--json', 'user', 'show', 'romeo@localhost'))['reason'] == 'a duel', 'the reason')
        browser.wait("document.getElementById('status').textContent !== ''")
        browser.tab_to('leave')
        browser.key('Enter')
        browser.wait("!document.getElementById('login').hidden")
        check('romeo' not in browser.evaluate('document.body.innerText'), 'what was shown is still there')


def test_each_role_sees_its_own(t):
    """views and buttons are those of the role; whoever has none is told so by the server; an ended session ends the page"""
    with daemon(t, users=USERS, before=before_all) as server:
        with page(t, server, 'nurse') as browser:
            names = browser.evaluate("[...document.querySelectorAll('nav button')].map(b => b.textContent)")
            check(names == ['Health', 'Sessions', 'Users', 'Rooms', 'Reports', 'Waiting', 'Commands'], 'support sees %r' % names)
            open_view(browser, 'Users')
            labels = browser.evaluate("[...document.querySelectorAll('#view button')].map(b => b.getAttribute('aria-label'))")
            check('Disable romeo@localhost' in labels and 'Delete romeo@localhost' not in labels, 'buttons %r' % labels)
            server.ctl('session', 'kick', 'nurse@localhost', 'enough for today')
            browser.wait("!document.getElementById('login').hidden")
            check('session' in browser.evaluate("document.getElementById('login-error').textContent"), 'why')
        with page(t, server, 'nobody') as browser:
            names = browser.evaluate("[...document.querySelectorAll('nav button')].map(b => b.textContent)")
            check(names == ['Commands'], 'nobody sees %r' % names)


def test_what_waits_is_approved_here(t):
    """a command of another administrator is approved from the page, and any command runs by its form"""
    with daemon(t, users=USERS, before=before_all) as server, page(t, server, 'juliet') as browser:
        fill(t, server)
        open_view(browser, 'Waiting')
        browser.evaluate("document.querySelector('[aria-label^=\"Approve user delete\"]').click()")
        browser.wait("document.getElementById('dialog').open")
        browser.evaluate("document.querySelector('#dialog button[type=submit]').click()")
        browser.wait("document.getElementById('status').textContent.includes('done')")
        check('tybalt' not in server.ctl('user', 'list'), 'it was not done')
        open_view(browser, 'Commands')
        browser.evaluate("document.querySelector('[aria-label=\"Open log level\"]').click()")
        browser.wait("document.getElementById('field-1') !== null")
        browser.evaluate("document.getElementById('field-1').value = 'loud';"
                         "document.querySelector('#dialog button[type=submit]').click()")
        browser.wait("document.querySelector('#dialog .error') !== null")
        browser.evaluate("document.getElementById('field-1').value = 'debug';"
                         "document.querySelector('#dialog button[type=submit]').click()")
        browser.wait("document.getElementById('dialog').innerText.includes('debug') && !document.querySelector('#dialog form')")
