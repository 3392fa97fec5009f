"""Commands at a node that lets a caller ask twice a second: they wait as it says, and go on."""
import contextlib
import json
import socket
import threading

import pytest

from node import Node, Workspace, fitting, run


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


@contextlib.contextmanager
def others_ask(node):
    """So often that nothing is left of what this address may ask, however slow the machine is."""
    over = threading.Event()
    request = f"GET /api/v1/jobs?limit=1 HTTP/1.1\r\nHost: {node.host}\r\n"

    def ask_on():
        while not over.wait(0.05):
            with socket.create_connection((node.host, int(node.port)), timeout=120) as end:
                end.sendall((f"{request}\r\n" * 3 + f"{request}Connection: close\r\n\r\n").encode())
                while end.recv(1 << 16):
                    pass

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


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
    with others_ask(strict):
        refused = fitting(lambda: ask(strict, "jobs", "get", job, "--request-timeout", "0.9"),
                          lambda done: "the server asks to wait 1 s" in done.stderr, "a command that cannot wait so long")
    assert refused.returncode == 6, refused
