"""A node that listens by TLS and on a Unix socket, and docs/listening.md: its commands run as they stand there."""
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import urllib.request
from pathlib import Path

import pytest

from node import PROGRAM, Workspace, clean_environment, first_line, fitting, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/listening.md").read_text()
MAKE, CLIENT = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
(SERVE,) = re.findall(r"^```\ntroupe serve (.*)\n```", PAGE, re.M)


def shell(script, folder, **environment):
    there = clean_environment(PATH=f"{folder}/bin:{os.environ['PATH']}", **environment)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120,
                          env=there, check=False, cwd=folder)


class Listening:
    """`troupe dev` with the flags of the page; only the places differ."""

    def __init__(self, place):
        self.place = place
        self.path = place.root / "troupe.sock"
        (place.root / "bin").mkdir()
        (place.root / "bin/troupe").symlink_to(Path(PROGRAM).resolve())
        assert shell(MAKE, place.root).returncode == 0
        flags = SERVE.replace("0.0.0.0:8443", "127.0.0.1:0").replace("/run/troupe.sock", str(self.path)).split()
        with open(place.log("node"), "wb") as log:
            self.process = place.start("dev", "--data-dir", place.data, "--grace", "1", *flags, cwd=place.root,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.ready = first_line(self.process, 180)
        self.port = self.ready.split()[2].rpartition(":")[2]
        self.url = f"https://localhost:{self.port}"
        self.environment = {"TROUPE_TOKEN_FILE": str(place.data / "token")}

    def troupe(self, *arguments, **more):
        return run(*arguments, **{**self.environment, **more})

    def certificate(self):
        return ssl.get_server_certificate(("127.0.0.1", int(self.port)))

    def check(self):
        """What health says of the certificate."""
        token = (self.place.data / "token").read_text().strip()
        ask = urllib.request.Request(self.url + "/api/v1/health", headers={"Authorization": f"Bearer {token}"})
        trusting = ssl.create_default_context(cafile=self.place.root / "authority.crt")
        checks = json.load(urllib.request.urlopen(ask, timeout=120, context=trusting))["checks"]
        return next(check for check in checks if check["name"] == "certificate")


@pytest.fixture(scope="module")
def listening():
    with Workspace() as place:
        running = Listening(place)
        (place.root / "authority.crt").write_bytes((place.root / "troupe.crt").read_bytes())
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(120) == 0
        assert not running.path.exists() and not Path(f"{running.path}.lock").exists()


def test_the_commands_of_the_page_run_as_written(listening):
    assert listening.ready == f"troupe ready https://127.0.0.1:{listening.port} unix:{listening.path}"
    script = CLIENT.replace("localhost:8443", f"localhost:{listening.port}").replace("/run/troupe.sock", str(listening.path))
    done = shell(script, listening.place.root, **listening.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok\n") == 2


def test_commands_go_by_tls_and_by_the_socket(listening):
    by_path = f"unix:{listening.path}"
    assert stat.S_IMODE(listening.path.stat().st_mode) == 0o600
    job = listening.troupe("enqueue", "echo", "--wait", "--url", by_path)
    assert job.returncode == 0, job.stderr
    trusted = {"TROUPE_URL": listening.url, "TROUPE_CA_FILE": str(listening.place.root / "authority.crt")}
    exported = listening.troupe("export", "--format", "csv", **trusted)
    assert exported.returncode == 0 and "echo" in exported.stdout
    assert listening.troupe("top", "--once", **trusted).returncode == 0
    stranger = listening.troupe("jobs", "list", "--url", listening.url)
    assert stranger.returncode == 1 and "--ca-file" in stranger.stderr
    assert run("jobs", "list", "--url", by_path).returncode == 5


def test_a_second_node_leaves_the_socket_alone(listening):
    with Workspace() as other:
        second = run("dev", "--data-dir", other.data, "--listen", f"unix:{listening.path}", seconds=90)
        assert second.returncode == 2 and "another server listens there" in second.stderr
        assert not other.data.exists()
    assert listening.troupe("queues", "list", "--url", f"unix:{listening.path}").returncode == 0


def test_a_bad_pair_is_refused_before_anything_starts(listening, workspace):
    key = workspace.root / "open.key"
    key.write_bytes((listening.place.root / "troupe.key").read_bytes())
    key.chmod(0o644)
    refused = run("dev", "--data-dir", workspace.data, "--tls-cert", listening.place.root / "troupe.crt", "--tls-key", key)
    assert refused.returncode == 2 and "is open to everybody on this machine" in refused.stderr
    assert not workspace.data.exists()


def test_sighup_brings_a_new_certificate_and_a_bad_one_changes_nothing(listening):
    before = listening.certificate()
    fitting(listening.check, lambda check: check["status"] == "ok", "it is well")
    (listening.place.root / "troupe.key").write_text("nothing")
    listening.process.send_signal(signal.SIGHUP)
    until(lambda: listening.check()["status"] == "degraded", "health says so")
    assert "is no PEM key" in listening.check()["reason"]
    assert listening.certificate() == before
    assert shell(MAKE, listening.place.root).returncode == 0
    listening.process.send_signal(signal.SIGHUP)
    until(lambda: listening.certificate() != before, "the new certificate")
    assert listening.process.poll() is None
    assert listening.troupe("queues", "list", "--url", listening.url, "--ca-file",
                            listening.place.root / "troupe.crt").returncode == 0
