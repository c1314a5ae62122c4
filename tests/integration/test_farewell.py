"""The end of an account: its contacts' rosters come right, whether the server runs when it is deleted or not."""
import time

from suite import accounts, check, client, daemon

ROSTER = 'jabber:iq:roster'


def roster(one):
    """Address to subscription and ask."""
    ident = 'r%d' % time.monotonic_ns()
    one.send("<iq type='get' id='%s'><query xmlns='%s'/></iq>" % (ident, ROSTER))
    answer = one.wait_for(lambda e: e.get('id') == ident)
    return {item.get('jid'): (item.get('subscription'), item.get('ask')) for item in answer.iter('{%s}item' % ROSTER)}


def presence(one, to, *types):
    for kind in types:
        one.send("<presence type='%s' to='%s@localhost'/>" % (kind, to))


def wait_roster(t, server, user, wanted):
    one = client(t, server, user, resource='look').login()
    until, found = time.monotonic() + 20, None
    while found != wanted:
        check(time.monotonic() < until, '%s: %r instead of %r' % (user, found, wanted))
        found = roster(one)
        time.sleep(0.05)
    one.close()


def friends(t, server):
    """romeo: both ways; nurse: sees juliet; tybalt: was asked by her; paris: has asked her."""
    juliet, others = client(t, server, 'juliet').login(), {}
    for user in ('romeo', 'nurse', 'tybalt', 'paris'):
        others[user] = client(t, server, user).login(roster=True)
    presence(juliet, 'romeo', 'subscribe', 'subscribed')
    presence(others['romeo'], 'juliet', 'subscribe', 'subscribed')
    presence(others['nurse'], 'juliet', 'subscribe')
    juliet.wait_for(lambda e: e.get('type') == 'subscribe' and e.get('from') == 'nurse@localhost')
    presence(juliet, 'nurse', 'subscribed')
    presence(juliet, 'tybalt', 'subscribe')
    presence(others['paris'], 'juliet', 'subscribe')
    for user, wanted in (('romeo', ('both', None)), ('nurse', ('to', None)), ('paris', ('none', 'subscribe'))):
        until, found = time.monotonic() + 20, None
        while found != wanted:
            check(time.monotonic() < until, '%s: %r' % (user, found))
            found = roster(others[user]).get('juliet@localhost')
    others['tybalt'].wait_for(lambda e: e.get('type') == 'subscribe')
    return juliet, others


def nothing_left(t, server):
    for user in ('romeo', 'nurse', 'paris'):
        wait_roster(t, server, user, {'juliet@localhost': ('none', None)})
    until = time.monotonic() + 20
    while server.sql('SELECT count(*) FROM farewell') != '0':
        check(time.monotonic() < until, 'rows stay')
        time.sleep(0.05)
    # the request of someone who is no more is not shown again
    tybalt = client(t, server, 'tybalt', resource='look').login()
    tybalt.ping('p')
    check(not [e for e in tybalt.queue if e.get('type') == 'subscribe'], 'the request is still there')
    tybalt.close()
    check(server.sql("SELECT count(*) FROM roster WHERE owner = 'juliet@localhost'") == '0', 'a roster of nobody')


USERS = ('juliet', 'romeo', 'nurse', 'tybalt', 'paris')


@accounts()
def test_deleted_while_the_server_runs(t):
    """sternactl user delete: who is connected sees the contact leave, and every roster is right"""
    with daemon(t, users=USERS) as server:
        _juliet, others = friends(t, server)
        others['nurse'].close()
        server.ctl('user', 'delete', 'juliet@localhost')
        romeo = others['romeo']
        for kind in ('unavailable', 'unsubscribe', 'unsubscribed'):
            romeo.wait_for(lambda e: e.get('type') == kind and e.get('from').startswith('juliet@localhost'))
        nothing_left(t, server)


@accounts()
def test_deleted_without_a_server(t):
    """The same where no server runs: it says so when it starts; also after a kill in the midst, and where the account was made anew"""
    with daemon(t, users=USERS) as server:
        friends(t, server)
        server.stop()
        server.ctl('user', 'delete', 'juliet@localhost')
        check(server.sql('SELECT count(*) FROM farewell') == '4', 'not remembered')
        server.ctl('user', 'add', 'juliet@localhost', stdin='pw\n')
        server.start()
        server.kill()
        server.start()
        nothing_left(t, server)
        juliet = client(t, server, 'juliet').login(roster=True)
        check(roster(juliet) == {}, 'her new roster has contacts')


@accounts()
def test_contact_again_before_it_is_said(t):
    """An export is imported again before the server starts: they are contacts, and nobody is told otherwise"""
    with daemon(t, users=USERS) as server:
        friends(t, server)
        server.stop()
        server.ctl('export', str(server.home / 'juliet.xml'), '--account', 'juliet@localhost')
        server.ctl('user', 'delete', 'juliet@localhost')
        server.ctl('import', str(server.home / 'juliet.xml'))
        server.start()
        until = time.monotonic() + 20
        while server.sql('SELECT count(*) FROM farewell') != '0':
            check(time.monotonic() < until, 'rows stay')
            time.sleep(0.05)
        wait_roster(t, server, 'romeo', {'juliet@localhost': ('both', None)})
        wait_roster(t, server, 'nurse', {'juliet@localhost': ('to', None)})
