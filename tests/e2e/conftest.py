"""Fixtures of the end-to-end tests: a directory of one's own, a running node, the program.

TROUPE_BIN names the program under test. Everything lives below /tmp with short names, because
sockets do, and is gone afterwards; a failed test shows what the node wrote.
"""
import os
import signal

import pytest

from node import Node, Workspace

# Seconds, but for a test that is marked with its own `limit`; less than ctest's, whose SIGKILL would leave nodes running.
TEST_LIMIT = 300


@pytest.fixture
def workspace():
    with Workspace() as place:
        yield place


@pytest.fixture(scope="module")
def node():
    """One node with test kinds for the whole file."""
    with Workspace() as place:
        running = Node(place, "--grace", "1").start()
        yield running
        assert running.stop() == 0


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    mark = item.get_closest_marker("limit")
    limit = mark.args[0] if mark else TEST_LIMIT

    def out_of_time(*_):
        raise AssertionError(f"the test takes longer than {limit} s")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(limit)
    yield
    signal.alarm(0)


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
    config.addinivalue_line("markers", "limit(seconds): how long this test may take")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # fixtures end what they started
    if "TROUPE_BIN" not in os.environ:
        pytest.exit("set TROUPE_BIN to the program under test", returncode=2)
