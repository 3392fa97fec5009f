"""bench/run drain: 100,000 no-ops, Troupe with history kept against graphile-worker tuned."""
import statistics
import subprocess

from measure import BUILD, Database, last_json, peer, spread, table, timed


def run(rounds, jobs):
    script = peer("graphile-worker") / "drain.mjs"
    troupe, peer = [], []
    with Database() as db:
        for _ in range(rounds):
            db.fresh()
            out, _, _ = timed([BUILD / "bench/troupe_bench_drain", "--url", db.url, "--jobs", str(jobs)],
                              env={"TROUPE_LOG": "warn", "PATH": "/usr/bin:/bin"})
            troupe.append(last_json(out))
            once = db_count(db)
            if once != f"{jobs}|{jobs}":
                raise SystemExit(f"drain: outcomes and distinct jobs are {once}, not {jobs} each")
            db.fresh()
            out, _, _ = timed(["node", script, db.url, str(jobs)])
            peer.append(last_json(out))
    ratios = [t["jobs_per_second"] / p["jobs_per_second"] for t, p in zip(troupe, peer)]
    table(f"Drain of {jobs:,} no-ops, {rounds} rounds in turn: median (range)", [
        ["engine", "jobs/s", "history"],
        ["Troupe", spread([t["jobs_per_second"] for t in troupe]), "kept"],
        ["graphile-worker 0.18, tuned", spread([p["jobs_per_second"] for p in peer]), "deleted"],
    ])
    print(f"\n  ratio {spread(ratios, 2)}; wanted at least 1.00")
    return statistics.median(ratios) >= 1.0


def db_count(db):
    args = ["psql", "-qAtX", db.url, "-c",
            "select count(*), count(distinct job_id) from troupe.attempt where outcome = 1"]
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout.strip()
