"""The client commands: enqueue, jobs, version, and what they say when something is wrong."""
import codecs
import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from node import PROGRAM, Node, clean_environment, fitting, run, until


def ask(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def test_version_names_program_compiler_and_libpq():
    shown = json.loads(run("version", "--json").stdout)
    assert shown["version"] and shown["compiler"].startswith("g++")
    in_repository = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True).returncode == 0
    assert re.fullmatch("[0-9a-f]{12}", shown["commit"]) if in_repository else shown["commit"] is None
    assert shown["libpq"].split(".")[0].isdigit()
    assert run("version").stdout.startswith(f"troupe {shown['version']}\n")


def test_enqueue_prints_the_id_of_a_job_that_exists(node):
    made = ask(node, "enqueue", "echo", "--args", '{"a":1}', "--queue", "q1", "--priority", "2",
               "--max-attempts", "3", "--timeout-ms", "5000", "--tag", "x", "--tag", "y")
    assert made.returncode == 0, made.stderr
    job = node.job(made.stdout.strip())
    assert (job["kind"], job["queue"], job["priority"], job["max_attempts"]) == ("echo", "q1", 2, 3)
    assert job["args"] == {"a": 1} and job["timeout_ms"] == 5000 and job["tags"] == ["x", "y"]


def test_enqueue_wait_shows_the_result_without_rounding_numbers(node):
    made = ask(node, "enqueue", "echo", "--args", '{"n":12345678901234567890123}', "--wait",
               "--json")
    assert made.returncode == 0, made.stderr
    job = json.loads(made.stdout)
    assert job["state"] == "completed"
    assert job["args"]["n"] == 12345678901234567890123


def test_args_come_from_standard_input(node):
    made = ask(node, "enqueue", "echo", "--args", "-", "--wait", "--json", text='{"from":"stdin"}')
    assert json.loads(made.stdout)["args"] == {"from": "stdin"}


def test_a_job_that_fails_for_good_is_exit_8(node):
    made = ask(node, "enqueue", "fail", "--args", '{"times":1,"message":"as asked"}',
               "--max-attempts", "1", "--wait")
    assert made.returncode == 8
    assert "discarded" in made.stdout and "as asked" in made.stdout


def test_waiting_no_longer_than_asked_is_exit_7(node):
    began = time.monotonic()
    made = ask(node, "enqueue", "sleep", "--queue", "waited", "--args", '{"ms":600000}', "--wait", "--timeout", "0.3")
    assert made.returncode == 7, made.stderr
    assert time.monotonic() - began < 60
    (job,) = node.ask("GET", "/api/v1/jobs?queue=waited").json["jobs"]
    assert node.ask("POST", f"/api/v1/jobs/{job['id']}/cancel").status == 200, "it has not ended"


def test_interrupting_a_wait_is_exit_130(node):
    waiting = node.place.start("enqueue", "sleep", "--args", '{"ms":600000}', "--wait", "--url",
                               node.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert select.select([waiting.stderr], [], [], 120)[0], "nothing was said"
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(120) == 130


def test_how_much_is_said_beside_the_data_is_chosen(node):
    usual = ask(node, "enqueue", "echo", "--wait")
    assert "is in; waiting for its end" in usual.stderr
    for quiet in (["-q", "enqueue", "echo", "--wait"], ["enqueue", "echo", "--wait", "--quiet"]):
        said = ask(node, *quiet)
        assert (said.returncode, said.stderr) == (0, "") and "completed" in said.stdout
    wrong = ask(node, "jobs", "get", "987654321", "-q")
    assert wrong.returncode == 3 and "987654321" in wrong.stderr
    said = ask(node, "jobs", "list", "--limit", "1", "-v")
    assert re.search(r"^troupe: GET /api/v1/jobs\?limit=1: 200 after \d+ ms$", said.stderr, re.M), said.stderr


def test_jobs_are_listed_in_aligned_columns_and_as_json(node):
    ids = [ask(node, "enqueue", "noop", "--queue", "listed").stdout.strip() for _ in range(3)]
    shown = ask(node, "jobs", "list", "--queue", "listed").stdout.splitlines()
    assert shown[0].split()[:4] == ["ID", "STATE", "KIND", "QUEUE"]
    assert [line.split()[0] for line in shown[1:]] == ids[::-1]
    column = shown[0].index("KIND")
    assert all(line[column:].startswith("noop") for line in shown[1:])
    listed = json.loads(ask(node, "jobs", "list", "--queue", "listed", "--json").stdout)
    assert [job["id"] for job in listed["jobs"]] == ids[::-1] and listed["next"] is None


def test_list_all_follows_the_cursors(node):
    answer = node.ask("POST", "/api/v1/jobs/bulk",
                      {"jobs": [{"kind": "noop", "queue": "many"}] * 1203})
    assert answer.status == 201
    listed = ask(node, "jobs", "list", "--queue", "many", "--all", "--json")
    assert len({job["id"] for job in json.loads(listed.stdout)["jobs"]}) == 1203
    some = ask(node, "jobs", "list", "--queue", "many", "--limit", "700")
    assert len(some.stdout.splitlines()) == 701
    assert "--all" in some.stderr


def test_get_shows_fields_and_attempts(node):
    job_id = json.loads(ask(node, "enqueue", "echo", "--wait", "--json").stdout)["id"]
    shown = ask(node, "jobs", "get", job_id)
    assert shown.returncode == 0
    assert "completed" in shown.stdout and "ATTEMPT" in shown.stdout
    assert json.loads(ask(node, "jobs", "get", job_id, "--json").stdout)["id"] == job_id
    other = json.loads(ask(node, "enqueue", "echo", "--wait", "--json").stdout)["id"]
    both = ask(node, "jobs", "get", job_id, "987654321", other, "--json")
    assert both.returncode == 3 and "987654321" in both.stderr
    assert [json.loads(line)["id"] for line in both.stdout.splitlines()] == [job_id, other]


def test_watched_jobs_are_followed_to_their_ends(node):
    good = node.create("sleep", args={"ms": 50})["id"]
    bad = node.create("fail", args={"times": 1, "message": "as asked"}, max_attempts=1)["id"]
    followed = ask(node, "jobs", "watch", good, "--json")
    assert followed.returncode == 0, followed.stderr
    changes = [json.loads(line) for line in followed.stdout.splitlines()]
    assert changes[-1]["id"] == good and changes[-1]["state"] == "completed"
    assert all(one != two for one, two in zip(changes, changes[1:]))
    failed = ask(node, "jobs", "watch", good, bad)
    assert failed.returncode == 8
    assert f"job {bad} is discarded, attempt 1 of 1, as asked" in failed.stdout
    missing = ask(node, "jobs", "watch", good, "987654321")
    assert missing.returncode == 3 and "987654321" in missing.stderr
    assert f"job {good} is completed" in missing.stdout


def test_a_watch_ends_in_time_and_by_an_interrupt(node):
    waits = node.create("noop", delay_ms=3_600_000)["id"]
    late = ask(node, "jobs", "watch", waits, "--timeout", "0.1")
    assert late.returncode == 7 and f"job {waits} is scheduled" in late.stdout
    leader, follower = pty.openpty()
    watching = node.place.start("jobs", "watch", waits, "--url", node.url, stdout=follower,
                                env=clean_environment(TERM="xterm"))
    os.close(follower)
    shown = ""
    while "scheduled" not in shown:  # it comes in pieces
        shown += os.read(leader, 65536).decode()
    assert shown.split()[:5] == ["ID", "STATE", "KIND", "ATTEMPT", "PROGRESS"]
    assert node.ask("POST", f"/api/v1/jobs/{waits}/retry", {}).status == 200
    while "completed" not in shown:
        shown += os.read(leader, 65536).decode()
    assert "\x1b[2F\x1b[J" in shown and watching.wait(120) == 0
    os.close(leader)
    waits = node.create("noop", delay_ms=3_600_000)["id"]
    watching = node.place.start("jobs", "watch", waits, "--url", node.url, stdout=subprocess.PIPE)
    assert select.select([watching.stdout], [], [], 120)[0], "nothing was said"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(120) == 130


def test_cancel_retry_and_delete_work_and_report_each_job(node):
    sleeping = ask(node, "enqueue", "sleep", "--args", '{"ms":1}', "--delay-ms",
                   "3600000").stdout.strip()
    cancelled = ask(node, "jobs", "cancel", sleeping, "987654321")
    assert cancelled.returncode == 3
    assert f"job {sleeping} is cancelled" in cancelled.stdout
    assert "987654321" in cancelled.stderr
    assert ask(node, "jobs", "cancel", sleeping).returncode == 4
    assert ask(node, "jobs", "retry", sleeping).returncode == 0
    node.await_state(sleeping, "completed")
    assert ask(node, "jobs", "delete", sleeping).stdout == f"deleted {sleeping}\n"
    assert ask(node, "jobs", "get", sleeping).returncode == 3


def test_what_the_server_refuses_is_exit_2_with_the_field(node):
    refused = ask(node, "enqueue", "no-such-kind")
    assert refused.returncode == 2
    assert "/kind" in refused.stderr and "noop" in refused.stderr
    refused = ask(node, "enqueue", "noop", "--priority", "77")
    assert refused.returncode == 2 and "/priority" in refused.stderr
    reserved = ask(node, "enqueue", "noop", "--queue", "troupe.x")
    assert reserved.returncode == 2 and "troupe.x" in reserved.stderr
    refused = ask(node, "enqueue", "noop", "--args", "{broken")
    assert refused.returncode == 2 and "not JSON" in refused.stderr


def test_escape_sequences_of_a_job_do_not_reach_the_output(node):
    made = node.create("fail", max_attempts=1,
                       args={"times": 1, "message": "\u001b[2J\u009b31m\u202egone"})
    node.await_state(made["id"], "discarded")
    for flags in ([], ["--json"]):
        shown = ask(node, "jobs", "get", made["id"], *flags).stdout
        assert "gone" in shown
        assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


@pytest.mark.parametrize("arguments, advice", [
    (["enqueu", "noop"], "did you mean enqueue?"),
    (["jobs", "lst"], "did you mean list?"),
    (["jobs"], "list, counts, get, logs, why, watch, cancel, retry, delete"),
    (["dev", "--slot", "3"], "did you mean --slots?"),
    (["dev", "--listen", "0.0.0.0:8080"], "--insecure-listen"),
    (["serve"], "DATABASE_URL"),
    (["migrate"], "DATABASE_URL"),
    (["doctor", "--database", "mysql://h/x"], "database.url"),
    (["doctor", "--data-dir", "/no/such"], "DATABASE_URL"),
    (["dev", "--max-connections", "1"], "database.max_connections: 1 is not in 2 to 1000"),
    (["dev", "--min-connections", "9"], "database.min_connections"),
    (["dev", "--config", "/no/such.toml"], "/no/such.toml"),
    (["scrape", "not-a-url"], "https://"),
    (["scrape", "http://localhost/", "--out", "x.xls"], ".csv or .ndjson"),
])
def test_wrong_words_are_exit_2_with_what_to_do(arguments, advice):
    wrong = run(*arguments)
    assert wrong.returncode == 2
    assert advice in wrong.stderr and wrong.stdout == ""


def test_a_dead_server_is_exit_6_and_says_how_to_start_one():
    # Port 9 of loopback: nobody listens there.
    for command in (["enqueue", "noop"], ["jobs", "list"], ["jobs", "get", "1"]):
        dead = run(*command, "--url", "http://127.0.0.1:9")
        assert dead.returncode == 6
        assert "troupe dev" in dead.stderr and dead.stdout == ""


def test_a_foreign_server_is_not_taken_for_troupe(node):
    assert ask(node, "jobs", "list", "--url", "ftp://127.0.0.1").returncode == 2
    assert run("jobs", "list", "--url", node.url + "/livez").returncode == 3


def test_help_of_every_command_is_exit_0():
    for command in (["dev"], ["serve"], ["migrate"], ["enqueue"], ["jobs"], ["jobs", "list"],
                    ["jobs", "get"], ["jobs", "cancel"], ["jobs", "retry"], ["jobs", "delete"],
                    ["scrape"], ["config", "show"], ["completion"], ["man"], ["version"]):
        shown = run(*command, "--help")
        assert shown.returncode == 0 and "Usage" in shown.stdout, command


def test_config_show_says_where_each_setting_comes_from_and_no_secret(workspace):
    file = workspace.root / "troupe.toml"
    file.write_text("slots = 3\n[database]\nmax_waiting = 9\n")
    url = "postgresql://ada:s3cret@db.example/troupe?sslpassword=s3cret"
    shown = run("config", "show", "--origin", "--json", "--node", "n1", DATABASE_URL=url,
                TROUPE_CONFIG=str(file))
    assert shown.returncode == 0, shown.stderr
    settings = {each["name"]: each for each in json.loads(shown.stdout)["settings"]}
    assert settings["slots"] == {"name": "slots", "value": 3, "origin": "file",
                                 "from": f"{file}, line 1"}
    assert settings["node"]["origin"] == "flag" and settings["node"]["from"] == "--node"
    assert settings["database.url"]["from"] == "DATABASE_URL"
    assert settings["database.url"]["value"].startswith("postgresql://ada@/troupe?host=db.example")
    assert settings["listen"] == {"name": "listen", "value": "127.0.0.1:8080", "origin": "default",
                                  "from": None}
    assert settings["data_dir"]["value"].startswith("/")
    table = run("config", "show", DATABASE_URL=url)
    assert table.stdout.split()[:2] == ["SETTING", "VALUE"] and "ORIGIN" not in table.stdout
    for broken in (url, "postgresql://ada:s3cret@[/", "password=s3cret dbname='x"):
        tried = run("config", "show", "--origin", DATABASE_URL=broken)
        assert "s3cret" not in tried.stdout + tried.stderr
    wrong = run("config", "show", "--max-waiting", "0")
    assert wrong.returncode == 2 and "database.max_waiting: 0 is not in" in wrong.stderr


def test_the_manual_and_the_completion_are_printed():
    assert ".SH EXIT STATUS" in run("man").stdout
    for shell in ("bash", "zsh", "fish"):
        printed = run("completion", shell)
        assert printed.returncode == 0 and f"{shell} completion of troupe" in printed.stdout
    wrong = run("completion", "bsh")
    assert wrong.returncode == 2 and "did you mean bash?" in wrong.stderr


def test_long_cells_are_cut_on_a_terminal_only(node):
    queue = "q" * 100
    ask(node, "enqueue", "noop", "--queue", queue)
    assert queue in ask(node, "jobs", "list", "--queue", queue).stdout
    leader, follower = pty.openpty()
    subprocess.run([PROGRAM, "jobs", "list", "--queue", queue, "--url", node.url],
                   stdout=follower, env=clean_environment(), timeout=120, check=True)
    os.close(follower)
    shown = all_of(leader)
    assert queue not in shown and "qqqq…" in shown
    leader, follower = pty.openpty()
    subprocess.run([PROGRAM, "jobs", "list", "--queue", queue, "--url", node.url, "--plain"],
                   stdout=follower, env=clean_environment(), timeout=120, check=True)
    os.close(follower)
    assert queue in all_of(leader)


def all_of(leader):
    """What was written to a terminal whose other end is closed."""
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # Linux says EIO at the end
        pass
    os.close(leader)
    return shown.decode()


class Terminal:
    """A pseudo terminal with the program in it."""

    def __init__(self, place, *arguments, rows=24, columns=100):
        self.leader, follower = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.leader)
        self.shown = ""
        self.all = ""
        self.decode = codecs.getincrementaldecoder("utf-8")().decode # characters come in pieces
        self.process = place.start(
            *arguments, stdin=follower, stdout=follower, start_new_session=True,
            env=clean_environment(TERM="xterm"),
            preexec_fn=self.take_over)
        os.close(follower)

    @staticmethod
    def take_over():
        """In the new process: the terminal's signals are for it; it leaves no core."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.leader, keys.encode())

    def read(self):
        """Takes what was written: a full terminal would hold up the program."""
        try:
            while select.select([self.leader], [], [], 0)[0]:
                more = self.decode(os.read(self.leader, 65536))
                self.shown += more
                self.all += more
        except OSError: # nobody has the other end any more
            pass

    def await_frame(self, *parts):
        """The lines of a whole new frame that has all of these in it."""
        def look():
            self.read()
            for frame in self.shown.split("\x1b[H")[:0:-1]:
                if frame.endswith("\x1b[J") and all(part in frame for part in parts):
                    return frame
            return None

        frame = until(look, f"a frame with {parts}; shown was {self.shown[-2000:]!r}")
        self.shown = ""
        for code in ("\x1b[7m", "\x1b[0m", "\x1b[K", "\x1b[J", "\r"):
            frame = frame.replace(code, "")
        return frame.split("\n")

    def end(self):
        """The exit code; the terminal is as it was."""
        until(lambda: self.read() or self.process.poll() is not None, "the end")
        self.assert_restored()
        os.close(self.leader)
        return self.process.wait()

    def await_stop(self):
        until(lambda: self.read() or os.waitpid(self.process.pid, os.WUNTRACED | os.WNOHANG)[0],
              "the program is stopped")
        self.assert_restored()

    def assert_restored(self):
        until(lambda: self.read() or self.shown.endswith("\x1b[?25h\x1b[?1049l"), "the screen of before")
        assert termios.tcgetattr(self.leader) == self.before


def test_top_draws_resizes_sorts_pauses_and_gives_the_terminal_back(node):
    running = node.create("sleep", queue="watched", args={"ms": 600_000})["id"]
    node.create("noop", queue="waiting-long", delay_ms=3_600_000)
    node.await_state(running, "running")
    screen = Terminal(node.place, "top", "--url", node.url, "--interval", "0.1")
    lines = screen.await_frame("QUEUE+", "watched", f"{running}  sleep", "/s, done 0.0/s")
    assert len(lines) == 24 and all(len(line) <= 100 for line in lines)
    assert lines[0].startswith(f"troupe {node.url}  node node ") and lines[-1].startswith("q quit")
    screen.resize(8, 40)
    lines = until(lambda: (lambda frame: frame if len(frame) <= 8 else None)(
        screen.await_frame("QUEUE+")), "a smaller frame")
    assert all(len(line) <= 40 for line in lines), lines
    screen.type("\t")
    screen.await_frame("WAITING-")
    screen.type("\x1b[A")
    screen.await_frame("WAITING+")
    screen.type("p")
    screen.await_frame("paused; p goes on")
    assert "\x1b[7m" in screen.all
    screen.type("q")
    assert screen.end() == 0
    colourless = Terminal(node.place, "top", "--url", node.url, "--no-color")
    colourless.await_frame("QUEUE+")
    assert "\x1b[7m" not in colourless.all
    colourless.type("q")
    assert colourless.end() == 0
    assert node.ask("POST", f"/api/v1/jobs/{running}/cancel", {}).status == 200


def test_top_gives_the_terminal_back_at_any_end_and_when_it_is_stopped(node):
    for end, status in ((signal.SIGTERM, 130), (signal.SIGABRT, -signal.SIGABRT), (None, 130)):
        screen = Terminal(node.place, "top", "--url", node.url)
        screen.await_frame("QUEUE+")
        if end:
            screen.process.send_signal(end)
        else:
            screen.type("\x03")
        assert screen.end() == status
    screen = Terminal(node.place, "top", "--url", node.url, "--interval", "0.1", "--request-timeout", "3")
    screen.await_frame("QUEUE+")
    screen.process.send_signal(signal.SIGTSTP)
    screen.await_stop()
    screen.process.send_signal(signal.SIGCONT)
    screen.await_frame("QUEUE+")
    # A server that does not answer holds up neither keys nor the end.
    node.signal(signal.SIGSTOP)
    try:
        screen.await_frame("not up to date: no answer from")
        screen.type("\t")
        screen.await_frame("WAITING-")
        screen.type("q")
        assert screen.end() == 0
    finally:
        node.signal(signal.SIGCONT)


def test_nodes_are_listed_and_shown(node):
    node.await_state(node.create("noop", queue="shown")["id"], "completed")
    listed = fitting(lambda: ask(node, "nodes", "list", "--state", "alive"), lambda done: "alive" in done.stdout, "it beats")
    assert listed.returncode == 0 and re.search(r"^node +\d+  alive ", listed.stdout, re.M), listed
    (one,) = json.loads(ask(node, "nodes", "list", "--json").stdout)["nodes"]
    shown = json.loads(ask(node, "nodes", "show", "node", "--json").stdout)
    assert one["id"] == shown["id"] and "noop" in shown["kinds"] and shown["slots"] > 0
    fitting(lambda: ask(node, "nodes", "show", "node").stdout, lambda text: "state         alive" in text, "it is alive")
    assert ask(node, "nodes", "show", "other").returncode == 3
    assert ask(node, "nodes", "list", "--state", "asleep").returncode == 2


def test_a_server_says_how_it_is(node):
    def well(*flags):
        """A node that was stalled is not ready for a moment."""
        return fitting(lambda: ask(node, "health", *flags), lambda done: done.returncode == 0, "it is well").stdout

    for flags in ([], ["--ready"]):
        assert well(*flags) == "ok\n"
        assert json.loads(well("--json", *flags)) == {"ok": True, "reason": None}
    assert run("health", "--url", "http://127.0.0.1:9").returncode == 6
    pool = ask(node, "pool")
    assert pool.returncode == 0 and re.search(r"^bounds.max_connections +\d+$", pool.stdout, re.M), pool
    assert json.loads(ask(node, "pool", "--json").stdout)["bounds"]["max_connections"] > 0


def test_ages_are_shown_set_and_reset(node):
    def ages():
        return {each.pop("queue"): each for each in json.loads(ask(node, "retention", "show", "--json").stdout)["jobs"]["ages"]}

    kept = ask(node, "retention", "show")
    assert kept.returncode == 0 and "jobs.partitions" in kept.stdout
    assert re.search(r"^\(all others\) +7d +7d +7d$", kept.stdout, re.M) and re.search(r"^audit +90d +", kept.stdout, re.M)
    usual = ages()[None]
    hasty = ask(node, "retention", "set", "news", "--discarded", "forever", "--completed", "12h")
    assert hasty.returncode == 2 and "news: completed 12h in place of 7d; nothing was done" in hasty.stderr, hasty
    assert "news" not in ages()
    made = ask(node, "retention", "set", "news", "--discarded", "forever", "--completed", "12h", "--yes")
    assert made.returncode == 0 and re.search(r"^news +12h +7d +forever$", made.stdout, re.M), made
    assert ages()["news"] == {**usual, "completed_ms": 43_200_000, "discarded_ms": None}
    hasty = ask(node, "retention", "reset", "news")
    assert hasty.returncode == 2 and "news: discarded 7d in place of forever; nothing was done" in hasty.stderr, hasty
    assert ask(node, "retention", "reset", "news", "--yes").stdout == "news: as all others\n"
    assert "news" not in ages()
    again = ask(node, "retention", "reset", "news")
    assert again.returncode == 3 and "no ages of its own" in again.stderr, again
    limited = ask(node, "queues", "limit", "one-limit", "same-limit", "--concurrency", "3", "--create")
    assert limited.returncode == 0 and limited.stdout.count("concurrency      3") == 2, limited
    assert ask(node, "retention", "set", "--cancelled", "1h", "--yes").returncode == 0
    assert ages()[None] == {**usual, "cancelled_ms": 3_600_000}
    assert ask(node, "retention", "set", "--cancelled", "7d").returncode == 0
    assert ages()[None] == usual
    for wrong, said in ((["--completed", "soon"], "--completed: "), (["--completed", "3651d"], "3650d"), (["--completed", "7"], "7d"), ([], "--discarded")):
        refused = ask(node, "retention", "set", *wrong)
        assert refused.returncode == 2 and said in refused.stderr, refused


def test_a_node_that_is_not_ready_is_exit_1(workspace):
    node = Node(workspace, "--grace", "120").start()
    node.await_state(node.create("sleep", args={"ms": 600_000})["id"], "running")
    node.signal(signal.SIGTERM)
    refused = until(lambda: (lambda asked: asked if asked.returncode else None)(ask(node, "health", "--ready")),
                    "it is not ready")
    assert refused.returncode == 1 and "draining" in refused.stdout, refused
    node.kill()


def test_the_audit_and_exports_are_listed_in_pages(node):
    for _ in range(3):
        assert ask(node, "queues", "pause", "audited", "--create").returncode == 0
        assert ask(node, "queues", "resume", "audited").returncode == 0
    table = ask(node, "audit", "list", "--limit", "2")
    assert table.returncode == 0 and len(table.stdout.splitlines()) == 3 and "--all" in table.stderr
    assert "audited" in table.stdout
    entries = json.loads(ask(node, "audit", "list", "--all", "--json").stdout)
    assert len(entries["entries"]) >= 6 and entries["next"] is None
    ids = [node.ask("POST", "/api/v1/exports", {"format": "ndjson"}).json["id"] for _ in range(2)]
    assert set(ids) <= {one["id"] for one in json.loads(ask(node, "exports", "list", "--json").stdout)["exports"]}
    assert ids[0] in ask(node, "exports", "ls").stdout
    until(lambda: json.loads(ask(node, "exports", "get", ids[0], "--json").stdout)["file"], "the file")
    shown = ask(node, "exports", "show", ids[0])
    assert shown.returncode == 0 and "file.sha256" in shown.stdout
    gone = ask(node, "exports", "delete", ids[0], "987654321", ids[1])
    assert gone.returncode == 3 and "987654321" in gone.stderr
    assert gone.stdout == f"deleted {ids[0]}\ndeleted {ids[1]}\n"
    assert ask(node, "exports", "get", ids[0]).returncode == 3


def test_a_worker_is_made_quiet_and_ended_by_its_name(node):
    joined = node.ask("POST", "/api/v1/work/join", {"name": "helper", "queues": ["by-hand"], "lease_ms": 600_000})
    assert joined.status == 201, joined.body
    beat = {"session": joined.json["session"], "jobs": []}
    for verb, state in (("quiet", "quiet"), ("terminate", "terminate")):
        steered = ask(node, "nodes", verb, "helper")
        assert steered.returncode == 0 and "helper" in steered.stdout, steered.stderr
        assert node.ask("POST", "/api/v1/work/heartbeat", beat).json["state"] == state
    assert ask(node, "nodes", "quiet", "nobody").returncode == 3


def test_top_without_a_terminal_is_one_frame_or_one_object(node):
    made = [node.create("noop", queue="counted")["id"] for _ in range(3)]
    for job in made:
        node.await_state(job, "completed")
    shown = ask(node, "top", "--interval", "0.1")
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout and "QUEUE+" in shown.stdout and "counted" in shown.stdout
    read = json.loads(ask(node, "top", "--json", "--interval", "0.1", "--sort", "done/s").stdout)
    (queue,) = [each for each in read["queues"] if each["queue"] == "counted"]
    assert queue["completed"] == 3 and queue["completed_per_second"] == 0
    assert read["node"]["name"] == "node" and 0.1 <= read["seconds"] < 60
    assert run("top", "--url", "http://127.0.0.1:9").returncode == 6


def doctor_of(node, *arguments):
    return run("doctor", "--data-dir", node.place.data, *arguments)


def test_doctor_finds_the_private_server_well(node):
    looked = doctor_of(node, "--json")
    assert looked.returncode == 0, looked.stderr
    report = json.loads(looked.stdout)
    assert report["server"].startswith("PostgreSQL 1") and "database troupe" in report["server"]
    checks = {check["name"]: check for check in report["checks"]}
    assert {"pooler", "durability", "checksums", "rights", "transactions", "connections", "schema",
            "vacuum", "indexes", "clock", "timeouts", "disk"} <= checks.keys()
    for check in checks.values():
        assert check["status"] in ("ok", "degraded", "failing") and check["found"]
        assert (check["advice"] is None) == (check["status"] == "ok"), check
    assert checks["durability"]["status"] == checks["rights"]["status"] == "ok"
    assert report["status"] != "failing"


def test_doctor_prints_a_table_with_advice(node):
    looked = doctor_of(node, "--max-connections", "500")
    assert looked.returncode == 0  # degraded: the words say it
    lines = looked.stdout.splitlines()
    assert lines[0].split() == ["CHECK", "STATUS", "FOUND"]
    assert any(line.startswith("connections") and " degraded " in line for line in lines)
    assert "connections: raise max_connections" in looked.stdout
    assert "0 failing" in looked.stderr


def test_doctor_exits_1_when_something_fails_and_6_without_a_server(node):
    url = f"postgresql://postgres@/troupe?host={node.place.data}/pg"
    failing = run("doctor", "--database", url.replace("/troupe?", "/template1?"),
                  PGOPTIONS="-c default_transaction_read_only=on")
    assert failing.returncode == 1, failing.stdout
    assert "read only" in failing.stdout
    gone = run("doctor", DATABASE_URL="postgresql:///x?host=/tmp/nobody-is-here")
    assert gone.returncode == 6 and gone.stdout == ""
    assert run("doctor", DATABASE_URL=url.replace("/troupe?", "/no_such?")).returncode == 6


def test_a_node_takes_its_options_from_a_file_and_shows_them(workspace):
    file = workspace.root / "troupe.toml"
    file.write_text("""# a small node
slots = 3
[database]
max_connections = 6
min_connections = 2
acquire_timeout = "2s"
""")
    node = Node(workspace, "--config", file).start()
    metrics = node.ask("GET", "/metrics").body.decode()
    assert "\ntroupe_db_pool_connections_max 6\n" in metrics
    assert node.stop() == 0
    file.write_text("[database]\nmax_conections = 6\n")
    wrong = run("dev", "--config", file)
    assert wrong.returncode == 2
    assert f"{file}, line 2" in wrong.stderr and "database.max_connections?" in wrong.stderr
