"""bench/run queue_limits: what limits of a queue and of its keys cost two nodes, binding and not.

Rates of no-ops and of what computes are those of the last four fifths: nodes take 0.1 s to start."""
import statistics

from measure import Database, spread, table
from rates import drain, running

WANTED = 0.9
SLEEP_MS, LIMIT, KEYS, ORDERED, SPIN_US = 10, 20, 100, 2000, 20


def run(rounds, jobs):
    free, limited, keyed, many_keys, slots, binding, ordered, eight = [], [], [], [], [], [], [], []
    working, working_keyed, working_many = [], [], []
    sleeps = max(2000, jobs // 5)
    with Database() as db:
        def while_running(*more):
            return running(db, jobs, "--nodes", 2, *more)["jobs_per_second"]

        def whole(count, *more):
            return drain(db, count, "--nodes", 2, *more)["jobs_per_second"]

        few, many = ("--keys", KEYS, "--key-limit", 100_000), ("--keys", jobs, "--key-limit", 1)
        for _ in range(rounds):
            free.append(while_running())
            limited.append(while_running("--limit", 1000))
            keyed.append(while_running(*few))
            many_keys.append(while_running(*many))
            working.append(while_running("--spin-us", SPIN_US))
            working_keyed.append(while_running("--spin-us", SPIN_US, *few))
            working_many.append(while_running("--spin-us", SPIN_US, *many))
            slots.append(whole(sleeps, "--ms", SLEEP_MS, "--slots", LIMIT // 2))
            binding.append(whole(sleeps, "--ms", SLEEP_MS, "--slots", 16, "--limit", LIMIT))
            ordered.append(whole(ORDERED, "--ordered", 1))
            eight.append(whole(ORDERED, "--ordered", 8))
    costs = [a / b for a, b in zip(limited, free)]
    key_costs = [a / b for a, b in zip(keyed, free)]
    many_costs = [a / b for a, b in zip(many_keys, free)]
    working_costs = [a / b for a, b in zip(working_keyed, working)]
    working_many_costs = [a / b for a, b in zip(working_many, working)]
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
        [f"{jobs:,} jobs that compute for {SPIN_US} us, no limit", spread(working), ""],
        [f"  of {KEYS} keys, a limit of each that does not bind", spread(working_keyed), spread(working_costs, 2)],
        ["  of as many keys, limit 1 of each", spread(working_many), spread(working_many_costs, 2)],
        [f"{sleeps:,} sleeps of {SLEEP_MS} ms, no limit, {LIMIT // 2} slots a node", spread(slots), ""],
        [f"the same, 16 slots a node, limit {LIMIT}: to limit / duration", spread(binding), spread(keeps, 2)],
        ["  and to the slots above", "", spread(against_slots, 2)],
        [f"{ORDERED:,} no-ops of one ordered queue", spread(ordered), ""],
        [f"{ORDERED:,} no-ops of eight ordered queues", spread(eight), ""],
    ])
    print(f"\n  wanted at least {WANTED:.2f} of what there is without a limit, and of limit / duration")
    return min(statistics.median(r) for r in (costs, key_costs, keeps)) >= WANTED
