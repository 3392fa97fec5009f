"""Producers and a SQL worker. Each producer writes into the ledger what it is about to send, and what
it was told; an answer that did not come is unknown, and so is what the engine itself calls so.
"""
import http.client
import json
import random
import threading
import time
from datetime import datetime, timezone

import psycopg2

from cluster import pause

LIMITED = "narrow"  # the queue with a limit
LIMIT = 3
KEYED = "tenants"  # the queue with a limit for each key
KEY_LIMIT = 2
LIMIT_KEYS = 4
KEYS = 6  # unique keys that the producers share
# What a refusal may be called, and its status. Any other is a producer's failure.
REFUSALS = {"unavailable": 503, "overloaded": 503, "retry": 503, "stopping": 503, "timed_out": 503,
            "conflict": 409}
TROUBLE = ("throw", "throw_other", "silent", "twice", "huge", "huge_error", "nul", "nul_escape",
           "nul_error", "utf8", "utf8_error", "not_json", "deep", "block", "spin")


class Producer(threading.Thread):
    """One of many; `rate` requests a second at most. Stops when it is told to."""

    def __init__(self, number, seed, rate, nodes, ledger):
        super().__init__(name=f"{type(self).__name__}{number}", daemon=True)
        self.chance = random.Random(f"{seed}/{self.name}")
        self.rate, self.nodes, self.ledger = rate, nodes, ledger
        self.stopping = threading.Event()
        self.count = 0
        self.failure = None

    def run(self):
        try:
            while not self.stopping.wait(self.chance.uniform(0.2, 1.8) / self.rate):
                self.step()
        except Exception as failure:  # told by the harness: a producer that dies tests nothing
            self.failure = failure

    def token(self):
        self.count += 1
        return f"{self.name}-{self.count}"

    def url(self):
        known = [node.url for node in self.nodes if node.url]
        return self.chance.choice(known) if known else None

    def post(self, path, body, key=None):
        """The status and the answer, or None when there was no answer."""
        url = self.url()
        if url is None:
            return 503, {"code": "unavailable"}
        connection = http.client.HTTPConnection(url[len("http://"):], timeout=40)
        try:
            connection.connect()
        except OSError:
            return 503, {"code": "unavailable"}  # nothing was sent
        try:
            headers = {"Content-Type": "application/json"}
            if key:
                headers["Idempotency-Key"] = key
            connection.request("POST", path, json.dumps(body).encode() if body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def settle(self, tokens, answer, doubted=False):
        """Writes what was told; True when it was definite. Of a request that was doubted before, a
        refusal says nothing."""
        if answer is None or answer[1].get("code") == "outcome_unknown":
            self.ledger.write("unknown", tokens=tokens)
            return False
        status, said = answer
        if status == 201 or (status == 200 and not said.get("existing")):
            ids = said["ids"] if "ids" in said else [said["id"]]
            self.ledger.write("accepted", tokens=tokens, ids=ids)
        elif status == 200 or REFUSALS.get(said.get("code")) == status:
            if doubted:
                return False
            self.ledger.write("refused", tokens=tokens, why=said.get("code", "existing"))
        else:
            raise AssertionError(f"{self.name} was answered {status} {said}")
        return True

    def job(self, token, **more):
        spec = {"kind": "effect", "args": {"note": token, "ms": self.chance.randrange(5, 120)},
                "queue": self.chance.choice(("default", "default", "mail", LIMITED, KEYED)),
                "priority": self.chance.choice((0, 0, 0, 5)), **more}
        if self.chance.random() < 0.1 and spec["queue"] not in (LIMITED, KEYED):
            spec["args"]["ms"] = self.chance.randrange(300, 2500)
        if spec["queue"] == KEYED:
            spec["limit_key"] = f"tenant{self.chance.randrange(LIMIT_KEYS)}"
        later = self.chance.random()
        if later < 0.1:
            spec["delay_ms"] = self.chance.randrange(50, 3000)
        elif later < 0.2:
            due = datetime.fromtimestamp(time.time() + self.chance.uniform(-1, 3), timezone.utc)
            spec["run_at"] = due.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return spec

    def announce(self, specs):
        """Before anything of them is on its way. The specs are by token."""
        asked = {token: {name: spec[name] for name in ("delay_ms", "run_at", "limit_key") if name in spec}
                 for token, spec in specs.items()}
        self.ledger.write("sent", tokens=list(specs), asked={t: said for t, said in asked.items() if said})


class Single(Producer):
    """One job a request; half with a key, and then until the answer is definite."""

    def step(self):
        token = self.token()
        body, key = self.job(token), token if self.chance.random() < 0.5 else None
        self.announce({token: body})
        doubted = False
        while True:
            answer = self.post("/api/v1/jobs", body, key)
            definite = self.settle([token], answer, doubted)
            doubted = not definite
            if definite or key is None or self.stopping.wait(0.2):
                break
        if definite and answer[0] == 201 and self.chance.random() < 0.12:
            self.cancel(answer[1]["id"])

    def cancel(self, job):
        pause.wait(self.chance.random() * 0.3)
        answer = self.post(f"/api/v1/jobs/{job}/cancel", None)
        if answer is not None and answer[0] == 200:
            self.ledger.write("cancelled", id=job)


class Bulk(Producer):
    def step(self):
        tokens = [self.token() for _ in range(self.chance.randrange(5, 60))]
        specs = {token: self.job(token) for token in tokens}
        self.announce(specs)
        self.settle(tokens, self.post("/api/v1/jobs/bulk", {"jobs": list(specs.values())}))


class Unique(Producer):
    """Many producers, few keys."""

    def step(self):
        token = self.token()
        body = self.job(token, queue="default", unique={
            "args": ["key"], "on_conflict": self.chance.choice(("reject", "existing"))})
        body["args"]["key"] = f"key{self.chance.randrange(KEYS)}"
        self.announce({token: body})
        self.settle([token], self.post("/api/v1/jobs", body))


class Trouble(Producer):
    """Handlers as bad as they come."""

    def step(self):
        token, how = self.token(), self.chance.choice(TROUBLE)
        # What blocks does so for far longer than it may and is borne: a slow machine does not let it end in time.
        body = {"kind": "trouble", "args": {"note": token, "how": how, "ms": 3000}, "queue": "bad",
                "max_attempts": 1, "timeout_ms": 400}
        self.announce({token: body})
        self.settle([token], self.post("/api/v1/jobs", body))


class Sql(Producer):
    """By the SQL contract, in a transaction that is rolled back now and then."""

    def __init__(self, number, seed, rate, server, ledger):
        super().__init__(number, seed, rate, [], ledger)
        self.server = server
        self.connection = None

    def step(self):
        tokens = [self.token() for _ in range(self.chance.randrange(1, 8))]
        specs = {token: self.spec(token) for token in tokens}
        self.announce(specs)
        committing = False
        try:
            if self.connection is None or self.connection.closed:
                self.connection = psycopg2.connect(self.server.url, connect_timeout=10)
            with self.connection.cursor() as cursor:
                ids = [self.enqueue(cursor, spec) for spec in specs.values()]
            if self.chance.random() < 0.15:
                self.connection.rollback()
                return self.ledger.write("refused", tokens=tokens, why="rolled back")
            committing = True
            self.connection.commit()
            self.ledger.write("accepted", tokens=tokens, ids=ids)
        except psycopg2.Error:
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            self.ledger.write("unknown" if committing else "refused", tokens=tokens, why="sql")
            self.stopping.wait(0.2)

    def spec(self, token):
        spec = self.job(token)
        if self.chance.random() < 0.5:
            spec.update(kind="ledgered", queue="sql")
        return spec

    @staticmethod
    def enqueue(cursor, spec):
        cursor.execute("select troupe.enqueue(%s, %s, queue => %s, priority => %s, delay_ms => %s,"
                       " run_at => %s, limit_key => %s)",
                       (spec["kind"], json.dumps(spec["args"]), spec["queue"], spec["priority"],
                        spec.get("delay_ms"), spec.get("run_at"), spec.get("limit_key")))
        return str(cursor.fetchone()[0])


class SqlWorker(threading.Thread):
    """A worker of the SQL contract for the queue `sql`: its effect commits with the outcome. After an
    error it begins a new life; what the old one held is rescued."""

    NODE = "sqlworker"

    def __init__(self, server):
        super().__init__(name="SqlWorker", daemon=True)
        self.server = server
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        while not self.stopping.is_set():
            try:
                self.live()
            except psycopg2.Error:
                self.stopping.wait(0.3)
            except Exception as failure:  # told by the harness
                self.failure = failure
                return

    def live(self):
        connection = self.server.connect("sqlworker")
        try:
            with connection.cursor() as cursor:
                cursor.execute("select troupe.join_node(%s)", (self.NODE,))
                node = cursor.fetchone()[0]
                beaten = time.monotonic()
                while not self.stopping.is_set():
                    if time.monotonic() - beaten > 0.8:
                        cursor.execute("select alive from troupe.heartbeat(%s)", (node,))
                        if not cursor.fetchone()[0]:
                            return
                        beaten = time.monotonic()
                    self.work(cursor, node)
                cursor.execute("select troupe.leave_node(%s)", (node,))
        finally:
            connection.close()

    def work(self, cursor, node):
        cursor.execute("select lease, job_id, attempt from troupe.claim(%s, 'sql', 5)", (node,))
        claimed = cursor.fetchall()
        for lease, job, attempt in claimed:
            cursor.execute("begin")
            cursor.execute("insert into public.effect (job, attempt) values (%s, %s)", (job, attempt))
            cursor.execute("select troupe.finish(%s, %s, %s, %s)", (node, lease, job, attempt))
            cursor.execute("commit" if cursor.fetchone()[0] else "rollback")
        if not claimed:
            self.stopping.wait(0.2)
