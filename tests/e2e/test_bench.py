"""`troupe bench`: its figures, the queue that it has for itself, and what it leaves behind: nothing."""
import json
import os
import pty
import signal
import subprocess

import pytest

from node import Node, Workspace, clean_environment, fitting, run, until

QUEUE = "troupe-bench"


class Server:
    """The database of a node that takes no jobs."""

    def __init__(self, node):
        self.node = node
        self.url = f"postgresql://postgres@/troupe?host={node.place.data}/pg"

    def value(self, sql):
        return subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.url, "-c", sql], check=True,
                              capture_output=True, text=True, timeout=120, env=clean_environment()).stdout.strip()

    def bench(self, *arguments, **more):
        return run("bench", *arguments, DATABASE_URL=self.url, **more)

    def start(self, *arguments, **more):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return self.node.place.start("bench", *arguments, "--database", self.url, **pipes)

    def left(self):
        return int(self.value(f"select count(*) from troupe.job where queue = '{QUEUE}'"))

    def paused(self):
        return self.value(f"select paused_at is not null from troupe.queue where name = '{QUEUE}'") == "t"

    def slow_down(self, jobs_a_second):
        self.value(f"select troupe.rate_queue('{QUEUE}', {jobs_a_second}, 1000, 1)")

    def hurry(self):
        self.value(f"select troupe.rate_queue('{QUEUE}', null, null, null)")

    def await_ended(self, jobs):
        until(lambda: int(self.value("select count(*) from troupe.attempt a join troupe.job j on j.id = a.job_id "
                                     f"where j.queue = '{QUEUE}'")) >= jobs, f"{jobs} jobs have ended")


@pytest.fixture(scope="module")
def idle():
    with Workspace() as place:
        node = Node(place, "--slots", "0").start()
        yield Server(node)
        assert node.stop() == 0


@pytest.fixture
def server(idle):
    """With an empty queue that nothing limits."""
    idle.hurry()
    return idle


def report_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_drain_without_a_database_brings_its_own(workspace):
    told = report_of(run("bench", "drain", "--jobs", "2000", "--json", "--data-dir", workspace.data))
    assert told.keys() == {"bench", "jobs", "seconds", "jobs_per_second", "exactly_once", "wal_bytes_per_job"}
    assert told["bench"] == "drain" and told["jobs"] == 2000 and told["exactly_once"] is True
    assert told["jobs_per_second"] == pytest.approx(2000 / told["seconds"], rel=0.01)
    assert 10 < told["wal_bytes_per_job"] < 100_000
    assert workspace.postmaster() is None


def test_an_enqueue_is_measured_without_its_runs(server):
    told = report_of(server.bench("enqueue", "--jobs", "250", "--batch", "100", "--json"))
    assert told["bench"] == "enqueue" and told["jobs_per_second"] > 0 and told["exactly_once"] is True
    assert told["wal_bytes_per_job"] > 10
    assert server.left() == 0 and not server.paused()


@pytest.mark.parametrize("by", ["engine", "sql"])
def test_a_latency_has_percentiles_from_commit_and_from_call(server, by):
    told = report_of(server.bench("latency", "--jobs", "20", "--by", by, "--json"))
    assert told.keys() == {"bench", "jobs", "p50_ms", "p99_ms", "p50_from_call_ms", "p99_from_call_ms",
                           "exactly_once", "wal_bytes_per_job"}
    assert told["exactly_once"] is True
    # An idle engine claims the job in the transaction that stores it: its caller hears of that no sooner than the run.
    assert (0 if by == "engine" else 0.001) <= told["p50_ms"] <= told["p99_ms"] <= told["p99_from_call_ms"]
    assert told["p50_ms"] < told["p50_from_call_ms"]  # the commit lies between


def test_people_see_a_table_and_jobs_may_compute(server):
    done = server.bench("drain", "--jobs", "100", "--work-us", "100", "--workers", "2", "--slots", "4")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "drain of 100 jobs"
    figures = {line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1].strip() for line in lines[1:]}
    assert figures.keys() == {"jobs/s", "seconds", "each job exactly once", "WAL per job"}
    assert figures["each job exactly once"] == "yes"
    assert float(figures["jobs/s"]) <= 2 / 100e-6


def test_jobs_of_other_queues_are_left_alone(server):
    job = server.value("select troupe.enqueue('noop', queue => 'mail')")
    assert report_of(server.bench("drain", "--jobs", "100", "--json"))["exactly_once"] is True
    assert server.value(f"select state, attempt from troupe.jobs where id = {job}").startswith("available")
    assert server.value(f"select count(*) from troupe.attempt where job_id = {job}") == "0"


def test_what_an_earlier_one_left_is_removed_and_what_is_not_its_own_is_refused(server):
    for state in ("delay_ms => 3600000", "delay_ms => 0"):
        server.value(f"select troupe.enqueue('{QUEUE}', queue => '{QUEUE}', {state}) from generate_series(1, 1200)")
    server.value(f"select troupe.pause_queue('{QUEUE}')")
    assert report_of(server.bench("drain", "--jobs", "50", "--json"))["exactly_once"] is True
    assert server.left() == 0 and not server.paused()
    job = server.value(f"select troupe.enqueue('noop', queue => '{QUEUE}')")
    refused = server.bench("drain", "--jobs", "50")
    assert refused.returncode == 4 and "which is for benchmarks: 1; delete them" in refused.stderr and refused.stdout == ""
    # The engine may have met it before the queue was paused.
    assert server.value(f"select state from troupe.jobs where id = {job}") in ("available", "retryable")
    assert server.node.ask("DELETE", f"/api/v1/jobs/{job}").status == 204


def test_jobs_are_kept_until_the_next_one(server):
    assert server.bench("drain", "--jobs", "50", "--keep").returncode == 0
    assert server.left() == 50
    assert server.bench("enqueue", "--jobs", "30").returncode == 0
    assert server.left() == 0


def test_a_job_that_did_not_run_is_exit_1(server):
    server.slow_down(1)
    process = server.start("drain", "--jobs", "40", "--json")
    server.await_ended(2)
    server.value(f"select troupe.cancel((select max(id) from troupe.job where queue = '{QUEUE}'))")
    server.hurry()
    out, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert json.loads(out)["exactly_once"] is False
    assert b"jobs that never ran: 1; that ran more than once: 0;" in said
    assert b"the database has 40 jobs, 39 of which completed in their only run" in said
    assert server.left() == 0 and not server.paused()


@pytest.mark.parametrize("what", ["drain", "latency"])
def test_an_interrupt_is_exit_130_and_leaves_nothing(server, what):
    server.slow_down(5)
    process = server.start(what, "--jobs", "300")
    server.await_ended(2)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130 and out == b"" and b"interrupted" in said
    assert server.left() == 0 and not server.paused()


def test_what_takes_too_long_is_exit_7_and_leaves_nothing(server):
    server.slow_down(1)
    late = server.bench("drain", "--jobs", "200", "--timeout", "5")
    assert late.returncode == 7 and late.stdout == "" and "the time is over" in late.stderr
    assert server.left() == 0 and not server.paused()


def test_two_at_a_time_are_refused(server):
    server.slow_down(5)
    process = server.start("drain", "--jobs", "300")
    server.await_ended(1)
    second = server.bench("drain", "--jobs", "10")
    assert second.returncode == 4 and "another benchmark" in second.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 130
    process.communicate()


def test_a_killed_one_is_cleaned_up_after_by_the_next(server):
    server.slow_down(5)
    process = server.start("drain", "--jobs", "300")
    server.await_ended(1)
    process.kill()
    process.communicate(timeout=120)
    server.hurry()
    done = until(lambda: next((d for d in [server.bench("drain", "--jobs", "100", "--json")] if d.returncode != 4), None),
                 "the killed one's node is not alive any more", every=0.5)
    assert report_of(done)["exactly_once"] is True
    assert server.left() == 0


def test_a_node_that_would_take_its_jobs_is_named(workspace):
    node = Node(workspace, "--node", "greedy").start()
    # A node that was stalled for 4 s is not alive for a moment.
    refused = fitting(lambda: Server(node).bench("drain", "--jobs", "10"), lambda done: done.returncode != 0, "it beats")
    assert refused.returncode == 4 and refused.stdout == ""
    assert "node greedy would run jobs of the benchmark" in refused.stderr and f"--queue {QUEUE}:0" in refused.stderr
    assert node.stop() == 0
    polite = Node(workspace, "--queue", f"{QUEUE}:0").start()
    assert report_of(Server(polite).bench("drain", "--jobs", "10", "--json"))["exactly_once"] is True
    assert polite.stop() == 0


def test_on_a_terminal_there_is_a_bar(server):
    server.slow_down(1)
    leader, follower = pty.openpty()
    process = server.start("drain", "--jobs", "40", stderr=follower, env=clean_environment(TERM="xterm"))
    os.close(follower)
    shown = b""
    while b"/40 jobs run" not in shown:
        shown += os.read(leader, 65536)
    assert b"\r[" in shown
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    process.communicate()
    os.close(leader)


@pytest.mark.parametrize("arguments, advice", [
    (["bench"], "drain, enqueue, latency"),
    (["bench", "drain", "--jobs", "0"], "--jobs"),
    (["bench", "latency", "--batch", "5"], "there is no option --batch"),
    (["bench", "drain", "--database", "mysql://h/x"], "database.url"),
])
def test_wrong_words_are_exit_2(arguments, advice):
    wrong = run(*arguments)
    assert wrong.returncode == 2 and advice in wrong.stderr and wrong.stdout == ""


def test_a_dead_database_is_exit_6():
    dead = run("bench", "drain", "--jobs", "10", DATABASE_URL="postgresql:///x?host=/tmp/nobody-is-here")
    assert dead.returncode == 6 and dead.stdout == "" and dead.stderr
