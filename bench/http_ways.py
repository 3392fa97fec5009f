"""bench/run http_ways: the same requests over plain TCP, a Unix socket and TLS, and new connections by each.

One client for all ways (troupe_bench_requests: wrk knows no Unix socket), 32 connections, in turn. Two nodes on one
PostgreSQL (fsync on), since a port that speaks TLS speaks nothing else; neither runs the queue.
"""
import os
import statistics
import subprocess
import tempfile

from http_api import BODY, STORED, Node, Server, free_port
from measure import BUILD, Database, cpu_of, last_json, section, spread, timed
from rates import fresh

SECONDS = 3
CONNECTIONS = 32
NEW_AT_ONCE = 8  # connections that are made at the same time
CERTIFICATE = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
               "-addext subjectAltName=DNS:localhost")
# What, and the ways it takes: the first is what the others are measured by.
LOADS = [("enqueue one", ["--post", BODY]), ("get one", ["--get", "/api/v1/jobs/#"]),
         ("page of 50", ["--get", "/api/v1/jobs?limit=50"])]
WAYS = ["TCP", "Unix socket", "TLS"]
NEW = "new connection, one GET /livez"
RESUMED = "TLS, resumed"


class Nodes:
    """Both nodes, and how the client reaches them by each way."""

    def __init__(self, db, folder):
        plain, secure = free_port(), free_port()
        path, key, certificate = (os.path.join(folder, name) for name in ("socket", "key", "certificate"))
        subprocess.run([*CERTIFICATE.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
        env = dict(os.environ, DATABASE_URL=db.url, TROUPE_LOG="warn")
        serve = [BUILD / "troupe", "serve", "--queue", "bench:0", "--test-kinds", "--listen"]
        self.plain = Node([*serve, f"127.0.0.1:{plain},unix:{path}"], env, plain)
        self.secure = Server([*serve, f"127.0.0.1:{secure}", "--tls-cert", certificate, "--tls-key", key], env, secure)
        by_tls = ["--port", str(secure), "--ca-file", certificate]
        self.ways = {"TCP": (self.plain, ["--port", str(plain)]), "Unix socket": (self.plain, ["--unix", path]),
                     "TLS": (self.secure, by_tls), RESUMED: (self.secure, [*by_tls, "--resume", "1"])}

    def __enter__(self):
        self.plain.__enter__()
        self.secure.__enter__()
        return self

    def __exit__(self, *_):
        self.secure.__exit__()
        self.plain.__exit__()

    def ask(self, way, seconds, mode, connections, *more):
        """What the client told, with the node's microseconds of processors for each request."""
        node, arguments = self.ways[way]
        before = cpu_of(node.process.pid)
        out, _, _ = timed([BUILD / "bench/troupe_bench_requests", "--mode", mode, *arguments, "--connections",
                           str(connections), "--seconds", str(seconds), *more])
        told = last_json(out)
        told["cpu_us"] = (cpu_of(node.process.pid) - before) * 1e6 / told["count"]
        return told


def run(rounds, _, page=None, seconds=SECONDS):
    cases = [(name, way, ("load", CONNECTIONS, *asked)) for name, asked in LOADS for way in WAYS]
    cases += [(NEW, way, ("connect", NEW_AT_ONCE)) for way in (*WAYS, RESUMED)]
    figures = {case[:2]: [] for case in cases}
    with Database() as db, tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        fresh(db)
        db.psql(f"select count(troupe.enqueue('noop', queue => 'bench')) from generate_series(1, {STORED})")
        with Nodes(db, folder) as nodes:
            for way in WAYS:
                nodes.ask(way, 1, "load", CONNECTIONS, *LOADS[0][1])  # connects and prepares
            for _ in range(rounds):
                for name, way, asked in cases:
                    figures[name, way].append(nodes.ask(way, seconds, *asked))
    lines = [["requests", "way", "a second", "of TCP", "p50 ms", "p99 ms", "node's processor: us each"]]
    for name, way, _ in cases:
        told, plain = figures[name, way], figures[name, "TCP"]
        ratio = "" if way == "TCP" else spread([a["per_second"] / b["per_second"] for a, b in zip(told, plain)], 2)
        p50, p99 = (statistics.median(one[key] for one in told) for key in ("p50_ms", "p99_ms"))
        lines.append([name, way, spread([one["per_second"] for one in told]), ratio, f"{p50:.2f}", f"{p99:.2f}",
                      spread([one["cpu_us"] for one in told], 1)])
    section(f"Ways to a node, {CONNECTIONS} connections, {rounds} rounds in turn: median (range)", lines, page)
    return True
