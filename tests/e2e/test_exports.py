"""Exports: whole texts in each format against the pages of lists, readers that go or are slow, and answers that are
not whole, which the command line notices."""
import csv
import gzip
import io
import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from node import PROGRAM, clean_environment, run, until

COUNT = 20_000
AWKWARD = "a \"quote\", a \\ and\r\n\ta line, ü, \u2028, 𝄞"
MUCH = "x" * 1500  # so that the whole is more than sockets hold


@pytest.fixture(scope="module")
def pages(node):
    """The jobs as the pages of a list have them, oldest first."""
    for part in range(4):
        jobs = [{"kind": "noop", "queue": f"q{part}", "delay_ms": 3600000, "tags": ["a,b", AWKWARD],
                 "args": {"n": n, "text": AWKWARD + MUCH}, **({"limit_key": "k"} if n % 2 else {})}
                for n in range(COUNT // 4)]
        assert node.ask("POST", "/api/v1/jobs/bulk", {"jobs": jobs}).status == 201
    for kind in ("noop", "fail"):
        node.await_state(node.create(kind, max_attempts=1)["id"], "completed", "discarded")
    node.await_state(node.create("fail", retry={"policy": "fixed", "delay_ms": 3600000})["id"], "retryable")
    gone = node.create("noop", delay_ms=3600000)["id"]
    assert node.ask("POST", f"/api/v1/jobs/{gone}/cancel").status == 200
    node.await_state(node.create("sleep", args={"ms": 600000}, timeout_ms=900000)["id"], "running")
    node.ask("POST", "/api/v1/queues/held/pause")
    node.create("noop", queue="held")
    return listed(node)


def listed(node, query=""):
    jobs, cursor = [], ""
    while cursor is not None:
        answer = node.ask("GET", f"/api/v1/jobs?limit=500{query}{cursor and '&cursor=' + cursor}").json
        # An export does not say where what runs does.
        jobs += [{k: v for k, v in job.items() if k not in ("node", "started_at")} for job in answer["jobs"]]
        cursor = answer["next"]
    return jobs[::-1]


def rss(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def reader(node, path, fields=""):
    """A socket that takes little at once and has sent its request."""
    to = socket.socket()
    to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    to.settimeout(60)
    to.connect((node.host, int(node.port)))
    to.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    return to


def test_each_format_is_what_the_pages_are(node, pages):
    assert len(pages) == COUNT + 6 and len({job["state"] for job in pages}) == 7
    lines = node.ask("GET", "/api/v1/jobs.ndjson")
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.body.splitlines()] == pages
    assert node.ask("GET", "/api/v1/jobs.json").json == pages
    rows = csv.DictReader(io.StringIO(node.ask("GET", "/api/v1/jobs.csv").body.decode(), newline=""), strict=True)

    def as_object(row):
        for name in ("priority", "attempt", "max_attempts", "args", "tags"):
            row[name] = json.loads(row[name])
        row["timeout_ms"] = int(row["timeout_ms"]) if row["timeout_ms"] else None
        row["limit_key"] = row["limit_key"] or None
        return row

    assert [as_object(row) for row in rows] == pages


def test_filters_and_compression(node, pages):
    for state in ("scheduled", "running", "completed", "discarded", "retryable", "cancelled", "available"):
        answer = node.ask("GET", f"/api/v1/jobs.ndjson?state={state}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip" and answer.headers["Vary"] == "Accept-Encoding"
        wanted = [job for job in pages if job["state"] == state]
        assert [json.loads(line) for line in gzip.decompress(answer.body).splitlines()] == wanted
    assert node.ask("GET", "/api/v1/jobs.json?queue=q1&kind=noop&limit=7").json == \
        [job for job in pages if job["queue"] == "q1"][:7]
    assert node.ask("GET", "/api/v1/jobs.json?queue=nowhere").json == []
    assert node.ask("GET", "/api/v1/jobs.csv?cursor=x").status == 400
    head = node.ask("HEAD", "/api/v1/jobs.csv")
    assert head.status == 200 and head.body == b"" and "jobs.csv" in head.headers["Content-Disposition"]


def test_readers_that_go_leave_room_for_others_and_memory_stays_flat(node, pages):
    node.ask("GET", "/api/v1/jobs.ndjson")
    before = rss(node)
    for _ in range(3):
        first, second = (reader(node, "/api/v1/jobs.json") for _ in range(2))
        assert first.recv(15) == b"HTTP/1.1 200 OK" and second.recv(15) == b"HTTP/1.1 200 OK"
        refused = node.ask("GET", "/api/v1/jobs.csv")
        assert refused.status == 503 and refused.headers["Retry-After"]
        assert node.job(pages[0]["id"]) is not None  # nobody else waits for slow readers
        first.close()
        second.close()
        until(lambda: node.ask("GET", "/api/v1/jobs.csv?limit=1").status == 200, "there is room again")
    assert rss(node) < before + 24
    slow = reader(node, "/api/v1/jobs.ndjson", "Connection: close\r\n")
    pieces = []
    while piece := slow.recv(1 << 14):
        pieces.append(piece)
    slow.close()
    text = b"".join(pieces)
    assert text.endswith(b"0\r\n\r\n") and text.count(b'{"id":') == len(pages)


def test_the_command_writes_a_whole_file_or_standard_output(node, pages, workspace):
    out = workspace.root / "new/jobs.csv"
    told = run("export", "--format", "csv", "--queue", "q2", "--out", out, TROUPE_URL=node.url)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    with open(out, newline="", encoding="utf-8") as rows:
        assert [row["id"] for row in csv.DictReader(rows)] == [job["id"] for job in pages if job["queue"] == "q2"]
    assert [entry.name for entry in out.parent.iterdir()] == ["jobs.csv"]
    told = run("export", "--state", "running", TROUPE_URL=node.url)
    assert told.returncode == 0
    assert [json.loads(line) for line in told.stdout.splitlines()] == [j for j in pages if j["state"] == "running"]
    assert run("export", "--state", "lost", TROUPE_URL=node.url).returncode == 2
    assert run("export", "--queue", "a b", "--out", out, TROUPE_URL=node.url).returncode == 2
    assert out.exists()  # the old one


def test_a_cut_off_answer_is_an_error_and_leaves_no_file(workspace):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer_half():
            to = server.accept()[0]
            with to:
                while b"\r\n\r\n" not in to.recv(1 << 16):
                    pass
                to.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n")

        answering = threading.Thread(target=answer_half)
        answering.start()
        told = run("export", "--out", workspace.root / "a/jobs.ndjson",
                   TROUPE_URL="http://127.0.0.1:%d" % server.getsockname()[1])
        answering.join()
    assert told.returncode == 1 and "cut off" in told.stderr
    assert list((workspace.root / "a").iterdir()) == []


def test_a_server_that_dies_in_the_middle_is_noticed(node, pages):
    for job in pages:
        if job["state"] == "running":
            assert node.ask("POST", f"/api/v1/jobs/{job['id']}/cancel").status == 200
    reading = subprocess.Popen([PROGRAM, "export", "--url", node.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=clean_environment())
    try:
        assert reading.stdout.read(10).startswith(b'{"id":"')  # and the pipe is full from here on
        node.kill()
        rest, words = reading.communicate(timeout=60)
        assert reading.returncode == 1 and b"cut off" in words
        assert rest.count(b"\n") < len(pages)
    finally:
        reading.kill()
        node.start()
