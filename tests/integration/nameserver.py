"""A name server of the test's own: Debian's nsd on the loopback, its zones signed where a test wants that."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import sterna

ZONE = """$ORIGIN %(zone)s.
$TTL %(ttl)d
@ IN SOA ns hostmaster 1 3600 600 86400 1
@ IN NS ns
ns IN A 127.0.0.1
%(records)s
"""


def is_there(signed=False):
    """Are nsd, and ldns-signzone, installed?"""
    path = '/usr/sbin:/sbin:/usr/bin:/bin'
    return shutil.which('nsd', path=path) and (not signed or shutil.which('ldns-signzone', path=path))


class NameServer:
    """One zone; records as in a zone file. Answers on 127.0.0.1, self.port."""

    def __init__(self, zone, records, signed=False, port=None, ttl=1):
        self.zone, self.ttl, self.signed = zone, ttl, signed
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-dns-'))
        self.port = port or sterna.free_ports(1)[0]
        self.process, self.anchor = None, None
        (self.home / 'nsd.conf').write_text(
            'server:\n  ip-address: 127.0.0.1@%d\n  username: ""\n  chroot: ""\n  zonesdir: "%s"\n  pidfile: "%s/pid"\n'
            '  xfrdfile: "%s/xfrd"\n  zonelistfile: "%s/zones"\n  xfrdir: "%s"\n  cookie-secret-file: ""\n'
            '  server-count: 1\nremote-control:\n  control-enable: no\nzone:\n  name: "%s"\n  zonefile: "zone"\n'
            % (self.port, self.home, self.home, self.home, self.home, self.home, zone))
        self.write(records)
        self.start()

    def write(self, records):
        text = ZONE % {'zone': self.zone, 'ttl': self.ttl, 'records': records}
        (self.home / 'zone').write_text(text)
        if not self.signed:
            return
        if self.anchor is None:
            self.keys = [subprocess.run(['ldns-keygen', '-a', 'ECDSAP256SHA256', *kind, self.zone], cwd=self.home, check=True,
                                        capture_output=True, text=True).stdout.strip() for kind in (['-k'], [])]
            self.anchor = self.home / 'anchor.key'
            shutil.copy(self.home / (self.keys[0] + '.key'), self.anchor)
        subprocess.run(['ldns-signzone', '-n', '-f', 'signed', 'zone', *self.keys], cwd=self.home, check=True, capture_output=True)
        (self.home / 'signed').rename(self.home / 'zone')

    def start(self):
        """nsd's processes miss each other now and then where the machine is slow: then once more."""
        for _ in range(3):
            with open(self.home / 'log', 'ab') as log:
                self.process = subprocess.Popen(['/usr/sbin/nsd', '-d', '-c', str(self.home / 'nsd.conf')], stdout=log, stderr=log,
                                                cwd=self.home, start_new_session=True)
            if self.answers():
                return
            self.stop()
        raise RuntimeError('nsd does not answer:\n' + (self.home / 'log').read_text())

    def answers(self):
        query = b'\0\1\1\0\0\1\0\0\0\0\0\0' + b''.join(bytes([len(p)]) + p.encode() for p in self.zone.split('.')) + b'\0\0\6\0\1'
        for _ in range(50):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(0.1)
                try:
                    s.sendto(query, ('127.0.0.1', self.port))
                    s.recv(512)
                    return True
                except OSError:
                    time.sleep(0.05)
        return False

    def stop(self):
        if self.process is not None:
            process, self.process = self.process, None
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)      # the session that we began
                process.wait()

    def change(self, records):
        self.stop()
        self.write(records)
        self.start()

    def close(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
