"""One run of the chaos harness: a server, nodes, load, faults from a seed, then peace, and the
checker's verdict. Exit 0: every promise was kept; 1: one was not, or the run could not end; 2: usage.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2

from checker import Checker
from cluster import ROOT, Node, Server, clean_environment, migrate, pause, until
from evidence import Attempt, Evidence, Job, Ledger, Life, ServerClock
from faults import HOUR, WITHOUT_SNAPSHOT, Faults
from held import SETTINGS, HeldSnapshot
from load import KEY_LIMIT, KEYED, LIMIT, LIMITED, Bulk, Single, Sql, SqlWorker, Trouble, Unique
from machine import Disk, Pulse, SteppedClock, why_no_clock, why_no_disk
from proxy import Proxy
from report import report

QUIET_WITHIN = 180.0  # seconds from the last fault until every job has ended

REQUESTS = """
    select id, coalesce(args ->> 'note', args ->> 'message'), kind, queue, max_attempts,
           extract(epoch from pg_xact_commit_timestamp(xmin)), args ->> 'key', args ->> 'how'
      from troupe.job"""
OUTCOMES = """
    select job_id, attempt, outcome, node, extract(epoch from pg_xact_commit_timestamp(xmin)), error
      from troupe.attempt"""
LIVES = """
    select id, name, extract(epoch from started_at), case when ended_at is not null
                          then extract(epoch from pg_xact_commit_timestamp(xmin)) end,
           case when isfinite(heartbeat_at) then extract(epoch from heartbeat_at) end
      from troupe.node"""
UNENDED = """
    select count(*) from troupe.job j
     where not exists (select from troupe.attempt a where a.job_id = j.id and a.outcome in (1, 2, 3)
                                                      and not a.reopened)"""
LEFTOVERS = """
    select 'lease', count(*) from troupe.lease
    union all select 'deferred', count(*) from troupe.deferred
    union all select 'parked', count(*) from troupe.parked
    union all select 'key_run without key_end', count(*) from troupe.key_runs k
     where not exists (select from troupe.key_end e where e.queue = k.queue and e.lease = k.lease)
    union all select 'permit', coalesce(sum(permits), 0) from troupe.permit
    union all select 'ready behind no cursor', count(*)
      from troupe.ready r join troupe.lane l on l.id = r.lane where (r.xact, r.seq) > (l.xact, l.seq)
    union all select 'lane with open writers', count(*) from troupe.lane
     where open <> '{}' or draining <> '{}'
    union all select 'revoked', count(*) from troupe.revoked"""


def arguments():
    options = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__.splitlines()[0],
                                      epilog="Faults: " + ", ".join(sorted(Faults.DECK)))
    options.add_argument("--seed", type=int, help="repeats a run's draws; default: by chance")
    length = options.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=1.0, help="of faults, 0.05 to 600 (1)")
    length.add_argument("--kills", type=int, help="as long as it takes to kill so many nodes, 1 to 10000")
    length.add_argument("--snapshot-minutes", type=float,
                        help="of faults, with one snapshot held all the time; 0.05 to 600; without "
                        + ", ".join(WITHOUT_SNAPSHOT))
    options.add_argument("--nodes", type=int, default=3, help="1 to 8 (3)")
    options.add_argument("--faults", help="only these, with commas")
    options.add_argument("--rate", type=float, default=100.0, help="jobs a second, about; 1 to 2000 (100)")
    options.add_argument("--storm", type=int, default=10_000, help="jobs that fail at once, 1 to 10000")
    options.add_argument("--program", type=Path, default=ROOT / "build/release/troupe",
                         help="the troupe to try (build/release/troupe)")
    options.add_argument("--clock", type=Path, help="the library that steps clocks (beside --program)")
    options.add_argument("--keep", action="store_true", help="keep the ledgers and logs")
    given = options.parse_args()
    for name, low, high in (("minutes", 0.05, 600), ("snapshot_minutes", 0.05, 600), ("kills", 1, 10_000),
                            ("nodes", 1, 8), ("rate", 1, 2000), ("storm", 1, 10_000)):
        value = getattr(given, name)
        if value is not None and not low <= value <= high:
            options.error(f"--{name.replace('_', '-')} must be {low} to {high}")
    given.kinds = (given.faults or ",".join(Faults.DECK)).split(",")
    for kind in given.kinds:
        if kind not in Faults.DECK:
            options.error(f"--faults: there is no '{kind}'; there are " + ", ".join(sorted(Faults.DECK)))
    if given.kills and not set(given.kinds) & {"kill", "effect", "claim_before", "claim_after",
                                               "finish_before", "finish_after"}:
        options.error("--kills: none of --faults kills a node")
    if not os.access(given.program, os.X_OK):
        options.error(f"--program: {given.program} cannot be run; build it with scripts/run or name one")
    given.program = given.program.resolve()
    given.clock = (given.clock or given.program.parent / "tests/chaos/libstepped_clock.so").resolve()
    given.kinds = leave_out(given)
    if not given.kinds:
        options.error("--faults: none of them can be had")
    given.limit = 60.0 * (given.snapshot_minutes or given.minutes)
    if given.kills:
        given.limit = 60.0 + 30.0 * given.kills
    if given.seed is None:
        given.seed = random.SystemRandom().randrange(1 << 31)
    return given


def leave_out(given):
    """The faults that can be had, and a word about each of the others."""
    held = "a snapshot is held" if given.snapshot_minutes else None
    reasons = {kind: held for kind in WITHOUT_SNAPSHOT}
    reasons["disk"] = held or why_no_disk()
    reasons["clock"] = reasons["server_clock"] = why_no_clock(given.clock)
    for kind in given.kinds:
        if reasons.get(kind):
            print(f"chaos: without {kind}: {reasons[kind]}", flush=True)
    return [kind for kind in given.kinds if not reasons.get(kind)]


class Run:
    def __init__(self, given, folder):
        self.given, self.folder = given, folder
        self.unhealed = []
        self.faults = self.server = self.proxy = self.disk = self.held = None
        self.nodes, self.threads = [], []
        self.pulse = Pulse(folder / "pulse")
        self.ledger = Ledger(folder / "requests")

    def go(self):
        """The evidence."""
        self.start()
        if self.given.snapshot_minutes:
            self.held = HeldSnapshot(self.server, self.ledger)
            self.held.take()
        self.load()
        try:
            self.harm()
        except (AssertionError, OSError, psycopg2.Error, subprocess.SubprocessError) as failure:
            self.unhealed.append(f"{failure!r}, after the faults "
                                 + ", ".join(f.kind for f in self.faults.done[-3:]))
        self.calm()
        return self.evidence()

    def start(self):
        """The server and the nodes; only what can be stepped or run full is made so."""
        given, place = self.given, self.folder
        if "disk" in given.kinds:
            self.disk = Disk(self.folder / "disk")
            place = self.disk.folder
        self.server = Server(place / "pg", self.folder / "server.log",
                             SETTINGS if given.snapshot_minutes else "", self.clock("server"))
        migrate(given.program, self.server)
        self.server.ask("create table public.effect (job bigint, attempt int)")
        self.server.ask("select troupe.limit_queue(%s, %s)", LIMITED, LIMIT)
        self.server.ask("select troupe.limit_keys(%s, %s)", KEYED, KEY_LIMIT)
        self.proxy = Proxy(self.server.socket)
        for number in range(1, given.nodes + 1):
            self.nodes.append(Node(number, self.folder, given.program, self.proxy.open(number),
                                   self.clock(f"node{number}", given.program)))
            self.nodes[-1].start()
        self.faults = Faults(given.seed, given.kinds, self.server, self.nodes, self.proxy, self.ledger,
                             given.storm, self.disk, max(HOUR / 4, 2 * given.limit))

    def clock(self, name, program=None):
        """None when no fault steps it."""
        if ("clock" if program else "server_clock") not in self.given.kinds:
            return None
        return SteppedClock(self.folder / f"{name}.clock", self.given.clock, program)

    def load(self):
        seed, rate = self.given.seed, self.given.rate
        mix = [(Single, rate * 0.15), (Single, rate * 0.15), (Bulk, rate * 0.4 / 32),
               (Unique, rate * 0.04), (Unique, rate * 0.04), (Trouble, 0.7)]
        self.threads = [kind(n, seed, each, self.nodes, self.ledger)
                        for n, (kind, each) in enumerate(mix)]
        self.threads += [Sql(n, seed, rate * 0.1 / 4, self.server, self.ledger) for n in (1, 2)]
        self.threads.append(SqlWorker(self.server))
        for thread in self.threads:
            thread.start()
        self.pulse.start()

    def harm(self):
        begin = time.monotonic()
        limit = self.given.limit
        while time.monotonic() < begin + limit and not self.enough():
            self.faults.next()
            self.watch()
            pause.wait(self.faults.chance.uniform(0.2, 1.5))
        if self.given.kills and not self.enough():
            self.unhealed.append(f"only {self.faults.kills} kills in {limit:.0f} s")

    def enough(self):
        return self.given.kills is not None and self.faults.kills >= self.given.kills

    def watch(self):
        for node in self.nodes:
            assert node.runs(), f"{node.name} ended by itself: {node.process.returncode}"
        for thread in self.threads:
            assert thread.failure is None, f"{thread.name}: {thread.failure!r}"

    def calm(self):
        """No more load and faults; what is left of both comes to its end."""
        self.faults.release()
        for thread in self.threads[:-1]:
            thread.stopping.set()
        try:
            self.server.await_answer()  # the last fault may have ended early
            for thread in self.threads[:-1]:
                thread.join(90)
                assert not thread.is_alive(), f"{thread.name} waits for an answer for ever"
            self.watch()
            until(lambda: self.server.ask(UNENDED) == [(0,)], "the end of every job", QUIET_WITHIN, 0.5)
            if self.held is not None:
                self.held.finish()
            self.threads[-1].stopping.set()
            self.threads[-1].join(30)
            until(self.nothing_left, "an engine that holds nothing", 120, 0.5)
        except (AssertionError, psycopg2.Error) as failure:
            self.unhealed.append(str(failure))
        self.leftovers = dict(self.server.ask(LEFTOVERS))
        for node in self.nodes:
            if not node.runs():
                continue
            node.process.terminate()
            status = node.end(120)
            if status != 0:
                self.unhealed.append(f"{node.name} ended with {status} when it was asked to")

    def nothing_left(self):
        self.server.ask("select troupe.upkeep()")
        return not any(count for _, count in self.server.ask(LEFTOVERS))

    def evidence(self):
        # Of several readings the one with the least between its two clocks.
        zero = max(time.time() - time.monotonic() for _ in range(100))
        clock = ServerClock(zero, self.server.eras)
        e = Evidence(faults=self.faults.done + self.pulse.stalls, leftovers=self.leftovers, limits={LIMITED: LIMIT},
                     key_limits={KEYED: KEY_LIMIT}, clock=clock, unhealed=self.unhealed,
                     drains=self.held.drains if self.held is not None else {})

        def moment(epoch):
            return None if epoch is None else clock.moment(float(epoch))

        e.read_requests(self.folder / "requests")
        for node in self.nodes:
            e.read_effects(node.effects)
            e.processes += node.processes
        e.jobs = [Job(*row[:5], moment(row[5]), *row[6:]) for row in self.server.ask(REQUESTS)]
        e.attempts = [Attempt(*row[:4], moment(row[4]), row[5]) for row in self.server.ask(OUTCOMES)]
        e.lives = {row[0]: Life(row[0], row[1], *map(moment, row[2:]))
                   for row in self.server.ask(LIVES)}
        e.committed = dict(self.server.ask("select job, count(*) from public.effect group by job"))
        return e

    def close(self):
        """Ends what was started, in whatever state it is."""
        for thread in (*self.threads, self.pulse):
            thread.stopping.set()
        for node in self.nodes:
            node.end_now()
        if self.proxy is not None:
            self.proxy.close()
        if self.held is not None:
            self.held.release()
        if self.server is not None:
            self.server.close()
        if self.disk is not None:
            self.disk.close()
        self.ledger.close()


def main():
    given = arguments()
    os.environ.update(PYTHONDONTWRITEBYTECODE="1")
    for name in set(os.environ) - set(clean_environment()):
        del os.environ[name]  # an operator's settings would reach our server or our nodes
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="trc", dir="/tmp"))
    folder.chmod(0o755)  # the server's user passes through
    print(f"chaos: seed {given.seed}, {given.nodes} nodes", flush=True)
    begin = time.monotonic()
    run = Run(given, folder)
    kept = True
    try:
        evidence = run.go()
        checker = Checker(evidence)
        violations = checker.violations()
        report(given, run.faults, evidence, checker, violations, time.monotonic() - begin)
        kept = bool(violations)
        return 1 if violations else 0
    finally:
        try:
            run.close()
        finally:
            if kept or given.keep:
                print(f"chaos: ledgers and logs are in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
