"""What the machine withholds: descriptors, memory, room for the log. Nobody is dropped, the log says so, and it ends by
itself (RELIABILITY R9 to R11)."""
import os
import resource
import socket
import time

import xmpp
from suite import accounts, check, client, daemon
from test_storage import Small, answer, body, login, request, until


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid, encoding='ascii') as stat:
        fields = stat.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def logs_in(t, server, user):
    try:
        client(t, server, user).login()
    except (xmpp.XmppError, OSError):
        return False
    return True


@accounts()
def test_descriptors_run_out(t):
    """At EMFILE the accept loop waits without turning; those who are in go on; with room again logins succeed"""
    with daemon(t, limits__connections_per_address=10000) as server:
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        pid = server.process.pid
        most = len(os.listdir('/proc/%d/fd' % pid)) + 10
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
        waiting = []
        for _ in range(60):
            waiting.append(socket.create_connection(('127.0.0.1', server.port), timeout=5))
        until(lambda: 'limit of open files' in server.log(), 5, 'the log says nothing')
        began = cpu_seconds(pid)
        time.sleep(2)
        used = cpu_seconds(pid) - began
        check(used < 0.6, 'it turns and turns: %.2f s of processor time in 2 s' % used)
        romeo.send(body(juliet.jid, 'm1'))
        check(juliet.wait_for(lambda e: e.get('id') == 'm1') is not None, 'nothing came')
        request(romeo)
        check(answer(romeo) == 1, 'no ack')
        for each in waiting:
            each.close()
        until(lambda: logs_in(t, server, 'juliet'), 20, 'nobody gets in any more')


@accounts()
def test_memory_is_short(t):
    """limits.memory: above 85 % new connections are refused, those who are in go on; below it all is as before"""
    with daemon(t) as server:
        juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
        server.configure(limits__memory='1MiB')
        server.ctl('reload')
        until(lambda: 'memory is short' in server.log(), 8, 'the log says nothing')
        check(not logs_in(t, server, 'juliet'), 'a new connection was accepted')
        romeo.send(body(juliet.jid, 'm1'))
        check(juliet.wait_for(lambda e: e.get('id') == 'm1') is not None, 'nothing came')
        request(romeo)
        check(answer(romeo) == 1, 'no ack')
        server.configure(limits__memory='1TiB')
        server.ctl('reload')
        until(lambda: 'memory again' in server.log(), 8, 'the log does not say that it is over')
        check(logs_in(t, server, 'juliet'), 'nobody gets in any more')


@accounts()
def test_log_has_no_room(t):
    """The log's disk is full: nobody notices but the log, which goes on when there is room, and counts what it lost"""
    small = []

    def before(server):
        small.append(Small(server.home / 'small', 1))
        server.configure(log__file=str(small[0].folder / 'log'), log__format='text')

    try:
        with daemon(t, before=before) as server:
            if not small[0].mounted:
                t.skip('no file system can be mounted here')
            juliet, romeo = login(t, server, 'juliet'), login(t, server, 'romeo')
            small[0].fill()
            for n in range(200):
                romeo.send(body(juliet.jid, 'm%d' % n))
            check(juliet.wait_for(lambda e: e.get('id') == 'm199') is not None, 'nothing came')
            romeo.send('<r xmlns="urn:xmpp:sm:3"/>')
            check(answer(romeo) == 200, 'no ack')
            before_size = (small[0].folder / 'log').stat().st_size
            small[0].free()
            check(logs_in(t, server, 'juliet'), 'nobody gets in any more')
            until(lambda: (small[0].folder / 'log').stat().st_size > before_size, 5, 'nothing is logged any more')
    finally:
        for each in small:
            each.end()
