#!/usr/bin/env python3
"""A worker for tests: a job ends once there is a file of its name in a directory. gated_worker.py QUEUE, with GATE."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients/python"))
from troupe import Client, Worker  # noqa: E402

GATE = Path(os.environ["GATE"])


def gated(run):
    run.progress(None, "waiting")
    while not (GATE / run.args["gate"]).exists():
        run.cancelled.wait(0.02)
        run.check()
    return {"gate": run.args["gate"]}


if __name__ == "__main__":
    Worker(Client(os.environ["TROUPE_URL"]), sys.argv[1:], {"gated": gated}, slots=4, lease_ms=int(os.environ["LEASE_MS"]),
           on_error=lambda text: print(text, file=sys.stderr, flush=True)).run()
