"""bench/run queue_limits: what limits of a queue and of its keys cost two nodes, binding and not."""
import statistics

from measure import BUILD, Database, last_json, spread, table, timed

WANTED = 0.9
SLEEP_MS, LIMIT, KEYS, ORDERED = 10, 20, 100, 2000


def rate(db, jobs, *more):
    db.fresh()
    out, _, _ = timed([BUILD / "bench/troupe_bench_drain", "--url", db.url, "--jobs", str(jobs), "--nodes",
                       "2", *map(str, more)], env={"TROUPE_LOG": "warn", "PATH": "/usr/bin:/bin"})
    return last_json(out)["jobs_per_second"]


def run(rounds, jobs):
    free, limited, keyed, many_keys, slots, binding, ordered, eight = [], [], [], [], [], [], [], []
    sleeps = max(2000, jobs // 5)
    with Database() as db:
        for _ in range(rounds):
            free.append(rate(db, jobs))
            limited.append(rate(db, jobs, "--limit", 1000))
            keyed.append(rate(db, jobs, "--keys", KEYS, "--key-limit", 100_000))
            many_keys.append(rate(db, jobs, "--keys", jobs, "--key-limit", 1))
            slots.append(rate(db, sleeps, "--ms", SLEEP_MS, "--slots", LIMIT // 2))
            binding.append(rate(db, sleeps, "--ms", SLEEP_MS, "--slots", 16, "--limit", LIMIT))
            ordered.append(rate(db, ORDERED, "--ordered", 1))
            eight.append(rate(db, ORDERED, "--ordered", 8))
    costs = [a / b for a, b in zip(limited, free)]
    key_costs = [a / b for a, b in zip(keyed, free)]
    many_costs = [a / b for a, b in zip(many_keys, free)]
    ideal = LIMIT / SLEEP_MS * 1000
    keeps = [b / ideal for b in binding]
    against_slots = [b / s for b, s in zip(binding, slots)]
    table(f"Two nodes, {rounds} rounds in turn: median (range)", [
        ["what", "jobs/s", "ratio"],
        [f"{jobs:,} no-ops, no limit", spread(free), ""],
        [f"{jobs:,} no-ops, limit 1,000, which does not bind", spread(limited), spread(costs, 2)],
        [f"{jobs:,} no-ops of {KEYS} keys, a limit of each that does not bind", spread(keyed),
         spread(key_costs, 2)],
        [f"{jobs:,} no-ops of as many keys, limit 1 of each", spread(many_keys), spread(many_costs, 2)],
        [f"{sleeps:,} sleeps of {SLEEP_MS} ms, no limit, {LIMIT // 2} slots a node", spread(slots), ""],
        [f"the same, 16 slots a node, limit {LIMIT}: to limit / duration", spread(binding), spread(keeps, 2)],
        ["  and to the slots above", "", spread(against_slots, 2)],
        [f"{ORDERED:,} no-ops of one ordered queue", spread(ordered), ""],
        [f"{ORDERED:,} no-ops of eight ordered queues", spread(eight), ""],
    ])
    print(f"\n  wanted at least {WANTED:.2f} of what there is without a limit, and of limit / duration")
    return min(statistics.median(r) for r in (costs, key_costs, keeps)) >= WANTED
