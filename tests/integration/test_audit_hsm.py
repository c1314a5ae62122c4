"""Seals by a key that cannot leave its token: $STERNA_TEST_SOFTHSM is the script that makes one (up, env); else skipped."""
import os
import pathlib
import subprocess
import time

from suite import check, daemon
from test_audit import online, settle, verify

TOOL = os.environ.get('STERNA_TEST_SOFTHSM', '')


def test_seals_by_a_token(t):
    """PKCS #11: a key in a SoftHSM token seals; the certificate verifies; another certificate does not"""
    if not TOOL or not pathlib.Path(TOOL).exists():
        t.skip('no token: STERNA_TEST_SOFTHSM')
    subprocess.run([TOOL, 'up'], check=True, capture_output=True)
    lines = subprocess.run([TOOL, 'env'], check=True, capture_output=True, text=True).stdout.splitlines()
    env = dict(line.removeprefix('export ').replace('\\', '').split('=', 1) for line in lines)
    before_it = dict(os.environ)
    os.environ.update({name: env[name] for name in ('SOFTHSM2_CONF', 'OPENSSL_CONF')})
    os.environ['ASAN_OPTIONS'] = 'detect_leaks=0:exitcode=99'       # the engine leaves something behind at its end
    try:
        def before(server):
            server.configure(modules__audit={'seal_every': '1s', 'key': env['STERNA_HSM_KEY']})

        with daemon(t, before=before) as server:
            online(t, server, 'juliet')
            time.sleep(3)
            settle(server)
            code, said = verify(server, '--key', env['STERNA_HSM_CERT'])
            check(code == 0 and 'seals    0' not in said, said)
            code, said = verify(server, '--key', str(server.crt))
            check(code == 1 and 'signature does not hold' in said, said)
    finally:
        os.environ.clear()
        os.environ.update(before_it)
