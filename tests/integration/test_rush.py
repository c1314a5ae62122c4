"""Many who come at once: they wait, and nobody is refused."""
import socket
import threading
import time

from suite import accounts, check, client, daemon


def rush(t, server, name, count):
    """So many log in to one account at the same time.  @return seconds until the last was in"""
    failures, began = [], time.monotonic()

    def come(i):
        try:
            client(t, server, name, resource='r%d' % i).login()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=come, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, 'a login failed: %r' % failures[:1])
    return time.monotonic() - began


@accounts('juliet')
def test_logins_at_once(t):
    """limits.logins_at_once: 1 serves one login after another, all of them"""
    with daemon(t, limits__logins_at_once=1) as server:
        rush(t, server, 'juliet', 12)


@accounts('juliet')
def test_logins_per_address(t):
    """limits.logins_per_address: who comes after too many from the same address waits"""
    with daemon(t, limits__logins_per_address='4/s') as server:
        took = rush(t, server, 'juliet', 10)
        check(took > 1, '10 logins at 4 a second took %.2f s' % took)


def ended_after(port):
    """Seconds until the server gives up a client that begins TLS and says no more."""
    with socket.create_connection(('127.0.0.1', port)) as s:
        s.settimeout(30)
        began = time.monotonic()
        s.sendall(b'\x16')
        check(s.recv(1) == b'', 'the server answers half a record')
        return time.monotonic() - began


@accounts()
def test_tls_time(t):
    """A reload changes limits.tls_time, for those who come from then on"""
    with daemon(t) as server:
        server.configure(limits__tls_time='1s')
        server.ctl('reload')
        took = ended_after(server.tls_port)
        check(0.5 < took < 8, 'it took %.1f s' % took)
