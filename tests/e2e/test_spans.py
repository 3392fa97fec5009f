"""Spans against a collector: of requests, of runs here and of workers by HTTP; and one that is slow, away, or not trusted."""
import json
import re
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from node import Node, Workspace, run, until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python"))
from troupe import Client  # noqa: E402  pylint: disable=wrong-import-position

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-"
PARENT = "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Of OTLP; refuses with its status, and holds requests back while it is held. With a certificate, by TLS."""
    daemon_threads = True

    def __init__(self, certificate=None, key=None):
        super().__init__(("127.0.0.1", 0), Collecting)
        self.spans, self.paths, self.status, self.refused = [], set(), 200, 0
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.go_on = threading.Event()
        self.go_on.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def runs(self):
        return [one for one in self.spans if one["kind"] == 5]

    def handle_error(self, *_):
        """Of a client that does not trust us: it has told its own side."""


class Collecting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        read = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.go_on.wait(300)
        if server.status == 200:
            server.paths.add((self.path, self.headers["X-Scope"]))
            for resource in read["resourceSpans"]:
                about = attributes_of(resource["resource"])
                server.spans += [{**span, "about": about} for scope in resource["scopeSpans"]
                                 for span in scope["spans"]]
        else:
            server.refused += 1
        self.send_response(server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def attributes_of(what):
    return {each["key"]: next(iter(each["value"].values())) for each in what["attributes"]}


def figure(node, name):
    """Of the page of metrics."""
    text = node.ask("GET", "/metrics").body.decode()
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))


def test_spans_of_requests_and_runs_go_to_a_collector_and_jobs_wait_for_none(workspace):
    collector = Collector()
    running = Node(workspace, "--grace", "1", "--node", "left", "--otlp-endpoint", collector.url,
                   "--otlp-headers", "X-Scope=a%20b", "--otlp-service", "shop").start()
    unsampled = running.ask("POST", "/api/v1/jobs", {"kind": "noop"}, {"traceparent": TRACE + "00f067aa0ba902b7-00"})
    running.await_state(unsampled.json["id"], "completed")
    answer = running.ask("POST", "/api/v1/jobs", {"kind": "fail", "args": {"times": 1, "message": "not yet"},
                                                  "retry": {"policy": "fixed", "delay_ms": 1}},
                         {"traceparent": "00-" + "ab" * 16 + "-00f067aa0ba902b7-01"})
    job = running.await_state(answer.json["id"], "completed")
    begun = running.ask("POST", "/api/v1/jobs", {"kind": "noop"})
    running.await_state(begun.json["id"], "completed")

    def told():
        return collector.runs() if len(collector.runs()) == 3 else None

    runs = until(told, "the spans of three runs")
    assert collector.paths == {("/v1/traces", "a b")}
    assert not [s for s in collector.spans if s["traceId"] == TRACE[3:-1]], "an unsampled trace has no spans"
    ours = [s for s in collector.spans if s["traceId"] == "ab" * 16]
    (request,) = [s for s in ours if s["kind"] == 2]
    assert request["name"] == "POST /api/v1/jobs" and request["parentSpanId"] == "00f067aa0ba902b7"
    assert answer.headers["traceresponse"] == f"00-{'ab' * 16}-{request['spanId']}-01"
    assert attributes_of(request) == {"http.request.method": "POST", "http.route": "/api/v1/jobs",
                                      "http.response.status_code": "201", "url.scheme": "http"}
    assert request["about"] == {"service.name": "shop", "service.instance.id": "left",
                                "service.version": request["about"]["service.version"]}
    first, second = sorted((s for s in ours if s["kind"] == 5), key=lambda s: attributes_of(s)["troupe.job.attempt"])
    assert first["parentSpanId"] == second["parentSpanId"] == request["spanId"] != first["spanId"] != second["spanId"]
    assert first["name"] == "run fail" and first["status"]["code"] == 2 and "not yet" in first["status"]["message"]
    assert attributes_of(first)["troupe.outcome"] == "retried" and "status" not in second
    assert attributes_of(second) == {"messaging.system": "troupe", "messaging.destination.name": "default",
                                     "troupe.job.id": str(job["id"]), "troupe.job.kind": "fail",
                                     "troupe.job.attempt": "2", "troupe.outcome": "completed"}
    assert int(request["startTimeUnixNano"]) <= int(second["endTimeUnixNano"])
    (other,) = [s for s in runs if s["traceId"] != "ab" * 16]
    assert begun.headers["traceresponse"] == f"00-{other['traceId']}-{other['parentSpanId']}-03"

    # Slow, then away: jobs go on, and what finds no room is counted.
    collector.go_on.clear()
    lost = running.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop"}] * 3000},
                       {"traceparent": "00-" + "cd" * 16 + "-00f067aa0ba902b7-01"}).json["ids"]
    for job_id in lost[::500] + lost[-1:]:
        running.await_state(job_id, "completed")

    until(lambda: figure(running, 'troupe_jobs_total{queue="default",kind="noop",outcome="completed"}') == 3002, "all have run")
    until(lambda: figure(running, 'troupe_spans_dropped_total{reason="full"}') >= 3001 - 2048, "the newest found no room")
    collector.status = 503
    collector.go_on.set()
    until(lambda: collector.refused > 0 and figure(running, "troupe_span_export_errors_total") > 0, "an error is counted")
    collector.status = 200
    assert running.stop() == 0
    assert [s for s in collector.spans if s["traceId"] == "cd" * 16], "the end sends what is kept"
    collector.shutdown()
    collector.server_close()


@pytest.fixture(scope="module")
def exporting():
    """A node with its collector, which leaves the queue "raw" to workers."""
    with Collector() as collector, Workspace() as place:
        running = Node(place, "--grace", "1", "--node", "first", "--queue", "raw:0",
                       "--otlp-endpoint", collector.url).start()
        yield running, collector
        assert running.stop() == 0


def work(client, session, path, **more):
    return client.request("POST", f"/api/v1/work/{path}", {"session": session, **more})


def claimed(client, session):
    (job,) = work(client, session, "claim", queues=["raw"])["jobs"]
    return job


def ended(client, session, job, **outcome):
    run_of = {"lease": job["lease"], "job": job["id"], "attempt": job["attempt"]}
    return work(client, session, "finish", outcomes=[{**run_of, **outcome}])["results"][0]["status"]


def test_a_run_of_a_worker_is_a_span_from_claim_to_finish(exporting):
    node, collector = exporting
    client = Client(node.url)
    session = client.request("POST", "/api/v1/work/join", {"name": "w", "queues": ["raw"], "lease_ms": 600_000})["session"]
    answer = node.ask("POST", "/api/v1/jobs", {"kind": "send", "queue": "raw", "retry": {"policy": "fixed", "delay_ms": 1}},
                      {"traceparent": TRACE + PARENT + "-01"})
    put_in = answer.headers["traceresponse"]
    first = claimed(client, session)
    own = first["traceparent"]
    assert own.startswith(TRACE) and own.endswith("-01") and own != put_in
    assert node.ask("GET", f"/api/v1/jobs/{first['id']}").json["traceparent"] == put_in
    assert ended(client, session, first, outcome="failed", error="no such box") == "done"
    assert ended(client, session, first, outcome="failed", error="no such box") == "done"  # its answer was lost
    second = until(lambda: work(client, session, "claim", queues=["raw"])["jobs"], "the next attempt")[0]
    assert second["traceparent"] not in (own, put_in)
    assert ended(client, session, second, outcome="completed") == "done"

    def told():
        runs = [one for one in collector.runs() if attributes_of(one)["troupe.job.id"] == first["id"]]
        return runs if len(runs) >= 2 else None

    runs = until(told, "the spans of two runs")
    assert [f"00-{one['traceId']}-{one['spanId']}-01" for one in runs] == [own, second["traceparent"]]
    assert {one["parentSpanId"] for one in runs} == {put_in[36:52]}
    assert runs[0]["name"] == "run send" and runs[0]["about"]["service.instance.id"] == "first"
    assert runs[0]["status"] == {"code": 2, "message": "no such box"} and "status" not in runs[1]
    assert attributes_of(runs[0]) == {"messaging.system": "troupe", "messaging.destination.name": "raw",
                                      "troupe.job.id": first["id"], "troupe.job.kind": "send",
                                      "troupe.job.attempt": "1", "troupe.outcome": "retried"}
    assert attributes_of(runs[1])["troupe.outcome"] == "completed"
    assert int(runs[0]["startTimeUnixNano"]) <= int(runs[0]["endTimeUnixNano"]) <= int(runs[1]["endTimeUnixNano"])
    # Of a trace that is not sampled, only ids.
    node.ask("POST", "/api/v1/jobs", {"kind": "send", "queue": "raw"}, {"traceparent": TRACE + PARENT + "-00"})
    unsampled = claimed(client, session)
    assert unsampled["traceparent"].startswith(TRACE) and unsampled["traceparent"].endswith("-00")
    assert ended(client, session, unsampled, outcome="completed") == "done"
    work(client, session, "leave")
    until(lambda: any(one["name"] == "POST /api/v1/work/leave" for one in collector.spans), "what came later")
    assert not [one for one in collector.runs() if attributes_of(one)["troupe.job.id"] == unsampled["id"]]


def test_another_node_exports_what_the_first_one_has_handed_out(exporting):
    node, collector = exporting
    client = Client(node.url)
    session = client.request("POST", "/api/v1/work/join", {"name": "w2", "queues": ["raw"], "lease_ms": 600_000})["session"]
    url = f"postgresql://postgres@/troupe?host={node.place.data}/pg"
    with Workspace() as place:
        second = Node(place, "--database", url, "--grace", "1", "--node", "second", "--queue", "raw:0",
                      "--otlp-endpoint", collector.url).start()
        client.enqueue("send", queue="raw")
        job = claimed(client, session)
        assert ended(Client(second.url), session, job, outcome="completed") == "done"
        (ours,) = until(lambda: [one for one in collector.runs()
                                 if attributes_of(one)["troupe.job.id"] == job["id"]], "the span")
        assert job["traceparent"][3:52] == f"{ours['traceId']}-{ours['spanId']}"
        assert ours["about"]["service.instance.id"] == "second"
        assert second.stop() == 0
    work(client, session, "leave")


def test_probes_metrics_and_heartbeats_are_no_spans(exporting):
    node, collector = exporting
    client = Client(node.url)
    session = client.request("POST", "/api/v1/work/join", {"name": "w3", "queues": ["raw"], "lease_ms": 600_000})["session"]
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        assert "traceresponse" not in node.ask("GET", path).headers
    work(client, session, "heartbeat")
    work(client, session, "leave")
    until(lambda: sum(one["name"] == "POST /api/v1/work/leave" for one in collector.spans) >= 1, "what came later")
    names = {one["name"] for one in collector.spans}
    assert "POST /api/v1/work/join" in names
    assert not {name for name in names if name.endswith(("z", "/metrics", "/heartbeat"))}


def test_a_ratio_of_none_begins_no_trace(workspace):
    with Collector() as collector:
        running = Node(workspace, "--grace", "1", "--queue", "raw:0", "--otlp-endpoint", collector.url,
                       "--otlp-sample-ratio", "0").start()
        client = Client(running.url)
        session = client.request("POST", "/api/v1/work/join", {"name": "w", "queues": ["raw"], "lease_ms": 600_000})["session"]
        plain = running.ask("POST", "/api/v1/jobs", {"kind": "noop"})
        assert "traceresponse" not in plain.headers
        assert "traceparent" not in running.await_state(plain.json["id"], "completed")
        client.enqueue("send", queue="raw")
        job = claimed(client, session)
        assert "traceparent" not in job
        assert ended(client, session, job, outcome="completed") == "done"
        asked = running.ask("POST", "/api/v1/jobs", {"kind": "noop"}, {"traceparent": TRACE + PARENT + "-01"})
        running.await_state(asked.json["id"], "completed")
        until(collector.runs, "the span of its run")  # at its end a node sends for 2 s, which may not do
        assert running.stop() == 0
        assert {one["traceId"] for one in collector.spans} == {TRACE[3:-1]}
        assert [attributes_of(one)["troupe.job.id"] for one in collector.runs()] == [asked.json["id"]]


def certificate_in(folder):
    """One that has signed itself, so that it is its own authority."""
    pair = folder / "collector.crt", folder / "collector.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    return pair


def test_a_collector_with_an_authority_of_its_own_is_trusted_when_that_is_named(workspace):
    certificate, key = certificate_in(workspace.root)
    with Collector(certificate, key) as collector:
        trusting = Node(workspace, "--grace", "1", "--otlp-endpoint", collector.url, "--otlp-ca-file", certificate).start()
        trusting.await_state(trusting.create("noop")["id"], "completed")
        until(collector.runs, "the span of a run")
        assert trusting.stop() == 0
        seen = len(collector.spans)
        strange = Node(workspace, "--grace", "1", "--otlp-endpoint", collector.url).start()
        strange.await_state(strange.create("noop")["id"], "completed")
        until(lambda: figure(strange, "troupe_span_export_errors_total") > 0, "it is not trusted")
        assert strange.stop() == 0
        assert len(collector.spans) == seen
    (log,) = workspace.root.glob("node1.log")
    assert "the collector takes no spans now: " in log.read_text() and "certificate" in log.read_text()


def test_a_file_without_certificates_is_refused_before_anything_starts(workspace):
    empty = workspace.root / "empty.crt"
    empty.write_text("nothing")
    for wrong in (empty, workspace.root / "nowhere.crt"):
        refused = run("dev", "--data-dir", workspace.data, "--otlp-endpoint", "https://127.0.0.1:1", "--otlp-ca-file", wrong)
        assert refused.returncode == 2 and "has no certificates that can be read" in refused.stderr, refused.stderr
    assert not workspace.data.exists()
