"""workloads.py - what tests/bench/compare measures: a row for each, and those that are more than one run of `load`.

A new workload is a scenario of load.c and a line in ROWS; what its table shows of latency, a line in LATENCIES.
"""
import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

import peers

# pg: with PostgreSQL and the archive; scenario: load's, None: the result of the row named by of; field of it, times factor
# is unit; sessions, and with --quick; floor: the floor program does it too; fresh: the server starts anew before
Row = namedtuple("Row", "key title pg scenario field factor unit sessions quick floor fresh of",
                 defaults=(100, 100, False, False, None))

LOGIN = ["login", "--rounds", "4"]
ROWS = [
    Row("login", "login", False, LOGIN, "server_cpu_us", 1e-3, "CPU ms", 1000, 100, True),
    Row("login-pg", "login with PostgreSQL", True, LOGIN, "server_cpu_us", 1e-3, "CPU ms", 1000, 100),
    Row("idle", "memory per idle session", False, ["idle", "--concurrency", "50"], "pss_per_session_kib", 1, "KiB",
        1000, 200, True, True),
    Row("idle-cpu", "idle server", False, None, "idle_cpu_ms_per_s", 1, "CPU ms/s", of="idle"),
    Row("chat", "chat, closed loop", False, ["chat"], "server_cpu_us", 1, "CPU us", floor=True),
    Row("rate", "chat at a fixed rate", False, ["rate"], "server_cpu_us", 1, "CPU us", floor=True),
    Row("rate-sm", "the same with acks", False, ["rate", "--ack-every", "5"], "server_cpu_us", 1, "CPU us"),
    Row("archive", "archived, closed loop", True, ["chat", "--bare"], "server_cpu_us", 1, "CPU us"),
    Row("archive-rate", "archived at a fixed rate", True, ["rate", "--bare", "--ack-every", "5"], "server_cpu_us", 1,
        "CPU us"),
    Row("archive-read", "archive read, per message", True, ["archive-read", "--bare", "--fill", "300"],
        "server_cpu_us", 1, "CPU us", 20, 20),
    Row("presence", "presence, per delivery", False, ["presence"], "server_cpu_us", 1, "CPU us", 101, 101, True),
    Row("pep", "item of a node, per delivery", False, ["pep"], "server_cpu_us", 1, "CPU us", 101, 101),
    Row("room", "message in a room of 200, per delivery", False, ["room", "--contacts", "199"], "server_cpu_us", 1,
        "CPU us", 200, 200),
    Row("room-enter", "entering it, per presence", False, None, "enter_cpu_us", 1, "CPU us", of="room"),
    Row("subscribe", "subscribe and approve", False, ["subscribe", "--rounds", "5"], "server_cpu_us", 1e-3, "CPU ms"),
    Row("reconnect", "mass reconnect, per login", False, ["reconnect"], "server_cpu_us", 1e-3, "CPU ms", 5000, 200,
        True),
]
# Result of which row, and its histogram; None: operations a second.
LATENCIES = [
    ("chat", None), ("rate", "latency_us"), ("rate-sm", "latency_us"), ("rate-sm", "ack_us"), ("archive", None),
    ("archive-rate", "latency_us"), ("archive-rate", "ack_us"), ("archive-read", "page_us"),
    ("presence", "delivery_us"), ("pep", "delivery_us"), ("room", "delivery_us"), ("room", "entering_us"), ("subscribe", "approved_us"), ("reconnect", None), ("reconnect", "login_us"),
    ("reconnect", "usual_us"), ("reconnect", "beside_us"),
]
BESIDE = 100  # sessions that chat while the others return


def sessions_of(args, row):
    if row.key == "idle" and args.idle_sessions:
        return args.idle_sessions
    return row.quick if args.quick else row.sessions


def command(args, server, accounts, scenario, sessions, seconds):
    """From many addresses, so that no limit per address takes the load for an attack."""
    argv = [os.path.join(args.bin, "load"), *scenario, "--label", server.name, "--port", str(server.port), "--accounts",
            accounts, "--ca", server.tls["cert"], "--addresses", "2000", "--sessions", str(sessions), "--seconds",
            str(seconds)]
    for pid in server.pids():
        argv += ["--pid", str(pid)]
    return argv + (["--floor"] if server.name == "floor" else [])


def result(text):
    return json.loads(text.splitlines()[-1]) if text.strip() else None


def load(args, server, accounts, scenario, sessions):
    """One run of the load generator; its result."""
    done = subprocess.run(command(args, server, accounts, scenario, sessions, args.seconds), stdout=subprocess.PIPE,
                          text=True, timeout=args.limit)
    return result(done.stdout)


def reconnect(args, server, accounts, sessions):
    """The server starts anew; some come back and chat: first undisturbed (usual), then while all others return at
    once (beside). The others have less of the machine than server and chat, as if they came from elsewhere."""
    want, done = server.path("want"), server.path("done")
    for fifo in (want, done):
        os.mkfifo(fifo)
    beside = None
    argv = command(args, server, accounts, ["reconnect", "--restart", f"echo > {want}; cat {done}"], sessions, 1)
    crowd = subprocess.Popen(["nice", "-n", "10", *argv], stdout=subprocess.PIPE, text=True)
    try:
        with open(want, encoding="ascii"):  # all were in, and are gone
            server.stop()
            server.start()
        chat, usual = ["rate", "--rate", "500", "--first", str(sessions)], None
        if server.name != "floor":  # which pairs by position
            usual = load(args, server, accounts, chat, BESIDE)
            beside = subprocess.Popen(command(args, server, accounts, chat, BESIDE, args.limit), stdout=subprocess.PIPE,
                                      text=True)
            time.sleep(2)
        with open(done, "w", encoding="ascii") as f:
            f.write("\n".join(map(str, server.pids())) + "\n")
        row = result(crowd.communicate(timeout=args.limit)[0])
        if beside and row:
            beside.send_signal(signal.SIGINT)
            row["usual_us"] = usual["latency_us"]
            row["beside_us"] = result(beside.communicate(timeout=60)[0])["latency_us"]
        return row
    finally:
        for process in (crowd, beside):
            if process and process.poll() is None:
                process.kill()
                process.wait()


def measure_row(args, server, accounts, row):
    if row.key == "reconnect":
        return reconnect(args, server, accounts, sessions_of(args, row))
    return load(args, server, accounts, row.scenario, sessions_of(args, row))


def floordb(args, folder, keys):
    """What the archive's rows alone cost the database; a message is two rows."""
    results, pg = {}, peers.Postgres(folder, args.port + 10)
    try:
        pg.create("floor")
        for key, more in (("archive", ["100", str(args.seconds)]), ("archive-rate", ["10", str(args.seconds), "2000"])):
            if key not in keys:
                continue
            done = subprocess.run([os.path.join(args.bin, "floordb"), pg.conninfo("floor"), str(pg.pid), *more],
                                  stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(done.stdout)
            print(f"floor      {key}: {row}", file=sys.stderr)
            results[key] = {**row, "server_cpu_us": 2 * row["database_cpu_us"], "per_second": row["per_second"] / 2}
    finally:
        pg.stop()
    return results
