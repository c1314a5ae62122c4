#!/usr/bin/env python3
"""Integration tests: conversation scripts and Python functions against the real daemon.

    run.py [-k PATTERN] [-j N] [--db sqlite|postgresql] [--list] [--quick]
    run.py --clients                                          clients of others, instead: clients/README.md
    run.py --external HOST:PORT[:TLSPORT] --adduser COMMAND   against another server (COMMAND gets user, password)

One line per test; the last line is `N passed, N failed`; exit status 1 if one failed. Transcripts of failures and
the daemons' logs go to $STERNA_BUILD/integration/.
"""
import argparse
import fnmatch
import importlib
import inspect
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
import traceback
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import script as scripts    # noqa: E402
import sterna               # noqa: E402
import xmpp                 # noqa: E402

QUICK = ('rfc6120_bind*', 'rfc6121_message_*', 'rfc6121_roster_*', 'xep0030*', 'xep0199*', 'xep0313_query*',
         'xep0198_resume_after_cut')


class Skipped(Exception):
    """A test cannot be run here; the text says why."""


class External:
    """A server that somebody else started; for trying the scripts against others."""

    def __init__(self, address, adduser, host, cafile):
        parts = address.split(':')
        self.address, self.port = parts[0], int(parts[1])
        self.tls_port = int(parts[2]) if len(parts) > 2 else None
        self.adduser, self.host, self.cafile = adduser, host, cafile

    def add_users(self, users):
        for user, password in users:
            subprocess.run([self.adduser, user, password], check=True, capture_output=True)

    def client(self, user, password, direct_tls=False, **options):
        return xmpp.Client(user, password, host=self.host, address=self.address, cafile=self.cafile,
                           direct_tls=direct_tls, port=self.tls_port if direct_tls else self.port, **options)

    def check(self):
        return []

    def close(self, keep=None):
        return []


class Test:
    """A script or a function, its accounts, and whether it wants a daemon of its own."""

    def __init__(self, name, title, roles, private, options, function, requires=()):
        self.name, self.title, self.private, self.options = name, title, private, options
        self.function, self.requires = function, requires
        unique = uuid.uuid4().hex[:8]
        self.users = {role: ('%s-%s' % (role, unique), 'pw-' + uuid.uuid4().hex[:10]) for role in roles}
        self.transcript = []


class Context:
    """What a Python test gets: t.server, t.client('juliet'), t.users."""

    def __init__(self, test, server):
        self.name, self.server, self.users, self.host = test.name, server, test.users, server.host
        self.transcript, self.clients = test.transcript, []

    def client(self, role, **options):
        user, password = self.users[role]
        client = self.server.client(user, password, name=role, **options)
        client.transcript = self.transcript
        self.clients.append(client)
        return client

    def login(self, role, presence=True, **options):
        return self.client(role, **options).login(presence)

    def bare(self, role):
        return '%s@%s' % (self.users[role][0], self.host)

    @staticmethod
    def skip(reason):
        raise Skipped(reason)


def script_test(path):
    parsed = scripts.Script(path)
    roles = {options.get('account', name) for name, options in parsed.clients.items()}

    def function(test, server):
        run = scripts.Run(parsed, server, test.users)
        run.transcript = test.transcript
        for client in run.clients.values():
            client.transcript = test.transcript
        run()

    return Test(parsed.name, parsed.title, roles, parsed.private, parsed.options, function, parsed.requires)


def python_tests(path):
    module = importlib.import_module(path.stem)
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith('test_') and function.__module__ == module.__name__:
            yield python_test(path.stem[len('test_'):], name[len('test_'):], function)


def python_test(group, name, function):
    title = (function.__doc__ or '').strip().split('\n')[0]

    def call(test, server):
        context = Context(test, server)
        try:
            function(context)
        finally:
            for client in context.clients:
                client.cut()

    return Test('%s.%s' % (group, name), title, getattr(function, 'roles', ('juliet', 'romeo')),
                getattr(function, 'private', False), getattr(function, 'options', {}), call)


def collect(pattern, quick, clients=False):
    tests = [] if clients else [script_test(path) for path in sorted((HERE / 'scripts').glob('*.xmpp'))]
    if clients:
        sys.path.insert(0, str(HERE / 'clients'))
    for path in sorted((HERE / 'clients' if clients else HERE).glob('test_*.py')):
        tests += list(python_tests(path))
    if quick:
        tests = [t for t in tests if not t.private and any(fnmatch.fnmatch(t.name, q) for q in QUICK)]
    if pattern:
        tests = [t for t in tests if re.search(pattern, t.name) or re.search(pattern, t.title)]
    return tests


class Runner:
    def __init__(self, options, keep):
        self.options, self.keep = options, keep
        self.passed = self.failed = self.skipped = 0
        self.lock = threading.Lock()
        self.shared = None

    def report(self, word, test, seconds, detail=''):
        with self.lock:
            print('%-4s %-44s %5.2f s  %s' % (word, test.name, seconds, test.title), flush=True)
            if detail:
                print('     ' + detail.rstrip().replace('\n', '\n     '), flush=True)

    def run_one(self, test):
        began = time.monotonic()
        try:
            if test.private:
                self.run_private(test)
            else:
                test.function(test, self.shared)
                problems = self.shared.check()
                if problems:
                    raise AssertionError('the shared daemon: ' + problems[0])
        except Skipped as reason:
            with self.lock:
                self.skipped += 1
            self.report('skip', test, time.monotonic() - began, str(reason))
            return
        except Exception as error:      # a test may fail in any way; the others go on
            with self.lock:
                self.failed += 1
            self.keep.mkdir(parents=True, exist_ok=True)
            note = self.keep / (test.name + '.transcript')
            note.write_text(traceback.format_exc() + '\n' + '\n'.join(test.transcript) + '\n')
            detail = str(error) if isinstance(error, (AssertionError, xmpp.XmppError, sterna.ServerError)) \
                else traceback.format_exc()
            self.report('FAIL', test, time.monotonic() - began, (detail or repr(error)) + '\ntranscript: %s' % note)
            return
        with self.lock:
            self.passed += 1
        self.report('ok', test, time.monotonic() - began)

    def run_private(self, test):
        if self.options.external:
            raise Skipped('needs a daemon of its own')
        server = sterna.Server(self.options.db, test.options, name=test.name)
        server.transport = self.options.transport
        try:
            server.add_users(test.users.values())
            server.start()
            test.function(test, server)
        finally:
            problems = server.close(self.keep)
        if problems:
            raise AssertionError(problems[0])

    def worker(self, work):
        while True:
            try:
                test = work.get_nowait()
            except queue.Empty:
                return
            self.run_one(test)

    def run(self, tests):
        public = [t for t in tests if not t.private]
        if self.options.external:
            self.shared = External(self.options.external, self.options.adduser, self.options.host,
                                   self.options.cafile)
            self.shared.add_users(u for t in public for u in t.users.values())
        elif public:
            self.shared = sterna.Server(self.options.db, {}, name='shared')
            self.shared.transport = self.options.transport
            try:
                self.shared.add_users([u for t in public for u in t.users.values()])
                self.shared.start()
            except BaseException:
                self.shared.close(self.keep)
                raise
        work = queue.Queue()
        for test in tests:
            work.put(test)
        threads = [threading.Thread(target=self.worker, args=(work,)) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.shared is not None:
            problems = self.shared.close(self.keep)
            if problems:
                self.failed += 1
                print('FAIL the shared daemon: ' + problems[0])


def main():
    parser = argparse.ArgumentParser(description='integration tests of sternad')
    parser.add_argument('-k', metavar='PATTERN', help='only tests whose name or title matches')
    parser.add_argument('-j', '--jobs', type=int, default=4, help='tests at the same time (4)')
    parser.add_argument('--db', choices=('sqlite', 'postgresql'), default='sqlite')
    parser.add_argument('--quick', action='store_true', help='a handful')
    parser.add_argument('--transport', choices=('tcp', 'websocket', 'bosh'), default='tcp', help='of the scripts\' clients')
    parser.add_argument('--clients', action='store_true', help='clients of others, which are installed')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--external', metavar='HOST:PORT[:TLSPORT]', help='test another server')
    parser.add_argument('--adduser', metavar='COMMAND', help='with --external: called with user and password')
    parser.add_argument('--host', default='localhost', help='with --external: the virtual host')
    parser.add_argument('--cafile', help='with --external: the certificate to trust')
    options = parser.parse_args()
    tests = collect(options.k, options.quick, options.clients)
    if options.list:
        for test in tests:
            print('%-44s %s' % (test.name, test.title))
        return 0
    runner = Runner(options, sterna.build_dir() / 'integration' / options.db)
    try:
        runner.run(tests)
    except sterna.ServerError as error:
        print('FAIL the daemon could not be started: %s' % error)
        runner.failed += 1
    skipped = ', %d skipped' % runner.skipped if runner.skipped else ''
    print('%d passed, %d failed%s' % (runner.passed, runner.failed, skipped))
    return 1 if runner.failed or not tests else 0


if __name__ == '__main__':
    sys.exit(main())
