"""bench/run export: jobs as NDJSON over HTTP, made and kept files too, and the same statement by psql's \\copy; the
node's memory meanwhile."""
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from events import ask
from http_api import Node, free_port
from measure import BUILD, ROOT, Database, section, spread, timed

WANTED = 0.5
FILL = """insert into troupe.job (id, created_at, queue, kind, args, tags)
  select i, now() - i * interval '1 ms', 'q' || i % 3, 'noop', jsonb_build_object('n', i, 'text', 'some "text"'),
         case when i % 4 = 0 then '{{a,b}}'::text[] end from generate_series(1, {0}) i;
insert into troupe.attempt (job_id, node, attempt, outcome)
  select i, 1, 1, case when i % 50 = 0 then 3 else 1 end from generate_series(1, {0} * 9 / 10) i;
select setval('troupe.job_id_seq', {0})"""
ENDING = "to stdout (format csv, quote e'\\x01', delimiter e'\\x02')"


def statement(name):
    """The text of a file of db/sql without its comments, for all jobs."""
    lines = (ROOT / f"db/sql/{name}.sql").read_text().splitlines()
    text = " ".join(line for line in lines if not line.startswith("--"))
    for number, value in enumerate(["null", "null", "null", "null", "''"], 1):
        text = text.replace(f"${number}", value)
    return text


def rss(pid):
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def by_psql(db, file):
    script = f"begin; {statement('export_plans')};\n\\copy ({statement('export_lines')}) {ENDING}\n"
    script = "\\o /dev/null\n" + script.replace(ENDING, ENDING.replace("to stdout", f"to '{file}'"))
    begun = time.monotonic()
    subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", db.url], input=script, text=True, check=True)
    return time.monotonic() - begun


def by_http(port, file, *more, path="/api/v1/jobs.ndjson"):
    begun = time.monotonic()
    timed(["curl", "-sf", *more, "-o", file, f"http://127.0.0.1:{port}{path}"])
    return time.monotonic() - begun


def kept(port, rows, compression, file):
    """Seconds until the file of the first jobs is made, and of its download; then it is gone from the node."""
    begun = time.monotonic()
    order = {"format": "ndjson", "compression": compression, "limit": rows}  # without the jobs of exports
    path = "/api/v1/exports/" + json.loads(ask(port, "POST", "/api/v1/exports", order))["id"]
    told = {"state": "available"}
    while not told.get("file"):
        if told["state"] in ("discarded", "cancelled", "completed"):
            raise SystemExit(f"export: there is no file: {told}")
        time.sleep(0.02)
        told = json.loads(ask(port, "GET", path))
    made = time.monotonic() - begun
    if told["file"]["rows"] != rows:
        raise SystemExit(f"export: a file of {told['file']['rows']} rows")
    fetched = by_http(port, file, path=path + "/file")
    ask(port, "DELETE", path)
    return made, fetched


def same(one, other):
    """Whether a file begins with all of another."""
    return subprocess.run(["cmp", "-s", "-n", str(os.path.getsize(other)), one, other], check=False).returncode == 0


def run(rounds, jobs, page=None):
    rows = jobs * 10
    theirs, grown, after = [], [], []
    rates = {name: [] for name in ("jobs.ndjson", "with gzip", "a kept file is made", "the file is fetched",
                                   "a kept gzip file is made", "the gzip file is fetched")}
    with Database() as db, tempfile.TemporaryDirectory() as folder:
        db.fresh()
        port, env = free_port(), dict(os.environ, DATABASE_URL=db.url, TROUPE_LOG="warn")
        subprocess.run([BUILD / "troupe", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
        db.psql(*FILL.format(rows).split(";"))
        db.psql("vacuum analyze", "checkpoint")
        plain, copied, stored = (os.path.join(folder, name) for name in ("http", "psql", "stored"))
        with Node([BUILD / "troupe", "serve", "--listen", f"127.0.0.1:{port}", "--queue", "bench:0"], env,
                    port) as server:
            for _ in range(rounds):
                theirs.append(rows / by_psql(db, copied))
                before = rss(server.process.pid)
                took = [by_http(port, plain), by_http(port, os.path.join(folder, "gzip"), "-H", "Accept-Encoding: gzip")]
                grown.append(rss(server.process.pid) - before)
                took += kept(port, rows, "none", stored)
                if not same(plain, copied) or not same(copied, stored):
                    raise SystemExit("export: the texts differ")
                took += kept(port, rows, "gzip", stored)
                after.append(rss(server.process.pid) - before)
                for name, seconds in zip(rates, took):
                    rates[name].append(rows / seconds)
    ratios = {name: [o / t for o, t in zip(ours, theirs)] for name, ours in rates.items()}
    lines = [["what", "jobs/s", "of psql", "memory grew, MiB"], ["psql \\copy", spread(theirs), "1", ""]]
    for name, ours in rates.items():
        lines.append([name, spread(ours), spread(ratios[name], 2), ""])
    lines[2][3], lines[-1][3] = spread(grown, 1), spread(after, 1)
    section(f"Exports, {rows:,} jobs, {rounds} rounds in turn: median (range)", lines, page)
    print(f"\n  wanted at least {WANTED:.2f} of psql for jobs.ndjson")
    return statistics.median(ratios["jobs.ndjson"]) >= WANTED
