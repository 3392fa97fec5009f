"""bench/run plots: the drain rate against what may change it, as SVG files with their figures as JSON beside them.

A plot's points take turns in each round, so that what disturbs the machine disturbs all of them alike.
What is drawn is the median of the rounds and their range, and nothing that is not in the JSON: equal
figures give equal files.
"""
import json
import statistics
import time
from pathlib import Path

from measure import Database, machine, spread, table
from rates import BACKLOG, drain, fresh, held_snapshot, limit_rate, running, settle

SLOTS = 64
BACKLOGS = (0, BACKLOG // 50, BACKLOG // 5, BACKLOG)
HELD = (8, 32, 128, 512, 2048, SLOTS + 4000)  # jobs of a node, slots and prefetch together
CLAIMS = 1000  # of one drain at least, where jobs allow it: small batches are slow, so fewer jobs do
NODES = (1, 2, 3, 4)
SHARED_SLOTS = 60  # of all nodes together; every number of NODES divides it
STEPS = 10  # of `jobs` each, while a snapshot is held


class Series:
    """What is drawn as one line: at each x the figures of all rounds."""

    def __init__(self, name):
        self.name = name
        self.points = {}

    def add(self, place, x, rate):
        """place: which point of the line it is; its x may differ from round to round."""
        xs, rates = self.points.setdefault(place, ([], []))
        xs.append(x)
        rates.append(rate)

    def told(self):
        return {"name": self.name,
                "points": [{"x": statistics.median(xs), "jobs_per_second": rates}
                           for _, (xs, rates) in sorted(self.points.items())]}


# -- what is measured --------------------------------------------------------------------------------


def step_rates(steps):
    """Of each step but the first, in which nodes start: outcomes at its end, and its rate."""
    return [(done, (done - before) / (end - begin)) for (before, begin), (done, end) in zip(steps, steps[1:])]


def backlog(db, jobs, rounds):
    """Each backlog has a database of its own, where jobs are put in at its end and as many taken from its front."""
    series = Series("Troupe")
    some = 2 * jobs
    sizes = [size * jobs // 100_000 for size in BACKLOGS]
    for size in sizes:
        db.use(f"backlog_{size}")
        fresh(db)
        drain(db, some, "--slots", SLOTS, "--backlog", size, empty=False)
        settle(db)
    for _ in range(rounds):
        for size in sizes:
            db.use(f"backlog_{size}")
            series.add(size, size, running(db, some, "--slots", SLOTS, empty=False)["jobs_per_second"])
    return {"title": f"Drain rate against backlog ({some:,} no-ops drained, one node)",
            "x": "jobs waiting behind those drained", "scale": "symlog", "series": [series.told()]}


def batch(db, jobs, rounds):
    """The limit claims as many at once as Troupe did on average, in the same round."""
    troupe, limit = Series("Troupe"), Series("PostgreSQL alone, 2 connections")
    for _ in range(rounds):
        for held in HELD:
            some = min(2 * jobs, held * CLAIMS)
            slots = min(held, SLOTS)
            told = running(db, some, "--slots", slots, "--prefetch", held - slots)
            claimed = max(1, round(told["jobs_per_claim"]))
            troupe.add(held, claimed, told["jobs_per_second"])
            limit.add(held, claimed, limit_rate(db, some, batch=claimed))
    return {"title": f"Drain rate against batch (up to {2 * jobs:,} no-ops, one node)",
            "x": "jobs in a claim, mean", "scale": "log", "series": [troupe.told(), limit.told()]}


def nodes(db, jobs, rounds):
    series, some = Series("Troupe"), 5 * jobs  # many: all nodes are there before the last four fifths
    for _ in range(rounds):
        for number in NODES:
            told = running(db, some, "--nodes", number, "--slots", SHARED_SLOTS // number)
            series.add(number, number, told["jobs_per_second"])
    return {"title": f"Drain rate against nodes ({some:,} no-ops, {SHARED_SLOTS} slots in all)",
            "x": "nodes, of 2 connections each", "scale": "linear", "series": [series.told()]}


def snapshot(db, jobs, rounds):
    """The snapshot is older than the jobs, and is held until all of them have ended."""
    free, held = Series("no snapshot held"), Series("snapshot held by another session")

    def add(series):
        told = drain(db, STEPS * jobs, "--slots", SLOTS, "--every", jobs, empty=False)
        for done, rate in step_rates(told["steps"]):
            series.add(done // jobs, done, rate)

    for _ in range(rounds):
        fresh(db)
        add(free)
        fresh(db)
        with held_snapshot(db):
            add(held)
    return {"title": f"Drain rate over time while a snapshot is held (one node, steps of {jobs:,})",
            "x": "no-ops drained", "scale": "linear", "series": [free.told(), held.told()]}


PLOTS = {"backlog": backlog, "batch": batch, "nodes": nodes, "snapshot": snapshot}


# -- how it is drawn ---------------------------------------------------------------------------------


def short(number, _=None):
    """As ticks show it: 0, 500, 40k, 1.5M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def draw(plot, path):
    import matplotlib  # only here, as only drawing wants it
    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, MaxNLocator
    # Glyphs as paths: the file looks the same wherever it is shown. The salt makes ids the same each time.
    pyplot.rcdefaults()
    pyplot.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "troupe", "font.size": 10,
                            "axes.spines.top": False, "axes.spines.right": False, "savefig.facecolor": "white"})
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    places = []
    for line, colour, marker, side in zip(plot["series"], ("#0b5cad", "#c2410c"), ("o", "s"), (-1, 1)):
        xs = [point["x"] for point in line["points"]]
        places += xs
        middles = [statistics.median(point["jobs_per_second"]) for point in line["points"]]
        ranges = [[middle - min(point["jobs_per_second"]) for middle, point in zip(middles, line["points"])],
                  [max(point["jobs_per_second"]) - middle for middle, point in zip(middles, line["points"])]]
        # Side by side, so that ranges do not hide each other.
        beside = {"linear": lambda x: x + side * 0.004 * max(xs), "log": lambda x: x * 1.02**side}
        shown = [beside.get(plot["scale"], float)(x) for x in xs] if len(plot["series"]) > 1 else xs
        axes.errorbar(shown, middles, yerr=ranges, label=line["name"], color=colour,
                      marker=marker, markersize=5, linewidth=1.5, capsize=3, elinewidth=1)
    if plot["scale"] == "symlog":  # nought has a place, too
        least = min(place for place in places if place > 0)
        axes.set_xscale("symlog", linthresh=least, linscale=0.5)
        axes.set_xticks(sorted(set(places)))
        axes.minorticks_off()
    elif plot["scale"] == "log":
        axes.set_xscale("log")
        axes.set_yscale("log")  # equal ratios are equally far apart
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    if plot["scale"] != "log":
        axes.set_ylim(bottom=0)
    axes.set_title(plot["title"], loc="left", fontsize=11)
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(f"jobs per second, median and range\nof {plot['rounds']} rounds")
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def show(plot):
    rows = [["line", plot["x"], "jobs/s"]]
    for line in plot["series"]:
        rows += [[line["name"], f"{point['x']:,.0f}", spread(point["jobs_per_second"])] for point in line["points"]]
    table(f"{plot['title']}, {plot['rounds']} rounds: median (range)", rows)


def run(rounds, jobs, folder="docs/plots", plot=None, draw_only=False):
    """Into folder: NAME.json and NAME.svg of each plot, or of one. draw_only: of the JSON that is there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in [plot] if plot else PLOTS:
        file = folder / f"{name}.json"
        if not draw_only:
            begun = time.monotonic()
            with Database() as db:
                told = PLOTS[name](db, jobs, rounds)
            told = {**told, "rounds": rounds, "machine": machine()}
            file.write_text(json.dumps(told, indent=1) + "\n")
            show(told)
            print(f"  {time.monotonic() - begun:.0f} s")
        draw(json.loads(file.read_text()), folder / f"{name}.svg")
    return True
