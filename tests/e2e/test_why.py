"""What holds a job: by HTTP, by the command line, and by SQL, at a node that runs."""
import json
import subprocess

import pytest

from node import Node, fitting, run, until


def why(node, job_id):
    answer = node.ask("GET", f"/api/v1/jobs/{job_id}/why")
    assert answer.status == 200, answer.body
    return answer.json


def told(node, job_id):
    done = run("jobs", "why", job_id, TROUPE_URL=node.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def test_a_pause_holds_a_job_until_it_is_over(node):
    assert node.ask("POST", "/api/v1/queues/held/pause?create=true").status == 200
    job = node.create("noop", queue="held")["id"]
    held = fitting(lambda: why(node, job), lambda told: told["nodes"] == 1, "the node beats")
    assert held["reason"] == "paused" and held["state"] == "available"
    assert held["since"].endswith("Z") and held["queue"] == "held" and held["kind"] == "noop"
    assert f"job {job} waits: queue held is paused since 20" in told(node, job)
    assert node.ask("POST", "/api/v1/queues/held/resume").status == 200
    node.await_state(job, "completed")
    assert why(node, job)["reason"] == "finished"
    assert told(node, job).startswith(f"job {job} has ended: completed at 20")


def test_a_full_queue_holds_a_job_until_there_is_room(node):
    assert node.ask("PATCH", "/api/v1/queues/full?create=true", {"concurrency": 1}).status == 200

    def sleeper():
        return node.create("sleep", queue="full", args={"ms": 600_000})["id"]

    first = sleeper()  # alone: of jobs that wait together, any may be the first to run
    until(lambda: why(node, first)["reason"] == "running", "the first runs")
    assert told(node, first).startswith(f"job {first} runs on ")
    second, third = sleeper(), sleeper()
    for job in (second, third):  # whether or not it was claimed ahead
        held = fitting(lambda job=job: why(node, job), lambda told: told["nodes"] == 1, "the node beats")
        assert held["reason"] == "limit" and held["allowed"] == 1 and held["in_use"] == 1, held
    fitting(lambda: told(node, second), lambda text: "of queue full run, and the limit is 1" in text, "the node beats")
    assert node.ask("PATCH", "/api/v1/queues/full", {"concurrency": None}).status == 200
    for job in (first, second, third):
        until(lambda job=job: why(node, job)["reason"] == "running", f"{job} runs")
        assert node.ask("POST", f"/api/v1/jobs/{job}/cancel").status == 200
        assert why(node, job)["state"] == "cancelled"


def test_a_job_waits_for_its_time_and_json_is_the_servers(node):
    job = node.create("noop", delay_ms=3600000)
    held = json.loads(run("jobs", "why", job["id"], "--json", TROUPE_URL=node.url).stdout)
    assert held == why(node, job["id"])
    assert held["reason"] == "time" and held["due_at"] == job["run_at"]
    assert told(node, job["id"]).startswith(f"job {job['id']} waits for its time, 20")


def test_a_kind_that_no_node_has_is_named(node):
    url = f"postgresql://postgres@/troupe?host={node.place.data}/pg"
    put = subprocess.run(["psql", "-qAtX", url, "-c", "select troupe.enqueue('resize')"], check=True,
                         capture_output=True, text=True, timeout=120)
    job = put.stdout.strip()
    # Now and then it is tried again.
    held = fitting(lambda: why(node, job), lambda told: told["due_at"] and told["reason"] == "no_kind", "it has failed")
    assert held["nodes"] == 1 and held["error"] == "no handler for kind 'resize' on this node"
    said = f"job {job} waits: no live node of queue default has kind resize; it is tried again at 20"
    fitting(lambda: told(node, job), lambda text: said in text, "it is to be tried again")


def test_what_is_no_job_is_refused(node):
    assert node.ask("GET", "/api/v1/jobs/999999999/why").status == 404
    assert node.ask("GET", "/api/v1/jobs/x/why").status == 404
    assert node.ask("POST", "/api/v1/jobs/1/why").status == 405
    assert run("jobs", "why", "999999999", TROUPE_URL=node.url).returncode == 3
    assert run("jobs", "why", "x", TROUPE_URL=node.url).returncode == 2


@pytest.mark.parametrize("options", [("--queue", "sql:0"), ("--slots", "0", "--queue", "other:1")])
def test_a_queue_that_every_node_leaves_to_others_is_served_by_none(workspace, options):
    node = Node(workspace, *options).start()
    url = f"postgresql://postgres@/troupe?host={workspace.data}/pg"
    job = node.create("noop", queue="sql")["id"]
    held = why(node, job)
    assert held["reason"] == "no_node" and held["nodes"] == 0
    assert told(node, job) == f"job {job} waits: no live node serves queue sql"
    node.await_state(node.create("noop", queue="other")["id"], "completed")

    def sql(*texts):
        commands = [part for text in texts for part in ("-c", text)]
        return subprocess.run(["psql", "-qAtX", url, *commands], check=True, capture_output=True, text=True,
                              timeout=120).stdout.strip()

    held = f"select reason from troupe.why({job})"
    # A worker that does not beat is one for 4 s.
    worker, _ = fitting(lambda: sql("select troupe.join_node('worker')", held).split(), lambda told: told[1] == "next",
                        "a worker serves it")
    fitting(lambda: sql(f"select troupe.leave_node({worker})", held), lambda told: told == "no_node", "nobody serves it")
    assert node.stop() == 0
