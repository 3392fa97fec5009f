"""A Troupe node as a process, and HTTP to it. Every wait has a deadline and a reason; the deadlines are for machines that
are slow, and only end what would not end."""
import http.client
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PROGRAM = os.environ.get("TROUPE_BIN", "troupe")
# What a node is started with: a database that is slow for seconds, as on a busy disk, is no failure in these tests.
PATIENT = {"TROUPE_ACQUIRE_TIMEOUT": "30s", "TROUPE_STATEMENT_TIMEOUT": "60s"}
_pause = threading.Event()  # never set: its wait is a bounded pause between two looks


def until(look, what, seconds=60.0, every=0.02):
    """The first true value that `look` gives; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        _pause.wait(every)


def fitting(look, fits, what, seconds=60.0):
    """The first value of `look` that fits. For what a stalled machine may make untrue for a while: a node without a
    heartbeat for 4 s is not alive, a slow look makes a check degraded."""
    deadline = time.monotonic() + seconds
    while not fits(value := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last was {value}"
        _pause.wait(0.1)
    return value


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TROUPE_", "PG"))}
    kept.pop("DATABASE_URL", None)
    kept.update(more)
    return kept


class Workspace:
    """A directory that PostgreSQL's user can enter, with a data directory to be made in it. It owns
    the processes started in it: whatever a test leaves running ends with it."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="trp", dir="/tmp"))
        self.root.chmod(0o755)
        self.data = self.root / "d"
        self._logs = []
        self._processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, *arguments, **more):
        """Starts the program; more is for Popen."""
        process = subprocess.Popen([PROGRAM, *map(str, arguments)],
                                   **{"env": clean_environment(), **more})
        self._processes.append(process)
        return process

    def log(self, name):
        path = self.root / f"{name}{len(self._logs)}.log"
        self._logs.append(path)
        return path

    def tail_of_logs(self):
        return "\n".join(f"-- {p.name}\n{p.read_text(errors='replace')[-20000:]}"
                         for p in self._logs if p.exists())

    def postmaster(self):
        """The private PostgreSQL's process id, or None."""
        try:
            return int((self.data / "pgdata" / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def close(self):
        for process in self._processes:
            end_process(process)
        self._end_servers()
        shutil.rmtree(self.root, ignore_errors=True)

    def _end_servers(self):
        """Ends the server that a killed program left running, and what a killed server left."""
        impatient = time.monotonic() + 10

        def gone():
            left = self._servers()
            for pid in left:
                send(pid, signal.SIGQUIT if time.monotonic() < impatient else signal.SIGKILL)
                send(pid, signal.SIGCONT)
            return not left

        until(gone, "the server's end", 180, every=0.1)

    def _servers(self):
        """Processes that work in a cluster of ours."""
        return [int(entry.name) for entry in Path("/proc").iterdir()
                if entry.name.isdigit() and self.root in working_directory(entry).parents]


def end_process(process):
    """SIGTERM, then SIGKILL; nothing when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def working_directory(entry):
    try:
        return Path(os.readlink(entry / "cwd"))
    except OSError:  # it has ended, or is somebody else's
        return Path("/")


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def lasting_address():
    """With a free port that the kernel gives to nobody who wants just any: it is free, too, when a node begins again."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [port for port in range(10_000, 65_536) if not low <= port <= high] or range(10_000, 65_536)
    while True:
        address = ("127.0.0.1", random.choice(ports))
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(address)
                return f"{address[0]}:{address[1]}"
            except OSError:
                pass


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Node:
    """`troupe dev` in a workspace."""
    patience = PATIENT

    def __init__(self, place, *arguments):
        self.place = place
        self.arguments = arguments
        self.process = None
        self.url = None
        self.listen = "127.0.0.1:0"

    def start(self):
        log = open(self.place.log("node"), "wb")
        with log:
            self.process = self.place.start(
                "dev", "--listen", self.listen, "--data-dir", self.place.data, *self.arguments,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=clean_environment(**self.patience))
        line = first_line(self.process, 180)
        assert line.startswith("troupe ready http://127.0.0.1:"), line
        self.url = line.split()[2]
        self.host, self.port = self.url[len("http://"):].split(":")
        return self

    def connection(self, timeout=60):
        return http.client.HTTPConnection(self.host, int(self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=60):
        connection = self.connection(timeout)
        try:
            return ask_over(connection, method, path, body, headers)
        finally:
            connection.close()

    def create(self, kind, **fields):
        answer = self.ask("POST", "/api/v1/jobs", {"kind": kind, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    def job(self, job_id):
        answer = self.ask("GET", f"/api/v1/jobs/{job_id}")
        assert answer.status == 200, answer.body
        return answer.json

    def await_state(self, job_id, *states, seconds=60.0):
        def look():
            job = self.job(job_id)
            return job if job["state"] in states else None

        return until(look, f"job {job_id} is {' or '.join(states)}", seconds)

    def sql(self, text):
        """At its private server; what it gives, as psql shows it."""
        url = f"postgresql://postgres@/troupe?host={self.place.data}/pg&port=5432"
        return subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", url, "-c", text], check=True, capture_output=True,
                              text=True, timeout=120, env=clean_environment()).stdout.strip()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self, seconds=90):
        status = self.process.wait(seconds)
        self.process.stdout.close()
        return status

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.end()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.end()


def ask_over(connection, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if time.monotonic() - getattr(connection, "used", float("inf")) > 10:
        connection.close()  # it opens itself again; the server closes one that is idle for 15 s
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.used = time.monotonic()
    return answer


def first_line(process, seconds):
    """The process's first line of output; fails when it ends or is silent."""
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        assert left > 0, f"no line within {seconds} s, only {line!r}"
        if select.select([process.stdout], [], [], left)[0]:
            piece = os.read(process.stdout.fileno(), 1)
            assert piece, f"the program ended with {process.wait(10)} before it was ready"
            line += piece
    return line.decode().rstrip("\n")


def run(*arguments, seconds=120, text=None, **environment):
    """Runs the program to its end."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          input=text, timeout=seconds, env=clean_environment(**environment),
                          check=False)
