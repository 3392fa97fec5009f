"""Unique jobs and idempotent requests from outside, and docs/unique.md, whose commands run as they are."""
import concurrent.futures
import http.client
import itertools
import os
import random
import re
import signal
import socket
import subprocess
from pathlib import Path

from node import PROGRAM, Node, clean_environment, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/unique.md").read_text()
HOUR = 3_600_000


def put(node, key=None, **fields):
    return node.ask("POST", "/api/v1/jobs", {"kind": "echo", "delay_ms": HOUR, **fields},
                    {"Idempotency-Key": key} if key else None)


def test_the_commands_of_the_page_run_as_written(workspace):
    node = Node(workspace).start()
    scripts = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    assert len(scripts) == 2
    for script in scripts:
        script = script.replace("http://127.0.0.1:8080", node.url).replace("build/release/troupe", PROGRAM)
        done = subprocess.run(["bash", "-exuo", "pipefail", "-c", script], capture_output=True, text=True,
                              timeout=120, env=clean_environment(TROUPE_URL=node.url), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert '"replaced":true' in done.stdout or "Idempotent-Replayed: true" in done.stdout
    assert node.stop() == 0


def test_a_second_job_is_rejected_answered_with_the_first_or_replaces_it(node):
    first = put(node, queue="u1", unique={"queue": True})
    assert first.status == 201 and "existing" not in first.json
    job = first.json["id"]
    rejected = put(node, queue="u1", unique={"queue": True})
    assert rejected.status == 409 and rejected.json["existing_id"] == job
    assert rejected.json["errors"][0]["pointer"] == "/unique"
    existing = put(node, queue="u1", args={"n": 2}, unique={"queue": True, "on_conflict": "existing"})
    assert existing.status == 200 and existing.json["existing"] is True
    assert (existing.json["id"], existing.json["args"]) == (job, {})
    replaced = put(node, queue="u1", args={"n": 3}, delay_ms=0, priority=3, tags=["new"],
                   unique={"queue": True, "on_conflict": "replace"})
    assert replaced.status == 200 and replaced.json["replaced"] is True and replaced.json["id"] == job
    done = node.await_state(job, "completed")
    assert done["attempts"][-1]["result"] == {"n": 3}
    assert (done["priority"], done["tags"]) == (3, ["new"])
    assert put(node, queue="u1", unique={"queue": True}).status == 201


def test_a_bulk_says_which_jobs_were_there_and_stores_nothing_when_one_is_rejected(node):
    first = put(node, queue="u2", unique={"queue": True}).json["id"]
    like = {"kind": "echo", "queue": "u2", "delay_ms": HOUR}
    mixed = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [
        like, {**like, "unique": {"queue": True, "on_conflict": "existing"}}]})
    assert mixed.status == 201
    assert mixed.json["ids"][1] == first and mixed.json["existing"] == [1]
    none = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [like, {**like, "unique": {"queue": True}}]})
    assert none.status == 409 and none.json["errors"][0]["pointer"] == "/jobs/1/unique"
    assert len(node.ask("GET", "/api/v1/jobs?queue=u2").json["jobs"]) == 2


def test_callers_who_meet_in_one_flight_are_all_told_the_truth(node):
    def caller(n):
        if n % 3:
            return put(node, queue="u3", args={"k": n % 5, "n": n},
                       unique={"queue": True, "args": ["k"], "on_conflict": "existing" if n % 2 else "reject"})
        return put(node, queue="u3", args={"plain": n})

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(caller, range(120)))
    for n, answer in enumerate(answers):
        if n % 3 == 0:
            assert answer.status == 201 and answer.json["args"] == {"plain": n}
        elif answer.status == 409:
            assert n % 2 == 0 and node.job(answer.json["existing_id"])["args"]["k"] == n % 5
        else:
            assert answer.status in (200, 201) and answer.json["args"]["k"] == n % 5
    assert sum(n % 3 != 0 and answer.status == 201 for n, answer in enumerate(answers)) == 5


def test_a_hundred_uses_of_a_key_at_once_make_one_job(node):
    def caller(_):
        return node.ask("POST", "/api/v1/jobs", {"kind": "echo", "queue": "u4"}, {"Idempotency-Key": "once"})

    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(caller, range(100)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(node.ask("GET", "/api/v1/jobs?queue=u4").json["jobs"]) == 1
    other = node.ask("POST", "/api/v1/jobs", {"kind": "echo", "queue": "u4", "priority": 1},
                     {"Idempotency-Key": "once"})
    assert other.status == 422 and other.json["code"] == "idempotency_key_reused"
    assert node.ask("POST", "/api/v1/jobs", {"kind": "echo"}, {"Idempotency-Key": "caf\xe9"}).status == 400


def test_a_request_whose_node_is_killed_before_the_answer_is_answered_by_the_next(workspace):
    node = Node(workspace).start()
    body = b'{"kind":"sleep","queue":"u5","args":{"ms":1},"delay_ms":3600000}'
    with socket.create_connection((node.host, int(node.port))) as nobody_reads:
        nobody_reads.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                             b"Idempotency-Key: crash\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        until(lambda: node.ask("GET", "/api/v1/jobs?queue=u5").json["jobs"], "the job is stored")
        node.kill()
    node = Node(workspace).start()
    again = node.ask("POST", "/api/v1/jobs", body, {"Idempotency-Key": "crash"})
    assert again.status == 201 and again.headers["Idempotent-Replayed"] == "true"
    jobs = node.ask("GET", "/api/v1/jobs?queue=u5").json["jobs"]
    assert [job["id"] for job in jobs] == [again.json["id"]]
    assert node.stop() == 0


def test_each_of_a_hundred_uses_of_a_key_means_the_same_job_although_the_node_is_killed_meanwhile(workspace):
    seed = int(os.environ.get("TROUPE_SEED", 0)) or random.SystemRandom().randrange(1, 2**32)
    print(f"TROUPE_SEED={seed}")
    chance = random.Random(seed)
    node = Node(workspace).start()
    keys = [f"crash-{n}" for n in range(4)]
    uses = keys * 100
    chance.shuffle(uses)
    fatal = chance.randrange(1, 200)  # the answer with which the node is killed
    told = {key: set() for key in keys}
    answers = itertools.count(1)

    def caller(key):
        try:
            answer = put(node, queue="u7", args={"key": key}, key=key)
        except (OSError, http.client.HTTPException):
            return
        assert answer.status == 201, answer.body
        told[key].add(answer.json["id"])
        if next(answers) == fatal:
            node.signal(signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(caller, uses))
    assert node.end() == -signal.SIGKILL
    fatal = 0
    node = Node(workspace).start()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(caller, uses))
    assert {len(ids) for ids in told.values()} == {1}, told
    stored = [job["id"] for job in node.ask("GET", "/api/v1/jobs?queue=u7").json["jobs"]]
    assert sorted(stored) == sorted(*zip(*told.values()))
    assert node.stop() == 0


def test_the_command_line_says_what_became_of_the_job(node):
    def enqueue(*more):
        return run("enqueue", "echo", "--queue", "u6", "--delay-ms", "3600000", "--unique", "queue", *more,
                   "--url", node.url)

    job = enqueue().stdout.strip()
    refused = enqueue()
    assert refused.returncode == 4 and f"job {job} has the same unique key" in refused.stderr
    existing = enqueue("--on-conflict", "existing")
    assert existing.stdout.strip() == job and "was there already" in existing.stderr
    replaced = enqueue("--on-conflict", "replace", "--args", '{"n":1}')
    assert replaced.stdout.strip() == job and "does now what was asked" in replaced.stderr
    assert node.job(job)["args"] == {"n": 1}
