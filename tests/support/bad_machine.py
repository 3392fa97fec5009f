#!/usr/bin/python3
"""Runs a command, such as ctest, on a bad machine: its processes stand still again and again. A test that fails here
though the product is right would fail some day on a busy machine.

  bad_machine.py stall SECONDS EVERY COMMAND...   one process at a time stands still for so long, about so often
  bad_machine.py share PART COMMAND...            all of them get this part of the time, 0 to 1

Stops only processes that the command started, which it knows by a mark in their environment.
"""
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

SLICE = 0.02  # seconds that all run, of `share`
pause = threading.Event()  # never set: its wait is a bounded pause


class Command:
    def __init__(self, arguments):
        self.mark = f"TROUPE_BAD_MACHINE={os.getpid()}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(arguments, env={**os.environ, name: value})
        self.known = {}

    def running(self):
        """The processes of it that are not stopped and not dead."""
        return [pid for pid, state in self.all() if state not in "TtZ"]

    def all(self):
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                life = (entry.name, fields[19])  # with its start time: numbers come again
                if life not in self.known:
                    self.known[life] = self.mark in (entry / "environ").read_text(errors="replace").split("\0")
            except OSError:
                continue
            if self.known[life]:
                yield int(entry.name), fields[0]


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def stall(command, seconds, every):
    pause.wait(random.uniform(0.5, 1.5) * every)
    running = command.running()
    if not running:
        return
    pid = random.choice(running)
    try:
        name = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")[:70]
    except OSError:
        return
    print(f"[{pid} stands still: {name}]", file=sys.stderr, flush=True)
    send([pid], signal.SIGSTOP)
    pause.wait(seconds)
    send([pid], signal.SIGCONT)


def share(command, part):
    pause.wait(SLICE)
    stopped = command.running()
    send(stopped, signal.SIGSTOP)
    pause.wait(SLICE * (1 - part) / part)
    send(stopped, signal.SIGCONT)


def main(arguments):
    ways = {"stall": (stall, 2), "share": (share, 1)}
    act, count = ways.get(arguments[0] if arguments else "", (None, 0))
    try:
        numbers = [float(each) for each in arguments[1:1 + count]]
    except ValueError:
        act = None
    if act is None or len(arguments) < count + 2 or min(numbers) <= 0 or (act is share and numbers[0] >= 1):
        sys.exit(__doc__)
    command = Command(arguments[1 + count:])
    while command.process.poll() is None:
        act(command, *numbers)
    return command.process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
