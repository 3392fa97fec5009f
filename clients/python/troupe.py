"""A client of Troupe's HTTP API, and a worker: the standard library only, Python 3.9 or later.

    client = Client("http://127.0.0.1:8080")
    job = client.enqueue("resize", {"width": 80}, queue="py")

    worker = Worker(client, queues=["py"], slots=4)

    @worker.handler("resize")
    def resize(run):
        run.progress(50, "half way")
        return {"width": run.args["width"]}

    worker.run()  # until SIGTERM or SIGINT

docs/work.md says what a worker may rely on.
"""
from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import threading
import time
import traceback
import urllib.parse
import uuid
from typing import Any, Callable, Iterable, Mapping, Optional

__all__ = ["Client", "Worker", "Run", "TroupeError", "Unreachable", "Cancelled", "Snooze", "Discard"]

VERSION = "1.0"
FINAL_STATES = frozenset({"completed", "cancelled", "discarded"})
IDLE_SECONDS = 10.0  # the server closes an idle connection after 15 s
OUTCOMES_AT_ONCE = 100
LINES_AT_ONCE = 1_000
PROGRESS_AT_ONCE = 100
LINES_KEPT = 10_000  # not yet sent; further ones are dropped, as the server would


class TroupeError(Exception):
    """An answer that is a problem (RFC 9457). `code` is for programs, `errors` name fields."""

    def __init__(self, status: int, problem: Mapping[str, Any]):
        super().__init__(f"{status} {problem.get('code', '')}: {problem.get('detail', '')}")
        self.status = status
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", ""))
        self.retryable = bool(problem.get("retryable", False))
        self.errors = list(problem.get("errors", []))


class Unreachable(TroupeError):
    """There was no answer. What was asked may have happened."""

    def __init__(self, why: object):
        super().__init__(0, {"code": "unreachable", "detail": str(why), "retryable": True})


class Cancelled(Exception):
    """Raised by Run.check(): the job was cancelled, is another worker's, or its time is over."""


class Snooze(Exception):
    """Raised by a handler: run the same attempt again later. Costs no attempt."""

    def __init__(self, seconds: float):
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


class Discard(Exception):
    """Raised by a handler: failed for good, whatever attempts are left."""


class Client:
    """Asks one server. Any thread may use it; each has a connection of its own."""

    def __init__(self, url: str = "http://127.0.0.1:8080", token: Optional[str] = None, timeout: float = 30.0):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the URL of a server: {url}")
        self._tls = parts.scheme == "https"
        self._server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._token = token if token is not None else os.environ.get("TROUPE_TOKEN")
        self.timeout = timeout
        self._local = threading.local()

    def request(self, method: str, path: str, body: Any = None, *, idempotency_key: Optional[str] = None,
                patience: float = 0.0) -> Any:
        """The answer's JSON, None without a body. Raises TroupeError. `patience` is added to the timeout."""
        headers = {"Accept": "application/json", "User-Agent": f"troupe-python/{VERSION}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        text = None
        if body is not None:
            text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        connection = self._connection(self.timeout + patience)
        try:
            connection.request(method, self._prefix + path, text, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as why:
            self.close()
            raise Unreachable(f"no answer from {self._server}: {str(why) or type(why).__name__}") from why
        self._local.used = time.monotonic()
        if answer.will_close:
            self.close()
        if answer.status >= 400:
            try:
                problem = json.loads(content)
            except ValueError:
                problem = {"detail": content[:200].decode(errors="replace")}
            raise TroupeError(answer.status, problem if isinstance(problem, dict) else {})
        return json.loads(content) if content else None

    def close(self) -> None:
        """Closes this thread's connection; the next request opens another one."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def enqueue(self, kind: str, args: Any = None, *, idempotency_key: Optional[str] = None,
                **fields: Any) -> dict:
        """Puts a job in; `fields` as in POST /api/v1/jobs: queue, priority, max_attempts, timeout_ms, tags,
        run_at, delay_ms, limit_key, retry, unique. Asked again once when there was no answer: with a key,
        so that there is one job."""
        job = {"kind": kind, "args": {} if args is None else args, **fields}
        return self._again("/api/v1/jobs", job, idempotency_key)

    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]], *, idempotency_key: Optional[str] = None) -> list:
        """All or none; their ids in order."""
        return self._again("/api/v1/jobs/bulk", {"jobs": [dict(job) for job in jobs]}, idempotency_key)["ids"]

    def get(self, job: str) -> dict:
        """The job with its attempts."""
        return self.request("GET", f"/api/v1/jobs/{job}")

    def cancel(self, job: str) -> dict:
        return self.request("POST", f"/api/v1/jobs/{job}/cancel", {})

    def wait(self, job: str, timeout: float = 60.0) -> dict:
        """The job once it has ended for good; TimeoutError."""
        until = time.monotonic() + timeout
        pause = 0.02
        while True:
            found = self.get(job)
            if found["state"] in FINAL_STATES:
                return found
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"job {job} is {found['state']} after {timeout} s")
            threading.Event().wait(min(pause, left))
            pause = min(pause * 1.5, 1.0)

    def _again(self, path: str, body: Any, key: Optional[str]) -> Any:
        key = key or uuid.uuid4().hex
        try:
            return self.request("POST", path, body, idempotency_key=key)
        except Unreachable:
            return self.request("POST", path, body, idempotency_key=key)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is not None and time.monotonic() - self._local.used > IDLE_SECONDS:
            self.close()
            connection = None
        if connection is None:
            make = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
            connection = make(self._host, self._port, timeout=timeout)
            self._local.connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection


class Run:
    """One run of one job, as its handler sees it."""

    def __init__(self, worker: "Worker", session: str, job: Mapping[str, Any]):
        self._worker, self._session, self._job = worker, session, job
        self.id: str = job["id"]
        self.kind: str = job["kind"]
        self.queue: str = job["queue"]
        self.args: Any = job["args"]
        self.attempt: int = job["attempt"]
        self.max_attempts: int = job["max_attempts"]
        self.tags: list = job["tags"]
        self.traceparent: str | None = job.get("traceparent")  # W3C Trace Context
        self.cancelled = threading.Event()  #: set when it should stop; what it returns then counts no more
        self.timed_out = False
        self._given_back = False
        limit = job["timeout_ms"]
        self._deadline = time.monotonic() + limit / 1000 if limit is not None else None

    def progress(self, percent: Optional[float] = None, message: str = "") -> None:
        """How far it is; the last word counts. Never waits, never fails."""
        self._worker._tell_progress(self, {**self._key(), "percent": percent, "message": message})

    def log(self, line: str, level: str = "info") -> None:
        """One line of the job's log: debug, info, warn or error. Never waits, never fails."""
        self._worker._tell_line(self, {**self._key(), "line": line, "level": level})

    def check(self) -> None:
        """Raises Cancelled when the run should stop."""
        if self.cancelled.is_set():
            raise Cancelled(f"job {self.id} is to stop")

    def _key(self) -> dict:
        return {"lease": self._job["lease"], "job": self.id, "attempt": self.attempt}


Handler = Callable[[Run], Any]


class Worker:
    """Claims jobs of some queues and runs each on a thread. What a handler returns is the job's result
    (JSON); an exception is a failed attempt, Snooze and Discard are what they say."""

    def __init__(self, client: Client, queues: Iterable[str], handlers: Optional[Mapping[str, Handler]] = None, *,
                 slots: int = 4, name: Optional[str] = None, lease_ms: int = 15_000, grace: float = 30.0,
                 on_error: Callable[[str], None] = lambda text: None):
        self.client, self.queues, self.slots = client, list(queues), slots
        self.handlers: dict = dict(handlers or {})
        self.name = name or re.sub(r"[^A-Za-z0-9._:-]", "-", f"{socket.gethostname()[:80]}-{os.getpid()}")
        self.lease_ms = lease_ms
        self.grace = grace  #: seconds that runs have to end when the worker stops; then they are given back
        self._on_error = on_error
        self._lock = threading.Condition()
        self._session: Optional[str] = None
        self._joining = False  # another life is being begun
        self._heartbeat = 1.0
        self._runs: dict = {}  # session and job -> Run, until its outcome is written
        self._outcomes: list = []
        self._progress: dict = {}
        self._lines: list = []
        self._quiet = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()

    def handler(self, kind: str) -> Callable[[Handler], Handler]:
        """Registers a handler, as a decorator."""
        def register(function: Handler) -> Handler:
            self.handlers[kind] = function
            return function
        return register

    def run(self, signals: bool = True) -> None:
        """Works until stop(). With `signals` SIGTERM and SIGINT stop it (on the main thread only)."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        self._join()
        threads = [threading.Thread(target=body, daemon=True, name=f"troupe-{body.__name__.strip('_')}")
                   for body in (self._claim_all, self._beat_all, self._send_all)]
        for thread in threads:
            thread.start()
        while not self._stopping.wait(0.5):  # short, for signals come between two waits
            pass
        self._end()
        for thread in threads[1:]:  # the first one may be within a long poll, whose answer goes back
            thread.join(5)

    def stop(self) -> None:
        """Takes no more jobs; run() returns when those it has have ended, or after `grace`."""
        self._stopping.set()

    # -- the three loops ----------------------------------------------------------------------------

    def _claim_all(self) -> None:
        pause = _Pause()
        while not self._stopping.is_set():
            with self._lock:
                free = self.slots - len(self._runs)
                if free <= 0 or self._quiet.is_set() or self._session is None:
                    self._lock.wait(0.5)
                    continue
                session = self._session
            try:
                wait = 10_000
                jobs = self._ask("claim", session, queues=self.queues, limit=min(free, 100), wait_ms=wait,
                                 patience=wait / 1000)["jobs"]
                pause.reset()
            except TroupeError as why:
                self._fail(session, why)
                self._stopping.wait(pause.next())
                continue
            for job in jobs:
                if not self._stopping.is_set():  # else they go back when the worker leaves
                    self._start(session, job)

    def _beat_all(self) -> None:
        next_beat = time.monotonic() + self._heartbeat
        while not self._ended.wait(max(0.0, min(0.2, next_beat - time.monotonic()))):
            self._end_late()
            if time.monotonic() < next_beat:
                continue
            next_beat = time.monotonic() + self._heartbeat
            self._beat()

    def _send_all(self) -> None:
        pause = _Pause()
        while True:
            with self._lock:
                if not self._outcomes and not self._progress and not self._lines:
                    if self._ended.is_set():
                        return
                    self._lock.wait(0.5)
                    continue
                sending = self._outcomes[:OUTCOMES_AT_ONCE]
            try:
                self._send_reports()  # first all that these runs said: behind the outcome it is dropped
                self._send_outcomes(sending)
                pause.reset()
            except TroupeError as why:
                self._on_error(f"cannot tell what became of jobs: {why}")
                if self._ended.wait(pause.next()):
                    return

    # -- one step of each ---------------------------------------------------------------------------

    def _join(self) -> None:
        pause = _Pause()
        while not self._stopping.is_set():
            try:
                told = {"name": self.name, "queues": self.queues, "slots": self.slots, "lease_ms": self.lease_ms,
                        "version": f"troupe-python/{VERSION}"}
                if self.handlers:
                    told["kinds"] = sorted(self.handlers)
                joined = self.client.request("POST", "/api/v1/work/join", told)
            except TroupeError as why:
                if not why.retryable:
                    raise
                self._on_error(f"cannot join: {why}")
                self._stopping.wait(pause.next())
                continue
            with self._lock:
                self._session = joined["session"]
                self._heartbeat = joined["heartbeat_ms"] / 1000
                self._lock.notify_all()
            return

    def _beat(self) -> None:
        with self._lock:
            session = self._session
            jobs = [run.id for run in self._runs.values() if run._session == session]
        if session is None:
            return self._rejoin()
        try:
            pulse = self._ask("heartbeat", session, jobs=jobs)
        except TroupeError as why:
            return self._fail(session, why)
        for job in pulse["cancelled"] + pulse["lost"]:
            run = self._runs.get((session, job))
            if run is not None:
                run.cancelled.set()
        if pulse["state"] != "run":
            self._quiet.set()
        if pulse["state"] == "terminate":
            self.stop()

    def _rejoin(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._joining = True
        try:
            self._join()
        except TroupeError as why:
            self._on_error(f"cannot join: {why}")
        finally:
            with self._lock:
                self._joining = False
                self._lock.notify_all()

    def _start(self, session: str, job: Mapping[str, Any]) -> None:
        run = Run(self, session, job)
        with self._lock:
            self._runs[(session, run.id)] = run
        threading.Thread(target=self._run, args=(run,), daemon=True, name=f"troupe-job-{run.id}").start()

    def _run(self, run: Run) -> None:
        outcome = {**run._key(), "outcome": "completed"}
        try:
            if run.kind not in self.handlers:
                raise LookupError(f"this worker has no handler for {run.kind}")
            result = self.handlers[run.kind](run)
            if result is not None:
                json.dumps(result, allow_nan=False)
                outcome["result"] = result
            if run.timed_out:
                raise TimeoutError("it ran longer than its time limit")
        except Snooze as later:
            outcome.update(outcome="snoozed", retry_ms=int(later.seconds * 1000))
        except Discard as why:
            outcome.update(outcome="discarded", error=str(why))
        except BaseException as why:  # pylint: disable=broad-except  # whatever a handler raises is its outcome
            text = "it ran longer than its time limit" if run.timed_out else "".join(
                traceback.format_exception_only(type(why), why)).strip()
            outcome.pop("result", None)
            outcome.update(outcome="failed", error=text)
        with self._lock:
            if not run._given_back:
                self._outcomes.append((run, outcome))
            self._lock.notify_all()

    def _send_reports(self) -> None:
        with self._lock:
            progress = list(self._progress.items())[:PROGRESS_AT_ONCE]
            lines = self._lines[:LINES_AT_ONCE]
            for key, _ in progress:
                del self._progress[key]
            del self._lines[:len(lines)]
        now = time.monotonic()
        for session in {s for s, _ in (key for key, _ in progress)} | {s for s, _, _ in lines}:
            told = {"progress": [said for key, said in progress if key[0] == session],
                    "lines": [{**line, "ago_ms": min(3_600_000, int((now - at) * 1000))}
                              for s, at, line in lines if s == session]}
            try:
                self._ask("report", session, **told)
            except TroupeError as why:  # words are not worth a second try; outcomes are
                self._on_error(f"what runs said is lost: {why}")
        if self._lines or self._progress:
            self._send_reports()

    def _send_outcomes(self, sending: list) -> None:
        if not sending:
            return
        session = sending[0][0]._session
        sending = [one for one in sending if one[0]._session == session]
        try:
            self._finish(session, sending)
        except TroupeError as why:
            if why.status == 410:
                self._fail(session, why)
            elif why.retryable:
                raise
            elif len(sending) > 1:  # one of them made the request a wrong one
                for one in sending:
                    self._send_alone(session, one)
            else:
                self._send_alone(session, sending[0])
        self._forget(sending)

    def _send_alone(self, session: str, one: tuple) -> None:
        """Told by itself; refused, it has failed for that reason."""
        run, outcome = one
        for told in (outcome, {**run._key(), "outcome": "failed", "error": "its outcome was refused"}):
            try:
                return self._finish(session, [(run, told)])
            except TroupeError as why:
                if why.retryable:
                    raise
                self._on_error(f"the outcome of job {run.id} was refused: {why}")

    def _finish(self, session: str, sending: list) -> None:
        results = self._ask("finish", session, outcomes=[outcome for _, outcome in sending])["results"]
        for (run, outcome), result in zip(sending, results):
            if result["status"] == "invalid":
                self._on_error(f"the outcome of job {run.id} was refused: {result['errors']}")
                if outcome["outcome"] != "failed":
                    self._send_alone(session, (run, {**run._key(), "outcome": "failed",
                                                     "error": f"its outcome was refused: {result['errors']}"}))

    def _forget(self, sent: list) -> None:
        with self._lock:
            for one in sent:
                if one in self._outcomes:
                    self._outcomes.remove(one)
                self._runs.pop((one[0]._session, one[0].id), None)
            self._lock.notify_all()

    def _fail(self, session: str, why: TroupeError) -> None:
        """A life that is over takes its runs with it; the next heartbeat begins another one."""
        self._on_error(str(why))
        if why.status != 410:
            return
        with self._lock:
            if self._session == session:
                self._session = None
            for run in self._runs.values():
                if run._session == session:
                    run.cancelled.set()
            self._lock.notify_all()

    def _end_late(self) -> None:
        for run in list(self._runs.values()):
            if run._deadline is not None and time.monotonic() > run._deadline and not run.cancelled.is_set():
                run.timed_out = True
                run.cancelled.set()

    def _end(self) -> None:
        until = time.monotonic() + self.grace
        with self._lock:
            while (self._runs or self._joining) and time.monotonic() < until:
                self._lock.wait(0.2)
            session = self._session
            for run in self._runs.values():
                run._given_back = True
                run.cancelled.set()
            self._outcomes.clear()
        self._ended.set()
        if session is not None:
            try:
                self._ask("leave", session)
            except TroupeError as why:
                self._on_error(f"left without a word: {why}")

    def _tell_progress(self, run: Run, said: dict) -> None:
        with self._lock:
            self._progress[(run._session, run.id)] = said
            self._lock.notify_all()

    def _tell_line(self, run: Run, said: dict) -> None:
        with self._lock:
            if len(self._lines) < LINES_KEPT:
                self._lines.append((run._session, time.monotonic(), said))
            self._lock.notify_all()

    def _ask(self, what: str, session: str, patience: float = 0.0, **fields: Any) -> Any:
        return self.client.request("POST", f"/api/v1/work/{what}", {"session": session, **fields}, patience=patience)


class _Pause:
    """Doubles from 0.1 s to 5 s, spread by half so that workers do not come back together."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def reset(self) -> None:
        self._seconds = 0.0

    def next(self) -> float:
        self._seconds = min(5.0, self._seconds * 2) or 0.1
        return self._seconds * random.uniform(0.5, 1.0)
