"""What stops the start: one clear line, the exit code of sysexits.h, and nothing half done.

78 (EX_CONFIG): the operator must change something; 69 (EX_UNAVAILABLE): a service is away; 75 (EX_TEMPFAIL): try again.
"""
import os
import re
import shutil
import socket
import sqlite3
import subprocess

import sterna
from suite import accounts, check

CONFIG, UNAVAILABLE, TEMPORARY = 78, 69, 75
NOBODY = 65534


class Trial:
    """A server that is not expected to start."""

    def __init__(self, db='sqlite', options=None):
        self.server = sterna.Server(db, options or {}, name='start')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    @property
    def text(self):
        return self.server.config_file.read_text()

    @text.setter
    def text(self, text):
        self.server.config_file.write_text(text)

    def run(self, prefix=(), timeout=30):
        """Exit status, and the lines of importance: those of a mistake in the configuration, errors of the log."""
        done = subprocess.run([*prefix, str(sterna.program('sternad')), '-c', str(self.server.config_file)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                              cwd=self.server.home, env=self.server.environment())
        check(not sterna.SANITIZER.search(done.stderr), done.stderr[:3000])
        lines = [line for line in done.stderr.splitlines() if line.startswith('sternad:') or ' ERROR ' in line.upper()]
        return done.returncode, lines, done.stderr

    def refused(self, code, *words, lines=1, **options):
        """It ends with this code, and says all the words in one line; there are no more than so many lines."""
        status, said, everything = self.run(**options)
        check(status == code, 'exit %d, expected %d:\n%s' % (status, code, everything))
        check(any(all(word in line for word in words) for line in said),
              'no line has %s:\n%s' % (', '.join(words), everything))
        check(len(said) <= lines, 'more than %d lines:\n%s' % (lines, '\n'.join(said)))
        for port in (self.server.port, self.server.tls_port):
            check(not sterna.listens(port), 'port %d is open' % port)
        check(not (self.server.home / 'control.sock').exists(), 'the control socket is left')


@accounts()
def test_unknown_key(t):
    """An unknown key is named with file:line:column, and the nearest name"""
    with Trial() as trial:
        trial.text = trial.text.replace('  plain: true', '  plian: true')
        line = 1 + trial.text[:trial.text.index('plian')].count('\n')
        trial.refused(CONFIG, '%s:%d:3:' % (trial.server.config_file, line), "'plian'", "did you mean 'plain'?")
        check(not (trial.server.home / 'sterna.db').exists(), 'a database was made')


@accounts()
def test_wrong_value(t):
    """A value of the wrong kind or out of range is named with its place"""
    with Trial() as trial:
        good = trial.text
        trial.text = good.replace('workers: 2', 'workers: many')
        trial.refused(CONFIG, 'sterna.yaml:', 'server.workers', "'many'")
        trial.text = good.replace('workers: 2', 'workers: 257')
        trial.refused(CONFIG, 'sterna.yaml:', 'server.workers', '0..256')
        trial.text = good.replace("level: 'debug'", "level: 'verbos'")
        trial.refused(CONFIG, 'sterna.yaml:', "'verbos'")


@accounts()
def test_broken_yaml(t):
    """YAML that cannot be read is named with its line"""
    with Trial() as trial:
        trial.text += 'log: [never, closed\n'
        trial.refused(CONFIG, 'sterna.yaml:')
        trial.text = 'hosts:\n\tlocalhost: {}\n'
        trial.refused(CONFIG, 'sterna.yaml:2:')
        trial.text = ''
        trial.refused(CONFIG, 'sterna.yaml')


@accounts()
def test_no_configuration(t):
    """A configuration that is not there, or is a folder, is named"""
    with Trial() as trial:
        trial.server.config_file.unlink()
        trial.refused(CONFIG, 'sterna.yaml')
        trial.server.config_file.mkdir()
        trial.refused(CONFIG, 'sterna.yaml')


@accounts()
def test_missing_environment_and_file(t):
    """${NAME} and !file that lead nowhere are named with their place"""
    with Trial() as trial:
        good = trial.text
        trial.text = good.replace("level: 'debug'", 'level: ${STERNA_NO_SUCH_NAME}')
        trial.refused(CONFIG, 'sterna.yaml:', 'STERNA_NO_SUCH_NAME')
        trial.text = good.replace("level: 'debug'", 'level: !file /nonexistent/level')
        trial.refused(CONFIG, 'sterna.yaml:', '/nonexistent/level')


@accounts()
def test_certificate_that_cannot_be_read(t):
    """A certificate that is not there is named; no database is made"""
    with Trial() as trial:
        trial.server.crt.unlink()
        trial.refused(CONFIG, str(trial.server.crt), lines=2)
        check(not (trial.server.home / 'sterna.db').exists(), 'a database was made')


@accounts()
def test_certificate_that_is_none(t):
    """A file that holds no certificate is named"""
    with Trial() as trial:
        trial.server.crt.write_text('this is no certificate\n')
        trial.refused(CONFIG, str(trial.server.crt), lines=2)


def without_rights():
    """A prefix that runs the server as root without root's rights, which no folder could refuse; it still reaches its files."""
    return ('setpriv', '--bounding-set=-all', '--inh-caps=-all') if os.geteuid() == 0 else ()


@accounts()
def test_key_that_may_not_be_read(t):
    """A certificate or a key that is somebody else's is named, with the system's reason"""
    for which in ('crt', 'key'):
        with Trial() as trial:
            path = getattr(trial.server, which)
            path.chmod(0o600 if without_rights() else 0)
            if without_rights():
                os.chown(path, NOBODY, NOBODY)
            trial.refused(CONFIG, str(path), 'Permission denied', lines=2, prefix=without_rights())


@accounts()
def test_key_of_another_certificate(t):
    """A key that does not belong to the certificate is named"""
    with Trial() as trial:
        other = trial.server.home / 'other'
        other.mkdir()
        _, key = sterna.certificate(other)
        shutil.copy(key, trial.server.key)
        trial.refused(CONFIG, str(trial.server.key), lines=2)


@accounts()
def test_port_in_use(t):
    """A port that somebody else has is named, and no other port stays open"""
    with Trial() as trial:
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', trial.server.tls_port))
            # not listening: a connection is refused, the address is taken
            trial.refused(TEMPORARY, 'in use', str(trial.server.tls_port))


@accounts()
def test_address_of_another_machine(t):
    """An address that this machine does not have"""
    with Trial() as trial:
        trial.text = trial.text.replace("kind: 'c2s', address: '127.0.0.1'", "kind: 'c2s', address: '192.0.2.77'")
        status, said, everything = trial.run()
        check(status in (CONFIG, TEMPORARY, UNAVAILABLE), 'exit %d' % status)
        check(any('192.0.2.77' in line for line in said), everything)


@accounts()
def test_http_port_in_use(t):
    """The port of the HTTP module, too"""
    with Trial() as trial:
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', trial.server.http_port))
            status, said, everything = trial.run()
            check(status in (CONFIG, TEMPORARY), 'exit %d:\n%s' % (status, everything))
            check(any(str(trial.server.http_port) in line for line in said), everything)


@accounts()
def test_database_that_cannot_be_reached(t):
    """PostgreSQL that does not answer at the start: 69, without the password in the text"""
    port = sterna.free_ports(1)[0]
    with Trial() as trial:
        trial.text = trial.text.replace("driver: 'sqlite'", "driver: 'postgresql'").replace(
            "path: '%s'" % (trial.server.home / 'sterna.db'),
            "conninfo: 'host=127.0.0.1 port=%d dbname=x user=y'\n  password: 'moonlight'" % port)
        trial.refused(UNAVAILABLE, 'database', lines=3)
        check('moonlight' not in trial.run()[2], 'the password is in the text')
        trial.text = trial.text.replace('host=127.0.0.1', 'hoost=127.0.0.1')
        trial.refused(CONFIG, 'connection string', lines=2)


@accounts()
def test_schema_of_a_newer_version(t):
    """A schema that is newer than the program is left alone"""
    with Trial() as trial:
        trial.server.add_users([('juliet', 'moonlight')])
        path = str(trial.server.home / 'sterna.db')
        with sqlite3.connect(path) as db:
            table = [row[0] for row in db.execute("select name from sqlite_master where type='table'")
                     if 'schema' in row[0] or 'migration' in row[0] or 'version' in row[0]]
            check(len(table) == 1, 'tables %r' % table)
            column = [row[1] for row in db.execute('pragma table_info(%s)' % table[0])]
            latest = db.execute('select max(%s) from %s' % (column[0], table[0])).fetchone()[0]
            row = list(db.execute('select * from %s order by 1 desc limit 1' % table[0]).fetchone())
            row[0] = latest + 1
            db.execute('insert into %s values (%s)' % (table[0], ','.join('?' * len(row))), row)
        db.close()
        trial.refused(CONFIG, 'newer', lines=2)
        with sqlite3.connect(path) as db:
            check(db.execute('select count(*) from account').fetchone()[0] == 1, 'the account is gone')
        db.close()


@accounts()
def test_disk_that_is_full(t):
    """A full disk: said, with the file; when there is room it starts"""
    with Trial() as trial:
        small = trial.server.home / 'small'
        small.mkdir()
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', str(small)], capture_output=True).returncode:
            t.skip('no file system can be mounted here')
        try:
            trial.text = trial.text.replace(str(trial.server.home / 'sterna.db'), str(small / 'sterna.db'))
            trial.refused(UNAVAILABLE, str(small / 'sterna.db'), 'full', lines=2)
            done = subprocess.run([str(sterna.program('sternactl')), '-c', str(trial.server.config_file), 'migrate'],
                                  capture_output=True, text=True, env=trial.server.environment())
            check(done.returncode == 1 and 'cannot be read or written now' in done.stderr, done.stderr)
            subprocess.run(['mount', '-o', 'remount,size=20m', str(small)], check=True)
            trial.server.start()
            trial.server.stop()
        finally:
            subprocess.run(['umount', '-l', str(small)], check=False)


@accounts()
def test_database_that_is_none(t):
    """A file that is no database is not overwritten"""
    with Trial() as trial:
        path = trial.server.home / 'sterna.db'
        path.write_text('my diary\n' * 1000)
        status, said, everything = trial.run()
        check(status in (CONFIG, TEMPORARY, UNAVAILABLE) and said, 'exit %d:\n%s' % (status, everything))
        check(any(str(path) in line for line in said), 'the file is not named:\n%s' % everything)
        check(path.read_text() == 'my diary\n' * 1000, 'the file was written to')


@accounts()
def test_folder_that_cannot_be_written(t):
    """A folder of the database that is not there, or not ours"""
    with Trial(options={'storage.path': '/nonexistent/folder/sterna.db'}) as trial:
        trial.refused(CONFIG, '/nonexistent/folder/sterna.db', lines=2)
    with Trial() as trial:
        for path in [trial.server.home, *trial.server.home.rglob('*')]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            if without_rights():
                os.chown(path, NOBODY, NOBODY)
        trial.refused(CONFIG, str(trial.server.home / 'sterna.db'), lines=2, prefix=without_rights()) \
            if without_rights() else None


@accounts()
def test_log_that_cannot_be_opened(t):
    """A log in a folder that is not there"""
    with Trial(options={'log.file': '/nonexistent/folder/log'}) as trial:
        trial.refused(CONFIG, '/nonexistent/folder/log')
        check(not (trial.server.home / 'sterna.db').exists(), 'a database was made')


@accounts()
def test_control_socket_that_cannot_be_made(t):
    """A control socket in a folder that is not there"""
    with Trial(options={'server.control': '/nonexistent/folder/control.sock'}) as trial:
        status, said, everything = trial.run()
        check(status in (CONFIG, TEMPORARY), 'exit %d:\n%s' % (status, everything))
        check(any('/nonexistent/folder/control.sock' in line for line in said), everything)
        check(not sterna.listens(trial.server.port), 'a port is open')


@accounts()
def test_migrations_that_are_not_there(t):
    """A folder without migrations is named"""
    with Trial(options={'storage.sql_dir': '/nonexistent/sql'}) as trial:
        trial.refused(TEMPORARY, '/nonexistent/sql', lines=2)


@accounts()
def test_module_that_does_not_exist(t):
    """A module that does not exist is named, with its place in the file"""
    with Trial(options={'modules.teleport': {}}) as trial:
        trial.refused(CONFIG, 'sterna.yaml:', "'teleport'")
        check(not (trial.server.home / 'sterna.db').exists(), 'a database was made')
    with Trial(options={'modules.mem': {}}) as trial:
        trial.refused(CONFIG, 'sterna.yaml:', "'mem'", "did you mean 'mam'?")


@accounts()
def test_option_of_a_module(t):
    """An unknown option of a module has its place and the nearest name"""
    with Trial(options={'modules.mam': {'pages': 7}}) as trial:
        trial.refused(CONFIG, 'sterna.yaml:', "'pages'", "did you mean 'page'?")
        check(not (trial.server.home / 'sterna.db').exists(), 'a database was made')
        done = subprocess.run([str(sterna.program('sternactl')), '-c', str(trial.server.config_file), 'config', 'check'],
                              capture_output=True, text=True)
        check(done.returncode == CONFIG and "'pages'" in done.stderr, 'config check: %s' % done.stderr)


@accounts()
def test_module_that_is_no_module(t):
    """A file that is no module, and one that was made for another version"""
    with Trial(options={'modules.broken': {}}) as trial:
        folder = trial.server.home / 'modules'
        folder.mkdir()
        (folder / 'broken.so').write_text('no library\n')
        trial.text = re.sub(r"module_dir: '([^']*)'", r"module_dir: '\1:%s'" % folder, trial.text)
        trial.refused(CONFIG, 'sterna.yaml:', 'broken.so')


@accounts()
def test_network_that_is_none(t):
    """proxy_protocol with a word that is no network"""
    with Trial() as trial:
        trial.text = trial.text.replace("kind: 'c2s',", "kind: 'c2s', proxy_protocol: ['10.0.0.0/99'],", 1)
        trial.refused(CONFIG, '10.0.0.0/99', lines=2)


@accounts()
def test_user_that_does_not_exist(t):
    """server.user that nobody is"""
    if os.geteuid() != 0:
        t.skip('needs root')
    with Trial(options={'server.user': 'nobody-of-that-name'}) as trial:
        trial.refused(CONFIG, 'nobody-of-that-name', lines=2)
