"""bench/run database: what actors cost, the same statements through POOL and by bare libpq."""
import statistics

from measure import BUILD, Database, last_json, spread, table, timed

WANTED = 0.8
SCHEMA = ("create table bench_row (id bigint primary key, note text)",
          "insert into bench_row select i, 'note ' || i from generate_series(1, 1000) i",
          "create table bench_made (id bigint generated always as identity, note text)",
          "vacuum analyze bench_row")
# Rows of the table: what, mode, connections, statements or transactions at full size, and whether a
# commit waits for the disk. Where it does not, all that is left is what the processors do, which the
# actors share with the server: the hardest comparison, and no promise.
CASES = [("single statements, 1 connection", "statements", 1, 1.0, True),
         ("single statements, 2 connections", "statements", 2, 1.0, True),
         ("transactions, 1 connection", "transactions", 1, 0.02, True),
         ("transactions, 4 connections", "transactions", 4, 0.05, True),
         ("the same without waiting for the disk, 1 connection", "transactions", 1, 0.2, False),
         ("the same without waiting for the disk, 4 connections", "transactions", 4, 0.2, False)]


def rate(program, url, mode, connections, count, *more):
    out, _, _ = timed([BUILD / "bench" / program, "--url", url, "--mode", mode, "--connections",
                       str(connections), "--count", str(count), *more])
    return last_json(out)["per_second"]


def run(rounds, jobs):
    figures = {case[0]: ([], [], []) for case in CASES}
    with Database() as db:
        db.fresh()
        db.psql(*SCHEMA)
        for _ in range(rounds):
            for name, mode, connections, share, durable in CASES:
                db.sql(f"alter database bench set synchronous_commit = {'on' if durable else 'off'}")
                troupe, bare, together = figures[name]
                count = int(jobs * share)
                bare.append(rate("troupe_bench_database_bare", db.url, mode, connections, count))
                troupe.append(rate("troupe_bench_database", db.url, mode, connections, count))
                if mode == "statements":
                    together.append(rate("troupe_bench_database_bare", db.url, mode, connections,
                                         count, "--per-sync", "16"))
    rows = [["what", "Troupe/s", "libpq/s", "libpq/s, 16 to a sync", "ratio"]]
    good = True
    for name, *_, durable in CASES:
        troupe, bare, together = figures[name]
        ratios = [t / b for t, b in zip(troupe, bare)]
        good = good and (statistics.median(ratios) >= WANTED or not durable)
        rows.append([name, spread(troupe), spread(bare), spread(together) if together else "",
                     spread(ratios, 2)])
    table(f"Through actors and bare libpq in pipeline mode, {rounds} rounds in turn: median (range)", rows)
    print(f"\n  ratio to libpq with a sync for each statement; wanted at least {WANTED:.2f} where "
          "commits wait for the disk, as they do unless one says otherwise")
    return good
