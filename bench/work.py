"""bench/run work: jobs through the work protocol, beside the same by SQL and an embedded node's no-ops.

Each worker claims, finishes what it got in one request, and claims anew. By SQL it does so as docs/sql.md says, in two
transactions: one that claims a batch, one that finishes it. A node of its own database serves each drain.
"""
import subprocess
import time

from http_api import troupe
from measure import BUILD, Database, last_json, section, spread, timed
from rates import fresh, running, settle

QUEUE = "bench"  # which the node does not run
# Jobs of a claim, workers, and the part of the jobs that is enough to see.
CASES = [(1, 1, 0.02), (10, 1, 0.1), (100, 1, 0.5), (1, 16, 0.1), (10, 16, 0.5), (100, 16, 1)]
DRAIN = """create procedure drain(node bigint, size int) language plpgsql as $$
declare
  leases bigint[]; jobs bigint[]; attempts smallint[];
begin
  loop
    select array_agg(c.lease), array_agg(c.job_id), array_agg(c.attempt) into leases, jobs, attempts
      from troupe.claim(node, 'bench', size) c;
    commit;
    exit when jobs is null;
    perform troupe.finish(node, l, j, a) from unnest(leases, jobs, attempts) as t(l, j, a);
    commit;
  end loop;
end $$"""


def enqueue(db, jobs):
    db.psql(f"""select cardinality(troupe.enqueue_many(array_fill('noop'::text, array[{jobs}]),
                array_fill('{QUEUE}'::text, array[{jobs}]),
                array_fill('{{"n": 123456, "to": "user@example.com"}}'::jsonb, array[{jobs}]),
                array_fill(0::smallint, array[{jobs}])))""")
    settle(db)


def by_http(db, jobs, batch, workers):
    with troupe(db) as node:
        enqueue(db, jobs)
        out, _, _ = timed([BUILD / "bench/troupe_bench_requests", "--mode", "work", "--port", str(node.port), "--queue",
                           QUEUE, "--jobs", str(jobs), "--batch", str(batch), "--connections", str(workers)])
        check(db, jobs)
    return last_json(out)["per_second"]


def by_sql(db, jobs, batch, workers):
    fresh(db)
    enqueue(db, jobs)
    db.psql(DRAIN)
    first = int(db.psql(f"select min(troupe.join_node('w' || i)) from generate_series(1, {workers}) i"))
    script = f"call drain({first} + :client_id, {batch})"
    begun = time.monotonic()
    subprocess.run(["pgbench", "-n", "-c", str(workers), "-j", "2", "-t", "1", "-f", "/dev/stdin", db.url],
                   input=script, text=True, check=True, capture_output=True)
    seconds = time.monotonic() - begun
    check(db, jobs)
    return jobs / seconds


def check(db, jobs):
    done = int(db.psql("select count(*) from troupe.attempt where outcome = 1"))
    if done != jobs:
        raise SystemExit(f"work: {done} of {jobs} jobs were completed")


def run(rounds, jobs, page=None):
    figures = {case: ([], []) for case in CASES}
    embedded = []
    with Database() as db:
        for _ in range(rounds):
            embedded.append(running(db, jobs)["jobs_per_second"])
            for batch, workers, share in CASES:
                some = max(200, int(jobs * share))
                ours, theirs = figures[batch, workers, share]
                ours.append(by_http(db, some, batch, workers))
                theirs.append(by_sql(db, some, batch, workers))
    lines = [["workers", "jobs of a claim", "by HTTP: jobs/s", "by SQL: jobs/s", "HTTP to SQL", "HTTP to a node's no-ops"]]
    for (batch, workers, _), (ours, theirs) in figures.items():
        lines.append([workers, batch, spread(ours), spread(theirs), spread([a / b for a, b in zip(ours, theirs)], 2),
                      spread([a / b for a, b in zip(ours, embedded)], 3)])
    lines.append(["a node's no-ops", "", spread(embedded), "", "", ""])
    section(f"Workers by HTTP, {jobs:,} jobs, {rounds} rounds in turn: median (range)", lines, page)
    return True
