"""The stepped clock steps the time of day of its process while it runs, and nothing else; the disk
refuses when it is full and takes again when there is room; a pulse keeps its stalls."""
import errno
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from evidence import Fault
from machine import STALL, Disk, Pulse, SteppedClock, why_no_clock, why_no_disk

LIBRARY = Path(sys.argv.pop())
SHOWS = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


class Clock(unittest.TestCase):
    def test_it_steps_the_time_of_day_of_a_process_that_runs(self):
        self.assertIsNone(why_no_clock(LIBRARY))
        with tempfile.TemporaryDirectory() as folder:
            clock = SteppedClock(Path(folder) / "clock", LIBRARY)
            with subprocess.Popen([sys.executable, "-c", SHOWS], stdin=subprocess.PIPE, text=True,
                                  stdout=subprocess.PIPE, env={**os.environ, **clock.environment}) as process:
                for ahead in (0, 7200.5, -86400):
                    clock.step(ahead)
                    before = time.time(), time.monotonic()
                    process.stdin.write("\n")
                    process.stdin.flush()
                    of_day, monotonic = map(float, process.stdout.readline().split())
                    after = time.time(), time.monotonic()
                    self.assertTrue(before[0] <= of_day - ahead <= after[0], of_day - ahead - before[0])
                    self.assertTrue(before[1] <= monotonic <= after[1])
                process.stdin.close()

    def test_without_its_library_it_says_so(self):
        self.assertIn("stepped_clock", why_no_clock(Path("/nowhere/else")))


@unittest.skipIf(why_no_disk(), why_no_disk())
class FullDisk(unittest.TestCase):
    def test_full_it_refuses_and_with_room_it_takes(self):
        with tempfile.TemporaryDirectory() as folder:
            disk = Disk(Path(folder) / "disk")
            try:
                self.write(disk, "first")
                disk.fill()
                with self.assertRaises(OSError) as full:
                    self.write(disk, "second")
                self.assertEqual(errno.ENOSPC, full.exception.errno)
                disk.make_room()
                self.write(disk, "third")
            finally:
                disk.close()
            self.assertEqual([], list(disk.folder.iterdir()))

    @staticmethod
    def write(disk, name):
        with open(disk.folder / name, "wb", buffering=0) as file:
            file.write(b"x" * 100_000)
            os.fsync(file.fileno())


class Stalls(unittest.TestCase):
    def test_what_is_late_is_kept_with_its_moments(self):
        pulse = Pulse(Path("/nowhere"))
        for last, now in ((1.0, 1.2), (1.2, 1.2 + STALL - 0.1), (4.0, 4.1 + STALL), (7.0, 7.1)):
            self.assertEqual(now, pulse.beat(last, now))
        self.assertEqual([Fault("machine", 4.0, 4.1 + STALL)], pulse.stalls)

    def test_it_beats_until_it_is_stopped(self):
        with tempfile.TemporaryDirectory() as folder:
            pulse = Pulse(Path(folder) / "pulse")
            pulse.start()
            while not pulse.path.exists() or pulse.path.stat().st_size == 0:
                self.assertTrue(pulse.is_alive())
                pulse.join(0.01)
            pulse.stopping.set()
            pulse.join()


if __name__ == "__main__":
    unittest.main(verbosity=1)
