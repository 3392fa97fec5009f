"""bench/run spans: what it costs to export spans: rates without, with 1 trace of 100 sampled, and with all.

Each run is a trace of its own, the most there can be. The collector is a process on the same machine that reads
requests and throws them away. Spans beyond what a node keeps are dropped, and how many is part of the figure.
"""
import contextlib
import multiprocessing
import re
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from http_api import troupe
from measure import BUILD, Database, last_json, section, spread, timed
from rates import drain
from work import QUEUE, check, enqueue

WAYS = {"no spans": None, "1 of 100": "0.01", "all": "1"}
# What runs, and the part of the jobs that is enough to see.
NODES = {"no-ops": ((), 1), "20 us of a processor each": (("--spin-us", "20"), 0.5)}
WORKERS = {"16 workers by HTTP, 10 jobs of a claim": (10, 16, 0.1)}


class Collecting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def collector():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collecting)
    process = multiprocessing.Process(target=server.serve_forever, daemon=True)
    process.start()
    server.server_close()  # the process has its own
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        process.terminate()
        process.join()


def by_node(db, jobs, more, url, ratio):
    """Rate, and the part of the spans that was dropped."""
    spans = () if ratio is None else ("--otlp", url, "--sample-ratio", ratio)
    told = drain(db, jobs, *more, *spans)
    return told["jobs_per_second"], told["spans_dropped"] / (jobs * float(ratio or 1))


def by_workers(db, jobs, batch, workers, url, ratio):
    spans = () if ratio is None else ("--otlp-endpoint", url, "--otlp-sample-ratio", ratio)
    with troupe(db, *spans) as node:
        enqueue(db, jobs)
        out, _, _ = timed([BUILD / "bench/troupe_bench_requests", "--mode", "work", "--port", str(node.port), "--queue",
                           QUEUE, "--jobs", str(jobs), "--batch", str(batch), "--connections", str(workers)])
        check(db, jobs)
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics") as page:
            dropped = re.search(r'^troupe_spans_dropped_total\{reason="full"\} (\d+)', page.read().decode(), re.M)
    return last_json(out)["per_second"], int(dropped.group(1)) / (jobs * float(ratio or 1))


def run(rounds, jobs, page=None):
    cases = [*NODES, *WORKERS]
    figures = {(case, way): [] for case in cases for way in WAYS}
    with Database() as db, collector() as url:
        for turn in range(rounds):
            ways = list(WAYS)
            for way in ways[turn % 3:] + ways[:turn % 3]:
                for case, (more, share) in NODES.items():
                    figures[case, way].append(by_node(db, max(1000, int(jobs * share)), more, url, WAYS[way]))
                for case, (batch, workers, share) in WORKERS.items():
                    figures[case, way].append(by_workers(db, max(200, int(jobs * share)), batch, workers, url, WAYS[way]))
    lines = [["jobs", "spans", "jobs/s", "against none", "dropped, %"]]
    for case in cases:
        bare = [rate for rate, _ in figures[case, "no spans"]]
        for way in WAYS:
            rates = [rate for rate, _ in figures[case, way]]
            lines.append([case, way, spread(rates), spread([a / b for a, b in zip(rates, bare)], 2),
                          "" if WAYS[way] is None else spread([100 * lost for _, lost in figures[case, way]])])
    section(f"Spans, {jobs:,} jobs, {rounds} rounds in turn: median (range)", lines, page)
    return True
