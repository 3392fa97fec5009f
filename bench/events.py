"""bench/run events: what 500 event streams cost a node, and how soon they hear of a change.

No peer: the figures are memory for each stream, statements a second of a node that is asked for nothing else, and the
time from the answer to a change until each stream has told it. Once with all streams on one job, once with a job each.
"""
import http.client
import json
import re
import selectors
import socket
import statistics
import time

from http_api import troupe
from measure import Database, section, spread

STREAMS = 500
QUIET_SECONDS = 5
CHANGES = 10
# What the design wants: all of them at once, and that all hear.
PATIENCE = 20


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"bench/run: {method} {path} is answered {answer.status} {text}")
    return text


def memory(process):
    """KiB that are resident."""
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def statements(port):
    return float(re.search(r"^troupe_db_statements_total ([\d.e+]+)", ask(port, "GET", "/metrics"), re.M).group(1))


def drain(selector):
    """All that is there by now; True for something."""
    some = False
    for key, _ in selector.select(0):
        some = bool(key.fileobj.recv(65536)) or some
    return some


def heard(selector, word, begun):
    """Milliseconds until each of the streams has told the word."""
    waiting = {key.fileobj: b"" for key in selector.get_map().values()}
    told = []
    while waiting:
        ready = selector.select(PATIENCE)
        if not ready:
            raise SystemExit(f"events: {len(waiting)} streams do not hear of {word}")
        for key, _ in ready:
            stream = key.fileobj
            text = waiting.get(stream, b"")[-200:] + stream.recv(65536)
            if stream in waiting:
                waiting[stream] = text
                if word in text:
                    told.append((time.monotonic() - begun) * 1000)
                    del waiting[stream]
    return told


def play(db, jobs):
    with troupe(db) as running:
        port = running.port
        spec = {"kind": "noop", "queue": "bench", "delay_ms": 3600000}
        ids = [json.loads(ask(port, "POST", "/api/v1/jobs", spec))["id"] for _ in range(jobs)]
        time.sleep(2)
        before = statements(port)
        time.sleep(QUIET_SECONDS)
        alone = (statements(port) - before) / QUIET_SECONDS
        empty = memory(running.process)
        selector = selectors.DefaultSelector()
        for number in range(STREAMS):
            stream = socket.create_connection(("127.0.0.1", port))
            stream.sendall(f"GET /api/v1/events?job={ids[number % jobs]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            selector.register(stream, selectors.EVENT_READ)
        heard(selector, b"event: job", time.monotonic())
        full = memory(running.process)
        before = statements(port)
        time.sleep(QUIET_SECONDS)
        rate = (statements(port) - before) / QUIET_SECONDS - alone
        drain(selector)
        delays = []
        for change in range(CHANGES):
            priority = change % 2 + 1
            if jobs == 1:
                ask(port, "PATCH", f"/api/v1/jobs/{ids[0]}", {"priority": priority})
            else:
                db.psql(f"select count(troupe.edit(id, '{{\"priority\": {priority}}}')) from troupe.job")
            delays += heard(selector, b'"priority":%d' % priority, time.monotonic())
        for key in list(selector.get_map().values()):
            key.fileobj.close()
        selector.close()
        return (full - empty) / STREAMS, rate, delays


def run(rounds, _, page=None):
    lines = [["streams of", "KiB each", "statements/s", "ms until told"]]
    with Database() as db:
        for name, jobs in (("one job", 1), ("a job each", STREAMS)):
            plays = [play(db, jobs) for _ in range(rounds)]
            delays = [delay for one in plays for delay in one[2]]
            lines.append([name, spread([one[0] for one in plays], 1), spread([one[1] for one in plays], 1),
                          spread(delays) + f", p99 {statistics.quantiles(delays, n=100)[98]:,.0f}"])
    section(f"Event streams, {STREAMS} of one node, {rounds} rounds: median (range)", lines, page)
    return True
