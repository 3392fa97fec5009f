"""bench/run targets: every figure that Troupe wants to reach, each beside its peer in the same run.

Peers are at the best settings found for them; their defaults are shown, too, over fewer jobs. What is
measured of a running node is measured of `troupe serve` and `troupe dev` as anyone starts them.
"""
import http.client
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import http_api
from measure import BUILD, Database, cpu_of, last_json, peer, section, spread, timed
from rates import BACKLOG, ENV, drain, fresh, held_snapshot, limit_rate, running, settle

CONNECTIONS = 10_000  # idle ones
SECONDS_IDLE = 20
BULK = 1000  # jobs of one request
PROBES = 300


@dataclass
class Row:
    """One target. better: a figure at or above `wanted` (">="), or at or below it ("<=")."""
    what: str
    better: str
    wanted: float
    figures: list = field(default_factory=list)  # that are compared with `wanted`
    shown: dict = field(default_factory=dict)  # name: figures behind them
    digits: int = 2

    def add(self, figure, **shown):
        self.figures.append(figure)
        for name, value in shown.items():
            self.shown.setdefault(name, []).append(value)

    def met(self):
        middle = statistics.median(self.figures)
        return middle >= self.wanted if self.better == ">=" else middle <= self.wanted

    def cells(self):
        behind = "; ".join(f"{name.replace('_', ' ')} {spread(values, 0 if values[0] >= 100 else 2)}"
                           for name, values in self.shown.items())
        return [self.what, spread(self.figures, self.digits), f"{self.better} {self.wanted:g}",
                "yes" if self.met() else "NO", behind]


# -- drains ----------------------------------------------------------------------------------------


def node(name, script, db, jobs, *more):
    db.fresh()
    folder = peer(name)
    own = folder / "node_modules/.bin/node"  # pg-boss wants a newer one than Debian's
    out, _, _ = timed([own if own.exists() else "node", folder / script, db.url, str(jobs), *more])
    return last_json(out)


class Drains:
    def __init__(self):
        self.graphile = Row("drain against graphile-worker, tuned", ">=", 3)
        self.boss = Row("drain against pg-boss, tuned", ">=", 6)
        self.defaults = Row("drain against graphile-worker's defaults", ">=", 3)
        self.limit = Row("drain against the PostgreSQL limit", ">=", 0.6)
        self.wal = Row("WAL of a job, enqueue to outcome: bytes", "<=", 500 + 60, digits=0)
        self.memory = Row("memory of a draining engine: MB", "<=", 120, digits=0)
        self.nodes = Row("two nodes against one, equal slots", ">=", 1.0)
        self.rows = [self.graphile, self.boss, self.defaults, self.limit, self.wal, self.memory, self.nodes]

    def round(self, db, jobs):
        ours = drain(db, jobs)
        rate = ours["jobs_per_second"]
        self.wal.add(ours["wal"])
        self.memory.add(ours["rss_mb"])
        for row, name, some, *more in ((self.graphile, "graphile-worker", jobs),
                                       (self.boss, "pg-boss", jobs),
                                       (self.defaults, "graphile-worker", jobs // 20, "default")):
            theirs = node(name, "drain.mjs", db, some, *more)["jobs_per_second"]
            row.add(rate / theirs, troupe=rate, peer=theirs)
        bound = limit_rate(db, jobs)
        self.limit.add(rate / bound, limit=bound)
        # Without the start of nodes, which is a quarter of so short a drain.
        one = running(db, 2 * jobs, "--nodes", 1, "--slots", 64)["jobs_per_second"]
        two = running(db, 2 * jobs, "--nodes", 2, "--slots", 32)["jobs_per_second"]
        self.nodes.add(two / one, one=one, two=two)


def history(db, jobs, backlog, rounds):
    """With much that waits behind, with much that has ended, and with neither: each in a database of its own that is
    made once. Then, round by round, as many jobs are put in at the end as are drained."""
    behind = Row(f"drain with {backlog:,} jobs behind, against none", ">=", 0.9)
    after = Row(f"drain after {backlog:,} have ended, against none", ">=", 0.9)
    places = {"empty": (0, 0), "behind": (backlog, 0), "after": (0, backlog)}
    some = 2 * jobs
    for name, (waiting, ended) in places.items():
        db.use(name)
        fresh(db)
        drain(db, some + ended, "--backlog", waiting, empty=False)
        settle(db)
    for _ in range(rounds):
        rates = {}
        for name in places:
            db.use(name)
            rates[name] = running(db, some, empty=False)["jobs_per_second"]
        behind.add(rates["behind"] / rates["empty"], empty=rates["empty"], behind=rates["behind"])
        after.add(rates["after"] / rates["empty"], after=rates["after"])
    db.use("bench")
    db.sql(*(f"drop database {name}" for name in places))
    return [behind, after]


def snapshot(db, jobs, rounds):
    """One snapshot is held over all drains of a database; another one, which is drained in turn with it, has none."""
    row = Row("drain while a snapshot is held, against none", ">=", 0.95)
    for name in ("free", "held"):
        db.use(name)
        drain(db, jobs)
    with held_snapshot(db):
        for _ in range(rounds):
            rates = {}
            for name in ("free", "held"):
                db.use(name)
                rates[name] = running(db, 2 * jobs, empty=False)["jobs_per_second"]
            row.add(rates["held"] / rates["free"], **rates)
    db.use("bench")
    db.sql("drop database free", "drop database held")
    return [row]


# -- enqueues and pickup -----------------------------------------------------------------------------


def pickup(db, rounds):
    half, tail = Row("pickup p50 against graphile-worker", "<=", 0.4), Row("pickup p99 against graphile-worker", "<=", 0.5)
    by_sql = Row("pickup by SQL p50 against graphile-worker", "<=", 0.6)

    def ours(by):  # from the call, as of the peer
        out, _, _ = timed([BUILD / "troupe", "bench", "latency", "--database", db.url, "--data-dir", "/tmp",
                           "--jobs", str(PROBES), "--by", by, "--json"], env=ENV)
        told = last_json(out)
        return told["p50_from_call_ms"], told["p99_from_call_ms"]

    for _ in range(rounds):
        db.fresh()
        (middle, late), (sql, _) = ours("engine"), ours("sql")
        theirs = node("graphile-worker", "pickup.mjs", db, PROBES)
        half.add(middle / theirs["p50_ms"], troupe_ms=middle, peer_ms=theirs["p50_ms"])
        tail.add(late / theirs["p99_ms"], troupe_ms=late, peer_ms=theirs["p99_ms"])
        by_sql.add(sql / theirs["p50_ms"], troupe_ms=sql, peer_ms=theirs["p50_ms"])
    return [half, tail, by_sql]


def bulk(db, jobs, rounds):
    row = Row("bulk enqueue over HTTP against addJobs", ">=", 1.5)
    one = {"kind": "noop", "queue": "bench", "args": {"n": 123456, "to": "user@example.com"}}
    body = json.dumps({"jobs": [one] * BULK}).encode()
    for _ in range(rounds):
        with http_api.troupe(db) as running:
            line = http.client.HTTPConnection("127.0.0.1", running.port)
            begun = time.monotonic()
            for _ in range(jobs // BULK):
                line.request("POST", "/api/v1/jobs/bulk", body, {"Content-Type": "application/json"})
                answer = line.getresponse()
                if answer.status != 201:
                    raise SystemExit(f"targets: a bulk was answered {answer.status} {answer.read()}")
                answer.read()
            rate = jobs / (time.monotonic() - begun)
        theirs = node("graphile-worker", "drain.mjs", db, jobs)["enqueue_per_second"]
        row.add(rate / theirs, troupe=rate, peer=theirs)
    return [row]


def http_rows(db, rounds):
    rows = [Row(f"HTTP {name} against FastAPI", ">=", wanted, digits=1) for name, _, wanted in http_api.CASES]
    tail = Row("HTTP enqueue one, p99 over FastAPI's p50", "<=", 1.0)
    for _ in range(rounds):
        ours, theirs = http_api.measure(http_api.troupe, db), http_api.measure(http_api.fastapi, db)
        for row, a, b in zip(rows, ours, theirs):
            row.add(a[0] / b[0], troupe=a[0], peer=b[0])
        tail.add(ours[0][2] / theirs[0][1], troupe_ms=ours[0][2], peer_ms=theirs[0][1])
    return rows + [tail]


# -- a node by itself ----------------------------------------------------------------------------------


def memory_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def idle(db):
    """Of a node that runs a queue in which nothing happens."""
    cpu = Row("idle node: % of a processor", "<=", 0.5)
    statements = Row("idle node: statements a second", "<=", 2.0)
    small = Row("idle engine's memory: MB", "<=", 40, digits=0)
    large = Row(f"memory with {CONNECTIONS:,} idle HTTP connections: MB", "<=", 250, digits=0)
    slower = Row(f"an answer beside {CONNECTIONS:,} idle connections, p50 against none", "<=", 1.5)
    db.fresh()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = http_api.free_port()
    env = {**ENV, "DATABASE_URL": db.url}
    subprocess.run([BUILD / "troupe", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    with http_api.Node([BUILD / "troupe", "serve", "--listen", f"127.0.0.1:{port}"], env, port) as running:
        pid = running.process.pid
        time.sleep(3)
        before, done = cpu_of(pid), metric(port, "troupe_db_statements_total")
        time.sleep(SECONDS_IDLE)
        cpu.add(100 * (cpu_of(pid) - before) / SECONDS_IDLE)
        statements.add((metric(port, "troupe_db_statements_total") - done) / SECONDS_IDLE)
        small.add(memory_mb(pid))
        before = answers_ms(port)
        lines = [served(port, number) for number in range(min(CONNECTIONS, hard - 200))]
        large.add(memory_mb(pid))
        large.shown["connections"] = [len(lines)]
        large.shown["KiB_each"] = [1024 * (large.figures[-1] - small.figures[-1]) / len(lines)]
        after = answers_ms(port)
        slower.add(after / before, none_ms=before, beside_ms=after)
        answered(lines[::100])
        for line in lines:
            line.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [cpu, statements, small, large, slower]


def served(port, number):
    """A connection that was answered once; from one of several addresses, as each may have 2,048."""
    line = socket.create_connection(("127.0.0.1", port), 5, source_address=(f"127.0.0.{2 + number // 2000}", 0))
    answered([line])
    return line


def answered(lines):
    for line in lines:
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not line.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("targets: a connection was not served")


def answers_ms(port):
    """The median of requests that the database has a part in, one after the other."""
    line, took = http.client.HTTPConnection("127.0.0.1", port), []
    for _ in range(PROBES):
        begun = time.monotonic()
        line.request("GET", "/api/v1/jobs?limit=1")
        answer = line.getresponse()
        if answer.status != 200:
            raise SystemExit(f"targets: a page was answered {answer.status}")
        answer.read()
        took.append(1000 * (time.monotonic() - begun))
    return statistics.median(took)


def metric(port, name):
    line = http.client.HTTPConnection("127.0.0.1", port)
    line.request("GET", "/metrics")
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$",
                                                    line.getresponse().read().decode(), re.M))


def warm_start(rounds):
    """`troupe dev` on a data directory that it knows, until a first job has been done."""
    row = Row("warm start of the private PostgreSQL to the first job done: s", "<=", 1.0)
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        for number in range(rounds + 1):
            begun = time.monotonic()
            process = subprocess.Popen([BUILD / "troupe", "dev", "--listen", "127.0.0.1:0", "--test-kinds",
                                        "--data-dir", f"{folder}/d"], env=ENV, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
            try:
                url = process.stdout.readline().split()[-1]
                line = http.client.HTTPConnection(url.removeprefix("http://"))
                line.request("POST", "/api/v1/jobs", b'{"kind":"noop"}', {"Content-Type": "application/json"})
                job = json.loads(line.getresponse().read())["id"]
                state = ""
                while state != "completed":
                    line.request("GET", f"/api/v1/jobs/{job}")
                    state = json.loads(line.getresponse().read())["state"]
                if number > 0:  # the first one made the cluster
                    row.add(time.monotonic() - begun)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
    return [row]


def run(rounds, jobs, page=None):
    drains = Drains()
    with Database() as db:
        for _ in range(rounds):
            drains.round(db, jobs)
        rows = drains.rows + history(db, jobs, max(BACKLOG * jobs // 100_000, 2 * jobs), rounds)
        rows += snapshot(db, jobs, rounds) + pickup(db, rounds) + bulk(db, jobs, rounds)
        rows += http_rows(db, rounds) + idle(db)
    rows += warm_start(rounds)
    title = f"Targets, {jobs:,} jobs, {rounds} rounds: median (range)"
    lines = [["what", "figure", "wanted", "met", "behind it"], *(row.cells() for row in rows)]
    section(title, lines, page)
    return all(row.met() for row in rows)
