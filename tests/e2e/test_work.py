"""Workers by HTTP against a running node: the clients in Python and TypeScript, and docs/work.md."""
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node import PROGRAM, Node, Workspace, clean_environment, lasting_address, until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python"))
from troupe import Client, TroupeError, Worker  # noqa: E402  pylint: disable=wrong-import-position

NODE_JS = shutil.which("node")
EXAMPLES = {"python": ["/usr/bin/python3", ROOT / "clients/python/examples/worker.py"],
            "typescript": [NODE_JS, ROOT / "clients/typescript/examples/worker.mjs"]}
PROGRAMS = {**EXAMPLES, "gated": ["/usr/bin/python3", ROOT / "tests/e2e/gated_worker.py"]}
QUEUES = ("py", "ts", "raw", "waits", "mail")
LEASE_MS = 120_000  # so that no worker loses its jobs to a slow machine
SHORTEST_LEASE_MS = 5_000


@pytest.fixture(scope="module")
def node():
    """It leaves the workers' queues to them."""
    with Workspace() as place:
        left = [part for queue in QUEUES for part in ("--queue", f"{queue}:0")]
        running = Node(place, "--grace", "1", *left).start()
        yield running
        assert running.stop() == 0


@pytest.fixture(params=EXAMPLES)
def language(request):
    assert EXAMPLES[request.param][0] is not None, "there is no node.js here; scripts/bootstrap installs it"
    return request.param


class Program:
    """An example's worker as a process."""

    def __init__(self, node, language, queue, **environment):
        self.queue = queue
        log = open(node.place.log(language), "wb")
        with log:
            self.process = subprocess.Popen(
                [*map(str, PROGRAMS[language]), queue], stdout=log, stderr=log,
                env=clean_environment(**{"TROUPE_URL": node.url, "LEASE_MS": str(LEASE_MS), **environment}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(120)

    def stop(self, seconds=120):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def queue_of(language):
    return {"python": "py", "typescript": "ts"}[language]


def outcomes(job):
    return [one["outcome"] for one in job["attempts"]]


def lives(node, name):
    return node.ask("GET", f"/api/v1/nodes/{name}").json


def test_a_worker_runs_what_it_is_for(node, language):
    client = Client(node.url)
    queue = queue_of(language)
    again = {"policy": "fixed", "delay_ms": 10}
    words = client.enqueue("words", {"text": "to be or not"}, queue=queue)["id"]
    many = client.enqueue_many([{"kind": "words", "args": {"text": "a " * n}, "queue": queue} for n in range(150)])
    flaky = client.enqueue("flaky", queue=queue, max_attempts=3, retry=again)["id"]
    unknown = client.enqueue("xyzzy", queue=queue, max_attempts=1)["id"]
    later = client.enqueue("later", {"discard": False}, queue=queue)["id"]
    never = client.enqueue("later", {"discard": True}, queue=queue)["id"]
    late = client.enqueue("careful", queue=queue, timeout_ms=300, max_attempts=1)["id"]
    with Program(node, language, queue) as worker:
        done = client.wait(words)
        assert done["attempts"][0]["result"]["words"] == 4 and done["progress"]["message"] == "counted"
        name = done["attempts"][0]["node"]
        lines = node.ask("GET", f"/api/v1/jobs/{words}/logs").json["lines"]
        assert [line["text"] for line in lines] == ["counting, attempt 1"]
        tried = client.wait(flaky)
        assert tried["state"] == "completed" and outcomes(tried) == ["failed", "failed", "completed"]
        assert "attempt 1 fails" in tried["attempts"][0]["error"]
        assert "no handler" in client.wait(unknown)["attempts"][0]["error"]
        assert client.wait(never)["attempts"][0]["error"] == "never again"
        assert "time limit" in client.wait(late)["attempts"][0]["error"]
        assert node.await_state(later, "scheduled")["attempts"] == []
        assert [client.wait(job)["attempts"][0]["result"]["words"] for job in many] == list(range(150))
        assert lives(node, name)["state"] == "alive" and "words" in lives(node, name)["kinds"]
        assert worker.stop() == 0
    assert lives(node, name)["state"] == "left"


def test_what_the_client_in_typescript_promises_holds_against_a_node(node):
    done = subprocess.run([NODE_JS, "--test", "--test-reporter=tap", ROOT / "clients/typescript/troupe.test.mjs"], capture_output=True, text=True,
                          timeout=120, env=clean_environment(TROUPE_URL=node.url), check=False)
    assert done.returncode == 0 and "# skipped 0" in done.stdout, done.stdout + done.stderr


def test_a_worker_that_stops_while_it_begins_another_life_leaves_that_one():
    ending = threading.Event()

    class Watched(Worker):
        def _end(self):
            ending.set()
            super()._end()

    class Scripted(http.server.BaseHTTPRequestHandler):
        asked, worker = [], None

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            what = self.path.rsplit("/", 1)[1]
            self.asked.append((what, body.get("session")))
            joins = sum(one == "join" for one, _ in self.asked)
            if what == "join" and joins == 2:
                self.worker.stop()
                assert ending.wait(60)  # it is answered after the worker has seen that it is to stop
            answers = {"join": (201, {"session": f"s{joins}", "heartbeat_ms": 20}), "leave": (200, {}), "claim": (200, {"jobs": []})}
            status, told = answers.get(what, (410, {"code": "worker_gone"}))
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Scripted.worker = Watched(Client(f"http://127.0.0.1:{server.server_port}"), queues=["q"], grace=120)
        Scripted.worker.run(signals=False)
        server.shutdown()
    assert [session for what, session in Scripted.asked if what == "leave"] == ["s2"], Scripted.asked


def test_a_cancel_reaches_the_run(node, language):
    client = Client(node.url)
    queue = queue_of(language)
    with Program(node, language, queue) as worker:
        job = client.enqueue("careful", queue=queue)["id"]
        until(lambda: client.get(job).get("progress"), "the run's first word")
        assert client.cancel(job)["state"] == "cancelled"
        # The slot is free again: all four are used by these, and end only when their cancels arrive.
        others = client.enqueue_many([{"kind": "careful", "queue": queue}] * 4)
        until(lambda: all(client.get(one).get("progress") for one in others), "four runs")
        for one in others:
            client.cancel(one)
        assert client.wait(client.enqueue("words", {"text": "a"}, queue=queue)["id"])["state"] == "completed"
        assert outcomes(client.get(job)) == ["cancelled"]
        assert worker.stop() == 0


def test_a_stopped_worker_gives_back_what_does_not_end(node, language):
    client = Client(node.url)
    queue = queue_of(language)
    with Program(node, language, queue, GRACE="0.2") as worker:
        job = client.enqueue("careful", queue=queue)["id"]
        until(lambda: client.get(job).get("progress"), "the run's first word")
        assert worker.stop() == 0
    back = node.await_state(job, "available")
    assert back["attempts"] == []  # it has cost nothing
    client.cancel(job)


def test_of_a_killed_worker_another_one_takes_over(node, language):
    client = Client(node.url)
    queue = queue_of(language)
    with Program(node, language, queue, LEASE_MS=str(SHORTEST_LEASE_MS)) as killed:
        job = client.enqueue("careful", queue=queue)["id"]
        until(lambda: client.get(job).get("progress"), "the run's first word")
        killed.process.kill()
        killed.process.wait(120)
        session = join(client, "heir", queue)
        (taken,) = until(lambda: claim(client, session, queue, wait_ms=20_000), "it is taken back")
        # On a slow machine the killed one may have lost it before, and have begun it again.
        assert taken["id"] == job and taken["attempt"] >= 2
        end(client, session, taken, outcome="completed", result={"by": "heir"})
    assert outcomes(client.get(job)) == ["lost"] * (taken["attempt"] - 1) + ["completed"]


def end(client, session, job, status="done", **outcome):
    told = {"lease": job["lease"], "job": job["id"], "attempt": job["attempt"], **outcome}
    results = client.request("POST", "/api/v1/work/finish", {"session": session, "outcomes": [told]})["results"]
    assert [one["status"] for one in results] == [status]


def join(client, name, queue="raw", lease_ms=LEASE_MS):
    return client.request("POST", "/api/v1/work/join", {"name": name, "queues": [queue], "lease_ms": lease_ms})["session"]


def claim(client, session, queue="raw", wait_ms=0):
    return client.request("POST", "/api/v1/work/claim", {"session": session, "queues": [queue], "wait_ms": wait_ms},
                          patience=wait_ms / 1000)["jobs"]


def test_who_was_silent_for_too_long_changes_nothing_any_more(node):
    client = Client(node.url)
    job = client.enqueue("any", queue="raw")["id"]

    def first_claim():
        """A session that has the job; its lease may be over before it asks."""
        session = join(client, "silent", lease_ms=SHORTEST_LEASE_MS)
        with contextlib.suppress(TroupeError):
            return [(session, one) for one in claim(client, session)]

    ((silent, held),) = until(first_claim, "the silent one has it")
    other = join(client, "other")
    (taken,) = until(lambda: claim(client, other, wait_ms=20_000), "it is taken back")
    assert taken["id"] == job and taken["attempt"] == held["attempt"] + 1
    for path, more in (("finish", {"outcomes": [{"lease": held["lease"], "job": job, "attempt": held["attempt"],
                                                 "outcome": "completed"}]}),
                       ("heartbeat", {}), ("claim", {"queues": ["raw"]})):
        with pytest.raises(TroupeError) as refused:
            client.request("POST", f"/api/v1/work/{path}", {"session": silent, **more})
        assert (refused.value.status, refused.value.code) == (410, "worker_gone")
    end(client, join(client, "silent"), held, status="fenced", outcome="completed")
    end(client, other, taken, outcome="completed", result={"n": 1})
    end(client, other, taken, outcome="completed", result={"n": 1})  # whose answer was lost
    end(client, other, taken, status="fenced", outcome="failed", error="no")
    assert outcomes(client.get(job)) == ["lost"] * held["attempt"] + ["completed"]


def statements(node, name):
    text = node.ask("GET", "/metrics").body.decode()
    found = re.findall(rf'^troupe_db_statement_seconds_count{{statement="{name}"}} (\d+)', text, re.M)
    return int(found[0]) if found else 0


def test_claims_that_wait_cost_nothing_and_end_with_the_first_job(node):
    client = Client(node.url)
    sessions = [join(client, f"waits-{n}", "waits") for n in range(3)]
    got = {}

    def wait(n, ms):
        got[n] = claim(Client(node.url), sessions[n], "waits", ms)

    before = statements(node, "work_claim")
    waiting = [threading.Thread(target=wait, args=(n, ms)) for n, ms in enumerate((30_000, 30_000, 2_500))]
    for one in waiting:
        one.start()
    until(lambda: statements(node, "work_claim") >= before + 3, "three looks")
    waiting[2].join()  # 2.5 s, in which nothing came
    assert got.pop(2) == [] and statements(node, "work_claim") == before + 3
    job = client.enqueue("any", queue="waits")["id"]
    until(lambda: got, "the job")
    assert [one["id"] for one in next(iter(got.values()))] == [job]
    node.ask("POST", "/api/v1/queues/waits/pause", {})
    client.enqueue("any", queue="waits")
    assert len(got) == 1
    node.ask("POST", "/api/v1/queues/waits/resume", {})
    for one in waiting:
        one.join()
    assert all(len(jobs) == 1 for jobs in got.values()) and len(got) == 2


def test_kinds_are_judged_where_they_are_run(node):
    assert node.ask("POST", "/api/v1/jobs", {"kind": "xyzzy"}).json["errors"][0]["pointer"] == "/kind"
    made = node.ask("POST", "/api/v1/jobs/bulk?mode=per_item",
                    {"jobs": [{"kind": "xyzzy", "queue": "raw", "delay_ms": 3_600_000}, {"kind": "xyzzy"}]}).json
    assert [one["status"] for one in made["results"]] == [201, 400]


def test_an_operator_ends_a_worker(node):
    client = Client(node.url)
    worker = Worker(client, ["py"], {"words": lambda run: None}, name="to-be-ended", lease_ms=LEASE_MS)
    working = threading.Thread(target=worker.run, kwargs={"signals": False})
    working.start()
    born = until(lambda: lives(node, "to-be-ended").get("id"), "its life")
    assert node.ask("POST", f"/api/v1/work/workers/{born}/terminate").status == 204
    working.join(120)
    assert not working.is_alive() and lives(node, "to-be-ended")["state"] == "left"


def test_where_tokens_are_required_a_worker_is_bound_to_its_own(workspace):
    guarded = Node(workspace, "--grace", "1", "--queue", "py:0", "--require-tokens").start()
    admin = Client(guarded.url, (workspace.data / "token").read_text().strip())

    def token(role, *queues):
        named = {"queues": list(queues)} if queues else {}
        return Client(guarded.url, admin.request("POST", "/api/v1/tokens", {"name": "t", "role": role, **named})["secret"])

    mine, other, viewer = token("worker", "py"), token("worker"), token("viewer")
    job = admin.enqueue("any", queue="py")["id"]
    session = join(mine, "mine", "py")
    for client, code in ((viewer, "role_not_enough"), (other, "worker_gone")):
        with pytest.raises(TroupeError) as refused:
            claim(client, session, "py")
        assert refused.value.code == code
    with pytest.raises(TroupeError) as refused:
        join(mine, "mine", "raw")
    assert refused.value.code == "queue_not_allowed"
    (held,) = claim(mine, session, "py")
    end(mine, session, held, outcome="completed")
    assert admin.get(job)["state"] == "completed"
    assert guarded.stop() == 0


def test_a_worker_goes_on_over_the_drain_and_the_restart_of_its_node(workspace):
    """Twice: while the node drains, for a job of its own, and while it is away."""
    gate = workspace.root / "gate"
    gate.mkdir()
    running = Node(workspace, "--grace", "120", "--queue", "py:0", "--queue", "raw:0")
    running.listen = lasting_address()
    running.start()
    client = Client(running.url)

    def put(*names):
        return client.enqueue_many([{"kind": "gated", "args": {"gate": name}, "queue": "py", "max_attempts": 1} for name in names])

    def runs(job):
        return client.get(job).get("progress")

    with Program(running, "gated", "py", GATE=str(gate), LEASE_MS="600000") as worker:
        (gate / "open").touch()
        jobs = put("open")
        life = lives(running, client.wait(jobs[0])["attempts"][0]["node"])
        for turn in ("a", "b"):
            own = client.enqueue("sleep", {"ms": 600_000})["id"]
            during, away, after, waits = put(*(f"{turn}-{name}" for name in ("during", "away", "after", "waits")))
            jobs += [during, away, after, waits]
            until(lambda: all(map(runs, (during, away, after, waits))), "four runs")  # pylint: disable=cell-var-from-loop
            behind = put(*["open"] * 20)  # lanes are not one order: only now is no slot free for any of these
            jobs += behind
            running.await_state(own, "running")
            session = join(client, f"other-{turn}", "raw", 120_000)
            running.signal(signal.SIGTERM)
            with pytest.raises(TroupeError) as refused:
                until(lambda: claim(client, session), "a claim is refused")  # pylint: disable=cell-var-from-loop
            assert (refused.value.status, refused.value.code) == (503, "stopping")
            (gate / f"{turn}-during").touch()
            assert client.wait(during)["state"] == "completed", "what ends while it drains is told"
            assert all(client.get(one)["state"] == "available" for one in behind)
            running.sql(f"select troupe.cancel({own})")
            assert running.end() == 0
            (gate / f"{turn}-away").touch()
            running.start()
            client.close()
            assert client.wait(away)["state"] == "completed", "what ended while it was away is told"
            (gate / f"{turn}-after").touch()
            (gate / f"{turn}-waits").touch()
            assert all(client.wait(one)["state"] == "completed" for one in jobs)
        for job in jobs:
            told = client.get(job)
            assert outcomes(told) == ["completed"] and told["attempts"][0]["node"] == life["name"], told
        assert lives(running, life["name"])["id"] == life["id"], "it is one life"
        assert worker.stop() == 0
    assert running.stop() == 0


def test_the_commands_of_the_page_run_as_written(node):
    page = (ROOT / "docs/work.md").read_text()
    script = "".join(re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S))
    assert "build/release/troupe dev --queue mail:0\n" in script
    script = script.replace("build/release/troupe dev --queue mail:0\n", "")
    done = subprocess.run(["bash", "-exuo", "pipefail", "-c", script.replace("http://127.0.0.1:8080", node.url)],
                          capture_output=True, text=True, timeout=120, cwd=ROOT,
                          env=clean_environment(PATH=f"{Path(PROGRAM).resolve().parent}:{os.environ['PATH']}"), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_of_the_page_works(node):
    page = (ROOT / "docs/work.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    scope = {"__name__": "page"}
    exec(compile(source.replace("http://127.0.0.1:8080", node.url), "work.md", "exec"), scope)  # pylint: disable=exec-used
    worker = scope["worker"]
    working = threading.Thread(target=worker.run, kwargs={"signals": False})
    working.start()
    client = Client(node.url)
    job = client.wait(client.enqueue("resize", {"width": 80}, queue="mail")["id"])
    worker.stop()
    working.join(120)
    assert job["attempts"][0]["result"] == {"width": 80}
