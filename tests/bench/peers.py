"""peers.py - how each server is prepared and run for tests/bench/compare.

All get the same: an ECDSA P-256 certificate, TLS 1.3, SCRAM-SHA-1, no limits on rates, their own storage
or (with pg) PostgreSQL, and their archive only where a row asks for it. Each lives in a folder and on a
port of its own, listens on loopback only, and is stopped by the ids of the processes started here.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

DOMAIN = "bench.test"
LIB = "/usr/lib/x86_64-linux-gnu"


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def wait_port(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            s.settimeout(1)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s")


class Server:
    """One server: prepare() writes its folder, start() runs it, stop() ends what start() began."""
    name, packages, has_sm, has_archive, lacks = "", [], True, True, ()

    def __init__(self, folder, port, tls, pg=None, bin_dir=None):
        self.dir, self.port, self.tls, self.pg, self.bin = os.path.join(folder, self.name), port, tls, pg, bin_dir
        self.processes = []
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.prepare()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def run(self, argv, **env):
        log = open(self.path("output.log"), "ab")
        self.processes.append(subprocess.Popen(argv, cwd=self.dir, env={**os.environ, **env}, stdout=log,
                                               stderr=log, stdin=subprocess.DEVNULL, start_new_session=True))

    def pids(self):
        return [p.pid for p in self.processes] + ([self.pg.pid] if self.pg else [])

    def start(self):
        self.launch()
        wait_port(self.port)

    def stop(self):
        for p in self.processes:
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = []

    def prepare(self):
        pass

    def launch(self):
        raise NotImplementedError


class Postgres:
    """A cluster as Debian's initdb makes it: fsync and synchronous_commit stay on."""

    def __init__(self, folder, port):
        self.dir, self.port = os.path.join(folder, "pg"), port
        versions = sorted(os.listdir("/usr/lib/postgresql"), key=int)
        self.bin = f"/usr/lib/postgresql/{versions[-1]}/bin"
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(self.dir, "postgres", "postgres")
        subprocess.run([*self.user, f"{self.bin}/initdb", "-D", f"{self.dir}/data", "-A", "trust", "-U", "bench",
                        "-E", "UTF8", "--locale=C"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(
            [*self.user, f"{self.bin}/postgres", "-D", f"{self.dir}/data", "-p", str(port), "-k", self.dir,
             "-c", "listen_addresses=127.0.0.1"], cwd="/", stdout=log, stderr=log, start_new_session=True)
        self.pid = self.process.pid
        wait_port(port)
        time.sleep(0.5)

    def create(self, database, schema=None):
        psql = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench"]
        subprocess.run([*psql, "-d", "postgres", "-c", f'DROP DATABASE IF EXISTS "{database}"',
                        "-c", f'CREATE DATABASE "{database}"'], check=True, stderr=subprocess.DEVNULL)
        if schema:
            subprocess.run([*psql, "-d", database, "-f", schema], check=True, stdout=subprocess.DEVNULL)

    def conninfo(self, database):
        return f"host=127.0.0.1 port={self.port} user=bench dbname={database}"

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


class Floor(Server):
    name, fanout = "floor", 0

    def launch(self):
        self.run([os.path.join(self.bin, "floor"), str(self.port), self.tls["cert"], self.tls["key"], str(self.fanout)])


class Prosody(Server):
    name, packages = "prosody", ["prosody", "lua-dbi-postgresql", "lua-event", "lua-sec"]

    def prepare(self):
        modules = ["roster", "saslauth", "tls", "disco", "ping", "register_ibr", "offline", "smacks", "pep"]
        storage = 'storage = "internal"'
        if self.pg:
            self.pg.create("prosody")
            modules.append("mam")
            storage = (f'storage = "sql"\nsql = {{ driver = "PostgreSQL", database = "prosody", host = "127.0.0.1", '
                       f'port = {self.pg.port}, username = "bench", password = "x" }}')
        write(self.path("prosody.cfg.lua"), f"""
run_as_root = true
pidfile = "{self.path('prosody.pid')}"
data_path = "{self.path('data')}"
log = {{ error = "{self.path('error.log')}" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
modules_enabled = {{ {', '.join(f'"{m}"' for m in modules)} }}
modules_disabled = {{ "s2s" }}
authentication = "internal_hashed"
c2s_require_encryption = true
allow_registration = true
registration_throttle_max = nil
archive_expires_after = "never"
default_archive_policy = true
max_archive_query_results = 250
{storage}
ssl = {{ certificate = "{self.tls['cert']}", key = "{self.tls['key']}" }}
VirtualHost "{DOMAIN}"
Component "conference.{DOMAIN}" "muc"
""")
        os.makedirs(self.path("data"))

    def launch(self):
        self.run(["prosody", "-F", "--config", self.path("prosody.cfg.lua")])


class Ejabberd(Server):
    name, packages = "ejabberd", ["ejabberd", "erlang-p1-pgsql"]

    def prepare(self):
        sql = ""
        if self.pg:
            self.pg.create("ejabberd", "/usr/share/ejabberd/sql/pg.sql")
            sql = f"""
default_db: sql
sql_type: pgsql
sql_server: 127.0.0.1
sql_port: {self.pg.port}
sql_database: ejabberd
sql_username: bench
sql_password: x
"""
        with open(self.tls["key"], encoding="ascii") as k, open(self.tls["cert"], encoding="ascii") as c:
            write(self.path("both.pem"), k.read() + c.read())
        write(self.path("ejabberd.yml"), f"""
hosts: [{DOMAIN}]
loglevel: error
certfiles: ["{self.path('both.pem')}"]
listen:
  - port: {self.port}
    ip: 127.0.0.1
    module: ejabberd_c2s
    starttls_required: true
    protocol_options: [no_sslv3, no_tlsv1, no_tlsv1_1, no_tlsv1_2]
    max_stanza_size: 262144
    backlog: 1024
auth_method: {"sql" if self.pg else "internal"}
auth_password_format: scram
auth_scram_hash: sha
registration_timeout: infinity
{sql}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_ping: {{}}
  mod_offline: {{}}
  mod_stream_mgmt: {{ max_ack_queue: 100000 }}
  mod_caps: {{}}
  mod_pubsub: {{ plugins: [flat, pep] }}
  mod_muc: {{ max_users: 20000, history_size: 0, default_room_options: {{ max_users: 20000 }} }}
  mod_register: {{ access: all, ip_access: all }}
{"  mod_mam: { default: always }" if self.pg else ""}
""")

    def launch(self):
        self.run(["erl", "-sname", "bench@localhost", "-start_epmd", "false", "-erl_epmd_port", str(self.port + 1000),
                  "+K", "true", "+P", "250000", "-mnesia", "dir", f'"{self.path("spool")}"', "-s", "ejabberd",
                  "-noinput"],
                 HOME=self.dir, EJABBERD_CONFIG_PATH=self.path("ejabberd.yml"), ERL_MAX_PORTS="32000",
                 EJABBERD_LOG_PATH=self.path("ejabberd.log"), ERL_LIBS=LIB)


class Jabberd2(Server):
    """Four processes; keeps its data in SQLite, knows neither acks nor an archive."""
    name, packages, has_sm, has_archive, lacks = "jabberd2", ["jabberd2", "sqlite3"], False, False, ("pep", "room")

    def prepare(self):
        database = self.path("sqlite.db")
        schema = subprocess.run(["zcat", "/usr/share/doc/jabberd2/db-setup.sqlite.gz"], check=True,
                                capture_output=True).stdout
        subprocess.run(["sqlite3", database], input=schema, check=True, stdout=subprocess.DEVNULL)
        with open(self.tls["key"], encoding="ascii") as k, open(self.tls["cert"], encoding="ascii") as c:
            both = write(self.path("both.pem"), c.read() + k.read())
        router = str(self.port + 1000)
        common = [
            (r"<pidfile>.*?</pidfile>", ""),
            (r"<log type='file'>.*?</log>", f"<log type='file'><file>{self.path('jabberd.log')}</file></log>"),
            (r"<port>5347</port>", f"<port>{router}</port>"),
            (r"<ip>0\.0\.0\.0</ip>", "<ip>127.0.0.1</ip>"),
            (r"/var/lib/jabberd2/sqlite\.db", database),
            (r"<max_fds>\d+</max_fds>", "<max_fds>20000</max_fds>"),
            (r"<stanzas>\d+</stanzas>", "<stanzas>0</stanzas>"),
        ]
        host = f"<id register-enable='mu' require-starttls='mu' pemfile='{both}'>{DOMAIN}</id>"
        own = {
            "router": [],
            "sm": [(r"<id>localhost.localdomain</id>", f"<id>{DOMAIN}</id>")],
            "c2s": [(r"<id register-enable='mu'>localhost.localdomain</id>", host),
                    (r"<port>5222</port>", f"<port>{self.port}</port>"),
                    (r"<sasl>.*?</sasl>", "<sasl><plain/><scram-sha-1/></sasl>")],
        }
        for part, changes in own.items():
            with open(f"/etc/jabberd2/{part}.xml", encoding="utf-8") as f:
                text = re.sub(r"<!--.*?-->", "", f.read(), flags=re.S)
            for pattern, new in common + changes:
                text = re.sub(pattern, lambda _, new=new: new, text, flags=re.S)
            write(self.path(part + ".xml"), text)

    def launch(self):
        self.run(["jabberd2-router", "-c", self.path("router.xml")])
        wait_port(self.port + 1000)
        self.run(["jabberd2-sm", "-c", self.path("sm.xml")])
        time.sleep(1)
        self.run(["jabberd2-c2s", "-c", self.path("c2s.xml")])


class Sterna(Server):
    name = "sterna"

    def prepare(self):
        storage = "{ driver: sqlite, path: sterna.db }"
        if self.pg:
            self.pg.create("sterna")
            storage = f'{{ driver: postgresql, conninfo: "{self.pg.conninfo("sterna")}" }}'
        build = os.path.abspath(os.path.join(self.bin, "..", ".."))
        source = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
        lines = os.environ.get("STERNA_BENCH_YAML", "")
        if not self.pg and "modules:" not in lines:
            # No archive, as the others.
            lines += "\nmodules: { mam: { default_mode: never }, muc: { archive: false, history: 0 } }"
        in_tree = os.path.exists(os.path.join(build, "xep"))
        write(self.path("sterna.yaml"), f"""
hosts:
  {DOMAIN}: {{ certificate: {self.tls['cert']}, key: {self.tls['key']}, registration: true }}
listen:
  - {{ kind: c2s, address: 127.0.0.1, port: {self.port} }}
storage: {storage}
server: {{ workers: {os.environ.get('STERNA_WORKERS', '0')}, control: control.sock{
    f', module_dir: "{build}/xep/.libs:{build}/modules/.libs"' if in_tree else ''} }}
tls: {{ minimum: "1.3" }}
auth: {{ mechanisms: [SCRAM-SHA-1] }}
log: {{ level: warning }}
{lines}
""")
        self.env = {"STERNA_SQL_DIR": os.path.join(source, "sql")}

    def launch(self):
        program = os.environ.get("STERNAD") or os.path.join(self.bin, "..", "..", "server", "sternad")
        self.run([program, "-c", self.path("sterna.yaml")], **self.env)


SERVERS = {c.name: c for c in (Prosody, Ejabberd, Jabberd2, Floor, Sterna)}
