"""Holds the evidence of a run against the promises. Each rule gives sentences, one per violation;
checker_test.py plants each kind of violation and sees it found.
"""
from collections import defaultdict

from evidence import COMPLETED, DISCARDED, FAILED, FINAL, LOST

RESCUE_WITHIN = 20.0  # seconds after its begin, or before its end, in which a fault explains a loss
GRAIN = 0.02  # seconds that two readings of clocks may be apart
SILENCE = 4.0  # seconds between a node's last heartbeat and the fault that silenced it
MOST_TIMES = 3.0  # the blocks of a drain before the snapshot was taken that a later one may touch,
AT_LEAST = 60  # and so many for each statement, as how many jobs each carries is chance,
MOST_READS = 8  # and each page of what is updated and cannot be pruned so often
MOST_SHOWN = 5  # violations of one rule that are shown


class Checker:
    def __init__(self, evidence, rescue_within=RESCUE_WITHIN):
        self.e = evidence
        self.rescue_within = rescue_within
        self.jobs = {job.id: job for job in evidence.jobs}
        self.attempts = defaultdict(list)
        for one in sorted(evidence.attempts, key=lambda a: (a.job, a.number)):
            self.attempts[one.job].append(one)
        self.lines = defaultdict(dict)  # (job, attempt): what: [effects]
        for effect in sorted(evidence.effects, key=lambda x: x.at):
            self.lines[effect.job, effect.attempt].setdefault(effect.what, []).append(effect)

    def rules(self):
        return (self.nothing_is_lost, self.nothing_is_made_up, self.attempts_are_in_order,
                self.what_ran_is_recorded, self.no_attempt_runs_twice, self.losses_are_explained,
                self.a_lost_lease_changes_nothing, self.cancels_are_kept, self.nothing_is_left,
                self.keys_are_unique, self.limits_are_kept, self.key_limits_are_kept,
                self.nothing_runs_early, self.committed_effects_happen_once,
                self.trouble_ends_as_it_should, self.a_held_snapshot_costs_little)

    def violations(self):
        found = []
        for rule in self.rules():
            wrong = list(rule())
            name = rule.__name__
            found += [f"{name}: {sentence}" for sentence in wrong[:MOST_SHOWN]]
            if len(wrong) > MOST_SHOWN:
                found.append(f"{name}: and {len(wrong) - MOST_SHOWN} more")
        return found + [f"unhealed: {sentence}" for sentence in self.e.unhealed]

    def last(self, job):
        return self.attempts[job][-1] if self.attempts.get(job) else None

    def is_final(self, job):
        last = self.last(job)
        return last is not None and last.outcome in FINAL

    # -- what was accepted ---------------------------------------------------------------------------

    def nothing_is_lost(self):
        """Whatever was accepted is there under its id, and has come to its end."""
        for token, job in self.e.accepted.items():
            row = self.jobs.get(job)
            if row is None:
                yield f"job {job} ({token}) was accepted and is not there"
            elif row.token != token:
                yield f"job {job} was accepted as {token} and is {row.token}"
        for job in self.e.jobs:
            if not self.is_final(job.id):
                yield f"job {job.id} ({job.kind} in {job.queue}, {job.token}) has not ended"

    def nothing_is_made_up(self):
        """Every row was asked for, once; what was refused is not there."""
        seen = {}
        for job in self.e.jobs:
            if job.token not in self.e.sent:
                yield f"nobody asked for job {job.id} ({job.token})"
            if job.token in self.e.refused:
                yield f"job {job.id} ({job.token}) was refused and is there"
            if job.token in seen:
                yield f"jobs {seen[job.token]} and {job.id} are of one request ({job.token})"
            seen[job.token] = job.id

    # -- what ran ------------------------------------------------------------------------------------

    def attempts_are_in_order(self):
        for job, attempts in self.attempts.items():
            numbers = [one.number for one in attempts]
            if numbers != list(range(1, len(numbers) + 1)):
                yield f"job {job} has attempts {numbers}"
            for one in attempts[:-1]:
                if one.outcome not in (FAILED, LOST):
                    yield f"job {job} went on after attempt {one.number} ended with {one.outcome}"
            limit = self.jobs[job].max_attempts if job in self.jobs else None
            failures = sum(one.outcome == FAILED for one in attempts)
            if limit is not None and failures >= limit:
                yield f"job {job} failed {failures} times and may have {limit} attempts"

    def what_ran_is_recorded(self):
        """The handlers' lines and the rows tell of the same runs, with the same ends."""
        for (job, number), lines in self.lines.items():
            if job not in self.jobs:
                yield f"job {job} ran and is not there"
            elif self.is_final(job) and number > len(self.attempts[job]):
                yield f"attempt {number} of job {job} ran and is not recorded"
        for job in self.e.jobs:
            if job.kind != "effect":
                continue
            for one in self.attempts[job.id]:
                lines = self.lines.get((job.id, one.number), {})
                if one.outcome == COMPLETED and not self.ended_by(lines, one):
                    yield f"attempt {one.number} of job {job.id} is completed and did not end there"
                if one.outcome == FAILED and "stopped" not in lines:
                    yield f"attempt {one.number} of job {job.id} failed unasked: {one.error}"

    def ended_by(self, lines, attempt):
        """The handler's end line is of the node that the outcome names."""
        life = self.e.lives.get(attempt.node)
        return any(life is not None and self.node_of(line) == life.node
                   for line in lines.get("end", ()))

    def node_of(self, line):
        process = self.process_of(line)
        return process.node if process else None

    def process_of(self, line):
        return next((p for p in self.e.processes
                     if p.pid == line.pid and p.begin <= line.at <= p.end + 1), None)

    def no_attempt_runs_twice(self):
        for (job, number), lines in self.lines.items():
            if len(lines.get("begin", ())) > 1:
                pids = [line.pid for line in lines["begin"]]
                yield f"attempt {number} of job {job} ran {len(pids)} times, in {pids}"

    def losses(self):
        """Attempts that a rescue has ended."""
        for attempts in self.attempts.values():
            for one in attempts:
                if one.outcome == LOST or is_quarantine(one):
                    yield one

    def causes(self, loss):
        """The faults that explain it, the likeliest first: they touched the node, not long before, and
        its heartbeats end with them."""
        life = self.e.lives.get(loss.node)
        if life is None:
            return []
        found = [f for f in self.e.faults
                 if f.touches(life.node) and f.begin <= loss.at <= f.end + self.rescue_within
                 and (life.beat is None or f.begin - SILENCE <= life.beat <= f.end + SILENCE)]
        return sorted(found, key=lambda f: abs(f.begin - (life.beat or loss.at)))

    def losses_are_explained(self):
        """A node loses its jobs only to a fault that touched it, not long before."""
        for one in self.losses():
            if not self.causes(one):
                life = self.e.lives.get(one.node)
                where = f"{life.node}, last seen at {life.beat}," if life else one.node
                yield f"attempt {one.number} of job {one.job} was lost by {where} without a fault"
            if is_quarantine(one):
                before = [a.outcome for a in self.attempts[one.job][-3:-1]]
                if before != [LOST, LOST]:
                    yield f"job {one.job} is quarantined after {before}"

    def a_lost_lease_changes_nothing(self):
        """No outcome of a life is committed after the transaction that ended it."""
        for one in self.e.attempts:
            life = self.e.lives.get(one.node)
            if life is not None and life.ended is not None and one.at > life.ended:
                yield (f"attempt {one.number} of job {one.job} was written {one.at - life.ended:.3f} s "
                       f"after the end of life {life.id} of {life.node}")

    # -- what was asked ------------------------------------------------------------------------------

    def cancels_are_kept(self):
        for job in self.e.cancelled:
            last = self.last(job)
            if last is None or last.outcome != 2:
                yield f"job {job} was cancelled and ended with {last.outcome if last else None}"

    def nothing_is_left(self):
        for what, count in self.e.leftovers.items():
            if count:
                yield f"{count} rows of {what}"

    def keys_are_unique(self):
        """Of the jobs of one key each was stored after the one before had ended."""
        keys = defaultdict(list)
        for job in self.e.jobs:
            if job.key:
                keys[job.kind, job.key].append(job)
        for jobs in keys.values():
            jobs.sort(key=lambda j: j.created)
            for first, second in zip(jobs, jobs[1:]):
                if not self.is_final(first.id) or self.last(first.id).at > second.created:
                    yield f"jobs {first.id} and {second.id} of key {first.key} lived at once"

    def limits_are_kept(self):
        for queue, limit in self.e.limits.items():
            yield from self.beyond(limit, queue, [job for job in self.e.jobs if job.queue == queue])

    def key_limits_are_kept(self):
        """By the key that was asked for, whatever was stored."""
        for queue, limit in self.e.key_limits.items():
            of_key = defaultdict(list)
            for job in self.e.jobs:
                asked = self.e.asked.get(job.token)
                if job.queue == queue and asked is not None and asked.limit_key is not None:
                    of_key[asked.limit_key].append(job)
            for key, jobs in of_key.items():
                yield from self.beyond(limit, f"{queue}, key {key},", jobs)

    def beyond(self, limit, what, jobs):
        """Whenever more than so many of these jobs ran at once."""
        moments = [one for job in jobs for attempt in self.attempts[job.id] for one in self.run_of(attempt)]
        running = 0
        for at, change, job in sorted(moments):  # an end before a begin of the same moment
            running += change
            if change > 0 and running > limit:
                yield f"{running} jobs of {what} at once, at most {limit}, with job {job}"

    def nothing_runs_early(self):
        """No handler begins before the server's clock has shown the time that was asked for."""
        for (number, attempt), lines in self.lines.items():
            job = self.jobs.get(number)
            asked = self.e.asked.get(job.token) if job else None
            for begin in lines.get("begin", ()) if asked is not None else ():
                due = asked.run_at
                if asked.delay is not None:
                    due = self.e.clock.shown(asked.at, max(job.created, asked.at))[0] + asked.delay
                early = 0 if due is None else due - self.e.clock.shown(asked.at, begin.at)[1]
                if early > GRAIN:
                    yield f"attempt {attempt} of job {number} began {early:.3f} s before it was due"

    def run_of(self, attempt):
        """Its begin and its end: for others that is the end of the life which it began in, whatever the
        run's outcome, as a frozen node's run may have been cancelled."""
        lines = self.lines.get((attempt.job, attempt.number), {})
        for begin in lines.get("begin", ())[:1]:
            ends = [line.at for what in ("end", "stopped") for line in lines.get(what, ())]
            process = self.process_of(begin)
            if process:
                ends += [process.end, *self.ends_of_life(process.node, begin.at)]
            end = min(ends, default=float("inf"))
            if end > begin.at:
                return [(begin.at, 1, attempt.job), (end, -1, attempt.job)]
        return []

    def ends_of_life(self, node, at):
        """When the node's life of that moment was ended, if it was. It may have been before: a frozen
        node does not know."""
        lives = [life for life in self.e.lives.values() if life.node == node and life.began <= at]
        latest = max(lives, key=lambda life: life.began, default=None)
        return [] if latest is None or latest.ended is None else [latest.ended]

    def committed_effects_happen_once(self):
        """What a SQL worker wrote with the outcome is there once, and only with the outcome."""
        for job in self.e.jobs:
            if job.queue != "sql":
                continue
            last = self.last(job.id)
            wanted = 1 if last is not None and last.outcome == COMPLETED else 0
            if self.e.committed.get(job.id, 0) != wanted:
                yield f"job {job.id} has {self.e.committed.get(job.id, 0)} effects, not {wanted}"

    def trouble_ends_as_it_should(self):
        for job in self.e.jobs:
            last = self.last(job.id)
            if job.kind != "trouble" or last is None or job.id in self.e.cancelled:
                continue
            wanted = COMPLETED if job.how == "twice" else DISCARDED
            if last.outcome != wanted and not is_quarantine(last):
                yield f"job {job.id}, trouble {job.how}, ended with {last.outcome}: {last.error}"

    def a_held_snapshot_costs_little(self):
        """Statements read the versions of a few rows that nobody may prune, and after it no more."""
        before = self.e.drains.get("before")
        for when, reads in (("held", MOST_READS), ("after", 0)):
            drain = self.e.drains.get(when)
            if before is None or drain is None:
                continue
            for what, count, blocks in (("claims", drain.claims, drain.blocks_of_claims),
                                        ("others", drain.others, drain.blocks_of_others)):
                most = (MOST_TIMES * getattr(before, f"blocks_of_{what}")
                        + count * (AT_LEAST + reads * drain.pages))
                if blocks > most:
                    yield f"{blocks} blocks of {count} {what} when {when}, at most {most:.0f}"

    # -- what is counted -----------------------------------------------------------------------------

    def duplicates(self):
        """Effects that were begun again because their run was lost: explained, unexplained."""
        explained = unexplained = 0
        for job, attempts in self.attempts.items():
            begun = [one for one in attempts if "begin" in self.lines.get((job, one.number), {})]
            for one in begun[:-1]:
                if one.outcome == FAILED:
                    continue
                if self.causes(one):
                    explained += 1
                else:
                    unexplained += 1
        twice = sum(len(lines.get("begin", ())) - 1 for lines in self.lines.values()
                    if "begin" in lines)
        return explained, unexplained + twice

    def fenced(self):
        """Runs that came to their end and whose outcome is somebody else's."""
        return sum(1 for (job, number), lines in self.lines.items()
                   if "end" in lines and number <= len(self.attempts[job])
                   and self.attempts[job][number - 1].outcome != COMPLETED)

    def rescues(self):
        """Of each fault of nodes that cost something: seconds from its begin until the last of that
        was ready again."""
        found = defaultdict(float)
        for one in self.losses():
            cause = next(iter(self.causes(one)), None)
            if cause and cause.nodes:
                found[cause] = max(found[cause], one.at - cause.begin)
        return found

    def services(self):
        """Of each fault: seconds from its end until the next outcome of a run was committed."""
        ends = sorted(one.at for one in self.e.attempts if one.outcome == COMPLETED)
        return {fault: next(at for at in ends if at >= fault.end) - fault.end
                for fault in self.e.faults if ends and ends[-1] >= fault.end}


def is_quarantine(attempt):
    return attempt.outcome == DISCARDED and (attempt.error or "").startswith("quarantined")
