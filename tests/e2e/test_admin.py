"""What operators ask of a node and its database: its settings, its connections, how long what is kept, the doctor;
and nodes that are drained."""
import json
import signal
import subprocess

import pytest

from node import Node, Workspace, clean_environment, first_line, fitting, run, until

VARIABLES = {"TROUPE_OTLP_HEADERS": "authorization=Bearer%20s3cret", "TROUPE_SLOTS": "3"}


class Second(Node):
    """`troupe serve` at the database of another node, the only one that runs jobs of the queue `own`."""

    def start(self):
        with open(self.place.log("second"), "wb") as log:
            self.process = self.place.start("serve", *self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, env=clean_environment(**VARIABLES))
        self.url = first_line(self.process, 180).split()[2]
        self.host, self.port = self.url[len("http://"):].split(":")
        return self


@pytest.fixture(scope="module")
def node():
    with Workspace() as place:
        running = Node(place, "--grace", "1", "--queue", "own:0", "--max-connections", "6").start()
        yield running
        assert running.stop() == 0


@pytest.fixture
def second(node):
    file = node.place.root / "troupe.toml"
    file.write_text("prefetch = 5\n")
    url = f"postgresql://postgres:s3cret@/troupe?host={node.place.data}/pg&port=5432"
    other = Second(node.place, "--database", url, "--listen", "127.0.0.1:0", "--node", "second", "--grace", "1",
                   "--test-kinds", "--config", str(file)).start()
    yield other
    assert other.stop() == 0


def told(node, path):
    answer = node.ask("GET", f"/api/v1/{path}")
    assert answer.status == 200, answer.body
    return answer.json


def steered(node, name, what):
    """To be steered to the same again changes nothing; a node without a heartbeat for 4 s is silent, whatever it does."""
    def look():
        answer = node.ask("POST", f"/api/v1/nodes/{name}/{what}")
        assert answer.status == 200, answer.body
        return answer.json

    return fitting(look, lambda told: told["state"] != "silent", f"{name} beats")


def state_of(node, name):
    return fitting(lambda: told(node, f"nodes/{name}")["state"], lambda state: state != "silent", f"{name} beats")


def test_a_node_tells_the_settings_that_config_show_prints_and_no_secret(node, second):
    shown = run("config", "show", "--origin", "--json", *second.arguments, **VARIABLES)
    assert shown.returncode == 0, shown.stderr
    answer = second.ask("GET", "/api/v1/config")
    assert answer.json == json.loads(shown.stdout) and b"s3cret" not in answer.body
    settings = {each["name"]: each for each in answer.json["settings"]}
    assert settings["otlp_headers"]["value"] == "(hidden)"
    assert settings["prefetch"]["origin"] == "file" and settings["prefetch"]["value"] == 5
    assert settings["slots"] == {"name": "slots", "value": 3, "origin": "variable", "from": "TROUPE_SLOTS"}
    of_dev = {each["name"]: each["value"] for each in told(node, "config")["settings"]}
    assert of_dev["test_kinds"] is True and of_dev["database.url"] is None and of_dev["queue"] == ["own:0"]


def test_the_pool_is_told_with_its_connections_and_bounds(node):
    pool = fitting(lambda: told(node, "pool"), lambda pool: pool["waiting"] == 0, "nobody waits for a connection")
    assert pool["bounds"]["max_connections"] == 6 and pool["bounds"]["min_connections"] == 3
    assert 1 <= pool["open"] <= 7 and pool["open"] == pool["idle"] + pool["busy"] == len(pool["connections"])
    assert pool["since_start"]["statements"] > 0
    pids = {each["backend_pid"] for each in pool["connections"]}
    known = {int(pid) for pid in node.sql("select pid from pg_stat_activity").split()}
    assert pids & known


def test_ages_are_told_as_they_are_set(node):
    usual = told(node, "retention")["jobs"]["ages"]
    assert usual == [{"queue": None, **{f"{end}_ms": 604_800_000 for end in ("completed", "cancelled", "discarded")}}]
    node.sql("select troupe.retain('1 hour', '0', null, 'mail')")
    kept = told(node, "retention")
    assert kept["jobs"]["ages"][1] == {"queue": "mail", "completed_ms": 3_600_000, "cancelled_ms": 0, "discarded_ms": None}
    assert {each["what"] for each in kept["others"]} == {"audit", "bulk_operations", "idempotency_keys", "tokens"}
    assert kept["jobs"]["last_drop"] is None and kept["jobs"]["partitions"] >= 1
    node.sql("select troupe.retain_as_others('mail')")


def test_the_doctor_of_a_node_finds_what_the_command_finds(node):
    def both():
        return (told(node, "doctor"),
                json.loads(run("doctor", "--json", "--data-dir", node.place.data, "--max-connections", "6").stdout))

    def agree(looks):
        report, printed = looks
        # A node's sessions have settings of their own, and health has the disk.
        alone = ("pooler", "timeouts", "disk")
        wanted = [(each["name"], each["status"]) for each in printed["checks"] if each["name"] not in alone]
        return [(each["name"], each["status"]) for each in report["checks"]] == wanted

    # Twice the same within a moment, but for the time of a round trip on a busy machine.
    report, printed = fitting(both, agree, "both find the same")
    assert report["server"] == printed["server"]
    node.sql("alter table troupe.lane set (autovacuum_enabled = off)")
    (found,) = [each for each in told(node, "doctor")["checks"] if each["name"] == "vacuum"]
    assert found["status"] == "degraded" and "lane" in found["found"] and "autovacuum_enabled" in found["advice"]
    node.sql("alter table troupe.lane reset (autovacuum_enabled)")


def test_a_drained_node_finishes_what_it_runs_and_gets_nothing_more(node, second):
    first = node.create("sleep", queue="own", args={"ms": 600_000})["id"]
    node.await_state(first, "running")
    shown = steered(node, "second", "drain")
    assert shown["state"] == "draining" and shown["running"] == 1
    assert steered(second, "second", "drain")["id"] == shown["id"]  # the same again, whoever is asked
    late = node.create("noop", queue="own")["id"]
    assert node.job(first)["state"] == "running" and node.job(late)["state"] == "available"
    assert told(node, f"jobs/{late}/why")["reason"] == "no_node"
    waits = run("nodes", "drain", "second", "--timeout", "0.2", "--url", node.url)
    assert waits.returncode == 7 and "1 of its jobs" in waits.stderr
    draining = node.place.start("nodes", "drain", "second", "--json", "--url", node.url, stdout=subprocess.PIPE)
    assert node.ask("POST", f"/api/v1/jobs/{first}/cancel").status == 200
    assert draining.wait(120) == 0
    done = json.loads(draining.stdout.read())
    assert done["state"] in ("draining", "silent") and done["running"] == 0
    assert state_of(node, "second") == "draining"
    assert second.ask("GET", "/readyz").status == 200  # it serves requests as before
    assert second.create("noop", queue="own")["state"] == "available"
    assert node.job(late)["state"] == "available"
    resumed = fitting(lambda: run("nodes", "resume", "second", "--url", node.url), lambda done: "silent" not in done.stdout,
                      "it beats")
    assert resumed.returncode == 0 and "state         alive" in resumed.stdout
    node.await_state(late, "completed")
    written = [(each["action"], each["subject"]) for each in told(node, "audit")["entries"]]
    assert written[0] == ("node.resume", "second") and ("node.drain", "second") in written[1:]


def test_a_drain_goes_on_when_the_node_was_given_up_and_is_back(node, second):
    life = steered(node, "second", "drain")["id"]
    second.signal(signal.SIGSTOP)
    until(lambda: told(node, "nodes/second")["state"] == "dead", "another node to give it up")
    second.signal(signal.SIGCONT)
    until(lambda: told(node, "nodes/second")["id"] != life, "its next life")
    assert state_of(node, "second") == "draining"
    late = node.create("noop", queue="own")["id"]
    assert steered(node, "second", "resume")["state"] == "alive"
    node.await_state(late, "completed")


def test_what_is_no_node_or_has_ended_is_refused(node, second):
    for what in ("drain", "resume"):
        assert node.ask("POST", f"/api/v1/nodes/nobody/{what}").status == 404
        assert run("nodes", what, "nobody", "--url", node.url).returncode == 3
    steered(node, "second", "drain")
    assert second.stop() == 0  # drained, it ends as any other
    assert told(node, "nodes/second")["state"] == "left"
    for what in ("drain", "resume"):
        assert node.ask("POST", f"/api/v1/nodes/second/{what}").json["code"] == "conflict"
        assert run("nodes", what, "second", "--url", node.url).returncode == 4
