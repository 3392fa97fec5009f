"""What the benchmarks share: a private PostgreSQL, CPU seconds of processes, medians and ranges, the machine."""
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
# What a database server of this size would be given, and what the figures of the design were measured with.
SETTINGS = ["--set", "shared_buffers=1GB", "--set", "max_wal_size=8GB"]
TICKS = os.sysconf("SC_CLK_TCK")


class Database:
    """A throwaway PostgreSQL with fsync on; `with Database() as db: db.url`."""

    def __enter__(self):
        self.folder = tempfile.mktemp(prefix="troupe-bench-", dir="/tmp")
        done = subprocess.run(
            [ROOT / "scripts/test-database", "start", *SETTINGS, self.folder],
            check=True, capture_output=True, text=True,
        )
        self.admin = done.stdout.split()[-1]
        self.use("bench")
        return self

    def use(self, name):
        """From now on the benchmark's database is this one of the server."""
        self.name = name
        self.url = f"postgresql://postgres@/{name}?host={self.folder}&port=5432"

    def __exit__(self, *_):
        subprocess.run([ROOT / "scripts/test-database", "stop", self.folder], check=True)

    def sql(self, *commands):
        """As superuser, in the server's own database."""
        return self.psql(*commands, url=self.admin)

    def psql(self, *commands, url=None):
        """In the benchmark's database."""
        args = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", url or self.url]
        for command in commands:
            args += ["-c", command]
        return subprocess.run(args, check=True, capture_output=True, text=True).stdout.strip()

    def fresh(self):
        """An empty database and an empty WAL: each round starts from the same place."""
        self.sql(f"drop database if exists {self.name}", f"create database {self.name}", "checkpoint")

    def cpu_seconds(self):
        """Of the postmaster and all backends that have ended."""
        for file in Path(self.folder).rglob("postmaster.pid"):
            pid = int(file.read_text().split()[0])
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            return sum(int(x) for x in fields[11:15]) / TICKS
        raise RuntimeError("the bench database has no postmaster.pid")


def timed(args, **kwargs):
    """Runs a command; its output, seconds and CPU seconds (children included)."""
    before = os.times()
    begun = time.monotonic()
    done = subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True, **kwargs)
    seconds = time.monotonic() - begun
    after = os.times()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return done.stdout, seconds, cpu


def peer(name):
    """The folder of a peer's programs in the build tree, with what they need from npm."""
    folder = ROOT / "build/bench-peers" / name
    shutil.copytree(ROOT / "bench/peers" / name, folder, dirs_exist_ok=True)
    if not (folder / "node_modules" / name).exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return folder


def machine():
    """What a page says of the machine and of what was measured on it."""
    def told(*command):
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) / 2**20
    version = told("psql", "--version").removeprefix("psql (PostgreSQL) ").split()[0]
    return (f"Commit {told('git', 'describe', '--always', '--dirty')}, {time.strftime('%Y-%m-%d')}; "
            f"{os.cpu_count()} processors ({model.group(1) if model else os.uname().machine}), {memory:.0f} GiB; "
            f"{version} is PostgreSQL's version, with " + ", ".join(SETTINGS[1::2]) + ".")


def cpu_of(pid):
    """Seconds of processors that a running process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def spread(values, digits=0):
    """Median and range, as the tables show them."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def table(title, rows):
    print(f"\n{title}")
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def section(title, rows, page=None):
    """Prints a table; of a page it replaces the section whose title begins with the same words, up to the first comma,
    to its end or to the next heading; a new one comes last."""
    table(title, rows)
    if page is None:
        return
    text = [f"## {title}", "", machine(), ""]
    text += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    text.insert(5, "|---" * len(rows[0]) + "|")
    before, known, after = Path(page).read_text().partition("## " + title.split(",")[0])
    _, heading, rest = after.partition("\n## ") if known else ("", "", "")
    Path(page).write_text((before if known else before + "\n") + "\n".join(text) + "\n" + heading + rest)
