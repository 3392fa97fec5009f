"""Fixtures of the end-to-end tests: a directory of one's own, a running node, the program.

TROUPE_BIN names the program under test. Everything lives below /tmp with short names, because
sockets do, and is gone afterwards; a failed test shows what the node wrote.
"""
import os

import pytest

from node import Node, Workspace


@pytest.fixture
def workspace():
    place = Workspace()
    yield place
    place.close()


@pytest.fixture(scope="module")
def node():
    """One node with test kinds for the whole file."""
    place = Workspace()
    running = Node(place, "--grace", "1").start()
    yield running
    status = running.stop()
    place.close()
    assert status == 0, f"the node ended with {status}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when != "call" or not report.failed:
        return
    for value in item.funcargs.values():
        place = value if isinstance(value, Workspace) else getattr(value, "place", None)
        if place is not None:
            report.sections.append(("what the programs wrote", place.tail_of_logs()))


def pytest_configure(config):
    if "TROUPE_BIN" not in os.environ:
        pytest.exit("set TROUPE_BIN to the program under test", returncode=2)
