"""What is known at the end of a run, and the ledgers it is read from. Nothing here asks the engine.

Three ledgers are files, written while it happens: what producers sent and were told, what handlers
did (by their own hand, outside of the database), and which faults there were. The fourth source are
the rows, read once, each with the moment that the server gives for its transaction's commit.
All times are seconds of the machine's monotonic clock.
"""
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

COMPLETED, CANCELLED, DISCARDED, FAILED, LOST = 1, 2, 3, 4, 5
FINAL = (COMPLETED, CANCELLED, DISCARDED)


@dataclass(frozen=True)
class Effect:
    """A line of a handler: begin, end or stopped."""
    what: str
    job: int
    attempt: int
    pid: int
    at: float


@dataclass(frozen=True)
class Fault:
    """nodes are the names of those it touches; None: all of them."""
    kind: str
    begin: float
    end: float
    nodes: tuple = None
    kills: int = 0

    def touches(self, node):
        return self.nodes is None or node in self.nodes


@dataclass(frozen=True)
class Process:
    pid: int
    node: str
    begin: float
    end: float


@dataclass(frozen=True)
class Job:
    id: int
    token: str
    kind: str
    queue: str
    max_attempts: int
    created: float
    key: str = None
    how: str = None


@dataclass(frozen=True)
class Attempt:
    """node is a life's number, or None when nobody ran it; at is its commit."""
    job: int
    number: int
    outcome: int
    node: int
    at: float
    error: str = None


@dataclass(frozen=True)
class Life:
    """began is when it joined; ended the commit that ended it, or None; beat its last sign of life, if it
    did not leave."""
    id: int
    node: str
    began: float
    ended: float = None
    beat: float = None


@dataclass(frozen=True)
class Asked:
    """What a request said beyond its kind; at is when it was about to be sent, run_at an epoch."""
    at: float
    delay: float = None
    run_at: float = None
    limit_key: str = None


@dataclass(frozen=True)
class Drain:
    """What a batch of jobs cost from its enqueue to its last outcome, as the server counted it."""
    jobs: int
    claims: int
    blocks_of_claims: int  # of 8 KiB, read or found in memory
    others: int  # statements that write outcomes, beat, start and move what is due
    blocks_of_others: int
    pages: int  # of the table of nodes, whose versions are passed
    milliseconds: float  # of claims
    seconds: float
    dearest: tuple = ()  # (blocks, calls, beginning of the text) of statements within functions

    per_claim = property(lambda self: self.blocks_of_claims / max(self.claims, 1))
    per_other = property(lambda self: self.blocks_of_others / max(self.others, 1))


class ServerClock:
    """How the server's clock went: eras of (first moment, seconds ahead of the first era). No two of
    them show the same epoch, so that each epoch is of one moment."""

    def __init__(self, zero=0.0, eras=((0.0, 0.0),)):
        self.zero = zero  # the epoch of moment 0, before any step
        ends = [begin for begin, _ in eras[1:]] + [float("inf")]
        self.eras = [(begin, end, ahead) for (begin, ahead), end in zip(eras, ends)]

    def moment(self, epoch):
        """None for None."""
        def away(era):
            begin, end, ahead = era
            at = epoch - self.zero - ahead
            return max(begin - at, at - end, 0.0)

        return None if epoch is None else epoch - self.zero - min(self.eras, key=away)[2]

    def shown(self, since, till):
        """The lowest and the highest epoch that it has shown between two moments."""
        lived = [(max(begin, since) + ahead, min(end, till) + ahead) for begin, end, ahead in self.eras
                 if begin <= till and end >= since]
        return self.zero + min(low for low, _ in lived), self.zero + max(high for _, high in lived)


@dataclass
class Evidence:
    sent: set = field(default_factory=set)  # tokens
    asked: dict = field(default_factory=dict)  # token: Asked, of those with a delay, a time or a key
    accepted: dict = field(default_factory=dict)  # token: job id
    refused: set = field(default_factory=set)
    unknown: set = field(default_factory=set)
    cancelled: dict = field(default_factory=dict)  # job id: when it was acknowledged
    effects: list = field(default_factory=list)
    processes: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    jobs: list = field(default_factory=list)
    attempts: list = field(default_factory=list)
    lives: dict = field(default_factory=dict)  # id: Life
    committed: dict = field(default_factory=dict)  # job id: rows written with its outcome, of SQL workers
    leftovers: dict = field(default_factory=dict)  # what: how many
    limits: dict = field(default_factory=dict)  # queue: concurrency
    key_limits: dict = field(default_factory=dict)  # queue: concurrency of each key
    clock: ServerClock = field(default_factory=ServerClock)
    drains: dict = field(default_factory=dict)  # of a held snapshot; before, held, after: Drain
    unhealed: list = field(default_factory=list)  # sentences

    def read_requests(self, path):
        """The producers' ledger. What was told last about a token is what counts."""
        for line in whole_lines(path):
            told = json.loads(line)
            what, tokens = told["what"], told.get("tokens", ())
            if what == "sent":
                self.sent.update(tokens)
                self.unknown.update(tokens)
                for token, said in told.get("asked", {}).items():
                    self.asked[token] = read_asked(told["t"], said)
                continue
            self.unknown.difference_update(tokens)
            if what == "accepted":
                self.accepted.update(zip(tokens, map(int, told["ids"])))
            elif what == "refused":
                self.refused.update(tokens)
            elif what == "unknown":
                self.unknown.update(tokens)
            elif what == "cancelled":
                self.cancelled[int(told["id"])] = told["t"]

    def read_effects(self, path):
        for line in whole_lines(path):
            what, job, attempt, pid, at = line.split()
            self.effects.append(Effect(what, int(job), int(attempt), int(pid), int(at) / 1e9))


def read_asked(at, said):
    delay, run_at = said.get("delay_ms"), said.get("run_at")
    return Asked(at, None if delay is None else delay / 1000,
                 None if run_at is None else datetime.fromisoformat(run_at).timestamp(), said.get("limit_key"))


def whole_lines(path):
    """Without a last one that has no end: its writer was killed, or has not been told."""
    try:
        with open(path, encoding="utf-8") as file:
            return [line for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


class Ledger:
    """One file of JSON lines, each flushed before its writer goes on."""

    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, what, **more):
        line = json.dumps({"what": what, "t": time.monotonic(), **more})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self):
        self._file.close()
