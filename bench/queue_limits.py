"""bench/run queue_limits: what a concurrency limit costs two nodes, when it binds and when it does not."""
import statistics

from measure import BUILD, Database, last_json, spread, table, timed

WANTED = 0.9
SLEEP_MS, LIMIT = 10, 20


def rate(db, jobs, *more):
    db.fresh()
    out, _, _ = timed([BUILD / "bench/troupe_bench_drain", "--url", db.url, "--jobs", str(jobs), "--nodes",
                       "2", *map(str, more)], env={"TROUPE_LOG": "warn", "PATH": "/usr/bin:/bin"})
    return last_json(out)["jobs_per_second"]


def run(rounds, jobs):
    free, limited, slots, binding = [], [], [], []
    sleeps = max(2000, jobs // 5)
    with Database() as db:
        for _ in range(rounds):
            free.append(rate(db, jobs))
            limited.append(rate(db, jobs, "--limit", 1000))
            slots.append(rate(db, sleeps, "--ms", SLEEP_MS, "--slots", LIMIT // 2))
            binding.append(rate(db, sleeps, "--ms", SLEEP_MS, "--slots", 16, "--limit", LIMIT))
    costs = [a / b for a, b in zip(limited, free)]
    ideal = LIMIT / SLEEP_MS * 1000
    keeps = [b / ideal for b in binding]
    against_slots = [b / s for b, s in zip(binding, slots)]
    table(f"Two nodes, {rounds} rounds in turn: median (range)", [
        ["what", "jobs/s", "ratio"],
        [f"{jobs:,} no-ops, no limit", spread(free), ""],
        [f"{jobs:,} no-ops, limit 1,000, which does not bind", spread(limited), spread(costs, 2)],
        [f"{sleeps:,} sleeps of {SLEEP_MS} ms, no limit, {LIMIT // 2} slots a node", spread(slots), ""],
        [f"the same, 16 slots a node, limit {LIMIT}: to limit / duration", spread(binding), spread(keeps, 2)],
        ["  and to the slots above", "", spread(against_slots, 2)],
    ])
    print(f"\n  wanted at least {WANTED:.2f} of what there is without a limit, and of limit / duration")
    return min(statistics.median(costs), statistics.median(keeps)) >= WANTED
