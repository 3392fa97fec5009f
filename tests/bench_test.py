#!/usr/bin/python3
"""What the plots of bench/ do without PostgreSQL: turns of points, what is kept of rounds, files that are drawn."""

import contextlib
import importlib.util
import json
import pathlib
import re
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import plots  # noqa: E402
import rates  # noqa: E402


class Measuring(unittest.TestCase):
    """The measured programs are replaced: what counts is what is asked of them, and in which order."""

    def measure(self, name, rounds, jobs=100_000):
        asked = []

        class Server:
            def use(self, database):
                asked.append(("use", database))

            def psql(self, *_):
                asked.append(("vacuum",))

            def sql(self, *_):
                pass

        @contextlib.contextmanager
        def held(_):
            asked.append(("held",))
            yield
            asked.append(("released",))

        def drain(_, some, *more, empty=True):
            asked.append(("drain", some, *more, empty))
            every = more[more.index("--every") + 1] if "--every" in more else some
            steps = [[every * at + 7, at * 2.0 + len(asked)] for at in range(1, some // every + 1)]
            return {"jobs_per_second": len(asked), "jobs_per_claim": some / 1000 + 0.4, "steps": steps}

        def limit_rate(_, some, batch):
            asked.append(("limit", some, batch))
            return len(asked)

        with unittest.mock.patch.object(rates, "drain", drain), \
                unittest.mock.patch.multiple(plots, drain=drain, limit_rate=limit_rate, held_snapshot=held,
                                          fresh=lambda _: asked.append(("fresh",))):
            return plots.PLOTS[name](Server(), jobs, rounds), asked

    def test_nodes_take_turns_at_equal_slots(self):
        told, asked = self.measure("nodes", 3)
        numbers = [one[one.index("--nodes") + 1] for one in asked]
        self.assertEqual(3 * list(plots.NODES), numbers)
        self.assertEqual({plots.SHARED_SLOTS}, {one[one.index("--nodes") + 1] * one[one.index("--slots") + 1] for one in asked})
        (line,) = told["series"]
        self.assertEqual(4 * [[50_000.0] * 3], [p["jobs_per_second"] for p in line["points"]])  # 100,000 in 2 s

    def test_a_backlog_is_made_once_and_drained_in_turns(self):
        told, asked = self.measure("backlog", 2)
        made = [one for one in asked if one[0] == "drain" and "--backlog" in one]
        self.assertEqual(list(plots.BACKLOGS), [one[one.index("--backlog") + 1] for one in made])
        turns = asked[asked.index(made[-1]) + 2:]
        names = [f"backlog_{size}" for size in plots.BACKLOGS]
        self.assertEqual(2 * names, [one[1] for one in turns if one[0] == "use"])
        self.assertTrue(all(one[-1] is False for one in asked if one[0] == "drain"))  # no database is emptied
        self.assertEqual(list(plots.BACKLOGS), [p["x"] for p in told["series"][0]["points"]])
        self.assertEqual({2}, {len(p["jobs_per_second"]) for p in told["series"][0]["points"]})

    def test_the_limit_claims_what_troupe_did_in_the_same_round(self):
        told, asked = self.measure("batch", 2)
        for ours, theirs in zip(asked[::2], asked[1::2]):
            self.assertEqual(("drain", "limit"), (ours[0], theirs[0]))
            self.assertEqual(ours[1], theirs[1])
            self.assertEqual(max(1, round(ours[1] / 1000 + 0.4)), theirs[2])
        self.assertEqual(2 * list(plots.HELD), [one[one.index("--slots") + 1] + one[one.index("--prefetch") + 1] for one in asked[::2]])
        self.assertEqual([p["x"] for p in told["series"][0]["points"]], [p["x"] for p in told["series"][1]["points"]])

    def test_rates_of_a_long_drain_are_those_of_its_steps(self):
        told, asked = self.measure("snapshot", 1, jobs=100)
        self.assertEqual(["fresh", "drain", "fresh", "held", "drain", "released"], [one[0] for one in asked])
        points = told["series"][0]["points"]
        self.assertEqual([207 + 100 * n for n in range(plots.STEPS - 1)], [p["x"] for p in points])  # not the start
        self.assertEqual({50.0}, {p["jobs_per_second"][0] for p in points})
        self.assertEqual([(9, 3.0), (10, 1.0)], plots.step_rates([[3, 1.0], [9, 3.0], [10, 4.0]]))


class Drawing(unittest.TestCase):
    def test_ticks_are_short(self):
        self.assertEqual(["0", "500", "40k", "1.5M"], [plots.short(n) for n in (0, 500, 40_000, 1_500_000)])

    def test_the_page_shows_every_plot_with_its_figures(self):
        page = (ROOT / "docs/benchmarks.md").read_text()
        self.assertEqual(sorted(f"plots/{name}.svg" for name in plots.PLOTS), sorted(re.findall(r"!\[[^]]+\]\((.+?)\)", page)))
        for name in plots.PLOTS:
            told = json.loads((ROOT / f"docs/plots/{name}.json").read_text())
            for point in (point for line in told["series"] for point in line["points"]):
                self.assertIn(len(point["jobs_per_second"]), range(1, told["rounds"] + 1))
            self.assertLess((ROOT / f"docs/plots/{name}.svg").stat().st_size, 100_000)

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "python3-matplotlib is not installed")
    def test_equal_figures_give_equal_files(self):
        drawn = set()
        for scale in ("log", "symlog", "linear"):
            points = [{"x": x, "jobs_per_second": [x + 5, x + 1, x + 3]} for x in (0, 1, 30)][scale == "log":]
            plot = {"title": "t", "x": "x", "scale": scale, "rounds": 3, "series": [{"name": n, "points": points} for n in "ab"]}
            with tempfile.TemporaryDirectory() as folder:
                files = [pathlib.Path(folder) / f"{n}.svg" for n in range(2)]
                for file in files:
                    plots.draw(plot, file)
                self.assertEqual(*(file.read_text() for file in files))
                self.assertNotIn("dc:date", files[0].read_text())
                drawn.add(files[0].read_text())
        self.assertEqual(3, len(drawn))


if __name__ == "__main__":
    unittest.main(verbosity=1)
