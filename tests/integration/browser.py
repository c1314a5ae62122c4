"""A real Chromium without a window, driven over its DevTools pipe: no library, no port. Standard library only."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


def program():
    return next((found for found in map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')) if found), None)


class BrowserError(Exception):
    """The page did not do what was expected of it."""


class Browser:
    """One page. evaluate() runs a script in it and waits for what it promises."""

    def __init__(self, width=1280, height=900):
        self.folder = tempfile.mkdtemp(prefix='sterna-browser-')
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()

        def place():
            # Free both numbers first: what is to be moved there may be one of them.
            a, b = os.dup(to_read), os.dup(to_write)
            while a < 5:
                a = os.dup(a)
            while b < 5:
                b = os.dup(b)
            os.dup2(a, 3)
            os.dup2(b, 4)
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)
        self.process = subprocess.Popen(
            [program(), '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-pipe',
             '--user-data-dir=' + self.folder, '--no-first-run', '--disable-background-networking', '--disable-extensions',
             '--ignore-certificate-errors', '--force-prefers-reduced-motion', 'about:blank'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place, close_fds=False)
        os.close(to_read)
        os.close(to_write)
        self.data, self.count, self.session, self.events = b'', 0, None, []
        target = next(t for t in self.call('Target.getTargets')['targetInfos'] if t['type'] == 'page')
        self.session = self.call('Target.attachToTarget', targetId=target['targetId'], flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(domain + '.enable')
        self.size(width, height)

    def read(self, until):
        while b'\0' not in self.data:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.back], [], [], left)[0]:
                raise BrowserError('the browser does not answer')
            more = os.read(self.back, 1 << 20)
            if not more:
                raise BrowserError('the browser has ended')
            self.data += more
        message, _, self.data = self.data.partition(b'\0')
        return json.loads(message)

    def call(self, method, **parameters):
        self.count += 1
        message = {'id': self.count, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.to, json.dumps(message).encode() + b'\0')
        until = time.monotonic() + 90
        while True:
            got = self.read(until)
            if got.get('id') == message['id']:
                if 'error' in got:
                    raise BrowserError('%s: %s' % (method, got['error']))
                return got['result']
            self.events.append(got)

    def seen(self, method):
        """The parameters of all events of that kind."""
        self.evaluate('0')
        return [e['params'] for e in self.events if e.get('method') == method]

    def size(self, width, height, phone=False):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def dark(self, on):
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if on else 'light'}])

    def go(self, url):
        self.call('Page.navigate', url=url)
        self.wait("document.readyState === 'complete' && location.href.startsWith('http')")

    def evaluate(self, script):
        got = self.call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in got:
            raise BrowserError('%s: %s' % (script[:200], json.dumps(got['exceptionDetails'])[:800]))
        return got['result'].get('value')

    def wait(self, script, timeout=60):
        until = time.monotonic() + timeout
        while True:
            try:
                value = self.evaluate(script)
            except BrowserError:
                value = None
            if value:
                return value
            if time.monotonic() > until:
                raise BrowserError('in vain: %s; the page says: %s' % (script, self.evaluate('document.body.innerText')[:600]))
            time.sleep(0.05)

    def key(self, name, text=None):
        """One key, as from a keyboard."""
        codes = {'Tab': 9, 'Enter': 13, 'Escape': 27, 'Space': 32}
        key = {'key': ' ' if name == 'Space' else name, 'code': name, 'windowsVirtualKeyCode': codes.get(name, 0)}
        text = {'Enter': '\r', 'Space': ' '}.get(name, text)
        self.call('Input.dispatchKeyEvent', type='keyDown', **dict(key, **({'text': text} if text else {})))
        self.call('Input.dispatchKeyEvent', type='keyUp', **key)

    def type(self, text):
        self.call('Input.insertText', text=text)

    def focused(self):
        return self.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id "
                             "|| document.activeElement.textContent")

    def tab_to(self, wanted, most=200):
        """Tab by tab to what is named so."""
        for _ in range(most):
            if self.focused() == wanted:
                return
            self.key('Tab')
        raise BrowserError('no key leads to %s' % wanted)

    def picture(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call('Page.captureScreenshot', format='png')['data']))

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.folder, ignore_errors=True)
