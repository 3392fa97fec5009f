"""What a run prints: the faults and how long each kind took to get over, the jobs and what became of
them, the violations, and how to repeat it."""
import statistics
from collections import Counter

from checker import is_quarantine
from evidence import CANCELLED, COMPLETED, DISCARDED, LOST


def report(given, faults, evidence, checker, violations, seconds):
    rescues, services = checker.rescues(), checker.services()
    causes = Counter(next(iter(checker.causes(one)), None) for one in checker.losses())
    rows = [("fault", "count", "kills", "lost", "ready again s", "max", "next outcome s", "max")]
    for kind in [*sorted({fault.kind for fault in evidence.faults}), "all"]:
        some = [fault for fault in evidence.faults if kind in (fault.kind, "all")]
        rows.append((kind, len(some), sum(f.kills for f in some), sum(causes[f] for f in some),
                     *middle_and_most(rescues, some), *middle_and_most(services, some)))
    print_table(rows)
    if faults.unmet:
        print("  not met in time: " + ", ".join(f"{kind} {n}" for kind, n
                                                in sorted(Counter(faults.unmet).items())))
    ends = Counter(checker.last(job.id).outcome for job in evidence.jobs if checker.last(job.id))
    stored = {job.token for job in evidence.jobs}
    explained, unexplained = checker.duplicates()
    lost_jobs = sum(1 for token, job in evidence.accepted.items()
                    if job not in checker.jobs or not checker.is_final(job))
    print_table([
        ("sent", "accepted", "refused", "unknown", "of these stored", "completed", "cancelled",
         "discarded", "quarantined"),
        (len(evidence.sent), len(evidence.accepted), len(evidence.refused), len(evidence.unknown),
         len(evidence.unknown & stored), ends[COMPLETED], ends[CANCELLED], ends[DISCARDED],
         sum(map(is_quarantine, evidence.attempts)))])
    print_table([
        ("jobs lost", "attempts lost", "runs fenced", "duplicates explained", "unexplained",
         "committed effects", "seconds"),
        (lost_jobs, sum(one.outcome == LOST for one in evidence.attempts), checker.fenced(), explained,
         unexplained, sum(evidence.committed.values()), f"{seconds:.0f}")])
    if evidence.drains:
        print_table([("drain", "jobs", "claims", "blocks a claim", "ms a claim", "other statements", "blocks each",
                      "pages of nodes", "seconds"),
                     *((when, one.jobs, one.claims, f"{one.per_claim:.1f}",
                        f"{one.milliseconds / max(one.claims, 1):.2f}", one.others, f"{one.per_other:.1f}",
                        one.pages, f"{one.seconds:.1f}") for when, one in evidence.drains.items())])
    for sentence in violations:
        print("  BROKEN " + sentence)
    if any(sentence.startswith("a_held_snapshot_costs_little") for sentence in violations):
        for when, one in evidence.drains.items():
            print_table([(when, "calls", "blocks"), *((text, calls, blocks) for blocks, calls, text in one.dearest)])
    length = f"--minutes {given.minutes:g}"
    if given.kills or given.snapshot_minutes:
        length = f"--kills {given.kills}" if given.kills else f"--snapshot-minutes {given.snapshot_minutes:g}"
    print(f"chaos: {'BROKEN' if violations else 'all kept'}; again: scripts/chaos --seed {given.seed} "
          f"{length} --nodes {given.nodes} --rate {given.rate:g} --storm {given.storm}"
          + (f" --faults {given.faults}" if given.faults else ""), flush=True)


def middle_and_most(seconds, faults):
    """Median and maximum of those that have any."""
    some = [seconds[fault] for fault in faults if fault in seconds]
    return (f"{statistics.median(some):.1f}", f"{max(some):.1f}") if some else ("-", "-")


def print_table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        print("  " + "  ".join(str(cell).rjust(width) if i else str(cell).ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
