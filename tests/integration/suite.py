"""Marks for Python tests: which accounts they want, and whether a daemon of their own. And daemons made by hand."""
import contextlib

import sterna


def accounts(*roles):
    """The test gets these accounts; without this mark juliet and romeo."""
    def mark(function):
        function.roles = roles
        return function
    return mark


def private(**options):
    """A daemon of its own; options as paths in sterna.yaml with __ for the dots: hosts__localhost__registration=True."""
    def mark(function):
        function.private = True
        function.options = {key.replace('__', '.'): value for key, value in options.items()}
        return function
    return mark


@contextlib.contextmanager
def daemon(t, users=('juliet', 'romeo'), before=None, db=None, **options):
    """A daemon for a test that has to do something before it starts, or to it: before(server). Users have the
    password 'pw'. Whatever the test leaves behind is cleaned up; sanitizers' reports fail it."""
    server = sterna.Server(db or t.server.db, {key.replace('__', '.'): value for key, value in options.items()},
                           name=t.name)
    server.clients = []
    good = False
    try:
        if before is not None:
            before(server)
        server.add_users([(user, 'pw') for user in users])
        server.start()
        yield server
        good = True
    finally:
        for client in server.clients:
            client.cut()
        problems = server.close(sterna.build_dir() / 'integration' / server.db)
    if good and problems:
        raise AssertionError(problems[0])


def client(t, server, user, **options):
    """A client of such a daemon; its transcript is the test's."""
    made = server.client(user, 'pw', **options)
    made.transcript = t.transcript
    server.clients.append(made)
    return made


def check(condition, message):
    """Like assert, but never left out."""
    if not condition:
        raise AssertionError(message)
