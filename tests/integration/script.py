"""Conversation scripts: what each client sends, and what it must receive. See README.md for the form."""
import re
import uuid
import xml.etree.ElementTree as ET

import match
import xmpp


SM_REQUESTS = ('{%s}r' % xmpp.NS_SM, '{%s}a' % xmpp.NS_SM)


class ScriptError(Exception):
    """The script itself is wrong."""


class Step:
    def __init__(self, line, text):
        self.line, self.text, self.block = line, text, ''


class Script:
    """A parsed script: title, clients with their options, server options, steps."""

    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.title, self.clients, self.private, self.options = '', {}, False, {}
        self.requires = []
        self.steps = []
        lines = path.read_text().splitlines()
        split = next((i for i, l in enumerate(lines) if re.fullmatch(r'-{3,}\s*', l)), None)
        if split is None:
            raise ScriptError('%s: no line of dashes between head and steps' % path)
        self.read_head(lines[:split])
        self.read_steps(lines[split + 1:], split + 2)

    def read_head(self, lines):
        holder = None
        for line in lines:
            if line.startswith('#'):
                self.title = self.title or line.lstrip('# ').strip()
            elif line.startswith('[client]'):
                holder = self.clients.setdefault(line[len('[client]'):].strip(), {})
            elif line.startswith('[server]'):
                self.private, holder = True, self.options
            elif line.startswith('[requires]'):
                self.requires += line[len('[requires]'):].split()
            elif line.strip() and line[0].isspace() and holder is not None:
                key, _, value = line.strip().partition(':')
                holder[key.strip()] = value.strip()
            elif line.strip():
                raise ScriptError('%s: what is %r?' % (self.path, line))

    def read_steps(self, lines, first):
        for number, line in enumerate(lines, first):
            if not line.strip() or line.startswith('#'):
                continue
            if line[0].isspace():
                if not self.steps or not self.steps[-1].text.endswith(':'):
                    raise ScriptError('%s:%d: an indented line belongs below a step that ends with a colon'
                                      % (self.path, number))
                self.steps[-1].block += line.strip() + '\n'
            else:
                self.steps.append(Step(number, line.strip()))


class Run:
    """One run of a script against a server. `server` is what sterna.Server or run.External offers."""

    def __init__(self, script, server, users):
        self.script, self.server, self.users = script, server, users
        self.clients = {}
        self.transcript = []
        self.variables = {'host': server.host, 'unique': uuid.uuid4().hex[:12]}
        self.pings = 0
        for name, options in script.clients.items():
            owner = options.get('account', name)
            user, password = users[owner]
            client = server.client(user, password, resource=options.get('resource'), name=name,
                                   mechanism=options.get('mechanism'), direct_tls=options.get('tls') == 'direct')
            client.binding = options.get('binding', 'tls-exporter')
            client.transcript = self.transcript
            self.clients[name] = client
            self.variables[name + '.user'] = user
            self.variables[name + '.password'] = password
            self.variables[name + '.bare'] = '%s@%s' % (user, server.host)
            self.variables[name] = '%s@%s/%s' % (user, server.host, options.get('resource', ''))

    def __call__(self):
        try:
            for step in self.script.steps:
                try:
                    self.perform(step)
                except (match.Mismatch, xmpp.XmppError, ScriptError, OSError, ET.ParseError) as error:
                    raise AssertionError('%s:%d: %s\n    %s' % (self.script.path.name, step.line, step.text, error)) \
                        from error
        finally:
            for client in self.clients.values():
                client.cut()

    # -- steps ---------------------------------------------------------------------------------------

    def perform(self, step):
        for pattern, method in STEPS:
            found = re.fullmatch(pattern, step.text)
            if found:
                names = found.groupdict()
                for key in ('client', 'other'):
                    if key in names:
                        if names[key] not in self.clients:
                            raise ScriptError('no [client] %s' % names[key])
                        names[key] = self.clients[names[key]]
                method(self, block=step.block, **names)
                return
        raise ScriptError('no such step; see README.md')

    def connects(self, client, how, block):
        client.cut()
        client.login(presence='without presence' not in how, roster='with roster' in how)
        self.variables[client.name] = client.jid
        self.variables[client.name + '.resource'] = client.jid.partition('/')[2]

    def authenticates(self, client, block):
        client.cut()
        client.connect()
        client.secure()
        client.authenticate()

    def sends(self, client, block):
        text = match.substitute(re.sub(r'>\s+<', '><', block.strip()).replace('\n', ' '), self.variables)
        client.send(text)

    def receives(self, client, block):
        for expected in match.parse(block):
            self.one(client, expected, self.next_for(client, (expected,)))

    @staticmethod
    def next_for(client, wanted):
        """The next element. Requests and answers of XEP-0198 count only where one is expected."""
        tags = [e.tag for e in wanted]
        while True:
            got = client.next()
            if got.tag not in SM_REQUESTS or got.tag in tags:
                return got

    def one(self, client, expected, got):
        try:
            match.match(expected, got, self.variables)
        except match.Mismatch as error:
            raise match.Mismatch('%s\n    got %s' % (error, xmpp.text_of(got))) from None

    def any_order(self, client, block, skip=False):
        wanted = match.parse(block)
        while wanted:
            got = self.next_for(client, wanted)
            for expected in wanted:
                trial = dict(self.variables)
                if match.matches(expected, got, trial):
                    self.variables.update(trial)
                    wanted.remove(expected)
                    break
            else:
                if skip:
                    continue
                raise match.Mismatch('unexpected: %s\n    still to come: %s'
                                     % (xmpp.text_of(got), ' '.join(xmpp.text_of(e) for e in wanted)))

    def eventually_any_order(self, client, block):
        self.any_order(client, block, skip=True)

    def eventually(self, client, block):
        for expected in match.parse(block):
            seen = []
            try:
                while True:
                    got = self.next_for(client, (expected,))
                    trial = dict(self.variables)
                    if match.matches(expected, got, trial):
                        self.variables.update(trial)
                        break
                    seen.append(xmpp.text_of(got))
            except xmpp.XmppError as error:
                raise match.Mismatch('%s; got instead: %s' % (error, '\n        '.join(seen) or 'nothing')) from None

    def never(self, client, block):
        """A round trip; none of what came until then may match. What came is gone."""
        unwanted = match.parse(block)
        self.settle(client)
        for got in client.queue:
            for expected in unwanted:
                if match.matches(expected, got, dict(self.variables)):
                    raise match.Mismatch('must not arrive: %s' % xmpp.text_of(got))
        client.queue = []

    def nothing(self, client, block):
        self.settle(client)
        left = [e for e in client.queue if xmpp.namespace(e) != xmpp.NS_SM]
        if left:
            raise match.Mismatch('unexpected: %s' % '\n        '.join(xmpp.text_of(e) for e in left))
        client.queue = []

    def settle(self, client):
        """A round trip of everybody, and a second one of this client: what the others sent has been dealt with."""
        others = [c for c in self.clients.values() if c.sock is not None and c.jid and not c.eof and c is not client]
        for each in others + [client, client]:
            self.pings += 1
            each.ping('settle-%d' % self.pings)

    def settles(self, client, block):
        self.settle(client)

    def ignores(self, client, block):
        self.settle(client)
        client.queue = []

    def disconnects(self, client, block):
        client.close()

    def is_cut(self, client, block):
        client.cut()

    def stream_error(self, client, condition, block):
        got = client.wait_closed()
        if got != condition:
            raise match.Mismatch('the stream ended with %s, expected %s' % (got, condition))
        client.cut()

    def is_closed(self, client, block):
        got = client.wait_closed()
        if got is not None:
            raise match.Mismatch('the stream ended with the error %s' % got)
        client.cut()

    def contacts(self, client, other, block):
        befriend(self.server, self.users_of(client), self.users_of(other))

    def users_of(self, client):
        return self.users[self.script.clients[client.name].get('account', client.name)]

    def restarts(self, block):
        self.server.stop()
        self.cut_all()
        self.server.start()

    def killed(self, block):
        self.server.kill()
        self.cut_all()
        self.server.start()

    def cut_all(self):
        for client in self.clients.values():
            client.cut()


WHO = r'(?P<client>[a-z][a-z0-9_]*)'
STEPS = [
    (WHO + r' connects(?P<how>(?: without presence| with roster)?)', Run.connects),
    (WHO + r' authenticates', Run.authenticates),
    (WHO + r' sends:', Run.sends),
    (WHO + r' receives:', Run.receives),
    (WHO + r' receives any order:', Run.any_order),
    (WHO + r' eventually receives:', Run.eventually),
    (WHO + r' eventually receives any order:', Run.eventually_any_order),
    (WHO + r' never receives:', Run.never),
    (WHO + r' receives nothing', Run.nothing),
    (WHO + r' settles', Run.settles),
    (WHO + r' ignores the rest', Run.ignores),
    (WHO + r' disconnects', Run.disconnects),
    (WHO + r' is cut', Run.is_cut),
    (WHO + r' is closed', Run.is_closed),
    (WHO + r' reads stream error (?P<condition>[a-z-]+)', Run.stream_error),
    (WHO + r' and (?P<other>[a-z][a-z0-9_]*) are contacts', Run.contacts),
    (r'server restarts', Run.restarts),
    (r'server is killed', Run.killed),
]


def befriend(server, first, second):
    """Both subscribe to each other (RFC 6121 §3.1), by connections of their own."""
    ends = [server.client(user, password, resource='setup') for user, password in (first, second)]
    bare = ['%s@%s' % (user, server.host) for user, _ in (first, second)]

    def arrives(end, kind, sender):
        ends[end].wait_for(lambda e: xmpp.local(e) == 'presence' and e.get('type') == kind
                           and e.get('from') == bare[sender], dropped=[])

    try:
        for end in ends:
            end.login(roster=True)
        ends[0].send("<presence type='subscribe' to='%s'/>" % bare[1])
        arrives(1, 'subscribe', 0)
        ends[1].send("<presence type='subscribed' to='%s'/><presence type='subscribe' to='%s'/>" % (bare[0], bare[0]))
        arrives(0, 'subscribed', 1)
        ends[0].send("<presence type='subscribed' to='%s'/>" % bare[1])
        arrives(1, 'subscribed', 0)
        for end in ends:
            end.close()
    finally:
        for end in ends:
            end.cut()
