"""PostgreSQL clusters of a run's own: one alone, or a primary with its synchronous standby."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from world import Fault, sterna


class Cluster:
    """One cluster in a folder of its own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='sterna-crash-pg-'))
        self.folder.chmod(0o755)
        self.port = sterna.free_ports(1)[0]

    def pg(self, *words):
        done = subprocess.run([str(sterna.TOP / 'tests' / 'pg'), words[0], str(self.folder), *words[1:]],
                              capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Fault('tests/pg %s: %s' % (words[0], done.stderr))
        return done.stdout.strip()

    def start(self):
        pid_file = self.folder / 'data' / 'postmaster.pid'
        if pid_file.exists():                   # killed: it may wait as a zombie for an init that does not collect it
            try:
                state = pathlib.Path('/proc/%s/stat' % pid_file.read_text().split()[0]).read_text().split()[2]
            except (OSError, IndexError):
                state = 'Z'
            if state == 'Z':
                pid_file.unlink()
                for each in self.folder.glob('.s.PGSQL.*'):
                    each.unlink()
        return self.pg('start', str(self.port))

    def standby_of(self, primary):
        self.pg('standby', str(self.port), str(primary.port))

    def processes(self):
        first = (self.folder / 'data' / 'postmaster.pid').read_text().split()[0]
        children = subprocess.run(['ps', '-o', 'pid=', '--ppid', first], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in [first, *children]]

    def signal(self, number):
        """The postmaster first: it starts no new ones then."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def psql(self, statement):
        subprocess.run(['psql', '-X', '-q', '-d', 'host=127.0.0.1 port=%d user=sterna dbname=postgres' % self.port, '-c',
                        statement], check=True, capture_output=True)

    def end(self):
        try:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        except (OSError, IndexError):
            pass
        subprocess.run(['rm', '-rf', str(self.folder)], check=False)


def use(server, clusters, **options):
    """The server's database, made anew, is in the first of these; the others are tried too."""
    clusters[0].psql('create database crash')
    server.tree['storage'] = {'driver': 'postgresql', 'sql_dir': str(sterna.TOP / 'sql'), 'conninfo': (
        'host=%s port=%s user=sterna dbname=crash' % (','.join('127.0.0.1' for _ in clusters),
                                                      ','.join(str(each.port) for each in clusters)))}
    server.tree['storage'].update(options)
    server.configure()


def memory(pid):
    """Resident KiB."""
    with open('/proc/%d/status' % pid, encoding='ascii') as status:
        return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))
