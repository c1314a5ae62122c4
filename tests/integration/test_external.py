"""XEP-0215: a relay that was not written by us (coturn, from Debian) takes the credentials that are handed out."""
import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import sterna
import xmpp
from suite import accounts, check, client, daemon

EXTDISCO = 'urn:xmpp:extdisco:2'


@contextlib.contextmanager
def relay(secret):
    """coturn on loopback with a shared secret; gives its port."""
    port, = sterna.free_ports(1)
    with tempfile.TemporaryDirectory(prefix='sterna-turn-') as folder:
        log = pathlib.Path(folder) / 'turn.log'
        with open(log, 'w') as out:
            process = subprocess.Popen(
                ['turnserver', '-n', '--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1', '--listening-port', str(port),
                 '--use-auth-secret', '--static-auth-secret', secret, '--realm', 'localhost', '--no-tls', '--no-dtls',
                 '--no-cli', '--allow-loopback-peers', '--log-file', 'stdout', '--pidfile', folder + '/pid',
                 '--userdb', folder + '/db', '--min-port', '49152', '--max-port', '49999'], stdout=out, stderr=out, cwd=folder)
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until and process.poll() is None:
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                    if s.connect_ex(('127.0.0.1', port)) == 0:
                        break
                time.sleep(0.1)
            check(process.poll() is None, log.read_text()[-2000:])
            yield port
        finally:
            process.kill()
            process.wait()


def allocate(port, username, password):
    """One client that makes an allocation and sends through it to itself."""
    done = subprocess.run(['turnutils_uclient', '-y', '-u', username, '-w', password, '-p', str(port), '-n', '2', '-c',
                           '127.0.0.1'], capture_output=True, text=True, timeout=60)
    return done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]


@accounts()
def test_relay_takes_the_credentials(t):
    """coturn takes the credentials of XEP-0215, and no others"""
    if shutil.which('turnserver') is None:
        t.skip('coturn is not installed; ./check installs it')
    secret = 'a secret of the two'
    with relay(secret) as port, daemon(t, modules__external={'secret': secret, 'services': [
            {'type': 'turn', 'host': '127.0.0.1', 'port': port, 'transport': 'udp'}]}) as server:
        juliet = client(t, server, 'juliet').login()
        romeo = client(t, server, 'romeo').login()
        names = []
        for who in (juliet, romeo, juliet):
            who.send("<iq type='get' id='s1' to='localhost'><services xmlns='%s' type='turn'/></iq>" % EXTDISCO)
            answer = who.wait_for(lambda e: e.get('id') == 's1')
            service = answer.find('.//{%s}service' % EXTDISCO)
            check(service is not None, xmpp.text_of(answer))
            names.append(service.get('username').split(':')[1])
        check(names[0] == names[2] != names[1], 'names at the relay: %s' % names)
        good, said = allocate(port, service.get('username'), service.get('password'))
        check(good, said)
        good, said = allocate(port, service.get('username'), 'wrong')
        check(not good, 'a wrong password was taken: ' + said)
