"""Operations on many jobs by HTTP and by the command line, and docs/bulk.md: its commands run as they stand there."""
import os
import pty
import re
import select
import signal
import subprocess
from pathlib import Path

import psycopg2

from node import PROGRAM, Node, clean_environment, lasting_address, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/bulk.md").read_text()


def ask(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def put(node, queue, count, **more):
    jobs = [{"kind": "noop", "queue": queue, "delay_ms": 3600000, **more}] * count
    return node.ask("POST", "/api/v1/jobs/bulk", {"jobs": jobs}).json["ids"]


def begun(node, body):
    answer = node.ask("POST", "/api/v1/bulk", body)
    assert answer.status == 202, answer.body
    place = f"/api/v1/bulk/{answer.json['id']}"
    until(lambda: node.ask("GET", place).json["state"] != "running", "the operation is over")
    return node.ask("GET", place).json


def test_many_jobs_are_moved_and_cancelled_by_http(node):
    ids = put(node, "bulk-from", 3500)
    assert node.ask("POST", "/api/v1/bulk", {"action": "cancel", "filter": {}}).status == 400
    preview = node.ask("POST", "/api/v1/bulk",
                       {"action": "cancel", "filter": {"queue": "bulk-from"}, "dry_run": True})
    assert preview.status == 200 and preview.json["matched"] == 3500 and preview.json["sample"] == ids[:10]
    moved = begun(node, {"action": "move", "filter": {"queue": "bulk-from"}, "to": {"queue": "bulk-to", "priority": 2}})
    assert moved["state"] == "done" and moved["matched"] == moved["changed"] == 3500 and moved["error"] is None
    job = node.job(ids[1234])
    assert job["queue"] == "bulk-to" and job["priority"] == 2 and job["state"] == "scheduled"
    gone = begun(node, {"action": "cancel", "ids": ids[:20]})
    assert gone["changed"] == 20 and gone["ids"] == 20 and gone["filter"] is None
    assert node.job(ids[0])["state"] == "cancelled"
    gone = begun(node, {"action": "delete", "filter": {"queue": "bulk-to"}})
    assert gone["changed"] == 3500
    assert node.ask("GET", f"/api/v1/jobs/{ids[5]}").status == 404
    assert node.ask("GET", "/api/v1/bulk?limit=1").json["operations"][0]["id"] == gone["id"]
    assert node.ask("POST", f"/api/v1/bulk/{gone['id']}/cancel").status == 409
    assert node.ask("GET", "/api/v1/bulk/987654").status == 404


def test_an_operation_is_begun_once_for_a_key(node):
    ids = put(node, "bulk-once", 3)

    def begin(queue):
        return node.ask("POST", "/api/v1/bulk", {"action": "cancel", "filter": {"queue": queue}}, {"Idempotency-Key": "bulk"})

    first = begin("bulk-once")
    assert first.status == 202 and "Idempotent-Replayed" not in first.headers
    until(lambda: node.job(ids[2])["state"] == "cancelled", "they are cancelled")
    assert node.ask("POST", f"/api/v1/jobs/{ids[0]}/retry").status == 200
    again = begin("bulk-once")
    assert again.status == 202 and again.headers["Idempotent-Replayed"] == "true"
    assert again.json["id"] == first.json["id"] and again.headers["Location"] == first.headers["Location"]
    assert node.job(ids[0])["state"] != "cancelled"
    other = begin("bulk-other")
    assert other.status == 422 and other.json["code"] == "idempotency_key_reused"


def test_jobs_that_are_moved_to_a_queue_run_there_at_once_and_runs_that_are_cancelled_stop(node):
    assert node.ask("POST", "/api/v1/queues/bulk-paused/pause?create=true").status == 200
    ids = [node.create("noop", queue="bulk-paused")["id"] for _ in range(5)]
    begun(node, {"action": "move", "filter": {"queue": "bulk-paused"}, "to": {"queue": "bulk-open"}})
    for job in ids:
        node.await_state(job, "completed")
    runs = [node.create("sleep", queue="bulk-runs", args={"ms": 600_000})["id"] for _ in range(3)]
    for job in runs:
        node.await_state(job, "running")
    assert begun(node, {"action": "cancel", "filter": {"queue": "bulk-runs"}})["changed"] == 3
    until(lambda: node.ask("GET", "/api/v1/queues/bulk-runs").json["running"] == 0, "the runs have stopped")


def test_a_job_that_waits_is_edited_and_another_is_not(node):
    job = put(node, "edits", 1)[0]
    answer = node.ask("PATCH", f"/api/v1/jobs/{job}", {"args": {"n": 1}, "priority": 3, "tags": ["a"]})
    assert answer.status == 200 and answer.json["args"] == {"n": 1} and answer.json["priority"] == 3
    assert node.ask("PATCH", f"/api/v1/jobs/{job}", {"kind": "echo"}).status == 400
    # At once means that a node may have it before the answer is read.
    assert node.ask("PATCH", f"/api/v1/jobs/{job}", {"run_at": None}).json["state"] in ("available", "running", "completed")
    node.await_state(job, "completed")
    assert node.ask("PATCH", f"/api/v1/jobs/{job}", {"priority": 1}).status == 409
    assert node.ask("PATCH", "/api/v1/jobs/987654", {"priority": 1}).status == 404


def test_the_command_line_asks_before_it_does_anything(node):
    ids = put(node, "by-command", 30)
    asked = ask(node, "jobs", "bulk", "cancel", "--queue", "by-command")
    assert asked.returncode == 2 and "would meet 30 jobs" in asked.stdout and "--yes" in asked.stderr
    assert asked.stdout.endswith(", ...\n"), "these are not all"
    assert ask(node, "jobs", "bulk", "cancel", "--queue", "by-command", "--dry-run").returncode == 0
    assert node.job(ids[0])["state"] == "scheduled"
    done = ask(node, "jobs", "bulk", "cancel", "--queue", "by-command", "--yes")
    assert done.returncode == 0 and "is done: 30 changed, 0 passed by" in done.stdout
    number = re.search(r"bulk (\d+) ", done.stdout)[1]
    assert number in ask(node, "jobs", "bulk", "show", number).stdout
    assert ask(node, "jobs", "bulk", "stop", number).returncode == 4
    assert f"bulk {number} " in ask(node, "jobs", "bulk", "list").stdout
    edited = ask(node, "jobs", "edit", put(node, "by-command", 1)[0], "--queue", "elsewhere", "--run-at", "now")
    assert edited.returncode == 0 and "elsewhere" in edited.stdout
    assert ask(node, "jobs", "edit", ids[0], "--priority", "1").returncode == 4
    hasty = ask(node, "jobs", "bulk", "delete", "--queue", "by-command", "--yes")
    assert hasty.returncode == 2 and "add --confirm by-command to do it" in hasty.stderr, hasty
    assert node.job(ids[0])["state"] == "cancelled"
    assert ask(node, "jobs", "bulk", "delete", "--queue", "by-command", "--confirm", "by-command").returncode == 0
    assert node.ask("GET", f"/api/v1/jobs/{ids[0]}").status == 404


def test_the_commands_of_the_page_run_as_written(node):
    for script in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S):
        script = script.replace("build/release/troupe", PROGRAM).replace("http://127.0.0.1:8080", node.url)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120,
                              env=clean_environment(TROUPE_URL=node.url), check=False)
        assert done.returncode == 0, script + done.stdout + done.stderr


def test_a_bulk_operation_goes_on_when_its_command_waits_no_longer(node):
    made = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop", "queue": "bulk-late", "delay_ms": 3600000}] * 2000})
    assert made.status == 201
    late = ask(node, "jobs", "bulk", "cancel", "--queue", "bulk-late", "--yes", "--timeout", "0")
    assert late.returncode == 7 and "it goes on" in late.stderr
    until(lambda: node.ask("GET", "/api/v1/jobs?queue=bulk-late&state=scheduled").json["jobs"] == [], "all are cancelled")


class Held:
    """A job whose row a transaction holds: operations go as far as this one, and wait."""

    def __init__(self, node, job):
        self.connection = psycopg2.connect(f"postgresql://postgres@/troupe?host={node.place.data}/pg&port=5432")
        self.connection.cursor().execute("select from troupe.job where id = %s for update", (job,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def test_a_bar_says_how_far_it_is_and_ctrl_c_leaves_an_empty_line(node):
    ids = put(node, "bulk-bar", 3)
    seen = ""
    leader, follower = pty.openpty()
    with Held(node, ids[2]):
        command = node.place.start("jobs", "bulk", "cancel", "--queue", "bulk-bar", "--yes", "--json", "--url", node.url,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower, start_new_session=True,
                                   env=clean_environment(TERM="xterm"))
        os.close(follower)

        def read():
            nonlocal seen
            while select.select([leader], [], [], 0)[0]:
                try:
                    seen += os.read(leader, 65536).decode()
                except OSError:  # nobody has the other end any more
                    break
            return seen

        until(lambda: "] cancel: 2 changed" in read(), "the bar")
        number = re.search(r"'troupe jobs bulk stop (\d+)'", seen)[1]
        command.send_signal(signal.SIGINT)
        assert command.wait(120) == 130 and command.stdout.read() == b""
        until(lambda: read().endswith("\r\x1b[K"), "an empty line")
        assert node.ask("GET", f"/api/v1/bulk/{number}").json["state"] == "running"
    os.close(leader)
    until(lambda: node.ask("GET", f"/api/v1/bulk/{number}").json["state"] == "done", "it goes on by itself", 180)


def test_a_bulk_command_bears_the_restart_of_its_node(workspace):
    node = Node(workspace)
    node.listen = lasting_address()
    node.start()
    ids = put(node, "bulk-restart", 3)
    with Held(node, ids[2]):
        command = workspace.start("jobs", "bulk", "cancel", "--queue", "bulk-restart", "--yes", "--url", node.url,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: node.job(ids[1])["state"] == "cancelled", "the operation is under way")
        assert node.stop() == 0
    node.start()
    out, err = command.communicate(timeout=120)
    assert command.returncode == 0 and "is done: 3 changed, 0 passed by" in out, out + err
    assert node.stop() == 0
