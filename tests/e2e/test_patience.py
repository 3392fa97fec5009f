"""Commands at a node that lets a caller ask twice a second: they wait as it says, and go on."""
import json

import pytest

from node import Node, Workspace, run


@pytest.fixture(scope="module")
def strict():
    with Workspace() as place:
        running = Node(place, "--grace", "1", "--http-rate", "2").start()
        yield running
        assert running.stop() == 0


def ask(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def enqueued(node, *arguments):
    made = ask(node, "enqueue", *arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_commands_that_ask_often_get_through(strict):
    job = enqueued(strict, "sleep", "--args", '{"ms":300}')
    watched = ask(strict, "jobs", "watch", job)
    assert watched.returncode == 0 and "is completed" in watched.stdout, watched.stderr
    said = ask(strict, "jobs", "logs", "--follow", job)
    assert said.returncode == 0, said.stderr
    top = ask(strict, "top", "--once", "--json")
    assert top.returncode == 0 and json.loads(top.stdout)["queues"], top.stderr
    for verb in ("drain", "resume", "show"):
        steered = ask(strict, "nodes", verb, "node")
        assert steered.returncode == 0, steered.stderr


def test_a_command_waits_no_longer_than_its_own_time(strict):
    job = enqueued(strict, "noop", "--delay-ms", "3600000")
    assert ask(strict, "jobs", "watch", job, "--timeout", "2.5").returncode == 7
    ended = [ask(strict, "jobs", "get", job, "--request-timeout", "0.4") for _ in range(6)]
    (refused, *_) = [each for each in ended if each.returncode != 0]
    assert refused.returncode == 6 and "the server asks to wait 1 s" in refused.stderr
