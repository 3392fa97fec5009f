#!/usr/bin/env python3
"""A worker: resizes nothing, counts words, and shows what a handler may do.

    troupe dev --queue py:0    # a node that leaves the queue to workers takes any kind for it
    TROUPE_URL=http://127.0.0.1:8080 clients/python/examples/worker.py py
    troupe enqueue words --queue py --args '{"text":"to be or not"}' --wait
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from troupe import Client, Discard, Snooze, Worker  # noqa: E402

if {"-h", "--help"} & set(sys.argv[1:]):
    print(__doc__)
    sys.exit()

worker = Worker(Client(os.environ.get("TROUPE_URL", "http://127.0.0.1:8080")), queues=sys.argv[1:] or ["py"],
                slots=4, lease_ms=int(os.environ.get("LEASE_MS", "15000")),
                grace=float(os.environ.get("GRACE", "30")), on_error=lambda text: print(text, file=sys.stderr))


@worker.handler("words")
def words(run):
    run.log(f"counting, attempt {run.attempt}")
    found = run.args["text"].split()
    run.progress(100, "counted")
    return {"words": len(found), "by": worker.name}


@worker.handler("flaky")
def flaky(run):
    """Fails until its last attempt."""
    if run.attempt < run.max_attempts:
        raise RuntimeError(f"attempt {run.attempt} fails")
    return {"attempt": run.attempt}


@worker.handler("careful")
def careful(run):
    """Runs until it is told to stop."""
    run.progress(None, "waiting")
    run.cancelled.wait()
    run.check()


@worker.handler("later")
def later(run):
    if run.args["discard"]:
        raise Discard("never again")
    raise Snooze(3600)


if __name__ == "__main__":
    worker.run()
