"""Exports: whole texts in each format against the pages of lists, readers that go or are slow, and answers that are
not whole, which the command line notices."""
import csv
import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from node import Node, PROGRAM, clean_environment, first_line, run, until

PAGE = (Path(__file__).parents[2] / "docs/exports.md").read_text(encoding="utf-8")
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
    assert node.ask("POST", "/api/v1/queues/held/pause?create=true").status == 200
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
    to.settimeout(120)
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


@pytest.fixture(scope="module")
def second(node, pages):
    """Another node on the same database, which is killed in these tests and begins again."""
    class Second(Node):
        def start(self):
            with open(self.place.log("second"), "wb") as log:
                self.process = self.place.start(
                    "serve", "--listen", "127.0.0.1:0", "--node", "second", "--database", database_url(node),
                    "--slots", "0", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                    env=clean_environment(**self.patience))
            self.url = first_line(self.process, 180).split()[2]
            self.host, self.port = self.url[len("http://"):].split(":")
            return self

    other = Second(node.place).start()
    yield other
    assert other.stop() == 0


def database_url(node):
    return f"postgresql://postgres@/troupe?host={node.place.data}/pg&port=5432"


def stored(node, **what):
    """A finished export."""
    answer = node.ask("POST", "/api/v1/exports", what)
    assert answer.status == 202 and answer.headers["Location"] == f"/api/v1/exports/{answer.json['id']}", answer.body
    return finished(node, answer.json["id"])


def finished(node, number):
    def look():
        told = node.ask("GET", f"/api/v1/exports/{number}").json
        assert told["state"] not in ("discarded", "cancelled"), told
        return told["file"] and told
    return until(look, f"export {number} has its file", 120)


def file_of(node, export, fields=None, method="GET"):
    return node.ask(method, f"/api/v1/exports/{export['id']}/file", headers=fields)


def test_a_file_that_is_kept_is_what_is_streamed(node, pages):
    for wanted, path in (({"format": "ndjson"}, "jobs.ndjson?kind=noop"),
                         ({"format": "csv", "queue": "q1"}, "jobs.csv?kind=noop&queue=q1"),
                         ({"format": "json", "limit": 7}, "jobs.json?kind=noop&limit=7")):
        told = stored(node, kind="noop", **wanted)
        whole = file_of(node, told)
        assert whole.body == node.ask("GET", f"/api/v1/{path}").body and len(whole.body) == told["file"]["bytes"]
        assert hashlib.sha256(whole.body).hexdigest() == told["file"]["sha256"]
        assert whole.headers["ETag"] == f'"{told["file"]["sha256"]}"' and "Transfer-Encoding" not in whole.headers
        packed = stored(node, kind="noop", compression="gzip", **wanted)
        assert gzip.decompress(file_of(node, packed).body) == whole.body
        assert packed["file"]["rows"] == told["file"]["rows"]
    rows = [job for job in pages if job["kind"] == "noop"]
    assert stored(node, format="csv", kind="noop")["file"]["rows"] == len(rows)
    assert stored(node, format="json", queue="nowhere")["file"]["rows"] == 0
    listed_ones = node.ask("GET", "/api/v1/exports?limit=2").json
    assert [one["queue"] for one in listed_ones["exports"]] == ["nowhere", None] and listed_ones["next"]


def test_a_download_that_was_cut_off_goes_on_at_another_node(node, second, workspace):
    told = stored(node, format="ndjson", queue="q3")
    size, out = told["file"]["bytes"], workspace.root / "jobs.ndjson"
    slow = reader(node, f"/api/v1/exports/{told['id']}/file")
    begun = b""
    while len(begun) < 1_000_003:
        begun += slow.recv(1 << 16)
    slow.close()
    head, _, part = begun.partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head and len(part) < size
    out.write_bytes(part)
    subprocess.run(["curl", "-sf", "-C", "-", "-o", out, f"{second.url}/api/v1/exports/{told['id']}/file"], check=True,
                   timeout=120)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == told["file"]["sha256"]
    part = file_of(second, told, {"Range": f"bytes={size - 10}-", "If-Range": f'"{told["file"]["sha256"]}"'})
    assert part.status == 206 and part.body == out.read_bytes()[-10:]
    assert file_of(second, told, {"Range": f"bytes={size}-"}).headers["Content-Range"] == f"bytes */{size}"


def test_one_whose_node_dies_is_made_by_another(node, second):
    for _ in range(50):
        number = second.ask("POST", "/api/v1/exports", {"format": "ndjson"}).json["id"]

        def placed():
            job = node.job(number)
            return job if job["state"] in ("running", "completed") else None
        job = until(placed, "it runs")
        before = rss(node)
        died = job["state"] == "running" and job["node"] == "second"
        if died:
            second.kill()
        try:
            told = finished(node, number)
        finally:
            if died:
                second.start()
        outcomes = sorted(one["outcome"] for one in node.job(number)["attempts"])
        if died and outcomes != ["completed"]:  # else it had ended before the kill
            break
        assert node.ask("DELETE", f"/api/v1/exports/{number}").status == 204
    assert outcomes == ["completed", "lost"]
    whole = file_of(node, told).body
    assert hashlib.sha256(whole).hexdigest() == told["file"]["sha256"]
    assert whole.count(b"\n") == told["file"]["rows"] >= COUNT
    assert rss(node) - before < 24 < len(whole) / 2**20  # made and given in parts


def test_the_commands_of_the_page_run_as_written(node, pages, workspace):
    block = next(text for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) if "/api/v1/exports" in text)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.replace("http://127.0.0.1:8080", node.url)],
                          capture_output=True, text=True, timeout=120, cwd=workspace.root, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(sum(job["queue"] == "default" for job in pages))]


def test_requests_again_ends_and_what_is_not_there(node, pages):
    key = {"Idempotency-Key": "again"}
    first, again = (node.ask("POST", "/api/v1/exports", {"format": "csv", "queue": "q0"}, key) for _ in range(2))
    assert first.json["id"] == again.json["id"] and again.headers["Idempotent-Replayed"] == "true"
    assert node.ask("POST", "/api/v1/exports", {"format": "csv"}, key).status == 422
    told = finished(node, first.json["id"])
    assert node.ask("DELETE", f"/api/v1/exports/{told['id']}").status == 204
    assert file_of(node, told).status == 404
    anew = node.ask("POST", "/api/v1/exports", {"format": "csv", "queue": "q0"}, key)
    assert anew.status == 202 and anew.json["id"] != told["id"] and "Idempotent-Replayed" not in anew.headers
    assert node.ask("POST", "/api/v1/exports", {"format": "csv"}, key).status == 422
    finished(node, anew.json["id"])  # or it would be there for the tests that follow
    assert node.ask("POST", "/api/v1/queues/troupe.exports/pause").status == 200
    waits = node.ask("POST", "/api/v1/exports", {"format": "csv"}).json
    answer = file_of(node, waits)
    assert answer.status == 409 and answer.json["code"] == "export_unfinished"
    assert node.ask("DELETE", f"/api/v1/exports/{waits['id']}").status == 204
    assert node.ask("GET", f"/api/v1/exports/{waits['id']}").json["state"] == "cancelled"
    assert node.ask("POST", "/api/v1/queues/troupe.exports/resume").status == 200
    assert node.ask("POST", "/api/v1/jobs", {"kind": "troupe.export", "queue": "troupe.exports"}).status == 400
    refused = node.ask("POST", "/api/v1/jobs", {"kind": "noop", "queue": "troupe.exports"})
    assert refused.status == 403 and refused.json["code"] == "queue_reserved"


def test_the_command_writes_a_whole_file_or_standard_output(node, pages, workspace):
    out = workspace.root / "new/jobs.csv"
    unmade = run("export", "--out", out, TROUPE_URL=node.url)
    assert unmade.returncode == 2 and f"there is no folder {out.parent}" in unmade.stderr
    out.parent.mkdir()
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


def test_the_command_says_in_json_what_it_wrote(node, pages, workspace):
    out = workspace.root / "some"
    told = run("export", "--limit", "2", "--queue", "q2", "--out", out, "--json", TROUPE_URL=node.url)
    assert told.returncode == 0, told.stderr
    oldest = [job["id"] for job in pages if job["queue"] == "q2"][:2]
    assert [json.loads(line)["id"] for line in out.read_text().split("\n")[:-1]] == oldest
    assert json.loads(told.stdout) == {"file": str(out), "bytes": out.stat().st_size, "jobs": 2, "sha256": None,
                                       "export": None}
    told = run("export", "--limit", "3", "--format", "csv", "--out", out, "--json", "--stored", TROUPE_URL=node.url)
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert said.pop("export").isdigit()
    assert said == {"file": str(out), "bytes": out.stat().st_size, "jobs": 3,
                    "sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
    assert run("export", "--limit", "0").returncode == 2


def test_a_cut_off_answer_is_an_error_and_leaves_no_file(workspace):
    (workspace.root / "a").mkdir()
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


def test_the_command_fetches_a_file_that_is_kept(node, pages, workspace):
    out = workspace.root / "kept.csv.gz"
    told = run("export", "--stored", "--gzip", "--format", "csv", "--queue", "q2", "--out", out, TROUPE_URL=node.url)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert gzip.decompress(out.read_bytes()) == node.ask("GET", "/api/v1/jobs.csv?queue=q2").body
    assert [entry.name for entry in workspace.root.iterdir()] == ["kept.csv.gz"]
    (workspace.root / "no").mkdir()
    nobody = run("export", "--stored", "--out", workspace.root / "no/where.csv", TROUPE_URL="http://127.0.0.1:1")
    assert nobody.returncode == 6
    assert list((workspace.root / "no").iterdir()) == []


def test_the_command_goes_on_where_it_was_cut_off(workspace):
    text, asked = b"0123456789" * 10_000, []
    told = {"id": "7", "state": "completed", "progress": "", "error": None,
            "file": {"bytes": len(text), "sha256": "a" * 64}}

    class Unsteady(BaseHTTPRequestHandler):
        """Closes the connection after 30,000 bytes of a file."""
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.give(202, json.dumps(told).encode())

        def do_GET(self):
            if not self.path.endswith("/file"):
                return self.give(200, json.dumps(told).encode())
            begin = int((self.headers["Range"] or "bytes=0-")[6:-1])
            asked.append((begin, self.headers["If-Range"]))
            return self.give(206 if begin else 200, text[begin:], 30_000)

        def give(self, status, body, most=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:most])

    with HTTPServer(("127.0.0.1", 0), Unsteady) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run("export", "--stored", "--out", workspace.root / "kept",
                   TROUPE_URL=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert (workspace.root / "kept").read_bytes() == text
    assert asked == [(0, None)] + [(n, f'"{"a" * 64}"') for n in (30_000, 60_000, 90_000)]


def test_a_server_that_dies_in_the_middle_is_noticed(node, pages):
    for job in pages:
        if job["state"] == "running":
            assert node.ask("POST", f"/api/v1/jobs/{job['id']}/cancel").status == 200
    reading = subprocess.Popen([PROGRAM, "export", "--url", node.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=clean_environment())
    try:
        assert reading.stdout.read(10).startswith(b'{"id":"')  # and the pipe is full from here on
        node.kill()
        rest, words = reading.communicate(timeout=120)
        assert reading.returncode == 1 and b"cut off" in words
        assert rest.count(b"\n") < len(pages)
    finally:
        reading.kill()
        node.start()
