"""Limits of queues and of keys over two processes at one database. What ran at once of a key is read from
the attempts: a run begins after the commit that ended the one before. A permit of a queue goes from run to
run without the database, so for a queue the permits of both are looked at while they work."""
import json
import subprocess
from datetime import datetime

from node import Node, clean_environment, first_line, run, until


class Second(Node):
    """`troupe serve` at the database of another node."""

    def start_at(self, other):
        self.database = f"postgresql://postgres@/troupe?host={other.place.data}/pg&port=5432"
        log = open(self.place.log("second"), "wb")
        with log:
            self.process = self.place.start(
                "serve", "--database", self.database, "--listen", "127.0.0.1:0", "--node", "second", "--test-kinds",
                "--grace", "1", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=clean_environment(**self.patience))
        self.url = first_line(self.process, 180).split()[2]
        self.host, self.port = self.url[len("http://"):].split(":")
        return self


    def value(self, sql):
        return subprocess.run(["psql", "-qAtX", self.database, "-c", sql], check=True, capture_output=True,
                              text=True, timeout=120, env=clean_environment()).stdout.strip()


def most_at_once(jobs):
    """Of the runs of these jobs."""
    edges = []
    for job in jobs:
        (attempt,) = job["attempts"]
        edges += [(datetime.fromisoformat(attempt["started_at"].replace("Z", "+00:00")), 1),
                  (datetime.fromisoformat(attempt["finished_at"].replace("Z", "+00:00")), -1)]
    most = now = 0
    for _, step in sorted(edges):  # at the same moment the end comes first
        now += step
        most = max(most, now)
    return most


def ended(node, ids):
    return [node.await_state(i, "completed", seconds=90) for i in ids]


def put(node, queue, count, ms, **fields):
    jobs = [{"kind": "sleep", "queue": queue, "args": {"ms": ms}, **fields}] * count
    answer = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": jobs})
    assert answer.status == 201, answer.body
    return answer.json["ids"]


def test_two_processes_keep_the_limit_of_a_queue_and_of_each_key(node):
    second = Second(node.place).start_at(node)
    try:
        assert node.ask("PATCH", "/api/v1/queues/two?create=true", {"concurrency": 3}).status == 200
        assert node.ask("PATCH", "/api/v1/queues/keys?create=true", {"key_concurrency": 2}).status == 200
        limited = put(node, "two", 40, 50)
        of_key = {key: put(node, "keys", 30, 50, limit_key=key) for key in ("acme", "globex")}
        free = put(second, "keys", 10, 50)
        seen = []

        def all_done():
            seen.append(int(second.value("select coalesce(sum(permits), 0) from troupe.permit")))
            return node.ask("GET", "/api/v1/jobs?queue=two&state=completed").json["jobs"][len(limited) - 1:]

        until(all_done, "all of the limited queue have ended", 90)
        assert 1 <= max(seen) <= 3, seen
        for key, ids in of_key.items():
            jobs = ended(second, ids)
            assert all(job["limit_key"] == key for job in jobs)
            assert most_at_once(jobs) == 2, key
        ended(node, free)
        assert node.ask("GET", "/api/v1/queues/keys").json["waiting"] == 0
    finally:
        assert second.stop() == 0


def test_a_key_on_the_command_line_and_a_key_that_is_full(node):
    limit = run("queues", "limit", "cli-keys", "--create", "--key-concurrency", "1", TROUPE_URL=node.url)
    assert limit.returncode == 0, limit.stderr
    assert "key_concurrency  1" in limit.stdout or json.loads(limit.stdout)["key_concurrency"] == 1

    def enqueue(kind, args, key):
        done = run("enqueue", kind, "--queue", "cli-keys", "--args", args, "--limit-key", key,
                   "--json", TROUPE_URL=node.url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["id"]

    long = enqueue("sleep", '{"ms": 600000}', "acme")
    node.await_state(long, "running")
    waits = enqueue("noop", "{}", "acme")
    other = enqueue("noop", "{}", "globex")
    node.await_state(other, "completed")
    assert node.job(waits)["state"] == "available" and node.job(waits)["limit_key"] == "acme"
    until(lambda: node.ask("GET", "/api/v1/queues/cli-keys").json["waiting"] == 1, "one waits")
    assert node.ask("POST", f"/api/v1/jobs/{long}/cancel").status == 200
    node.await_state(waits, "completed")
    assert run("enqueue", "noop", "--limit-key", "", TROUPE_URL=node.url).returncode != 0
