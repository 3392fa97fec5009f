"""Queues by HTTP and by the command line, and docs/queues.md: its commands run as they stand there."""
import json
import re
import subprocess
from pathlib import Path

from node import PROGRAM, clean_environment, fitting, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/queues.md").read_text()


def ask(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def queue(node, name):
    answer = node.ask("GET", f"/api/v1/queues/{name}")
    assert answer.status == 200, answer.body
    return answer.json


def steer(node, name, what, query=""):
    answer = node.ask("POST", f"/api/v1/queues/{name}/{what}{query}")
    assert answer.status == 200, answer.body
    return answer.json


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(node):
    paused = steer(node, "pausing", "pause", "?create=true")
    assert paused["paused"] and paused["paused_at"].endswith("Z") and paused["version"] == 1
    job = node.create("noop", queue="pausing")
    other = node.create("noop", queue="not-pausing")
    node.await_state(other["id"], "completed")
    assert node.job(job["id"])["state"] == "available"
    assert queue(node, "pausing")["waiting"] == 1
    assert not steer(node, "pausing", "resume")["paused"]
    node.await_state(job["id"], "completed")


def test_a_limit_is_set_kept_and_removed(node):
    answer = node.ask("PATCH", "/api/v1/queues/limited?create=true", {"concurrency": 2})
    assert answer.status == 200 and answer.json["concurrency"] == 2
    ids = [node.create("sleep", queue="limited", args={"ms": 600_000})["id"] for _ in range(5)]
    until(lambda: queue(node, "limited")["running"] >= 2, "two run")
    started = [i for i in ids if node.job(i)["state"] == "running"]
    assert node.ask("PATCH", "/api/v1/queues/limited", {"concurrency": None}).json["concurrency"] is None
    newest = node.ask("GET", "/api/v1/audit?limit=1").json["entries"][0]
    assert newest["changes"] == {"concurrency": {"from": 2, "to": None}}
    assert "concurrency 2 -> -" in ask(node, "audit", "list", "--limit", "1").stdout
    for job_id in started:
        assert node.ask("POST", f"/api/v1/jobs/{job_id}/cancel").status == 200
    until(lambda: queue(node, "limited")["running"] == 5 - len(started), "all others run")
    for job_id in ids:
        node.ask("POST", f"/api/v1/jobs/{job_id}/cancel")


def test_what_is_no_queue_and_no_limit_is_refused(node):
    assert node.ask("GET", "/api/v1/queues/never-heard-of").status == 404
    for body in ({"concurrency": 0}, {"key_concurrency": 0}, {"concurrency": "many"}, {"colour": 1}, {}, []):
        assert node.ask("PATCH", "/api/v1/queues/limited", body).status == 400, body
    assert ask(node, "queues", "show", "never-heard-of").returncode == 3
    for wrong in (("queues", "limit", "mail"), ("queues", "limit", "mail", "--concurrency", "0"),
                  ("queues", "pause", "a b"),
                  ("queues", "limit", "mail", "--rate", "10"), ("queues", "limit", "mail", "--rate", "0/s"),
                  ("queues", "limit", "mail", "--rate", "1/48h"), ("queues", "limit", "mail", "--burst", "2"), ("queues",), ("queues", "pauze", "mail")):
        assert ask(node, *wrong).returncode == 2, wrong


def test_a_mistyped_name_makes_no_queue_and_the_one_that_was_meant_is_named(node):
    node.create("noop", queue="invoices")
    limit = ("limit", "--concurrency", "2")
    for what, *more in (("pause",), ("resume",), ("drain",), limit, ("show",)):
        refused = ask(node, "queues", what, "invioces", *more)
        assert refused.returncode == 3 and refused.stdout == "", refused
        assert "there is no queue of the name invioces; did you mean invoices?" in refused.stderr
        assert ("--create" in refused.stderr) == (what in ("pause", "drain", "limit"))
    for verb, path, body in (("POST", "/pause", None), ("POST", "/drain", {}), ("POST", "/resume", {}), ("PATCH", "", {"concurrency": 2})):
        refused = node.ask(verb, f"/api/v1/queues/invioces{path}", body)
        assert refused.status == 404 and refused.json["code"] == "not_found", refused.body
    assert node.ask("GET", "/api/v1/queues/invioces").status == 404
    assert not queue(node, "invoices")["paused"]
    # It is another server's path that is not there.
    foreign = run("queues", "pause", "invoices", "--url", node.url + "/elsewhere")
    assert foreign.returncode == 3 and "--create" not in foreign.stderr
    for name, what, *more in (("new-1", "pause"), ("new-2", "drain"), ("new-3", *limit)):
        made = ask(node, "queues", what, name, *more, "--create", "--json")
        assert made.returncode == 0 and json.loads(made.stdout)["name"] == name, made.stderr
        assert queue(node, name)["version"] == 1


def test_a_rate_lets_its_burst_go_and_the_rest_wait(node):
    answer = node.ask("PATCH", "/api/v1/queues/rated?create=true", {"rate": {"jobs": 1, "period_ms": 86400000, "burst": 3}})
    assert answer.status == 200, answer.body
    ids = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop", "queue": "rated"}] * 5}).json["ids"]
    until(lambda: sum(node.job(i)["state"] == "completed" for i in ids) == 3, "the burst is done")
    assert queue(node, "rated")["waiting"] == 2
    assert node.ask("PATCH", "/api/v1/queues/rated", {"rate": None}).json["rate"] is None
    for job_id in ids:
        node.await_state(job_id, "completed")


def test_an_ordered_queue_runs_one_job_after_the_other(node):
    assert node.ask("PATCH", "/api/v1/queues/in-order?create=true", {"ordered": True}).json["ordered"] is True
    first = node.create("fail", queue="in-order", args={"times": 1}, retry={"policy": "fixed", "delay_ms": 600000})["id"]
    ids = [node.create("noop", queue="in-order")["id"] for _ in range(5)]
    node.await_state(first, "retryable")
    why = node.ask("GET", f"/api/v1/jobs/{ids[0]}/why").json
    assert (why["reason"], why["holder"]) == ("order", first), why
    assert all(node.job(i)["state"] == "available" for i in ids)
    assert f"job {first} before it" in ask(node, "jobs", "why", ids[0]).stdout
    assert node.ask("POST", f"/api/v1/jobs/{first}/retry", {}).status == 200
    ends = [node.await_state(i, "completed")["attempts"][-1] for i in [first, *ids]]
    assert ends == sorted(ends, key=lambda end: end["finished_at"])
    assert all(a["finished_at"] <= b["started_at"] for a, b in zip(ends, ends[1:])), ends
    refused = node.ask("PATCH", "/api/v1/queues/in-order", {"concurrency": 2})
    assert refused.status == 409 and "ordered" in refused.json["detail"]
    assert "ordered" in ask(node, "queues", "show", "in-order").stdout
    assert ask(node, "queues", "limit", "in-order", "--ordered", "off", "--concurrency", "2").returncode == 0


def test_a_drain_waits_for_what_runs_and_says_how_long_it_may(node):
    job = node.create("sleep", queue="draining", args={"ms": 600_000})
    node.await_state(job["id"], "running")
    late = ask(node, "queues", "drain", "draining", "--timeout", "0.2")
    assert late.returncode == 7 and "1 of its jobs" in late.stderr
    draining = node.place.start("queues", "drain", "draining", "--json", "--url", node.url,
                                stdout=subprocess.PIPE)
    assert node.ask("POST", f"/api/v1/jobs/{job['id']}/cancel").status == 200
    assert draining.wait(120) == 0
    shown = json.loads(draining.stdout.read())
    assert shown["paused"] and shown["running"] == 0


def test_queues_are_listed_for_people_and_for_programs(node):
    for name in ("list-a", "list-b"):
        node.create("noop", queue=name)
    assert ask(node, "queues", "limit", "list-b", "--concurrency", "7").returncode == 0
    rows = [line.split() for line in ask(node, "queues", "list").stdout.splitlines()]
    assert rows[0] == ["QUEUE", "STATE", "WAITING", "RUNNING", "CONCURRENCY", "RATE"]
    shown = {row[0]: row[1:] for row in rows[1:]}
    assert shown["list-a"][0] == "open" and shown["list-a"][3] == "none"
    assert shown["list-b"][3] == "7"
    assert ask(node, "queues", "limit", "list-b", "--rate", "100/5min", "--burst", "3").returncode == 0
    listed = json.loads(ask(node, "queues", "show", "list-b", "--json").stdout)
    assert listed["rate"] == {"jobs": 100, "period_ms": 300000, "burst": 3} and listed["concurrency"] == 7
    listed = json.loads(ask(node, "queues", "list", "--json").stdout)
    assert {"list-a", "list-b"} <= {one["name"] for one in listed["queues"]}


def test_a_full_queue_takes_no_more_and_counts_tell_how_full_it_is(node):
    steer(node, "full", "pause", "?create=true")
    assert ask(node, "queues", "limit", "full", "--max-waiting", "3").returncode == 0
    ids = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop", "queue": "full"}] * 3}).json["ids"]
    answer = node.ask("POST", "/api/v1/jobs", {"kind": "noop", "queue": "full"})
    assert answer.status == 503 and answer.json["code"] == "overloaded" and "is full" in answer.json["detail"]
    assert answer.headers["Retry-After"]
    hasty = fitting(lambda: ask(node, "enqueue", "noop", "--queue", "full", "--request-timeout", "0.9"),
                    lambda done: "the server asks to wait 1 s" in done.stderr, "an answer in less than that")
    assert hasty.returncode == 6, hasty
    assert node.ask("POST", "/api/v1/jobs", {"kind": "noop", "queue": "full", "delay_ms": 3600000}).status == 201
    counts = json.loads(ask(node, "jobs", "counts", "--queue", "full", "--json").stdout)["queues"]
    assert counts == [{"queue": "full", "scheduled": 1, "available": 3, "running": 0, "retryable": 0,
                       "completed": 0, "cancelled": 0, "discarded": 0}]
    steer(node, "full", "resume")
    for job_id in ids:
        node.await_state(job_id, "completed")
    node.create("noop", queue="full")
    rows = [line.split() for line in ask(node, "jobs", "counts").stdout.splitlines()]
    assert rows[0][:3] == ["QUEUE", "SCHEDULED", "AVAILABLE"]
    assert any(row[0] == "full" and row[1] == "1" for row in rows)
    until(lambda: 'troupe_queue_jobs{queue="full",state="scheduled"} 1' in node.ask("GET", "/metrics").body.decode(),
          "the counts are published")


def test_several_queues_are_steered_by_one_command(node):
    for name in ("several-a", "several-b"):
        node.create("noop", queue=name)
    paused = ask(node, "queues", "pause", "several-a", "several-none", "several-b", "--json")
    assert paused.returncode == 3 and "several-none" in paused.stderr
    assert [(one["name"], one["paused"]) for one in map(json.loads, paused.stdout.splitlines())] == [
        ("several-a", True), ("several-b", True)]
    assert ask(node, "queues", "resume", "several-a", "several-b").returncode == 0


def test_the_commands_of_the_page_run_in_their_order(node):
    node.create("noop", queue="mail")
    (script,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    script = re.sub(r"^troupe", PROGRAM, script, flags=re.M)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True,
                          timeout=120, env=clean_environment(TROUPE_URL=node.url), check=False)
    assert done.returncode == 0, done.stderr
    shown = queue(node, "mail")
    assert shown["paused"] and shown["concurrency"] is None and shown["rate"] is None
    assert shown["key_rate"] is None and shown["max_waiting"] is None and shown["version"] == 13
    assert steer(node, "mail", "resume")["waiting"] == 0
