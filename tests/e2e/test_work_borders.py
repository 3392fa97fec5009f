"""The bounds of docs/api.md and docs/work.md at one less, exactly and one more, on a running node: lists in bodies, pages, and
what workers say. Bounds of single numbers and texts are in test_openapi, those of heads, bodies and args in test_borders."""
import select

import pytest

from node import Node, Workspace
from test_borders import Socket, around, percent
from test_work import claim, end, join

HOUR = 3_600_000
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def node():
    """It leaves the workers' queues to them."""
    with Workspace() as place:
        left = [part for queue in ("raw", "big", "waits") for part in ("--queue", f"{queue}:0")]
        running = Node(place, "--grace", "1", *left).start()
        yield running
        assert running.stop() == 0


class Asker:
    """Speaks as one worker."""

    def __init__(self, node, queue="raw"):
        self.node, self.queue = node, queue
        self.session = self.request("POST", "/api/v1/work/join", {"name": "w", "queues": [queue], "lease_ms": 600_000})["session"]

    def request(self, method, path, body, patience=0):
        answer = self.node.ask(method, path, body, timeout=120 + patience)
        assert answer.status < 300, answer.body[:2000]
        return answer.json

    def ask(self, what, **fields):
        return self.node.ask("POST", f"/api/v1/work/{what}", {"session": self.session, **fields})

    def run(self):
        """A job that it has."""
        self.node.create("any", queue=self.queue)
        (job,) = claim(self, self.session, self.queue)
        return {"lease": job["lease"], "job": job["id"], "attempt": job["attempt"]}


def ids(count):
    return [str(2**62 + n) for n in range(count)]


def names(count):
    return [f"n{n}" for n in range(count)]


def test_lists_in_bodies_are_taken_up_to_their_bounds(node):
    worker = Asker(node)
    late = {"kind": "noop", "queue": "late", "delay_ms": HOUR}
    run = {"lease": "1", "job": "1", "attempt": 1}

    def unique(**rule):
        return {**late, "unique": rule}

    # Path, body of n, bound, what is answered when it is taken; with less than one: whether none is taken as well.
    lists = [
        ("jobs/bulk", lambda n: {"jobs": [late] * n}, 10_000, 201, False),
        ("jobs/bulk?mode=per_item", lambda n: {"jobs": [late] * n}, 10_000, 200, False),
        ("bulk", lambda n: {"action": "cancel", "dry_run": True, "ids": ids(n)}, 10_000, 200, False),
        ("jobs", lambda n: {**late, "tags": names(n)}, 32, 201, True),
        ("jobs", lambda n: {**late, "retry": {"policy": "list", "delays_ms": [1] * n}}, 32, 201, False),
        ("jobs", lambda n: unique(args=names(n), on_conflict="existing"), 32, (201, 200), False),
        ("tokens", lambda n: {"name": "t", "role": "viewer", "queues": names(n)}, 100, 201, False),
        ("work/join", lambda n: {"name": "w", "queues": names(n)}, 16, 201, False),
        ("work/join", lambda n: {"name": "w", "queues": ["raw"], "kinds": names(n)}, 1_000, 201, False),
        ("work/claim", lambda n: {"session": worker.session, "queues": ["raw", *names(n - 1)][:n]}, 16, (200, 400), False),
        ("work/heartbeat", lambda n: {"session": worker.session, "jobs": ids(n)}, 10_000, 200, True),
        ("work/report", lambda n: {"session": worker.session, "lines": [{**run, "line": "a"}] * n}, 1_000, 200, True),
        ("work/report", lambda n: {"session": worker.session, "progress": [{**run, "percent": 1}] * n}, 100, 200, True),
        ("work/finish", lambda n: {"session": worker.session, "outcomes": [{**run, "job": one, "outcome": "completed"} for one in ids(n)]},
         100, 200, False)]
    for path, body, bound, taken, none in lists:
        for count in (0, *around(bound)):
            answer = node.ask("POST", f"/api/v1/{path}", body(count))
            fits = count <= bound and (count > 0 or none)
            expected = taken if isinstance(taken, tuple) else (taken,)
            what = f"{path} with {count} of {bound}: {answer.status} {answer.body[:300]}"
            assert answer.status in expected if fits else answer.status == 400, what
            if not fits or answer.status == 400:
                assert answer.json["code"] == "invalid_argument", what
                # A queue that the worker has not joined for is no fault of the body.
                assert answer.json["errors"] or fits and path == "work/claim", what


def test_names_are_taken_up_to_128_characters_wherever_they_stand(node):
    for length in around(128):
        name, taken = "n" * length, length <= 128
        assert node.ask("POST", "/api/v1/jobs", {"kind": "noop", "queue": name}).status == (201 if taken else 400)
        assert node.ask("PATCH", f"/api/v1/queues/{name}?create=true", {"concurrency": 1}).status == (200 if taken else 404)
        assert node.ask("GET", f"/api/v1/queues/{name}").status == (200 if taken else 404)
        for target in (f"jobs?queue={name}", f"jobs?kind={name}", f"jobs/counts?queue={name}", f"exports?queue={name}", f"queues?after={name}"):
            assert node.ask("GET", f"/api/v1/{target}").status == (200 if taken else 400), target
        assert node.ask("POST", "/api/v1/work/join", {"name": name, "queues": [name]}).status == (201 if taken else 400)
        assert node.ask("GET", f"/api/v1/nodes/{name}").status == (200 if taken else 404)
        assert node.ask("POST", "/api/v1/tokens", {"name": name, "role": "viewer"}).status == (201 if taken else 400)
        told = node.ask("GET", "/livez", headers={"X-Request-Id": name}).headers["X-Request-Id"]
        assert (told == name) == taken


def test_pages_have_as_many_as_they_may_and_no_more(node):
    jobs = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop", "queue": "page", "delay_ms": HOUR}] * 502}).json["ids"][::-1]
    worker = Asker(node)
    run = worker.run()
    assert worker.ask("report", lines=[{**run, "line": str(n)} for n in range(1_000)]).status == 200
    assert worker.ask("report", lines=[{**run, "line": "more"}] * 2).status == 200
    for path, member, bound in (("jobs?queue=page&", "jobs", 500), (f"jobs/{run['job']}/logs?", "lines", 1_000)):
        for count in around(bound):
            answer = node.ask("GET", f"/api/v1/{path}limit={count}")
            if count > bound:
                assert answer.status == 400 and f"limit: must be an integer from 1 to {bound}" in answer.json["detail"]
            else:
                assert answer.status == 200 and len(answer.json[member]) == count and answer.json["next"] is not None
    assert [job["id"] for job in node.ask("GET", "/api/v1/jobs?queue=page&limit=500").json["jobs"]] == jobs[:500]
    for path, bound in (("queues", 500), ("jobs/counts", 500), ("nodes", 500), ("tokens", 500), ("audit", 500), ("bulk", 100), ("exports", 100)):
        for count in (0, 1, *around(bound)):
            assert node.ask("GET", f"/api/v1/{path}?limit={count}").status == (200 if 1 <= count <= bound else 400), (path, count)
    for name in ("job", "queue"):
        for count in around(100):
            named = percent(",".join(ids(count) if name == "job" else names(count)))
            with Socket(node) as end_:
                end_.send(f"GET /api/v1/events?{name}={named} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                status = int(end_.socket.recv(100).split(b" ")[1])
            assert status == (400 if count > 100 else 404 if name == "job" else 200), (name, count)


def test_what_a_run_says_is_kept_up_to_its_bounds_and_cut_or_refused_beyond(node):
    worker = Asker(node)
    for size in around(1_000):
        run = worker.run()
        assert worker.ask("report", progress=[{**run, "message": "m" * size}]).json["fenced"] == []
        assert node.job(run["job"])["progress"]["message"] == "m" * min(size, 1_000)
    run = worker.run()
    sizes = around(8 * 1024)
    assert worker.ask("report", lines=[{**run, "line": "l" * size} for size in sizes]).json == {"fenced": [], "dropped": 0}
    lines = node.ask("GET", f"/api/v1/jobs/{run['job']}/logs").json["lines"]
    assert [len(line["text"]) for line in lines] == [min(size, 8 * 1024) for size in sizes]
    for size in around(16 * 1024):
        run = worker.run()
        told = worker.ask("finish", outcomes=[{**run, "outcome": "discarded", "error": "e" * size}]).json["results"]
        assert told[0]["status"] == "done"
        assert node.job(run["job"])["attempts"][0]["error"] == "e" * min(size, 16 * 1024)
    for size in around(MIB):
        run = worker.run()
        answer = worker.ask("finish", outcomes=[{**run, "outcome": "completed", "result": "r" * (size - 2)}])
        assert answer.status == (400 if size > MIB else 200), answer.body[:300]
        if size <= MIB:
            assert len(node.job(run["job"])["attempts"][0]["result"]) == size - 2


def test_of_one_attempt_ten_thousand_lines_and_a_mebibyte_are_kept(node):
    worker = Asker(node)
    many, long = worker.run(), worker.run()
    for sent, dropped in ((1_000, 0),) * 9 + ((999, 0), (1, 0), (1, 1)):
        assert worker.ask("report", lines=[{**many, "line": "a"}] * sent).json["dropped"] == dropped
    for sent, size, dropped in ((127, 8 * 1024, 0), (1, 8 * 1024 - 1, 0), (1, 1, 0), (1, 1, 1)):
        assert worker.ask("report", lines=[{**long, "line": "a" * size}] * sent).json["dropped"] == dropped


def test_a_claim_gives_as_many_as_it_may(node):
    worker = Asker(node, "big")
    node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "any", "queue": "big"}] * 101})
    assert [worker.ask("claim", queues=["big"], limit=limit).status for limit in (0, 101)] == [400, 400]
    assert worker.ask("claim", queues=["big"], wait_ms=30_001).status == 400
    given = []
    while jobs := worker.ask("claim", queues=["big"], limit=100).json["jobs"]:
        given += jobs  # a batch comes from one lane
    assert len({job["id"] for job in given}) == len(given) == 101
    for job in given:
        end(worker, worker.session, job, outcome="completed")

    args = "x" * (MIB - 2)
    for _ in range(2):
        node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "any", "queue": "big", "args": args}] * 10})
    given = worker.ask("claim", queues=["big"], limit=100)
    assert given.status == 200 and len(given.body) < 17 * MIB and len(given.json["jobs"]) <= 16
    rest = len(given.json["jobs"])
    while jobs := worker.ask("claim", queues=["big"], limit=100, wait_ms=1_000).json["jobs"]:
        assert len(jobs) <= 16
        rest += len(jobs)
    assert rest == 20


def test_at_one_node_512_claims_wait_and_one_more_is_told_so(node):
    session = join(Asker(node), "patient", "waits", 600_000)
    body = f'{{"session":"{session}","queues":["waits"],"wait_ms":30000}}'
    request = (f"POST /api/v1/work/claim HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    waiting = [Socket(node) for _ in range(513)]
    try:
        for one in waiting:
            one.send(request)
        by_number = {one.socket.fileno(): one for one in waiting}
        (first, *more), _, _ = select.select(list(by_number), [], [], 20)
        status, head = by_number[first].answer()
        assert not more and status == 503 and b"\r\nRetry-After: " in head
        node.create("any", queue="waits")
        del by_number[first]
        (served, *_), _, _ = select.select(list(by_number), [], [], 20)
        assert by_number[served].answer()[0] == 200
    finally:
        for one in waiting:
            one.socket.close()
