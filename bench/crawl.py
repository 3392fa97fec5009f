"""bench/run crawl: the PostgreSQL documentation by `troupe scrape` against Scrapy tuned.

Both crawl the same pages from the same nginx on loopback and write the same columns. Troupe's CPU
seconds include those of its PostgreSQL; nginx is counted for neither.
"""
import csv
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import BUILD, ROOT, Database, last_json, spread, table, timed

PAGES = Path("/usr/share/doc/postgresql-doc-15/html")
CONCURRENCIES = (16, 64)


class Nginx:
    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="troupe-nginx-", dir="/tmp"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
            user root;
            events {{ worker_connections 512; }}
            http {{
              access_log off; keepalive_requests 1000000; sendfile on; tcp_nopush on;
              types {{ text/html html; text/css css; image/svg+xml svg; }}
              server {{ listen 127.0.0.1:{port}; root {PAGES}; }}
            }}""")
        self.process = subprocess.Popen(["nginx", "-c", self.folder / "nginx.conf", "-p", self.folder],
                                        stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/index.html"
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.05).close()
                return self
            except OSError:
                try:
                    self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise SystemExit("crawl: nginx did not start: " + (self.folder / "error.log").read_text())
        raise SystemExit("crawl: nginx does not answer")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["url"]: row for row in csv.DictReader(file)}


def troupe(url, out, db):
    db.fresh()
    env = dict(os.environ, DATABASE_URL=db.url, TROUPE_LOG="warn")
    # Making the schema is the first start's work, a quarter of a CPU second, and no crawl's.
    subprocess.run([BUILD / "troupe", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    before = db.cpu_seconds()
    text, seconds, cpu = timed([BUILD / "troupe", "scrape", url, "--out", out, "--allow-private",
                                "--max-pages", "5000", "--json"], env=env, stderr=subprocess.DEVNULL)
    summary = last_json(text)
    return {"pages": len(rows(out)), "seconds": summary["seconds"], "whole": seconds,
            "cpu": cpu, "database": db.cpu_seconds() - before}


def scrapy(url, out, concurrency):
    Path(out).unlink(missing_ok=True)
    text, whole, cpu = timed(["/usr/bin/python3", ROOT / "bench/peers/scrapy/crawl.py", url, out,
                              str(concurrency)])
    return {"pages": len(rows(out)), "seconds": last_json(text)["seconds"], "whole": whole, "cpu": cpu}


def run(rounds, _):
    ours, theirs = [], {c: [] for c in CONCURRENCIES}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, Nginx() as site, Database() as db:
        for _ in range(rounds):
            ours.append(troupe(site.url, f"{folder}/troupe.csv", db))
            for concurrency in CONCURRENCIES:
                theirs[concurrency].append(scrapy(site.url, f"{folder}/scrapy.csv", concurrency))
        left, right = rows(f"{folder}/troupe.csv"), rows(f"{folder}/scrapy.csv")
    missing = [url for url, row in right.items() if row["status"] == "200" and url not in left]
    if missing:
        raise SystemExit(f"crawl: {len(missing)} pages of Scrapy's are missing, first {missing[0]}")
    peer = max(theirs.values(), key=lambda runs: statistics.median(r["pages"] / r["seconds"] for r in runs))
    def rate(run):
        return run["pages"] / run["seconds"]
    def per_cpu(run):
        return run["pages"] / (run["cpu"] + run.get("database", 0))
    def line(name, runs):
        return [name, runs[-1]["pages"], spread([rate(r) for r in runs]),
                spread([r["pages"] / r["whole"] for r in runs]), spread([per_cpu(r) for r in runs])]
    lines = [["crawler", "pages", "pages/s", "of the whole process", "pages per CPU second"],
             line("Troupe, its PostgreSQL included", ours)]
    lines += [line(f"Scrapy, {concurrency} at once", runs) for concurrency, runs in theirs.items()]
    table(f"Crawl of the PostgreSQL documentation, {rounds} rounds in turn: median (range)", lines)
    speed = [rate(a) / rate(b) for a, b in zip(ours, peer)]
    thrift = [per_cpu(a) / per_cpu(b) for a, b in zip(ours, peer)]
    print(f"\n  pages/s ratio {spread(speed, 2)}; wanted at least 5.00")
    print(f"  pages per CPU second ratio {spread(thrift, 2)}; wanted at least 4.00")
    print(f"  CPU of Troupe alone {spread([r['cpu'] for r in ours], 2)} s, "
          f"of its PostgreSQL {spread([r['database'] for r in ours], 2)} s")
    return statistics.median(speed) >= 5 and statistics.median(thrift) >= 4
