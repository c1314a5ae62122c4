"""Servers of others, from Debian's packages, as partners: Prosody and ejabberd. And a second Sterna in the same form."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import s2s
import sterna
import xmpp

PROSODY = '''
run_as_root = true
pidfile = "%(home)s/pid"
data_path = "%(home)s/data"
plugin_paths = {}
interfaces = { "127.0.0.1" }
c2s_ports = { %(port)d }
s2s_ports = { %(s2s_port)d }
s2s_direct_tls_ports = { %(s2s_tls_port)d }
legacy_ssl_ports = {}
modules_enabled = { "roster", "saslauth", "tls", "dialback", "disco", "ping", "presence", "message", "iq", "c2s", "s2s", "pep",
	"s2s_auth_certs", "blocklist", "vcard_legacy", "mam"%(modules)s }
modules_disabled = { "posix"%(disabled)s }
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = %(secure)s
ssl = { certificate = "%(crt)s", key = "%(key)s", cafile = "%(ca)s" }
unbound = { resolvconf = false, hoststxt = false, forward = "127.0.0.1@%(dns)d" }
log = { debug = "%(home)s/log" }
%(hosts)s
'''

PROSODY_HOST = '''
VirtualHost "%(host)s"
	ssl = { certificate = "%(crt)s", key = "%(key)s", cafile = "%(ca)s" }
Component "conference.%(host)s" "muc"
	modules_enabled = { "muc_mam" }
	muc_log_by_default = true
	ssl = { certificate = "%(crt)s", key = "%(key)s", cafile = "%(ca)s" }
'''

EJABBERD = '''
hosts: [%(hosts)s]
loglevel: debug
certfiles: ["%(home)s/chain*.pem"]
ca_file: "%(ca)s"
listen:
  - { port: %(port)d, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, starttls_required: true }
  - { port: %(s2s_port)d, ip: "127.0.0.1", module: ejabberd_s2s_in }
  - { port: %(s2s_tls_port)d, ip: "127.0.0.1", module: ejabberd_s2s_in, tls: true }
s2s_use_starttls: %(secure)s
auth_method: external
extauth_program: "%(python)s %(home)s/auth.py"
acl: { local: { user_regexp: "" } }
access_rules: { local: { allow: local }, c2s: { allow: all }, s2s: { allow: all } }
modules:
  mod_roster: {}
  mod_disco: {}
  mod_ping: {}
  mod_offline: {}
  mod_caps: {}
  mod_pubsub: { plugins: [flat, pep] }
  mod_vcard: {}
  mod_blocking: {}
  mod_privacy: {}
  mod_mam: { default: always }
  mod_muc: { host: "conference.@HOST@", default_room_options: { mam: true, persistent: false } }
%(modules)s
'''

EXTAUTH = '''import sys
while True:
    head = sys.stdin.buffer.read(2)
    if len(head) < 2:
        break
    sys.stdin.buffer.read(int.from_bytes(head, 'big'))
    sys.stdout.buffer.write(b'\\0\\2\\0\\1')
    sys.stdout.buffer.flush()
'''


class Partner:
    """One server in a folder of its own, for one domain or more, each with rooms at conference.*. Accounts juliet and romeo
    on each, password pw."""

    def __init__(self, t, host, authority, dns_port, crt=None, key=None, more_hosts=()):
        self.t, self.host, self.authority, self.dns_port = t, host, authority, dns_port
        self.hosts = [host, *more_hosts]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='sterna-partner-'))
        self.port, self.s2s_port, self.s2s_tls_port = sterna.free_ports(3)
        self.certs = {name: authority.issue(name.encode('idna').decode()) for name in self.hosts}
        if crt:
            self.certs[host] = crt, key
        self.cert, self.cert_key = self.certs[host]
        self.process, self.clients = None, []

    def values(self, **more):
        return {'home': self.home, 'port': self.port, 's2s_port': self.s2s_port, 's2s_tls_port': self.s2s_tls_port,
                'crt': self.cert, 'key': self.cert_key, 'ca': self.authority.crt, 'dns': self.dns_port, 'host': self.host,
                'python': sys.executable, **more}

    def run(self, *words, **env):
        with open(self.home / 'output', 'ab') as log:
            self.process = subprocess.Popen([str(w) for w in words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.home,
                                            env={**os.environ, **env}, start_new_session=True)
        end = time.monotonic() + 40
        while not all(sterna.listens(port) for port in (self.port, self.s2s_port)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError('%s does not start:\n%s' % (self.host, self.log()[-4000:]))
            time.sleep(0.1)
        return self

    def log(self):
        return ''.join((self.home / name).read_text(errors='replace') for name in ('output', 'log') if (self.home / name).exists())

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)     # the session that we began
            self.process.wait()
        self.process = None

    def close(self):
        for client in self.clients:
            client.cut()
        self.kill()
        keep = sterna.build_dir() / 'integration' / self.t.server.db
        keep.mkdir(parents=True, exist_ok=True)
        (keep / ('%s.%s.log' % (self.t.name, self.host))).write_text(self.log())
        shutil.rmtree(self.home, ignore_errors=True)

    def login(self, user, host=None, **options):
        one = xmpp.Client(user, 'pw', host=host or self.host, port=self.port, cafile=str(self.authority.crt), mechanism='PLAIN')
        one.transcript, one.name = self.t.transcript, '%s@%s' % (user, one.host)
        self.clients.append(one)
        return one.login(**options)


class Prosody(Partner):
    """Offers EXTERNAL, or dialback only where its module for certificates is off."""

    def __init__(self, *args, bidi=False, smacks=False, external=True, secure=True, **more):
        super().__init__(*args, **more)
        self.modules = (', "s2s_bidi"' if bidi else '') + (', "smacks"' if smacks else '')
        self.disabled, self.secure = '' if external else ', "s2s_auth_certs"', secure

    def start(self):
        for host in self.hosts:
            # As Prosody names folders: each byte that is no letter or digit.
            coded = ''.join(chr(c) if chr(c).isalnum() and c < 128 else '%%%02x' % c for c in host.encode())
            accounts = self.home / 'data' / coded / 'accounts'
            accounts.mkdir(parents=True, exist_ok=True)
            for user in ('juliet', 'romeo'):
                (accounts / (user + '.dat')).write_text('return { password = "pw" }')
        config = self.home / 'prosody.cfg.lua'
        hosts = ''.join(PROSODY_HOST % {'host': name, 'crt': crt, 'key': key, 'ca': self.authority.crt}
                        for name, (crt, key) in self.certs.items())
        config.write_text(PROSODY % self.values(modules=self.modules, disabled=self.disabled, hosts=hosts,
                                                secure='true' if self.secure else 'false'))
        return self.run('prosody', '-F', '--config', config)


class Ejabberd(Partner):
    """Without EXTERNAL for certificates that are for servers only; dialback."""

    def __init__(self, *args, secure=False, dialback=True, bidi=False, **more):
        super().__init__(*args, **more)
        self.secure = 'required'
        self.modules = ('  mod_s2s_dialback: {}\n' if dialback else '') + ('  mod_s2s_bidi: {}\n' if bidi else '')

    def start(self):
        for n, (crt, key) in enumerate(self.certs.values()):
            (self.home / ('chain%d.pem' % n)).write_text(crt.read_text() + key.read_text())
        (self.home / 'auth.py').write_text(EXTAUTH)
        (self.home / 'inetrc').write_text('{lookup, [dns]}.\n{resolv_conf, ""}.\n{hosts_file, ""}.\n{nameserver, {127,0,0,1}, %d}.\n'
                                          % self.dns_port)
        config = self.home / 'ejabberd.yml'
        config.write_text(EJABBERD % self.values(modules=self.modules, secure=self.secure,
                                                 hosts=', '.join('"%s"' % name for name in self.hosts)))
        return self.run('erl', '-noinput', '-mnesia', 'dir', '"%s/db"' % self.home, '-s', 'ejabberd',
                        ERL_LIBS='/usr/lib/x86_64-linux-gnu', ERL_INETRC=str(self.home / 'inetrc'),
                        EJABBERD_CONFIG_PATH=str(config), EJABBERD_LOG_PATH=str(self.home / 'log'),
                        ERL_CRASH_DUMP=str(self.home / 'crash'), HOME=str(self.home))


class Sterna(s2s.Domain):
    """A second one of ours."""

    def __init__(self, t, host, authority, dns_port, **more):
        super().__init__(t, host, authority, **more)
        self.tree['dns'] = {'servers': ['127.0.0.1@%d' % dns_port], 'negative_time': '1s'}
        self.configure()
        self.ready = False

    def start(self):
        if not self.ready:
            self.add_users([('juliet', 'pw'), ('romeo', 'pw')])
        self.ready = True
        return super().start()

    def close(self, keep=None):
        for client in self.clients:
            client.cut()
        return super().close(keep or sterna.build_dir() / 'integration' / self.db)


def prosody_is_there():
    return shutil.which('prosody')


def ejabberd_is_there():
    return shutil.which('erl') and pathlib.Path('/usr/sbin/ejabberdctl').exists()
