"""PostgreSQL dies under a running node: bounded answers meanwhile, recovery by itself, and nothing
that was acknowledged is lost."""
import os
import signal
import time
from pathlib import Path

from node import Node, ask_over, send, until

ANSWER_LIMIT = 30.0  # seconds that any answer may take while the database is away
RECOVERY_LIMIT = 60.0  # seconds to the first job once a new server can start


class Hasty(Node):
    """With the bounds that a node has where none are set."""
    patience = {}


def test_a_killed_server_means_503_then_recovery_and_no_lost_job(workspace):
    node = Hasty(workspace).start()
    acknowledged = [node.create("echo", args={"n": n})["id"] for n in range(20)]
    running = node.create("sleep", args={"ms": 4000})["id"]
    later = node.create("echo", delay_ms=3000)["id"]
    node.await_state(running, "running", "completed")  # the latter on a slow machine only

    first = workspace.postmaster()
    # Without its cluster the server cannot come back before the outage was seen.
    cluster, away = workspace.data / "pgdata", workspace.data / "pgdata.away"
    cluster.rename(away)
    # A child that does not notice its server's death still holds the memory that the next one needs.
    os.kill(child_named(first, "checkpointer"), signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    refused, slowest, recovered = 0, 0.0, 0
    deadline = time.monotonic() + 180
    while recovered < 5:
        if refused == 1 and away.exists():
            away.rename(cluster)
            back = time.monotonic()
        assert time.monotonic() < deadline, f"no recovery; {refused} refused"
        began = time.monotonic()
        answer = node.ask("POST", "/api/v1/jobs", {"kind": "echo", "args": {"late": True}},
                          timeout=60)
        slowest = max(slowest, time.monotonic() - began)
        if answer.status == 201:
            acknowledged.append(answer.json["id"])
            if workspace.postmaster() not in (None, first):
                recovered += 1
                assert time.monotonic() - back < RECOVERY_LIMIT
            continue
        assert answer.status == 503, answer.body
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["code"] in ("unavailable", "outcome_unknown", "overloaded", "timed_out")
        refused += 1
        assert node.ask("GET", "/livez").status == 200  # the process itself is well
    assert refused > 0
    assert slowest < ANSWER_LIMIT, f"an answer took {slowest:.1f} s"

    for job_id in [*acknowledged, running, later]:
        node.await_state(job_id, "completed")
    until(lambda: node.ask("GET", "/readyz").status == 200, "the node is ready again")
    assert node.stop() == 0
    assert "pre-existing shared memory" not in (workspace.data / "pg.log").read_text()
    logs = workspace.tail_of_logs()
    assert "lost a connection" in logs and "\ufffd" not in logs, "a reason was read after its end"


def test_a_shutdown_costs_no_attempt(workspace):
    """Runs that are asked to stop when the grace is over fail, and their jobs go back."""
    node = Node(workspace, "--grace", "0.2").start()
    jobs = [node.create("sleep", args={"ms": 600_000}, max_attempts=most)["id"] for most in (1, 2)]
    for job in jobs:
        node.await_state(job, "running")
    assert node.stop() == 0
    node = Node(workspace, "--queue", "default:0").start()
    for job in jobs:
        told = node.job(job)
        assert told["state"] == "available" and told["attempts"] == [], told
    assert node.stop() == 0


def test_health_says_what_is_wrong_while_the_server_hangs(workspace):
    node = Hasty(workspace).start()
    connection = node.connection(60)
    server = workspace.postmaster()
    os.kill(server, signal.SIGSTOP)  # first, so that it starts no further ones
    backends = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_child(pid, server)]
    stopped = [server, *backends]
    for pid in backends:
        send(pid, signal.SIGSTOP)
    answer = until(lambda: not_ready(connection), "readyz is 503")
    assert b"database" in answer.body or b"old" in answer.body, answer.body
    report = ask_over(connection, "GET", "/api/v1/health")
    checks = {check["name"]: check for check in report.json["checks"]}
    assert report.status == 503 and report.json["status"] == "failing", report.body
    assert checks["database"]["status"] == "failing" and checks["database"]["reason"]
    # What it had said before stays, with its age; what is not the server's goes on being looked at.
    assert checks["migrations"]["status"] == "ok"
    assert checks["migrations"]["age_ms"] > checks["disk"]["age_ms"]
    connection.close()
    began = time.monotonic()
    assert node.ask("GET", "/api/v1/jobs", timeout=90).status == 503
    assert time.monotonic() - began < 2 * ANSWER_LIMIT
    assert node.ask("GET", "/livez").status == 200
    for pid in stopped:
        send(pid, signal.SIGCONT)  # nothing to one that was replaced meanwhile
    until(lambda: node.ask("GET", "/readyz").status == 200, "ready again")
    node.await_state(node.create("echo")["id"], "completed")
    assert node.stop() == 0


def not_ready(connection):
    answer = ask_over(connection, "GET", "/readyz")
    return answer if answer.status == 503 else None


def child_named(parent, name):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if is_child(pid, parent) and name in Path(f"/proc/{pid}/cmdline").read_text():
            return int(pid)
    raise AssertionError(f"the server has no {name}")


def is_child(pid, parent):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1]) == parent
    except OSError:
        return False
