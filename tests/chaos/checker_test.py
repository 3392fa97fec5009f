"""A checker that cannot fail is worth nothing: into the ledgers of a run without fault each kind of
violation is planted, alone, and has to be found by the rule that it breaks and by no other."""
import json
import re
import socket
import struct
import tempfile
import threading
import unittest
from dataclasses import replace
from pathlib import Path

from checker import Checker
from evidence import (CANCELLED, COMPLETED, DISCARDED, FAILED, LOST, Asked, Attempt, Drain, Effect, Evidence,
                      Fault, Job, Ledger, Life, Process, ServerClock)
from proxy import Proxy, Trap


def sound():
    """Two nodes; a is killed at 10 while it runs job 2, which b runs again; job 3 fails once because it
    is stopped; job 4 is cancelled; 5 and 6 share a key; 7 and 8 a queue with a limit of 1; 9 is a SQL
    worker's; 10 is quarantined; 11 is trouble; c is frozen and declared dead while it runs 12, which is
    cancelled then, and goes on with it; 13 to 15 have limit keys, of which 13 and 14 have the same; 16 and
    17 run when they are due, 16 after a delay, and 17 at a time of the server's clock, which steps by
    1000 s forwards at 70, and is due by that; there are drains around a held snapshot."""
    e = Evidence(limits={"narrow": 1}, leftovers={"lease": 0}, key_limits={"tenants": 1},
                 clock=ServerClock(5000.0, [(0.0, 0.0), (70.0, 1000.0)]),
                 drains={"before": Drain(100, 10, 1000, 20, 2000, 2, 1.0, 1.0),
                         "held": Drain(100, 10, 4400, 20, 8800, 10, 9.0, 9.0),
                         "after": Drain(100, 10, 3600, 20, 7200, 10, 1.0, 1.0)})

    def job(number, attempts, kind="effect", queue="default", **more):
        token = f"t{number}"
        e.sent.add(token)
        e.accepted[token] = number
        e.jobs.append(Job(number, token, kind, queue, 20, 1.0, **more))
        for n, (outcome, node, at, *error) in enumerate(attempts, 1):
            e.attempts.append(Attempt(number, n, outcome, node, at, *error))

    def ran(number, attempt, pid, begin, end, what="end"):
        e.effects.append(Effect("begin", number, attempt, pid, begin))
        if end:
            e.effects.append(Effect(what, number, attempt, pid, end))

    e.processes = [Process(100, "a", 0, 10), Process(200, "b", 0, 99), Process(101, "a", 11, 99),
                   Process(300, "c", 0, 99)]
    e.lives = {1: Life(1, "a", 1, 14, 9.3), 2: Life(2, "b", 1, 98), 3: Life(3, "a", 11, 98),
               4: Life(4, "c", 1, 26), 5: Life(5, "c", 30.3, 98)}
    e.faults = [Fault("kill", 10, 11, ("a",), 1)]
    job(1, [(COMPLETED, 1, 3)])
    ran(1, 1, 100, 2, 2.5)
    job(2, [(LOST, 1, 14), (COMPLETED, 2, 16)])
    ran(2, 1, 100, 9.5, None)
    ran(2, 2, 200, 15, 15.5)
    job(3, [(FAILED, 2, 5), (COMPLETED, 2, 8)])
    ran(3, 1, 200, 4, 4.5, "stopped")
    ran(3, 2, 200, 7, 7.5)
    job(4, [(CANCELLED, None, 6)])
    e.cancelled[4] = 6.1
    job(5, [(COMPLETED, 2, 20)], key="k")
    ran(5, 1, 200, 19, 19.5)
    job(6, [(COMPLETED, 2, 25)], key="k")
    e.jobs[-1] = replace(e.jobs[-1], created=21.0)
    ran(6, 1, 200, 24, 24.5)
    job(7, [(LOST, 1, 14), (COMPLETED, 2, 31)], queue="narrow")
    ran(7, 1, 100, 9.8, None)
    ran(7, 2, 200, 30, 30.5)
    job(8, [(COMPLETED, 2, 32)], queue="narrow")
    ran(8, 1, 200, 30.6, 31)
    job(9, [(COMPLETED, 2, 33)], kind="ledgered", queue="sql")
    e.committed[9] = 1
    job(10, [(LOST, 1, 14), (LOST, 1, 14), (DISCARDED, 1, 14, "quarantined: three times")], kind="fail")
    job(12, [(CANCELLED, None, 24)], queue="narrow")
    ran(12, 1, 300, 20, 30.2)
    e.cancelled[12] = 24.1
    job(11, [(DISCARDED, 2, 40)], kind="trouble", how="throw")
    for number, key, begin, end in ((13, "k1", 50, 51), (14, "k1", 51.5, 52), (15, "k2", 50.2, 51.8)):
        job(number, [(COMPLETED, 2, 53)], queue="tenants")
        e.asked[f"t{number}"] = Asked(0.9, limit_key=key)
        ran(number, 1, 200, begin, end)
    job(16, [(COMPLETED, 2, 61)])
    e.asked["t16"] = Asked(0.9, delay=59.0)
    ran(16, 1, 200, 60, 60.5)
    job(17, [(COMPLETED, 2, 72)])
    e.asked["t17"] = Asked(0.9, run_at=6070.5)
    ran(17, 1, 200, 71, 71.5)
    return e


def edit(rows, find, **changes):
    at = next(i for i, row in enumerate(rows) if all(getattr(row, k) == v for k, v in find.items()))
    rows[at] = replace(rows[at], **changes)


def drop(rows, **find):
    rows[:] = [row for row in rows if any(getattr(row, k) != v for k, v in find.items())]


class Planted(unittest.TestCase):
    def broken(self, evidence):
        return {sentence.split(":")[0] for sentence in Checker(evidence).violations()}

    def plant(self, rule, change):
        e = sound()
        change(e)
        self.assertEqual({rule}, self.broken(e), Checker(e).violations())

    def test_each_rule_has_its_violation(self):
        planted = set(re.findall(r'plant\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8")))
        self.assertEqual({rule.__name__ for rule in Checker(sound()).rules()} | {"unhealed"}, planted)

    def test_a_sound_run_breaks_nothing(self):
        e = sound()
        self.assertEqual([], Checker(e).violations())
        self.assertEqual((2, 0), Checker(e).duplicates())
        self.assertEqual([4.0], list(Checker(e).rescues().values()))
        self.assertEqual([5.0], list(Checker(e).services().values()))

    def test_an_accepted_job_that_is_not_there(self):
        self.plant("nothing_is_lost", lambda e: (e.sent.add("x"), e.accepted.update(x=99)))

    def test_an_accepted_job_that_is_another(self):
        self.plant("nothing_is_lost", lambda e: (e.sent.add("x"), e.accepted.update(x=1)))

    def test_a_job_that_never_ended(self):
        self.plant("nothing_is_lost", lambda e: (drop(e.attempts, job=11)))
        self.plant("nothing_is_lost", lambda e: (drop(e.attempts, job=3, number=2),
                                                 drop(e.effects, job=3, attempt=2)))

    def test_a_job_that_nobody_asked_for(self):
        self.plant("nothing_is_made_up", lambda e: (e.sent.remove("t11"), e.accepted.pop("t11")))

    def test_a_refused_job_that_is_there(self):
        self.plant("nothing_is_made_up", lambda e: (e.accepted.pop("t11"), e.refused.add("t11")))

    def test_a_request_that_was_stored_twice(self):
        self.plant("nothing_is_made_up", lambda e: (
            e.jobs.append(replace(e.jobs[-1], id=99)),
            e.attempts.append(Attempt(99, 1, DISCARDED, 2, 41))))

    def test_attempts_with_a_gap_or_beyond_the_end(self):
        self.plant("attempts_are_in_order", lambda e: edit(e.attempts, {"job": 11}, number=2))
        self.plant("attempts_are_in_order", lambda e: e.attempts.append(Attempt(11, 2, DISCARDED, 2, 41)))

    def test_more_failures_than_attempts_allowed(self):
        self.plant("attempts_are_in_order", lambda e: edit(e.jobs, {"id": 3}, max_attempts=1))

    def test_a_run_without_a_record(self):
        self.plant("what_ran_is_recorded", lambda e: e.effects.append(Effect("begin", 3, 3, 200, 50)))
        self.plant("what_ran_is_recorded", lambda e: e.effects.append(Effect("begin", 77, 1, 200, 50)))

    def test_a_completion_without_a_run(self):
        self.plant("what_ran_is_recorded", lambda e: drop(e.effects, job=1))
        self.plant("what_ran_is_recorded", lambda e: drop(e.effects, job=1, what="end"))

    def test_a_completion_of_another_node_than_ran_it(self):
        """A finish that was taken from somebody who did not hold the lease."""
        self.plant("what_ran_is_recorded", lambda e: edit(e.attempts, {"job": 5}, node=3))

    def test_a_failure_that_no_handler_gave(self):
        self.plant("what_ran_is_recorded", lambda e: drop(e.effects, job=3, what="stopped"))

    def test_an_attempt_that_runs_twice(self):
        self.plant("no_attempt_runs_twice", lambda e: e.effects.append(Effect("begin", 1, 1, 200, 2.2)))
        e = sound()
        e.effects.append(Effect("begin", 1, 1, 200, 2.2))
        self.assertEqual((2, 1), Checker(e).duplicates())

    def test_a_loss_that_no_fault_explains(self):
        for fault in ((), [Fault("kill", 10, 11, ("b",), 1)], [Fault("kill", 15, 16, ("a",), 1)],
                      [Fault("snapshot", 10, 20, ())]):
            self.plant("losses_are_explained", lambda e, fault=fault: e.faults.__setitem__(
                slice(None), fault))
            e = sound()
            e.faults = list(fault)
            self.assertEqual((0, 2), Checker(e).duplicates())

    def test_a_fault_of_long_ago_explains_nothing(self):
        self.plant("losses_are_explained", lambda e: (e.faults.__setitem__(
            0, Fault("restart", -50, -40))))

    def test_a_fault_of_the_nodes_next_life_explains_nothing(self):
        self.plant("losses_are_explained", lambda e: e.faults.__setitem__(0, Fault("cut", 13.5, 14, ("a",))))

    def test_a_quarantine_without_three_losses(self):
        self.plant("losses_are_explained", lambda e: (
            drop(e.attempts, job=10, number=3),
            edit(e.attempts, {"job": 10, "number": 2}, outcome=DISCARDED, error="quarantined: x")))

    def test_a_finish_after_the_lease_was_lost(self):
        self.plant("a_lost_lease_changes_nothing", lambda e: edit(e.attempts, {"job": 1}, at=14.01))

    def test_a_cancel_that_was_lost(self):
        self.plant("cancels_are_kept", lambda e: edit(e.attempts, {"job": 4}, outcome=DISCARDED))
        self.plant("cancels_are_kept", lambda e: e.cancelled.update({1: 2.0}))

    def test_rows_that_are_left(self):
        self.plant("nothing_is_left", lambda e: e.leftovers.update(permit=2))

    def test_two_live_jobs_of_one_key(self):
        self.plant("keys_are_unique", lambda e: edit(e.jobs, {"id": 6}, created=19.9))

    def test_more_runs_than_the_limit(self):
        self.plant("limits_are_kept", lambda e: edit(e.effects, {"job": 8, "what": "begin"}, at=30.4))
        self.plant("limits_are_kept", lambda e: edit(e.effects, {"job": 7, "what": "end"}, at=30.8))
        self.plant("limits_are_kept", lambda e: e.lives.update({4: Life(4, "c", 1, 98), 5: Life(5, "c", 98, 98)}))

    def test_more_runs_of_a_key_than_its_limit(self):
        self.plant("key_limits_are_kept", lambda e: edit(e.effects, {"job": 14, "what": "begin"}, at=50.9))
        self.plant("key_limits_are_kept", lambda e: edit(e.effects, {"job": 13, "what": "end"}, at=51.6))
        self.plant("key_limits_are_kept", lambda e: e.asked.update(t15=Asked(0.9, limit_key="k1")))

    def test_a_run_before_its_time(self):
        self.plant("nothing_runs_early", lambda e: edit(e.effects, {"job": 16, "what": "begin"}, at=59.8))
        self.plant("nothing_runs_early", lambda e: edit(e.effects, {"job": 17, "what": "begin"}, at=69.9))
        self.plant("nothing_runs_early", lambda e: e.asked.update(t17=Asked(0.9, run_at=6071.5)))

    def test_a_drain_that_a_held_snapshot_makes_dear(self):
        for when, dear in (("held", Drain(100, 10, 4401, 20, 8800, 10, 9.0, 9.0)),
                           ("held", Drain(100, 10, 4400, 20, 8801, 10, 9.0, 9.0)),
                           ("after", Drain(100, 10, 3601, 20, 7200, 10, 1.0, 1.0)),
                           ("after", Drain(100, 10, 3600, 20, 7201, 10, 1.0, 1.0))):
            self.plant("a_held_snapshot_costs_little", lambda e, when=when, dear=dear: e.drains.update({when: dear}))

    def test_a_committed_effect_that_is_missing_or_twice(self):
        self.plant("committed_effects_happen_once", lambda e: e.committed.clear())
        self.plant("committed_effects_happen_once", lambda e: e.committed.update({9: 2}))
        self.plant("committed_effects_happen_once",
                   lambda e: edit(e.attempts, {"job": 9}, outcome=DISCARDED))

    def test_trouble_that_is_taken_for_success(self):
        self.plant("trouble_ends_as_it_should", lambda e: edit(e.attempts, {"job": 11}, outcome=COMPLETED))

    def test_a_run_that_could_not_be_healed(self):
        self.plant("unhealed", lambda e: e.unhealed.append("a node ended by itself"))


class SteppedServer(unittest.TestCase):
    """A clock that goes back by an hour at 10 and ahead by two at 15."""

    def setUp(self):
        self.clock = ServerClock(100.0, [(0.0, 0.0), (10.0, -3600.0), (15.0, 3600.0)])

    def test_each_epoch_is_of_one_moment(self):
        self.assertEqual([None, 0.0, 9.9, 10.5, 14.9, 15.0, 99.0],
                         [at if at is None else round(at, 6) for at in map(self.clock.moment, (
                             None, 100.0, 109.9, -3489.5, -3485.1, 3715.0, 3799.0))])

    def test_what_is_read_at_a_step_is_of_the_nearer_era(self):
        self.assertAlmostEqual(10.2, self.clock.moment(110.2))
        self.assertAlmostEqual(9.9, self.clock.moment(-3490.1))

    def test_the_lowest_and_the_highest_that_it_has_shown(self):
        self.assertEqual((101.0, 102.0), self.clock.shown(1.0, 2.0))
        self.assertEqual((-3490.0, 110.0), self.clock.shown(1.0, 12.0))
        self.assertEqual((-3489.0, 3716.0), self.clock.shown(11.0, 16.0))


class Ledgers(unittest.TestCase):
    def test_what_was_told_last_counts_and_half_a_line_does_not(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "requests"
            ledger = Ledger(path)
            ledger.write("sent", tokens=["a", "b", "c", "d"], asked={
                "a": {"delay_ms": 1500, "limit_key": "k"}, "b": {"run_at": "1970-01-01T00:01:00.500000Z"}})
            ledger.write("unknown", tokens=["a", "b"])
            ledger.write("accepted", tokens=["a"], ids=["7"])
            ledger.write("refused", tokens=["c"])
            ledger.write("cancelled", id="7")
            ledger.close()
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"what": "accepted", "tokens": ["b"], "ids": ["8"]}))
            effects = Path(folder) / "effects"
            effects.write_text("begin 7 1 55 1500000000\nend 7 1 55 16")
            e = Evidence()
            e.read_requests(path)
            e.read_effects(effects)
            self.assertEqual(({"a": 7}, {"c"}, {"b", "d"}), (e.accepted, e.refused, e.unknown))
            self.assertEqual([7], list(e.cancelled))
            self.assertEqual([("a", 1.5, None, "k"), ("b", None, 60.5, None)],
                             [(t, x.delay, x.run_at, x.limit_key) for t, x in sorted(e.asked.items())])
            self.assertEqual([Effect("begin", 7, 1, 55, 1.5)], e.effects)


def message(kind, body):
    return kind + struct.pack("!I", 4 + len(body)) + body


def bind(statement):
    return message(b"B", b"\0" + statement + b"\0") + message(b"E", b"\0\0\0\0\0") + message(b"S", b"")


class Points(unittest.TestCase):
    """The relay, between a client and a server that are sockets of this test."""

    STARTUP = struct.pack("!II", 8, 196608)
    READY = message(b"Z", b"I")

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name + "/s"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.proxy = Proxy(path)
        self.client = socket.create_connection(("127.0.0.1", self.proxy.open(1)), timeout=60)
        self.server = self.listener.accept()[0]
        self.server.settimeout(60)
        self.client.sendall(self.STARTUP)
        self.assertEqual(self.STARTUP, self.server.recv(100))
        self.server.sendall(self.READY)
        self.assertEqual(self.READY, self.client.recv(100))

    def tearDown(self):
        self.proxy.close()
        for one in (self.client, self.server, self.listener):
            one.close()
        self.folder.cleanup()

    def arm(self, after, nth=1):
        self.hits = threading.Event()
        return self.proxy.arm(Trap(1, ("job_claim",), after, self.hits.set, nth))

    def reset(self):
        with self.assertRaises(ConnectionResetError):
            while self.client.recv(100):
                pass

    def test_before_it_the_server_hears_of_nothing(self):
        trap = self.arm(after=False)
        self.client.sendall(bind(b"job_claims") + bind(b"job_claim"))
        self.assertTrue(trap.over.wait(60) and trap.sprung and self.hits.is_set())
        heard = b""
        while piece := self.server.recv(1000):
            heard += piece
        self.assertNotIn(b"job_claim\0", heard)
        self.reset()

    def test_after_it_the_server_has_answered_and_the_client_has_not_heard(self):
        trap = self.arm(after=True, nth=2)
        both = bind(b"job_claim") + bind(b"job_claim")
        self.client.sendall(both)
        heard = b""
        while len(heard) < len(both):
            heard += self.server.recv(1000)
        self.server.sendall(message(b"C", b"one\0") + self.READY)
        first = message(b"C", b"one\0") + self.READY
        got = b""
        while len(got) < len(first):
            got += self.client.recv(1000)
        self.assertEqual(first, got)
        self.assertFalse(trap.over.is_set())
        self.server.sendall(message(b"C", b"two\0") + self.READY)
        self.assertTrue(trap.over.wait(60) and trap.sprung and trap.committed)
        self.reset()

    def test_one_that_is_not_met_does_not_spring_later(self):
        trap = self.arm(after=False)
        self.assertTrue(self.proxy.disarm(trap))
        self.client.sendall(bind(b"job_claim"))
        self.assertIn(b"job_claim", self.server.recv(1000))
        self.assertFalse(trap.sprung)


if __name__ == "__main__":
    unittest.main(verbosity=1)
