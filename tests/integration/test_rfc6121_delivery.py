"""RFC 6121 §8 as a whole: each kind and type of stanza, to each form of address, to accounts in each state."""
import xmpp
from suite import accounts, check, client, daemon

# The account, and the priorities of its sessions; None: no presence was ever sent.
PEOPLE = {'nobody': (), 'absent': (), 'silent': (None,), 'negative': (-1,), 'one': (0,), 'many': (5, 0, -1)}

# What becomes of it, by account in the order above. E: an error comes back; -: nothing happens; O: it waits; D: to the
# sessions with a priority of zero or more; A: to all available ones.
TO_BARE = {                       # §8.5.1, §8.5.2
    'message normal': 'EOOODD', 'message chat': 'EOOODD', 'message groupchat': 'EEEEEE',
    'message headline': '----DD', 'message error': '------',
    'presence': '---AAA', 'presence unavailable': '---AAA',
    'iq get': 'EEEEEE', 'iq set': 'EEEEEE', 'iq result': '------', 'iq error': '------',
}
TO_ABSENT_RESOURCE = {            # §8.5.1, §8.5.3.2
    'message normal': 'EEEEEE', 'message chat': 'EOOODD', 'message groupchat': 'EEEEEE',
    'message headline': '------', 'message error': '------',
    'presence': '------', 'presence unavailable': '------',
    'iq get': 'EEEEEE', 'iq set': 'EEEEEE', 'iq result': '------', 'iq error': '------',
}
INSIDE = {'iq get': "<q xmlns='urn:x:none'/>", 'iq set': "<q xmlns='urn:x:none'/>", 'iq result': '',
          'iq error': "<error type='cancel'><service-unavailable xmlns='%s'/></error>" % xmpp.NS_STANZA_ERRORS}


def text(kind, ident, to):
    name, _, kind_of = kind.partition(' ')
    inside = INSIDE.get(kind, '<body>%s</body>' % ident if name == 'message' else '')
    if kind == 'message error':
        inside += INSIDE['iq error']
    return "<%s%s id='%s' to='%s'>%s</%s>" % (name, " type='%s'" % kind_of if kind_of else '', ident, to, inside, name)


class Table:
    def __init__(self, t, server):
        self.t, self.server, self.expected = t, server, []
        self.sessions = {}
        for user, priorities in PEOPLE.items():
            for n, priority in enumerate(priorities):
                one = client(t, server, user, resource='r%d' % n).login(presence=False)
                if priority is not None:
                    one.send('<presence><priority>%d</priority></presence>' % priority)
                self.sessions[user, n] = one
        for one in self.sessions.values():
            one.ping('there')
        self.romeo = client(t, server, 'romeo').login(presence=False)

    def send(self, kind, user, resource, outcome):
        ident = 'm%d' % len(self.expected)
        to = user + '@localhost' + ('/' + resource if resource else '')
        self.romeo.send(text(kind, ident, to))
        self.expected.append((ident, '%s to %s' % (kind, to), user, outcome))

    def sync(self):
        """What is sent now comes last: what came to each session before it, and what came back."""
        came = {}
        for (user, n), one in self.sessions.items():
            self.romeo.send("<message type='chat' id='last' to='%s'/>" % one.jid)
            dropped = []
            one.wait_for(lambda e: e.get('id') == 'last', dropped=dropped)
            came[user, n] = [e.get('id') for e in dropped if (e.get('from') or '').startswith('romeo@')]
        dropped = []
        for user in PEOPLE:                # its owner has done all that came before
            self.romeo.send("<message id='last' to='%s@localhost/elsewhere'/>" % user)
            self.romeo.wait_for(lambda e: e.get('id') == 'last', dropped=dropped)
        return came, {e.get('id'): e for e in dropped}

    def verify(self):
        came, back = self.sync()
        for ident, what, user, outcome in self.expected:
            wanted = [outcome == 'A' and p is not None or outcome == 'D' and p is not None and p >= 0
                      or outcome == 'r%d' % n for n, p in enumerate(PEOPLE[user])]
            got = [came[user, n].count(ident) for n in range(len(PEOPLE[user]))]
            check(got == [int(w) for w in wanted], '%s: delivered %s' % (what, got))
            error = back.get(ident)
            check((error is not None) == (outcome == 'E'), '%s: %s came back' % (what, error))
            if error is not None:
                check(error.get('type') == 'error' and xmpp.condition_of(error.find('{jabber:client}error'))
                      == 'service-unavailable', '%s: %s' % (what, xmpp.text_of(error)))
        for one in self.sessions.values():
            one.close()
        for user in PEOPLE:
            if user != 'nobody':
                self.waiting(user)

    def waiting(self, user):
        wanted = [ident for ident, _, whose, outcome in self.expected if whose == user and outcome == 'O']
        one = client(self.t, self.server, user).login()
        dropped = []
        self.romeo.send("<message type='chat' id='last' to='%s'><body/></message>" % one.jid)
        one.wait_for(lambda e: e.get('id') == 'last', dropped=dropped)
        got = [e.get('id') for e in dropped if (e.get('from') or '').startswith('romeo@')]
        check(got == wanted, '%s: waited %s, not %s' % (user, got, wanted))


@accounts()
def test_every_rule(t):
    """RFC 6121 §8.5: no account, no session, no presence, negative, one and many; bare JID, full JID, no such resource"""
    people = [user for user in PEOPLE if user != 'nobody'] + ['romeo']
    with daemon(t, users=people) as server:
        table = Table(t, server)
        for kind, outcomes in TO_BARE.items():
            for user, outcome in zip(PEOPLE, outcomes):
                table.send(kind, user, None, outcome)
        for kind, outcomes in TO_ABSENT_RESOURCE.items():
            for user, outcome in zip(PEOPLE, outcomes):
                table.send(kind, user, 'elsewhere', outcome)
        for kind in TO_BARE:              # §8.5.3.1: to the one that has this very address, whatever it is
            for user, n in table.sessions:
                table.send(kind, user, 'r%d' % n, 'r%d' % n)
        table.verify()


@accounts()
def test_chat_state_while_waiting_messages_come(t):
    """RFC 6121 §8.5.3.1: what cannot wait goes to a session at once, also while older messages are on their way to it"""
    with daemon(t) as server:
        romeo = client(t, server, 'romeo').login()
        for n in range(300):
            romeo.send("<message type='chat' id='m%d' to='juliet@localhost'><body>%d</body></message>" % (n, n))
        romeo.ping('sent')
        juliet = client(t, server, 'juliet', resource='r').login(presence=False)
        juliet.send('<presence/>')
        juliet.wait_for(lambda e: e.get('id') == 'm0')
        for n, inner in enumerate(("<composing xmlns='http://jabber.org/protocol/chatstates'/>",
                                   "<body>now</body><no-store xmlns='urn:xmpp:hints'/>")):
            romeo.send("<message type='chat' id='s%d' to='juliet@localhost/r'>%s</message>" % (n, inner))
        ids = []
        while 'm299' not in ids or 's1' not in ids:
            ids.append(juliet.stanza().get('id') or '')
        check([i for i in ids if i.startswith('m')] == ['m%d' % n for n in range(1, 300)], 'the order of messages')
        check([i for i in ids if i.startswith('s')] == ['s0', 's1'], 'the others: %s' % ids)
