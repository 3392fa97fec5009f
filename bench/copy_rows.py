"""bench/run copy: rows through a session's COPY and its streams, and by psql's own COPY."""
import os
import statistics
import tempfile
import time

from measure import BUILD, Database, last_json, spread, table, timed

WANTED = 0.8
ROWS = "select i as id, 'note ' || i as note, now() as made from generate_series(1, {}) i"
# A stream's rows come through a cursor, a block of them for each round trip: shown, not judged.
CASES = [("COPY out", "out", "select * from copy_row", "copy copy_row to stdout"),
         ("COPY in", "in", "copy copy_made from stdin", "copy copy_made from stdin"),
         ("stream of rows", "stream", "select note from copy_row", "copy (select note from copy_row) to stdout")]


def by_psql(db, sql, file, reads):
    begun = time.monotonic()
    with open(file, "rb" if reads else "wb") as rows:
        timed(["sh", "-c", f'exec psql -qAtX "$1" -c "$2" {"<" if reads else ">"} "$3"', "sh", db.url, sql, rows.name])
    return time.monotonic() - begun


def run(rounds, jobs):
    rows = jobs * 20
    figures = {case[0]: ([], [], []) for case in CASES}
    with Database() as db, tempfile.TemporaryDirectory() as folder:
        db.fresh()
        db.psql(f"create table copy_row as {ROWS.format(rows)}", "vacuum analyze copy_row")
        file = os.path.join(folder, "rows")
        for _ in range(rounds):
            for name, mode, ours, theirs in CASES:
                troupe, peer, grown = figures[name]
                reads = mode == "in"
                db.psql("drop table if exists copy_made", "create table copy_made (like copy_row)", "checkpoint")
                peer.append(rows / by_psql(db, theirs, file, reads))
                db.psql("truncate copy_made", "checkpoint")
                out, _, _ = timed([BUILD / "bench/troupe_bench_copy", "--url", db.url, "--mode", mode, "--sql",
                                   ours, "--file", file], env={"TROUPE_LOG": "warn", "PATH": "/usr/bin:/bin"})
                told = last_json(out)
                troupe.append(rows / told["seconds"])
                grown.append(told["grown_kib"] / 1024)
                if reads and db.psql("select count(*) from copy_made") != str(rows):
                    raise SystemExit(f"copy: not all of {rows} rows came in")
    lines = [["what", "Troupe rows/s", "psql rows/s", "ratio", "Troupe's memory grew, MiB"]]
    good = True
    for name, mode, *_ in CASES:
        troupe, peer, grown = figures[name]
        ratios = [t / p for t, p in zip(troupe, peer)]
        good = good and (statistics.median(ratios) >= WANTED or mode == "stream")
        lines.append([name, spread(troupe), spread(peer), spread(ratios, 2), spread(grown, 1)])
    table(f"{rows:,} rows, {rounds} rounds in turn: median (range)", lines)
    print(f"\n  wanted at least {WANTED:.2f} of psql for COPY")
    return good
