"""Drain rates that several benchmarks measure: of nodes, of PostgreSQL without an engine, beside a held snapshot."""
import contextlib
import os
import subprocess
import time

from measure import BUILD, ROOT, last_json

ENV = {"TROUPE_LOG": "warn", "PATH": "/usr/bin:/bin"}
BATCH = 1000  # of the PostgreSQL limit
BACKLOG = 5_000_000  # the longest, when 100,000 jobs are drained


def fresh(db):
    """An empty database with our schema."""
    db.fresh()
    subprocess.run([BUILD / "troupe", "migrate"], env={**ENV, "DATABASE_URL": db.url}, check=True,
                   stdout=subprocess.DEVNULL)


def drain(db, jobs, *more, empty=True):
    """What the program printed, with its peak of memory in MB and the WAL bytes of a job."""
    if empty:
        fresh(db)
    before = db.psql("select pg_current_wal_insert_lsn()")
    process = subprocess.Popen([BUILD / "bench/troupe_bench_drain", "--url", db.url, "--jobs", str(jobs),
                                *map(str, more)], env=ENV, stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"bench/run: the drain ended with {status}")
    told = last_json(out)
    told["wal"] = float(db.psql(f"select pg_current_wal_insert_lsn() - '{before}'")) / jobs
    told["rss_mb"] = used.ru_maxrss / 1024
    return told


def running(db, jobs, *more, empty=True):
    """A drain, its rate that of the last four fifths: a start takes about 0.1 s, as long as many jobs."""
    told = drain(db, jobs, "--every", max(1, jobs // 5), *more, empty=empty)
    first, last = told["steps"][0], told["steps"][-1]
    if last[0] > first[0]:  # else all ended at once
        told["jobs_per_second"] = (last[0] - first[0]) / (last[1] - first[1])
    return told


def settle(db):
    """Does now what PostgreSQL would do sooner or later with what was stored, so that it is not done during a drain."""
    db.psql("vacuum analyze")
    db.sql("checkpoint")


def limit_rate(db, jobs, connections=2, batch=BATCH):
    """The lane prototype, claims and finishes by pgbench: what PostgreSQL does without an engine."""
    db.fresh()
    folder = ROOT / "bench/peers/lane"
    subprocess.run(["psql", "-qX", "-f", folder / "lane.sql", db.url], check=True, capture_output=True)
    claims = max(1, jobs // batch // connections)
    # Clients do not take the two lanes exactly in turn; what is left over keeps the last claims whole.
    stored = (claims * connections + 4 * connections) * batch
    db.psql("with j as (insert into t.job (kind, args) select 'noop', jsonb_build_object('n', g, 'to', "
            f"'user@example.com') from generate_series(1, {stored}) g returning id) "
            "insert into t.ready (lane, job_id) select 1 + id % 2, id from j",
            "vacuum analyze t.ready, t.job", "checkpoint")
    begun = time.monotonic()
    subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-t", str(claims),
                    "-D", f"n={batch}", "-f", folder / "cycle.sql", db.url], check=True, capture_output=True)
    seconds = time.monotonic() - begun
    done = int(db.psql("select count(*) from t.attempt"))
    if done != claims * connections * batch:
        raise SystemExit(f"bench/run: the PostgreSQL limit ended {done} jobs")
    return done / seconds


@contextlib.contextmanager
def held_snapshot(db):
    """Another session, idle in a transaction whose snapshot is from now."""
    holder = subprocess.Popen(["psql", "-qAtX", db.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdin.write("begin isolation level repeatable read;\nselect 1;\n")
    holder.stdin.flush()
    if holder.stdout.readline() != "1\n":
        raise SystemExit("bench/run: no snapshot could be taken")
    try:
        yield
    finally:
        holder.stdin.close()
        if holder.wait() != 0:
            raise SystemExit("bench/run: the session with the snapshot was lost")
