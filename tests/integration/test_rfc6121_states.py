"""RFC 6121 Appendix A as a whole: each state, each stanza in each direction, also over restarts. The contacts live on a
component, which may send what no server of a user would let pass."""
import xmpp
from suite import accounts, check, client, daemon
from test_xep0114 import joined, with_component

# None; Out, In: pending; To, From, Both
STATES = ('N', 'NO', 'NI', 'NOI', 'T', 'TI', 'F', 'FO', 'B')
MADE_BY = {'N': '', 'NO': 'out:subscribe', 'NI': 'in:subscribe', 'NOI': 'out:subscribe in:subscribe',
           'T': 'out:subscribe in:subscribed', 'TI': 'out:subscribe in:subscribed in:subscribe',
           'F': 'in:subscribe out:subscribed', 'FO': 'in:subscribe out:subscribed out:subscribe',
           'B': 'in:subscribe out:subscribed out:subscribe in:subscribed'}
SUBSCRIPTION = {'N': 'none', 'T': 'to', 'F': 'from', 'B': 'both'}

# Per stanza, for the states in their order: does it pass (A.2: it is routed, A.3: it is delivered), and what follows.
TABLE = {
    'out:subscribe': ('yyyyyyyyy', 'NO NO NOI NOI T TI FO FO B'),
    'out:unsubscribe': ('yyyyyyyyy', 'N N NI NI N NI F F F'),
    'out:subscribed': ('nnyynynnn', 'N NO F FO T B F FO B'),
    'out:unsubscribed': ('nnyynyyyy', 'N NO N NO T T N NO T'),
    'in:subscribe': ('yynnynnnn', 'NI NOI NI NOI TI TI F FO B'),
    'in:unsubscribe': ('nnyynyyyy', 'N NO N NO T T N NO T'),
    'in:subscribed': ('nynynnnyn', 'N T NI TI T TI F B B'),
    'in:unsubscribed': ('nynyyynyy', 'N N NI NI N NI F F F'),
}
EVENTS = tuple(TABLE)
SIDES = ('set', 'new')   # with a roster item of the user's own, and without


def bare(jid):
    return jid.split('/')[0]


class Table:
    """One user, and a contact for each row; the contact's name says which."""

    def __init__(self, t, server):
        self.t, self.server = t, server
        self.rows = ['%s.%s.%s@echo' % (side, state.lower(), event.replace(':', '-'))
                     for side in SIDES for state in STATES for event in EVENTS]
        self.syncs = 0

    @staticmethod
    def of(row):
        """The state and the event of a row."""
        _, state, event = row.split('@')[0].split('.')
        return state.upper(), event.replace('-', ':')

    def join(self):
        """Both sides (again); the user's login hands over what waits for an answer."""
        self.echo = joined(self.t, self.server)
        self.juliet = client(self.t, self.server, 'juliet').login(presence=False, roster=True)
        self.juliet.send('<presence/>')
        self.heard, self.told = [], []
        self.sync()

    def send(self, row, event):
        way, kind = event.split(':')
        if way == 'out':
            self.juliet.send("<presence type='%s' to='%s'/>" % (kind, row))
        else:
            self.echo.send("<presence type='%s' from='%s' to='juliet@localhost'/>" % (kind, row))

    def sync(self):
        """A message both ways, and back: all that was sent before has had its effect. heard: what came to the user,
        told: what came to the contacts."""
        for _ in range(2):
            self.syncs += 1
            ident = 'sync%d' % self.syncs
            self.juliet.send("<message to='sync@echo' id='%s'><body/></message>" % ident)
            self.echo.wait_for(lambda e: e.get('id') == ident, dropped=self.told)
            self.echo.send("<message from='sync@echo' to='%s' id='%s'><body/></message>" % (self.juliet.jid, ident))
            self.juliet.wait_for(lambda e: e.get('id') == ident, dropped=self.heard)

    def came(self, where, row, kind):
        """How many stanzas of presence of that type were heard from the contact, or told to it."""
        side, attribute = (self.heard, 'from') if where == 'heard' else (self.told, 'to')
        return sum(1 for e in side if xmpp.local(e) == 'presence' and e.get('type') == kind
                   and bare(e.get(attribute) or '') == row)

    def roster(self):
        self.juliet.send("<iq type='get' id='whole'><query xmlns='jabber:iq:roster'/></iq>")
        answer = self.juliet.wait_for(lambda e: e.get('id') == 'whole' and e.get('type') == 'result',
                                      dropped=self.heard)
        return {item.get('jid'): item for item in answer[0]}

    def verify(self, expected, when, pending=True):
        """The roster says so; and where pending, those who wait for an answer were heard at login, once."""
        roster = self.roster()
        for row, state in expected.items():
            item = roster.get(row)
            where = '%s %s: %s' % (row, when, None if item is None else xmpp.text_of(item))
            if item is None:
                check(state in ('N', 'NI') and row.startswith('new'), where)
            else:
                check(item.get('subscription') == SUBSCRIPTION[state[0]], where)
                check((item.get('ask') == 'subscribe') == ('O' in state), where)
            if pending:
                check(self.came('heard', row, 'subscribe') == int('I' in state), where + ', the pending request')

    def make(self):
        for row in self.rows:
            if row.startswith('set'):
                self.juliet.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='%s'/></query></iq>"
                                 % row)
        for step in range(4):
            for way in ('in', 'out'):      # a step of one side is done before the other's next
                for row in self.rows:
                    steps = MADE_BY[self.of(row)[0]].split()
                    if step < len(steps) and steps[step].startswith(way):
                        self.send(row, steps[step])
                self.sync()

    def judge(self, row):
        """What one event did on both sides, as the tables have it."""
        state, event = self.of(row)
        way, kind = event.split(':')
        passes = TABLE[event][0][STATES.index(state)] == 'y'
        follows = TABLE[event][1].split()[STATES.index(state)]
        had, has = state[0] in 'FB', follows[0] in 'FB'
        if way == 'out':
            check(self.came('told', row, kind) == int(passes), '%s: routed is not %s' % (row, passes))
        else:
            check(self.came('heard', row, kind) == int(passes), '%s: delivered is not %s' % (row, passes))
            # A.3.1: whoever has the subscription is told once more, and the user is not asked
            check(self.came('told', row, 'subscribed') == int(kind == 'subscribe' and had), '%s: the answer' % row)
        # A.2.3 and A.2.4, A.3.2: with the subscription the presence comes and goes
        available = self.came('told', row, None)
        check((available > 0) == (has and (not had or kind == 'subscribe' and way == 'in')),
              '%s: told available %d times' % (row, available))
        check(self.came('told', row, 'unavailable') == int(had and not has), '%s: told unavailable' % row)
        return follows


@accounts()
def test_every_state_and_stanza(t):
    """RFC 6121 Appendix A: all nine states, all stanzas in both directions, each state over a restart before and after"""
    with daemon(t, users=('juliet',), before=with_component()) as server:
        table = Table(t, server)
        table.join()
        table.make()
        states = {row: table.of(row)[0] for row in table.rows}
        table.verify(states, 'made', pending=False)
        server.stop()
        server.start()
        table.join()
        table.verify(states, 'after a restart')

        table.heard, table.told = [], []
        for row in table.rows:
            table.send(row, table.of(row)[1])
        table.sync()
        follows = {row: table.judge(row) for row in table.rows}
        table.verify(follows, 'live', pending=False)
        server.stop()
        server.start()
        table.join()
        table.verify(follows, 'after the second restart')
