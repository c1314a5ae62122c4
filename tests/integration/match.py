"""Does an element that arrived match the one that a script expects?

The expected XML is a subset: attributes and children that it names must be there, children in its order; more may
be there. In the namespace urn:sterna:test (prefix t:, always bound) attributes say otherwise:

    t:exact='1'    nothing more may be there: no other attributes, children or text
    t:absent='1'   (on a child) no child of the parent matches this one
    t:unordered='1' the children may come in any order

An attribute or a text may be a pattern, or hold several:

    {any}              anything not empty          {name=any}        … and ${name} is its value from now on
    {none}             (attribute) must not be there
    {not:true}         (attribute) has another value, or is not there
    {stamp}            a time by XEP-0082          {name=stamp}
    {re:[0-9]+}        a regular expression        {name=re:[0-9]+}
"""
import re
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

TEST = '{urn:sterna:test}'
WRAPPER = ("<wrapper xmlns='jabber:client' xmlns:t='urn:sterna:test' xmlns:stream='http://etherx.jabber.org/streams'>"
           "%s</wrapper>")
PATTERN = re.compile(r'\{(?:([A-Za-z_][A-Za-z0-9_]*)=)?(any|none|stamp|not:[^{}]*|re:(?:[^{}]|\{[0-9,]+\})*)\}')
STAMP = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)'
VARIABLE = re.compile(r'\$\{([A-Za-z_][A-Za-z0-9_.]*)\}')


class Mismatch(Exception):
    """Says what was expected and is not there."""


def parse(text):
    """The elements of a block of a script."""
    return list(ET.fromstring(WRAPPER % text))


def substitute(text, variables, quote=escape):
    """Puts values in place of ${names}."""
    def value(found):
        if found.group(1) not in variables:
            raise Mismatch('the script uses ${%s}, which has no value yet' % found.group(1))
        return quote(variables[found.group(1)], {"'": '&apos;', '"': '&quot;'}) if quote is escape \
            else quote(variables[found.group(1)])
    return VARIABLE.sub(value, text)


def match(expected, got, variables):
    """Raises Mismatch, or adds what patterns captured to variables. expected is used up to once per variable state."""
    captured = dict(variables)
    match_element(expected, got, captured, short(expected.tag))
    variables.update(captured)


def match_element(expected, got, variables, where):
    if expected.tag != got.tag:
        raise Mismatch('%s: expected %s, got %s' % (where, expected.tag, got.tag))
    exact = expected.get(TEST + 'exact')
    for name, value in expected.attrib.items():
        if not name.startswith(TEST):
            match_text(value, got.get(name), variables, '%s/@%s' % (where, short(name)))
    match_children(expected, got, variables, where)
    text = (expected.text or '').strip()
    if text:
        match_text(text, (got.text or '').strip(), variables, where + ' text')
    if exact:
        more = set(got.attrib) - set(expected.attrib)
        if more:
            raise Mismatch('%s: attributes that must not be there: %s' % (where, ' '.join(sorted(more))))
        present = [c for c in expected if not c.get(TEST + 'absent')]
        if len(got) != len(present):
            raise Mismatch('%s: %d children, expected %d' % (where, len(got), len(present)))
        if not text and (got.text or '').strip():
            raise Mismatch('%s: text %r must not be there' % (where, got.text))


def match_children(expected, got, variables, where):
    unordered = expected.get(TEST + 'unordered')
    left = list(got)
    for child in expected:
        inner = '%s/%s' % (where, short(child.tag))
        if child.get(TEST + 'absent'):
            if any(matches(child, other, dict(variables), inner) for other in got):
                raise Mismatch('%s must not be there' % inner)
            continue
        reason = None
        for index, other in enumerate(left):
            trial = dict(variables)
            try:
                match_element(child, other, trial, inner)
            except Mismatch as error:
                if reason is None or other.tag == child.tag:
                    reason = error
                continue
            variables.update(trial)
            left = left[:index] + left[index + 1:] if unordered else left[index + 1:]
            break
        else:
            raise Mismatch('%s is not there%s' % (inner, ' (%s)' % reason if reason else ''))


def matches(expected, got, variables, where=''):
    try:
        match_element(expected, got, variables, where)
    except Mismatch:
        return False
    return True


def match_text(pattern, value, variables, where):
    pattern = substitute(pattern, variables, str)
    if PATTERN.fullmatch(pattern) and PATTERN.fullmatch(pattern).group(2) == 'none':
        if value is not None:
            raise Mismatch('%s: %r must not be there' % (where, value))
        return
    if pattern.startswith('{not:'):
        if value == pattern[5:-1]:
            raise Mismatch('%s: must not be %r' % (where, value))
        return
    if value is None:
        raise Mismatch('%s is not there, expected %r' % (where, pattern))
    names, expression, last = [], '', 0
    for found in PATTERN.finditer(pattern):
        expression += re.escape(pattern[last:found.start()])
        kind, last = found.group(2), found.end()
        inner = '.+' if kind == 'any' else STAMP if kind == 'stamp' else kind[3:]
        if found.group(1):
            names.append(found.group(1))
            expression += '(?P<%s>%s)' % (found.group(1), inner)
        else:
            expression += '(?:%s)' % inner
    expression += re.escape(pattern[last:])
    result = re.fullmatch(expression, value, re.S)
    if result is None:
        raise Mismatch('%s: expected %r, got %r' % (where, pattern, value))
    for name in names:
        variables[name] = result.group(name)


def short(tag):
    return tag.rpartition('}')[2]
