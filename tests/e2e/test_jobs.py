"""The HTTP API's routes walked one by one, retries and schedules, and the two signals."""
import datetime
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from node import PROGRAM, Node, ask_over, clean_environment, fitting, lasting_address, run, until


def parsed(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def problem_of(answer, status, pointer=None):
    """The problem document of an answer, after a look at its shape."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status and problem["title"] and problem["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
    return problem


def test_create_answers_the_job_and_where_it_is(node):
    answer = node.ask("POST", "/api/v1/jobs", {
        "kind": "echo", "queue": "routes", "args": {"a": [1, {"b": None}]}, "priority": 4,
        "max_attempts": 2, "timeout_ms": 60000, "tags": ["t1", "t2"]})
    assert answer.status == 201
    job = answer.json
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert isinstance(job["id"], str)
    node.await_state(job["id"], "completed")
    done = node.ask("GET", answer.headers["Location"]).json
    assert done["args"] == {"a": [1, {"b": None}]}
    assert (done["queue"], done["kind"], done["priority"]) == ("routes", "echo", 4)
    assert (done["max_attempts"], done["attempt"], done["tags"]) == (2, 1, ["t1", "t2"])
    assert done["run_at"].endswith("Z") and done["created_at"].endswith("Z")
    (attempt,) = done["attempts"]
    assert attempt["attempt"] == 1 and attempt["outcome"] == "completed"
    assert attempt["result"] == {"a": [1, {"b": None}]} and attempt["error"] is None
    assert attempt["node"] == "node"
    assert parsed(attempt["started_at"]) <= parsed(attempt["finished_at"])


def test_bulk_create_answers_ids_in_order_and_stores_all_or_none(node):
    answer = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [
        {"kind": "echo", "queue": "bulk", "args": {"n": n}} for n in range(50)]})
    assert answer.status == 201
    ids = answer.json["ids"]
    assert len(set(ids)) == 50
    for n, job_id in enumerate(ids):
        assert node.job(job_id)["args"] == {"n": n}
    refused = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [
        {"kind": "echo", "queue": "bulk-none"}, {"kind": "echo", "queue": "bulk none"}]})
    problem_of(refused, 400, "/jobs/1/queue")
    assert node.ask("GET", "/api/v1/jobs?queue=bulk-none").json["jobs"] == []


def test_lists_filter_and_page_with_cursors(node):
    made = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": (
        [{"kind": "noop", "queue": "paged"}] * 7
        + [{"kind": "echo", "queue": "paged", "delay_ms": 3600000}] * 5)}).json["ids"]
    until(lambda: len(node.ask(
        "GET", "/api/v1/jobs?queue=paged&state=completed").json["jobs"]) == 7, "seven completed")
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = node.ask("GET", "/api/v1/jobs?queue=paged&limit=5" + cursor).json
        seen += [job["id"] for job in page["jobs"]]
        cursor = None if page["next"] is None else f"&cursor={page['next']}"
        pages += 1
    assert seen == made[::-1] and pages == 3
    scheduled = node.ask("GET", "/api/v1/jobs?queue=paged&state=scheduled&kind=echo").json["jobs"]
    assert sorted(job["id"] for job in scheduled) == sorted(made[7:])
    assert {job["state"] for job in scheduled} == {"scheduled"}
    for query in ("state=late", "limit=0", "limit=501", "cursor=zzz", "colour=red", "queue=a%20b",
                  "limit=1&limit=2"):
        problem_of(node.ask("GET", f"/api/v1/jobs?{query}"), 400)
    # A cursor belongs to its filters.
    first = node.ask("GET", "/api/v1/jobs?queue=paged&limit=5").json["next"]
    problem_of(node.ask("GET", f"/api/v1/jobs?queue=other&limit=5&cursor={first}"), 400)


def test_a_waiting_job_is_cancelled_retried_and_deleted(node):
    job_id = node.create("echo", delay_ms=3600000)["id"]
    assert node.job(job_id)["state"] == "scheduled"
    cancelled = node.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
    assert cancelled.status == 200 and cancelled.json["state"] == "cancelled"
    problem_of(node.ask("POST", f"/api/v1/jobs/{job_id}/cancel"), 409)
    retried = node.ask("POST", f"/api/v1/jobs/{job_id}/retry", {})
    assert retried.status == 200 and retried.json["state"] in ("available", "running", "completed")
    node.await_state(job_id, "completed")
    assert node.ask("DELETE", f"/api/v1/jobs/{job_id}").status == 204
    problem_of(node.ask("GET", f"/api/v1/jobs/{job_id}"), 404)
    problem_of(node.ask("DELETE", f"/api/v1/jobs/{job_id}"), 404)


def test_a_running_job_is_cancelled_at_once_and_cannot_be_deleted_before(node):
    job_id = node.create("sleep", args={"ms": 600000}, queue="long")["id"]
    node.await_state(job_id, "running")
    problem_of(node.ask("DELETE", f"/api/v1/jobs/{job_id}"), 409)
    problem_of(node.ask("POST", f"/api/v1/jobs/{job_id}/retry"), 409)
    assert node.ask("POST", f"/api/v1/jobs/{job_id}/cancel").json["state"] == "cancelled"
    # Its handler was told: the gauge of running handlers falls to none.
    until(lambda: metric(node, "troupe_jobs_running") == 0, "the handler stopped")
    assert node.job(job_id)["attempts"][-1]["outcome"] == "cancelled"


def metric(node, name):
    for line in node.ask("GET", "/metrics").body.decode().splitlines():
        if line.startswith(name) and not line.startswith("#"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


def test_a_failing_job_is_retried_and_completes(node):
    job_id = node.create("fail", args={"times": 2, "message": "not yet"})["id"]
    job = node.await_state(job_id, "completed")
    assert [a["outcome"] for a in job["attempts"]] == ["failed", "failed", "completed"]
    assert [a["error"] for a in job["attempts"]] == ["not yet", "not yet", None]
    starts = [parsed(a["started_at"]) for a in job["attempts"]]
    assert (starts[1] - starts[0]).total_seconds() >= 0.7  # the backoff
    assert (starts[2] - starts[1]).total_seconds() >= 1.4


def test_a_job_without_attempts_left_is_discarded(node):
    job_id = node.create("fail", args={"times": 9}, max_attempts=1)["id"]
    job = node.await_state(job_id, "discarded")
    assert [a["outcome"] for a in job["attempts"]] == ["discarded"]


def test_a_jobs_own_policy_says_when_it_is_tried_again(node):
    retry = {"policy": "list", "delays_ms": [0, 1]}
    job_id = node.create("fail", args={"times": 9}, max_attempts=3, retry=retry)["id"]
    done = node.await_state(job_id, "discarded")
    assert done["retry"] == retry and len(done["attempts"]) == 3
    job_id = node.create("fail", args={"times": 9}, retry={"policy": "none"})["id"]
    assert len(node.await_state(job_id, "discarded")["attempts"]) == 1
    assert "retry" not in node.job(node.create("noop")["id"])
    problem_of(node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [
        {"kind": "noop"}, {"kind": "noop", "retry": {"policy": "fixed", "delay_ms": -1}}]}), 400,
        "/jobs/1/retry/delay_ms")


def test_the_commands_of_the_page_about_retries_run_as_written(node):
    page = (Path(__file__).resolve().parents[2] / "docs/retries.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", re.sub(r"^troupe", PROGRAM, script, flags=re.M)],
                          capture_output=True, text=True, timeout=120,
                          env=clean_environment(TROUPE_URL=node.url), check=False)
    assert done.returncode == 0, done.stderr
    ids = done.stdout.split()
    assert [node.job(i)["retry"] for i in ids] == [
        {"policy": "fixed", "delay_ms": 5000},
        {"policy": "exponential", "base_ms": 500, "max_ms": 600000, "jitter_percent": 10},
        {"policy": "list", "delays_ms": [0, 1000, 60000]}, {"policy": "none"}]
    assert "fixed" in run("jobs", "get", ids[0], TROUPE_URL=node.url).stdout
    for job_id in ids[:3]:
        node.ask("POST", f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize("form", ["delay_ms", "run_at"])
def test_a_scheduled_job_runs_at_its_time_and_not_before(node, form):
    def lateness():
        """In seconds; None when the machine was so slow that the job came in behind its time."""
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        made = node.create("echo", **{form: 2000 if form == "delay_ms" else at.isoformat()})
        if form == "run_at" and made["state"] != "scheduled":
            assert datetime.datetime.now(datetime.timezone.utc) >= at, made
            return None
        assert made["state"] == "scheduled"
        due = parsed(node.job(made["id"])["run_at"])
        if form == "run_at":
            assert due == at
        job = node.await_state(made["id"], "completed")
        late = (parsed(job["attempts"][0]["started_at"]) - due).total_seconds()
        assert late >= 0
        return late

    fitting(lateness, lambda late: late is not None and late < 2, "it runs at its time")


def test_an_attempt_beyond_its_timeout_fails(node):
    job_id = node.create("sleep", args={"ms": 600000}, timeout_ms=200, max_attempts=1)["id"]
    job = node.await_state(job_id, "discarded")
    assert job["attempts"][0]["error"]


DEEP = b'{"kind":"echo","args":' + b"[" * 65 + b"]" * 65 + b"}"
LARGE = b'{"kind":"echo","args":"' + b"x" * 1024 * 1024 + b'"}'


@pytest.mark.parametrize("body, pointer", [
    (b'{"kind":"no-such-kind"}', "/kind"),
    (b'{}', "/kind"),
    (b'{"kind":7}', "/kind"),
    (b'{"kind":"echo","queue":"a b"}', "/queue"),
    (b'{"kind":"echo","queue":""}', "/queue"),
    (b'{"kind":"echo","queue":"' + b"q" * 129 + b'"}', "/queue"),
    (b'{"kind":"echo","colour":"red"}', "/colour"),
    (b'{"kind":"echo","a/b~c":1}', "/a~1b~0c"),
    (b'{"kind":"echo","priority":-1}', "/priority"),
    (b'{"kind":"echo","priority":1e400}', "/priority"),
    (b'{"kind":"echo","max_attempts":99999999999999999999}', "/max_attempts"),
    (b'{"kind":"echo","max_attempts":0}', "/max_attempts"),
    (b'{"kind":"echo","timeout_ms":0}', "/timeout_ms"),
    (b'{"kind":"echo","delay_ms":-5}', "/delay_ms"),
    (b'{"kind":"echo","run_at":"tomorrow"}', "/run_at"),
    (b'{"kind":"echo","run_at":"9999-01-01T00:00:00Z"}', "/run_at"),
    (b'{"kind":"echo","tags":"x"}', "/tags"),
    (b'{"kind":"echo","tags":["ok",7]}', "/tags/1"),
    (b'{"kind":"echo","args":{"a":"\\u0000"}}', None),
    (b'{"kind":"echo","args":{"a":"\xff\xfe"}}', None),
    (b'{"kind":"echo","kind":"noop"}', None),
    (b'{"kind":"echo"', None),
    (b'[]', None),
    (DEEP, None),
    (LARGE, None),
], ids=lambda value: repr(value)[:40])
def test_bad_input_is_400_with_a_pointer_and_stores_nothing(node, body, pointer):
    newest = node.ask("GET", "/api/v1/jobs?limit=1").json["jobs"][0]["id"]
    problem = problem_of(node.ask("POST", "/api/v1/jobs", body), 400, pointer)
    assert problem["errors"], problem
    assert node.ask("GET", "/api/v1/jobs?limit=1").json["jobs"][0]["id"] == newest


def test_wrong_paths_methods_sizes_and_types_have_their_statuses(node):
    problem_of(node.ask("GET", "/api/v1/nothing"), 404)
    problem_of(node.ask("GET", "/api/v1/jobs/999999999"), 404)
    problem_of(node.ask("GET", "/api/v1/jobs/abc"), 404)
    problem_of(node.ask("GET", "/api/v1/jobs/-1"), 404)
    wrong = node.ask("PUT", "/api/v1/jobs")
    problem_of(wrong, 405)
    assert {"GET", "POST"} <= {m.strip() for m in wrong.headers["Allow"].split(",")}
    wrong = node.ask("GET", "/api/v1/jobs/1/cancel")
    problem_of(wrong, 405)
    assert "POST" in wrong.headers["Allow"]
    problem_of(node.ask("POST", "/api/v1/jobs", b"x" * (2 * 1024 * 1024)), 413)
    problem_of(node.ask("POST", "/api/v1/jobs", b'{"kind":"echo"}',
                        {"Content-Type": "text/plain"}), 415)
    problem_of(node.ask("POST", "/api/v1/jobs/1/cancel", {"why": "because"}), 400)
    assert node.ask("GET", "/livez").status == 200  # still well


def test_probes_health_and_metrics_answer(node):
    # A busy machine is slow at times, which the checks say until the next one.
    for path in ("/livez", "/readyz", "/healthz"):
        fitting(lambda path=path: node.ask("GET", path), lambda answer: answer.status == 200, path)
    health = fitting(lambda: node.ask("GET", "/api/v1/health").json, lambda told: told["status"] == "ok", "all is well")
    assert health["ready"] is True
    assert {"database", "pool", "replication", "migrations", "durability", "clock", "heartbeat",
            "scheduler", "executor", "notifier", "disk"} == {check["name"] for check in health["checks"]}
    for check in health["checks"]:
        assert check["latency_ms"] >= 0 and 0 <= check["age_ms"] < 15_000
        assert check["reason"] is None or check["status"] != "ok"
    metrics = node.ask("GET", "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"troupe_jobs_enqueued_total" in metrics.body
    assert metric(node, 'troupe_db_statement_seconds_count{statement="probe"}') > 0
    assert metric(node, 'troupe_db_pool_acquire_seconds_count') > 0
    assert metric(node, 'troupe_db_pool_connections{state="shared"}') > 0
    assert metric(node, 'troupe_db_pool_connections_max') == 4


def test_sigterm_drains_and_exits_0_while_a_job_runs(workspace):
    """One job ends while the node drains; the other holds it until all has been looked at."""
    node = Node(workspace, "--slots", "2", "--grace", "120")
    node.listen = lasting_address()
    node.start()
    holds = node.create("sleep", args={"ms": 600_000})["id"]
    node.await_state(holds, "running")
    running = node.create("sleep", args={"ms": 3000})["id"]
    node.await_state(running, "running", "completed")
    waiting = node.create("noop")["id"]  # no slot for it
    open_connection = node.connection()
    assert ask_over(open_connection, "GET", "/readyz").status == 200
    node.signal(signal.SIGTERM)
    # Whoever is connected or connects still gets answers, and learns that nothing more should come.
    answer = until(lambda: not_ready(open_connection), "readyz is 503")
    assert b"draining" in answer.body
    open_connection.close()
    answer = node.ask("GET", "/readyz")
    assert answer.status == 503 and b"draining" in answer.body
    assert node.ask("GET", "/livez").status == 200
    assert b"draining" in node.ask("GET", "/api/v1/health").body
    assert node.job(holds)["state"] == "running"
    for path, body in (("/api/v1/jobs", {"kind": "noop"}), (f"/api/v1/jobs/{waiting}/cancel", None)):
        refused = node.ask("POST", path, body)
        assert problem_of(refused, 503)["code"] == "stopping"
        assert int(refused.headers["Retry-After"]) > 0
    node.await_state(running, "completed")
    node.sql(f"select troupe.cancel({holds})")
    assert node.end() == 0
    with pytest.raises(ConnectionRefusedError):
        node.ask("GET", "/livez")
    again = Node(workspace).start()
    job = again.job(running)
    assert job["state"] == "completed" and job["attempt"] == 1, job
    assert again.job(holds)["state"] == "cancelled"
    assert again.await_state(waiting, "completed")["attempt"] == 1
    assert again.stop() == 0


def not_ready(connection):
    answer = ask_over(connection, "GET", "/readyz")
    return answer if answer.status == 503 else None


def test_a_second_sigterm_exits_at_once_and_the_job_runs_again(workspace):
    node = Node(workspace, "--grace", "300").start()
    job_id = node.create("sleep", args={"ms": 600000})["id"]
    node.await_state(job_id, "running")
    node.signal(signal.SIGTERM)
    until(lambda: node.ask("GET", "/readyz").status == 503, "readyz is 503")
    began = time.monotonic()
    node.signal(signal.SIGTERM)
    assert node.end() == 130
    assert time.monotonic() - began < 60  # of 300 s
    again = Node(workspace).start()
    job = until(lambda: taken_again(again, job_id), "the job is rescued and runs again")
    assert job["attempts"][0]["outcome"] == "lost"
    assert again.ask("POST", f"/api/v1/jobs/{job_id}/cancel").status == 200
    assert again.stop() == 0


def taken_again(node, job_id):
    job = node.job(job_id)
    return job if job["state"] == "running" and job["attempt"] == 2 else None


def test_sigint_is_as_good_as_sigterm(workspace):
    node = Node(workspace).start()
    node.signal(signal.SIGINT)
    assert node.end() == 0
