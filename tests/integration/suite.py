"""Marks for Python tests: which accounts they want, and whether a daemon of their own."""


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


def check(condition, message):
    """Like assert, but never left out."""
    if not condition:
        raise AssertionError(message)
