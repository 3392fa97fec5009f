"""bench/run export: jobs as NDJSON over HTTP, and the same statement by psql's \\copy; the node's memory meanwhile."""
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from http_api import Server, free_port
from measure import BUILD, ROOT, Database, spread, table, timed

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


def by_http(port, file, *more):
    begun = time.monotonic()
    timed(["curl", "-sf", *more, "-o", file, f"http://127.0.0.1:{port}/api/v1/jobs.ndjson"])
    return time.monotonic() - begun


def run(rounds, jobs):
    rows = jobs * 10
    ours, packed, theirs, grown = [], [], [], []
    with Database() as db, tempfile.TemporaryDirectory() as folder:
        db.fresh()
        port, env = free_port(), dict(os.environ, DATABASE_URL=db.url, TROUPE_LOG="warn")
        subprocess.run([BUILD / "troupe", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
        db.psql(*FILL.format(rows).split(";"))
        db.psql("vacuum analyze", "checkpoint")
        plain, copied = os.path.join(folder, "http"), os.path.join(folder, "psql")
        with Server([BUILD / "troupe", "serve", "--listen", f"127.0.0.1:{port}", "--queue", "bench:0"], env,
                    port) as server:
            for _ in range(rounds):
                theirs.append(rows / by_psql(db, copied))
                before = rss(server.process.pid)
                ours.append(rows / by_http(port, plain))
                packed.append(rows / by_http(port, os.path.join(folder, "gzip"), "-H", "Accept-Encoding: gzip"))
                grown.append(rss(server.process.pid) - before)
                if subprocess.run(["cmp", "-s", plain, copied]).returncode != 0:
                    raise SystemExit("export: the texts differ")
    ratios = [o / t for o, t in zip(ours, theirs)]
    table(f"{rows:,} jobs, {rounds} rounds in turn: median (range)",
          [["what", "jobs/s", "of psql", "memory grew, MiB"],
           ["psql \\copy", spread(theirs), "1", ""],
           ["jobs.ndjson", spread(ours), spread(ratios, 2), spread(grown, 1)],
           ["with gzip", spread(packed), spread([p / t for p, t in zip(packed, theirs)], 2), ""]])
    print(f"\n  wanted at least {WANTED:.2f} of psql")
    return statistics.median(ratios) >= WANTED
