"""The server and the nodes of a run, as processes of ours: started, signalled, ended, and nothing
else. The server keeps fsync on, and the moments of commits for the checker.
"""
import json
import os
import select
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path

import psycopg2

from evidence import Process

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN = 180.0  # seconds for a node or a server to come up on a busy machine
pause = threading.Event()  # never set: its wait is a bounded pause


def until(look, what, seconds, every=0.05):
    """The first true value of `look`; an AssertionError that says what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        pause.wait(every)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def clean_environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TROUPE_", "PG"))}
    kept.pop("DATABASE_URL", None)
    return kept


class Server:
    """A PostgreSQL of the run's own, reached by its socket."""

    def __init__(self, folder, log, settings="", clock=None):
        self.folder, self.log = Path(folder), log
        self.clock = clock
        self.eras = [(time.monotonic(), 0.0)]  # of its clock: since when, and so many seconds ahead
        self._script("start")
        with open(self.folder / "data" / "postgresql.conf", "a", encoding="ascii") as file:
            file.write("track_commit_timestamp = on\nmax_connections = 300\n" + settings)
        self.end_server(signal.SIGINT)
        self._script("start")

    url = property(lambda self: f"postgresql://postgres@/postgres?host={self.folder}&port=5432")
    socket = property(lambda self: str(self.folder / ".s.PGSQL.5432"))

    def _script(self, action):
        preloaded = self.clock.environment if self.clock is not None else {}
        subprocess.run([ROOT / "scripts/test-database", action, self.folder], check=True,
                       stdout=subprocess.DEVNULL, timeout=READY_WITHIN, env={**os.environ, **preloaded})

    def step_clock(self, ahead):
        """So far from the machine's."""
        self.eras.append((time.monotonic(), ahead))
        self.clock.step(ahead)
        shown = float(self.ask("select extract(epoch from clock_timestamp())")[0][0])
        assert abs(shown - ahead - time.time()) < 60, f"the server's clock was not stepped by {ahead}: {shown}"

    def connect(self, name="chaos"):
        connection = psycopg2.connect(self.url, connect_timeout=30, application_name=name)
        connection.autocommit = True
        return connection

    def ask(self, sql, *values):
        """Its rows; none of what gives none."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def postmaster(self):
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def runs(self):
        try:
            return Path(f"/proc/{self.postmaster()}").exists()
        except (FileNotFoundError, IndexError):
            return False

    def children(self):
        found, parent = [], self.postmaster()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and parent_of(entry) == parent:
                found.append(int(entry.name))
        return found

    def backends(self):
        """Of clients; the server's own processes have no such rows."""
        return [pid for pid, in self.ask("select pid from pg_stat_activity where backend_type = "
                                         "'client backend' and pid <> pg_backend_pid()")]

    def end_server(self, number):
        pid = self.postmaster()
        send(pid, number)
        until(lambda: not Path(f"/proc/{pid}").exists(), "the server's end", READY_WITHIN)

    def restart(self):
        """Immediate: what a crash leaves is what it starts from."""
        self.end_server(signal.SIGQUIT)
        self._script("start")

    def await_answer(self):
        """Started again when it has given up."""
        def answers():
            if not self.runs():
                self._script("start")
            try:
                return self.ask("select 1")
            except psycopg2.Error:
                return None

        until(answers, "an answer of the server", READY_WITHIN)

    def close(self):
        """Its log stays beside it."""
        for pid in (self.children() if self.runs() else ()):
            send(pid, signal.SIGCONT)
        log = self.folder / "server.log"
        if log.exists():
            shutil.copyfile(log, self.log)
        self._script("stop")


def parent_of(entry):
    try:
        return int((entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


class Node:
    """A `troupe serve` of one name; it may be killed and started again, under another name too."""

    def __init__(self, number, place, program, port, clock=None):
        self.number, self.place, self.program, self.port = number, place, program, port
        self.clock = clock
        self.generation = 0
        self.process = None
        self.url = None
        self.began = None
        self.processes = []  # those that have ended
        self.lock = threading.Lock()

    # What it is called, and where its handlers leave their lines.
    name = property(lambda self: f"n{self.number}" + (f".{self.generation}" if self.generation else ""))
    data = property(lambda self: self.place / f"node{self.number}")
    effects = property(lambda self: self.data / "effects")

    def start(self):
        self.data.mkdir(exist_ok=True)
        self.began = time.monotonic()
        preloaded = self.clock.environment if self.clock is not None else {}
        with open(self.place / f"node{self.number}.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--listen", "127.0.0.1:0", "--node", self.name,
                 "--data-dir", self.data, "--test-kinds", "--stuck-after", "1", "--grace", "1",
                 "--queue", "sql:0", "--database",
                 f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable&gssencmode=disable"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**clean_environment(), **preloaded})
        self.url = self._ready().split()[2]

    def _ready(self):
        deadline = time.monotonic() + READY_WITHIN
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"{self.name} is not ready within {READY_WITHIN:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 256)
            if not piece:
                raise AssertionError(f"{self.name} ended with {self.process.wait(10)} before it was ready")
            line += piece
        return line.decode()

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        send(self.process.pid, signal.SIGKILL)

    def end(self, seconds=120.0):
        """Waits for the process's end, whoever asked for it; its exit status."""
        self.url = None
        status = self.process.wait(seconds)
        self.process.stdout.close()
        self.processes.append(Process(self.process.pid, self.name, self.began, time.monotonic()))
        return status

    def end_now(self):
        if self.runs():
            send(self.process.pid, signal.SIGCONT)
            self.kill()
            self.end()

    def seconds_ahead(self):
        """Of its clock, against the machine's; by the answers' Date, which has whole seconds."""
        with urllib.request.urlopen(self.url + "/livez", timeout=30) as answer:
            return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()

    def ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)


def migrate(program, server):
    subprocess.run([program, "migrate", "--database", server.url], check=True, timeout=READY_WITHIN,
                   stdout=subprocess.DEVNULL, env=clean_environment())
