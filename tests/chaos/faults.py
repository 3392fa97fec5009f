"""The faults of a run: each is one method that does the harm, heals it, and says what it touched.

They are drawn from the seed, one after another; only a held snapshot outlasts others. What a fault
explains is a loss on the nodes it names; with none named it explains nothing.
"""
import random
import signal
import time
from contextlib import suppress

import psycopg2

from cluster import READY_WITHIN, pause, send, until
from evidence import Fault
from proxy import Trap

CLAIM, FINISH = ("job_claim", "job_enqueue_here"), ("job_finish", "job_finish_keeping")
ANSWERS = (CLAIM, CLAIM, FINISH, FINISH, ("job_enqueue", "job_enqueue_here"), ("job_enqueue_keyed",),
           ("job_cancel",), ("node_beat",), ("job_promote",), ("job_start",))
LEASE = 4.0  # seconds of silence after which a node is taken for dead
EVERYBODY = (None, 0)  # the nodes it touches, and its kills
MEET_WITHIN = 6.0  # seconds for a trap to spring; else the point was not met
HOUR = 3600.0
FARTHEST = 10 * HOUR  # of the server's clock, either way: what is kept for a day must not end meanwhile
SPARED = "spared"  # the application's name of a session that is not ended
# These end every session, or the snapshot themselves.
WITHOUT_SNAPSHOT = ("restart", "crash", "disk", "snapshot")


class Faults:
    """Nodes are killed and started by this alone. A point that is not met in time is told, and is no
    fault."""

    # How often each kind is in a deck; a deck is shuffled and dealt, then the next.
    DECK = {"kill": 4, "stall": 1, "term": 1, "claim_before": 1, "claim_after": 1, "effect": 1,
            "finish_before": 1, "finish_after": 1, "answer": 3, "cut": 1, "sessions": 1, "restart": 1,
            "crash": 1, "freeze": 1, "snapshot": 1, "storm": 1, "disk": 1, "clock": 2, "server_clock": 1}

    def __init__(self, seed, kinds, server, nodes, proxy, ledger, storm, disk=None, apart=HOUR):
        self.chance = random.Random(f"{seed}/faults")
        self.kinds, self.server, self.nodes, self.proxy = kinds, server, nodes, proxy
        self.ledger, self.storm_size, self.disk_of_server = ledger, storm, disk
        self.apart = apart  # seconds, more than the run lasts: no two of the server's clocks show the same
        self.deck, self.done, self.unmet = [], [], []
        self.kills = self.storms = 0
        self.held = None  # a snapshot's connection, and when it was taken

    def next(self):
        """Deals one fault and heals it."""
        if not self.deck:
            self.deck = [kind for kind in sorted(self.kinds) for _ in range(self.DECK[kind])]
            self.chance.shuffle(self.deck)
        kind = self.deck.pop()
        begin = time.monotonic()
        met = getattr(self, kind)()
        if met is None:
            self.unmet.append(kind)
        else:
            nodes, kills = met
            self.kills += kills
            self.done.append(Fault(kind, begin, time.monotonic(), nodes, kills))

    def some_node(self):
        return self.chance.choice(self.nodes)

    def revive(self, *nodes):
        """Waits for the end of those that were killed, and starts them, under their names or new
        ones; the names that ended."""
        names = tuple(node.name for node in nodes)
        for node in nodes:
            node.end()
        for node in nodes:
            if self.chance.random() < 0.3:
                node.generation += 1
        pause.wait(self.chance.choice((0, 0, 0.5, LEASE + 2)))
        for node in nodes:
            node.start()
        return names, len(nodes)

    # -- of nodes ------------------------------------------------------------------------------------

    def kill(self):
        most = len(self.nodes) if self.chance.random() < 0.1 else 1
        victims = self.chance.sample(self.nodes, most)
        for node in victims:
            node.kill()
        return self.revive(*victims)

    def stall(self):
        """Past its lease, and then it goes on as if nothing had been."""
        node = self.some_node()
        send(node.process.pid, signal.SIGSTOP)
        pause.wait(LEASE + self.chance.uniform(1.0, 4.0))
        send(node.process.pid, signal.SIGCONT)
        return (node.name,), 0

    def term(self):
        """Asked to end, it loses nothing."""
        node = self.some_node()
        node.process.terminate()
        assert node.end() == 0, f"{node.name} did not end well when it was asked to"
        node.start()
        return (), 0

    # -- at a named point ----------------------------------------------------------------------------

    def claim_before(self):
        return self.kill_at(CLAIM, after=False)

    def claim_after(self):
        return self.kill_at(CLAIM, after=True)

    def finish_before(self):
        return self.kill_at(FINISH, after=False)

    def finish_after(self):
        return self.kill_at(FINISH, after=True)

    def kill_at(self, statements, after):
        node = self.some_node()
        trap = Trap(node.number, statements, after, node.kill, self.chance.randrange(1, 15))
        return self.revive(node) if self.sprung(trap) else None

    def sprung(self, trap):
        self.proxy.arm(trap)
        trap.over.wait(MEET_WITHIN)
        if not self.proxy.disarm(trap):
            trap.over.wait(READY_WITHIN)
        return trap.sprung

    def effect(self):
        """Right after a handler has left its line, before its outcome is on its way."""
        node = self.some_node()
        size = node.effects.stat().st_size if node.effects.exists() else 0

        def begun():
            with suppress(FileNotFoundError), open(node.effects, "rb") as file:
                file.seek(size)
                return b"begin" in file.read()
            return False

        try:
            until(begun, "an effect", MEET_WITHIN, every=0.002)
        except AssertionError:
            return None
        node.kill()
        return self.revive(node)

    def answer(self):
        """A statement is lost on its way, or its answer is; the node lives."""
        node = self.some_node()
        trap = Trap(node.number, self.chance.choice(ANSWERS), self.chance.random() < 0.7,
                    lambda: None, self.chance.randrange(1, 6))
        return ((node.name,), 0) if self.sprung(trap) else None

    def cut(self):
        node = self.some_node()
        for _ in range(self.chance.randrange(1, 4)):
            self.proxy.cut(node.number)
            pause.wait(0.2)
        return (node.name,), 0

    def clock(self):
        """Minutes to days, either way; it stays so until the node's next one. Costs nothing."""
        node = self.some_node()
        for _ in range(self.chance.randrange(1, 4)):
            ahead = self.chance.choice((-1, 1)) * self.chance.choice((60, 600, HOUR, 30 * HOUR))
            ahead *= self.chance.uniform(1, 3)
            node.clock.step(ahead)
            until(lambda: abs(node.seconds_ahead() - ahead) < 10, f"{node.name} with its clock stepped", 30)
            pause.wait(self.chance.uniform(0.1, 1.5))
        return (), 0

    # -- of the server -------------------------------------------------------------------------------

    def sessions(self):
        for _ in range(self.chance.randrange(1, 6)):
            with suppress(psycopg2.Error):
                self.server.ask("select pg_terminate_backend(pid) from pg_stat_activity"
                                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
                                " and application_name <> %s", SPARED)
            pause.wait(0.2)
        return EVERYBODY

    def restart(self):
        self.server.restart()
        return EVERYBODY

    def crash(self):
        """One session is killed; the server takes all others with it and recovers."""
        send(self.chance.choice(self.server.backends()), signal.SIGKILL)
        pause.wait(0.1)
        self.server.await_answer()
        return EVERYBODY

    def freeze(self):
        pids = [self.server.postmaster(), *self.server.children()]
        for pid in pids:
            send(pid, signal.SIGSTOP)
        pause.wait(self.chance.uniform(1.0, LEASE + 3))
        for pid in pids:
            send(pid, signal.SIGCONT)
        self.server.await_answer()
        return EVERYBODY

    def disk(self):
        """No room for some seconds. Statements are refused; when what is ready of the log is used up, too,
        the server goes down, and does not come up before there is room."""
        log_too = self.chance.random() < 0.5
        refused = 0
        end = time.monotonic() + self.chance.uniform(2.0, 6.0)
        try:
            while time.monotonic() < end:
                self.disk_of_server.fill()
                refused += self.is_refused(log_too)
                pause.wait(0.05)
        finally:
            self.disk_of_server.make_room()
        assert refused, "a server without room refused nothing"
        self.server.await_answer()
        return EVERYBODY

    def is_refused(self, log_too):
        """What a statement that needs room hears; True as well when there is nobody who answers."""
        try:
            if log_too:
                self.server.ask("select pg_switch_wal(), pg_logical_emit_message(false, 'chaos', 'x')")
            self.server.ask("create temp table room as select string_agg(md5(n::text), '')"
                            " from generate_series(1, 100000) n")
            return False
        except psycopg2.ProgrammingError:
            raise
        except psycopg2.Error:  # of any class: a server that goes down may end a connection without a word
            return True

    def server_clock(self):
        """Back for some seconds, then ahead of all that it has shown; or ahead at once. By the only clock
        there is every node has been silent for long then, and none of them may be right."""
        far = self.apart * (len(self.server.eras) + 1)
        if far > FARTHEST:
            return None
        if self.chance.random() < 0.6:
            self.server.step_clock(-far)
            pause.wait(self.chance.uniform(1.0, LEASE + 2))
        self.server.step_clock(far)
        pause.wait(1.0)
        return EVERYBODY

    def snapshot(self):
        """Held until the next one is taken."""
        self.release()
        connection = psycopg2.connect(self.server.url, connect_timeout=30)
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from troupe.job")
        self.held = connection
        return (), 0

    def release(self):
        if self.held is not None:
            with suppress(psycopg2.Error):
                self.held.close()
        self.held = None

    def storm(self):
        """So many jobs fail at one moment."""
        self.storms += 1
        tokens = [f"storm{self.storms}-{n}" for n in range(self.storm_size)]
        self.ledger.write("sent", tokens=tokens)
        connection = self.server.connect("storm")
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "select troupe.enqueue_many(array_agg('fail'::text), array_agg('storm'::text), array_agg("
                    "jsonb_build_object('times', 1, 'message', t)), array_agg(0::smallint), "
                    "null, null, null, array_agg(now() + interval '1.5 s')) from unnest(%s) t", (tokens,))
                self.ledger.write("accepted", tokens=tokens, ids=cursor.fetchone()[0])
        except psycopg2.Error:
            self.ledger.write("unknown", tokens=tokens)
            raise
        finally:
            connection.close()
        return (), 0
