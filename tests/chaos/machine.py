"""What a run has of the machine for its own processes: a file system that can run full, and clocks that
can be stepped. Each says why it cannot be had, if it cannot. And how the machine itself stood still.
"""
import errno
import os
import shutil
import struct
import subprocess
import threading
import time
from contextlib import suppress

from evidence import Fault

SIZE = 16 << 30  # bytes of the file system; its file is sparse and costs what is written
PIECES = (1 << 30, 1 << 26, 1 << 22, 1 << 16, 1 << 12)  # bytes by which a filler grows while there is room
BEAT = 0.2  # seconds between two beats of a pulse, each of which waits for the disk
STALL = 2.0  # seconds without a beat: then the machine had no time for others either


def why_no_disk():
    """None when a file system can be mounted."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    missing = [tool for tool in ("mkfs.ext4", "mount", "losetup") if not shutil.which(tool)]
    if missing:
        return "there is no " + missing[0]
    if subprocess.run(["losetup", "--find"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode:
        return "there is no loop device"
    return None


def why_no_clock(library):
    return None if library.is_file() else f"there is no {library}: build the target stepped_clock"


class Disk:
    """A file system in a file."""

    def __init__(self, folder):
        self.folder = folder
        self.filler = folder / "filler"
        image = folder.with_suffix(".image")
        with open(image, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=16", "-E", "nodiscard", image], check=True)
        folder.mkdir()
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
        folder.chmod(0o755)

    def fill(self):
        """Takes what room there is now."""
        with open(self.filler, "ab") as file:
            for piece in PIECES:
                while grows(file.fileno(), piece):
                    pass

    def make_room(self):
        with suppress(FileNotFoundError):
            self.filler.unlink()

    def close(self):
        """Whoever uses it has ended; the loop device goes with the mount."""
        subprocess.run(["umount", self.folder], check=True)
        self.folder.with_suffix(".image").unlink()


def grows(file, size):
    """False when there is no room for it."""
    try:
        os.posix_fallocate(file, os.fstat(file).st_size, size)
        return True
    except OSError as failure:
        if failure.errno != errno.ENOSPC:
            raise
        return False


class Pulse(threading.Thread):
    """Beats beside the nodes. Where it stands still they do, too, and lose their jobs: so its stalls are faults, of
    nobody in particular."""

    def __init__(self, path):
        super().__init__(name="Pulse", daemon=True)
        self.path = path
        self.stopping = threading.Event()
        self.stalls = []

    def run(self):
        last = time.monotonic()
        with open(self.path, "wb", buffering=0) as file:
            while not self.stopping.wait(BEAT):
                os.pwrite(file.fileno(), b"x", 0)
                os.fsync(file.fileno())
                last = self.beat(last, time.monotonic())

    def beat(self, last, now):
        if now - last > STALL:
            self.stalls.append(Fault("machine", last, now))
        return now


class SteppedClock:
    """Of the processes that are started with its environment."""

    def __init__(self, path, library, program=None):
        self.path = path
        copy = path.with_suffix(".so")  # the server's user may not enter the library's directory
        shutil.copyfile(library, copy)
        copy.chmod(0o755)
        libraries = [str(copy)]
        if program is not None:  # AddressSanitizer wants to be first
            linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
            libraries = [line.split()[2] for line in linked.splitlines() if "libasan" in line] + libraries
        self.environment = {"LD_PRELOAD": " ".join(libraries), "STEPPED_CLOCK": str(path)}
        self.step(0)
        path.chmod(0o644)

    def step(self, seconds):
        """So far from the machine's time of day, from now on."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, struct.pack("=q", round(seconds * 1e9)), 0)
        finally:
            os.close(file)
