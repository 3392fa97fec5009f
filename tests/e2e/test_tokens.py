"""A node that requires tokens, and docs/security.md: its commands run as they stand there."""
import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from node import PROGRAM, Node, Workspace, clean_environment, fitting, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()


@pytest.fixture(scope="module")
def guarded():
    with Workspace() as place:
        running = Node(place, "--grace", "1", "--require-tokens").start()
        yield running
        assert running.stop() == 0


def token_file(node):
    return node.place.data / "token"


def ask(node, verb, path, token=None, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return node.ask(verb, path, body, headers)


def troupe(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def made(node, *arguments):
    done = troupe(node, "tokens", "create", *arguments, TROUPE_TOKEN_FILE=str(token_file(node)))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_node_for_development_keeps_an_admins_token_in_a_file(guarded):
    assert stat.S_IMODE(token_file(guarded).stat().st_mode) == 0o600
    admin = token_file(guarded).read_text().strip()
    assert ask(guarded, "GET", "/livez").status == 200
    refused = ask(guarded, "GET", "/api/v1/jobs")
    assert refused.status == 401 and refused.json["code"] == "token_required"
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert ask(guarded, "GET", "/api/v1/jobs", admin).status == 200
    assert ask(guarded, "GET", "/api/v1/tokens", admin).json["tokens"][0]["name"] == "dev"
    assert admin not in guarded.place.tail_of_logs()
    assert str(token_file(guarded)) in guarded.place.tail_of_logs()


def test_commands_show_the_token_and_are_kept_to_its_role_and_queues(guarded):
    assert troupe(guarded, "jobs", "list").returncode == 5
    assert troupe(guarded, "top", "--once", TROUPE_TOKEN_FILE=str(token_file(guarded))).returncode == 0
    producer = made(guarded, "--name", "ci", "--role", "producer", "--queue", "mail")
    done = troupe(guarded, "enqueue", "echo", "--queue", "mail", "--wait", TROUPE_TOKEN=producer)
    assert done.returncode == 0, done.stderr
    assert troupe(guarded, "enqueue", "echo", "--queue", "other", TROUPE_TOKEN=producer).returncode == 5
    assert troupe(guarded, "queues", "pause", "mail", TROUPE_TOKEN=producer).returncode == 5
    assert troupe(guarded, "enqueue", "echo", "--queue", "troupe.x", TROUPE_TOKEN=producer).returncode != 0
    viewer = made(guarded, "--name", "eyes", "--role", "viewer", "--queue", "mail")
    assert troupe(guarded, "top", "--once", TROUPE_TOKEN=viewer).returncode == 5
    for token in (viewer, producer):
        seen = troupe(guarded, "top", "--once", "--queue", "mail", "--json", TROUPE_TOKEN=token)
        assert seen.returncode == 0, seen.stderr
        assert [queue["queue"] for queue in json.loads(seen.stdout)["queues"]] == ["mail"]
    plain = troupe(guarded, "top", "--once", "--queue", "mail", TROUPE_TOKEN=viewer)
    assert plain.returncode == 0 and "mail" in plain.stdout and "node:" not in plain.stdout
    exported = troupe(guarded, "export", "--queue", "mail", TROUPE_TOKEN=producer)
    assert exported.returncode == 0 and '"mail"' in exported.stdout
    assert troupe(guarded, "export", TROUPE_TOKEN=producer).returncode == 5
    for done in (troupe(guarded, "jobs", "list", TROUPE_TOKEN="trp_wrong"),
                 troupe(guarded, "jobs", "list", TROUPE_TOKEN=producer)):
        assert done.returncode == 5 and "trp_" not in done.stderr + done.stdout


def test_a_token_is_not_made_twice_for_one_key(guarded):
    admin = token_file(guarded).read_text().strip()
    count = len(ask(guarded, "GET", "/api/v1/tokens", admin).json["tokens"])
    for key in ("once", "k" * 256):
        refused = guarded.ask("POST", "/api/v1/tokens", {"name": "t", "role": "viewer"},
                              {"Authorization": f"Bearer {admin}", "Idempotency-Key": key})
        assert refused.status == 400 and "Idempotency-Key" in refused.json["detail"]
    assert len(ask(guarded, "GET", "/api/v1/tokens", admin).json["tokens"]) == count


def test_a_revoked_token_opens_nothing_and_the_audit_says_who_did_it(guarded):
    admin = token_file(guarded).read_text().strip()
    operator = made(guarded, "--name", "ops", "--role", "operator")
    assert ask(guarded, "POST", "/api/v1/queues/audited/pause?create=true", operator, {}).status == 200
    assert ask(guarded, "GET", "/api/v1/audit", operator).status == 403
    paused, created = ask(guarded, "GET", "/api/v1/audit?limit=2", admin).json["entries"]
    assert (paused["who"], paused["action"], paused["subject"]) == ("ops", "queue.pause", "audited")
    assert (created["who"], created["action"], created["subject"]) == ("dev", "token.create", paused["token"])
    done = troupe(guarded, "tokens", "revoke", paused["token"], TROUPE_TOKEN=admin)
    assert done.returncode == 0 and "revoked" in done.stdout
    until(lambda: ask(guarded, "GET", "/api/v1/jobs", operator).status == 401, "the node hears of it")
    # By the database alone: the node is told.
    other = made(guarded, "--name", "ops", "--role", "operator")
    assert ask(guarded, "GET", "/api/v1/jobs", other).status == 200
    url = f"postgresql://postgres@/troupe?host={guarded.place.data}/pg&port=5432"
    number = ask(guarded, "GET", "/api/v1/tokens", admin).json["tokens"][-1]["id"]
    assert run("tokens", "revoke", number, "--database", url).returncode == 0
    until(lambda: ask(guarded, "GET", "/api/v1/jobs", other).status == 401, "the node hears of it")


def test_the_commands_of_the_page_run_as_written(guarded, workspace):
    (workspace.root / "bin").mkdir()
    (workspace.root / "bin/troupe").symlink_to(Path(PROGRAM).resolve())
    first, rest = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    there = clean_environment(TROUPE_URL=guarded.url, PATH=f"{workspace.root}/bin:{os.environ['PATH']}")
    url = f"postgresql://postgres@/troupe?host={guarded.place.data}/pg&port=5432"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", f"DATABASE_URL='{url}'\n{first}{rest}"],
                          capture_output=True, text=True, timeout=120, env=there, check=False,
                          cwd=guarded.place.data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^trp_\w{49}$", done.stdout, re.M)) == 2
    assert "producer  mail,news" in done.stdout and "revoked" in done.stdout


def test_the_file_is_kept_while_its_token_is_live(guarded):
    before = token_file(guarded).read_text()
    assert guarded.stop() == 0
    guarded.start()
    assert token_file(guarded).read_text() == before
    admin = before.strip()
    number = next(t["id"] for t in ask(guarded, "GET", "/api/v1/tokens", admin).json["tokens"] if t["name"] == "dev")
    assert ask(guarded, "POST", f"/api/v1/tokens/{number}/revoke", admin, {}).status == 200
    assert guarded.stop() == 0
    guarded.start()
    after = token_file(guarded).read_text()
    assert after != before and stat.S_IMODE(token_file(guarded).stat().st_mode) == 0o600
    assert ask(guarded, "GET", "/api/v1/jobs", after.strip()).status == 200


def test_an_address_that_showed_too_many_wrong_tokens_is_told_so_at_once():
    with Workspace() as place:
        node = Node(place, "--grace", "1", "--require-tokens").start()
        assert troupe(node, "jobs", "list", TROUPE_TOKEN="trp_wrong").returncode == 5

        def one_more():
            for _ in range(11):  # at once: one of ten is forgiven each 6 s
                ask(node, "GET", "/api/v1/jobs", "trp_wrong")
            return troupe(node, "jobs", "list", TROUPE_TOKEN="trp_wrong")

        told = fitting(one_more, lambda done: "too many tokens from this address opened nothing" in done.stderr, "it is told")
        assert told.returncode == 5 and "the server asks to wait" in told.stderr
        assert node.stop() == 0
