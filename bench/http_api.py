"""bench/run http_api: durable enqueues one by one and reads, Troupe's HTTP API against FastAPI.

The same requests by wrk over 32 connections, each server on the same PostgreSQL (fsync on) with a
database of its own. Troupe's node does not run the queue: only the API is measured.
"""
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import urllib.error
import urllib.request

from measure import BUILD, ROOT, Database, section, spread

SECONDS = 5
CONNECTIONS = 32
BODY = '{"kind":"noop","queue":"bench","args":{"order":12345,"note":"a note of some length"}}'
STORED = 1000  # jobs that reads choose from
PAGE = 50
# Row: name, wrk script (`{pages}` becomes the paths of all pages of the stored jobs), ratio wanted of
# requests per second. All ask for the newest page at the same time; of any page seldom two ask for one.
CASES = [
    ("enqueue one", f"""wrk.method = "POST" wrk.body = '{BODY}'
        wrk.headers["Content-Type"] = "application/json" wrk.path = "/api/v1/jobs" """, 15),
    ("get one", f"""request = function()
        return wrk.format("GET", "/api/v1/jobs/" .. math.random(1, {STORED})) end""", 15),
    ("page of 50", f'wrk.path = "/api/v1/jobs?limit={PAGE}"', 20),
    ("any page of 50", "local pages = {pages} "
        'request = function() return wrk.format("GET", pages[math.random(#pages)]) end', 20),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that listens on a port of loopback, until the block ends."""

    def __init__(self, arguments, env, port):
        self.port = port
        self.process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.05).close()
                return self
            except OSError:
                try:
                    self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise SystemExit(f"http_api: {self.process.args[0]} ended with {self.process.returncode}")
        raise SystemExit(f"http_api: {self.process.args[0]} does not listen")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Node(Server):
    """Listens while it starts, and answers when it has."""

    def __enter__(self):
        super().__enter__()
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez").close()
        return self


def load(script, port, seconds):
    """Requests per second, and the 50th and 99th percentile of their time in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        text = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", file.name,
                               f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit("http_api: refused requests\n" + text)
    def milliseconds(percent):
        number, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", text).groups()
        return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), milliseconds(50), milliseconds(99)


def troupe(db, *more):
    db.fresh()
    port = free_port()
    env = dict(os.environ, DATABASE_URL=db.url, TROUPE_LOG="warn")
    subprocess.run([BUILD / "troupe", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    return Node([BUILD / "troupe", "serve", "--listen", f"127.0.0.1:{port}", "--queue", "bench:0",
                 "--test-kinds", *more], env, port)


def fastapi(db):
    db.fresh()
    port = free_port()
    folder = ROOT / "bench/peers/fastapi"
    env = dict(os.environ, DATABASE_URL=db.url.replace("postgresql:", "postgresql+asyncpg:"),
               PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
    subprocess.run(["/usr/bin/python3", folder / "app.py"], env=env, check=True)
    return Server(["/usr/bin/python3", "-m", "uvicorn", "app:app", "--workers", "2", "--port", str(port),
                   "--log-level", "warning"], env, port)


def pages_of(port):
    """The paths of the pages that the stored jobs fill, as a table of Lua."""
    paths = [f"/api/v1/jobs?limit={PAGE}"]
    while len(paths) < STORED // PAGE:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{paths[-1]}") as answer:
            page = json.load(answer)
        # FastAPI's is a plain list; it goes on below an id.
        more = f"before={page[-1]['id']}" if isinstance(page, list) else f"cursor={page['next']}"
        paths.append(f"{paths[0]}&{more}")
    return "{" + ", ".join(f'"{path}"' for path in paths) + "}"


def is_there(port, number):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/jobs/{number}").close()
        return True
    except urllib.error.HTTPError:
        return False


def measure(server, db):
    with server(db) as running:
        for _ in range(20):  # connects, prepares, and stores what is read later
            load(CASES[0][1], running.port, 1)
            if is_there(running.port, STORED):
                break
        else:
            raise SystemExit("http_api: it stores too few jobs")
        pages = pages_of(running.port)
        return [load(script.replace("{pages}", pages), running.port, SECONDS) for _, script, _ in CASES]


def run(rounds, _, page=None):
    ours, theirs = [], []
    with Database() as db:
        for _ in range(rounds):
            ours.append(measure(troupe, db))
            theirs.append(measure(fastapi, db))
    lines = [["requests", "Troupe/s", "p50, p99 ms", "FastAPI/s", "p50, p99 ms", "ratio", "wanted"]]
    good = True
    def latency(runs, case):
        return ", ".join(f"{statistics.median(r[case][i] for r in runs):.1f}" for i in (1, 2))
    for case, (name, _, wanted) in enumerate(CASES):
        ratios = [a[case][0] / b[case][0] for a, b in zip(ours, theirs)]
        good = good and statistics.median(ratios) >= wanted
        lines.append([name, spread([r[case][0] for r in ours]), latency(ours, case),
                      spread([r[case][0] for r in theirs]), latency(theirs, case), spread(ratios, 1), wanted])
    slow = [a[0][2] / b[0][1] for a, b in zip(ours, theirs)]
    lines.append(["enqueue one: p99 over FastAPI's p50", "", "", "", "", spread(slow, 2), "at most 1"])
    section(f"HTTP against FastAPI, {CONNECTIONS} connections, {rounds} rounds in turn: median (range)", lines, page)
    return good and statistics.median(slow) <= 1
