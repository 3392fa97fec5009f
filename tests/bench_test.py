#!/usr/bin/python3
"""What bench/ does without PostgreSQL: turns of points, what is kept of rounds, files and pages that are written."""

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
import export  # noqa: E402
import http_ways  # noqa: E402
import measure  # noqa: E402
import plots  # noqa: E402
import rates  # noqa: E402
import work  # noqa: E402


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


class Comparing(unittest.TestCase):
    """As above; the server is a stand-in, and what a benchmark says of its figures is looked at."""

    def told(self, module, rounds, jobs, **replaced):
        shown = []
        with unittest.mock.patch.multiple(module, Database=unittest.mock.MagicMock(), **replaced,
                                          section=lambda title, rows, page: shown.append((title, rows, page))):
            self.assertTrue(module.run(rounds, jobs, page="a page"))
        ((title, rows, page),) = shown
        self.assertIn(f"{rounds} rounds", title)
        self.assertEqual("a page", page)
        self.assertEqual({len(rows[0])}, {len(row) for row in rows})
        return rows

    def test_each_way_takes_its_turn_and_is_compared_with_tcp_of_its_round(self):
        asked = []

        def ask(way, seconds, mode, connections, *_):
            asked.append((way, seconds, mode, connections))
            rate = len(asked) * (2 if way == "TLS" else 1)
            return {"per_second": rate, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 3.0}

        nodes = unittest.mock.MagicMock()
        nodes.return_value.__enter__.return_value.ask = ask
        rows = self.told(http_ways, 2, 0, Nodes=nodes, fresh=lambda _: None)
        first, turns = asked[:3], asked[3:]
        self.assertEqual([(way, 1) for way in http_ways.WAYS], [one[:2] for one in first])  # connects; does not count
        ways = 3 * http_ways.WAYS + [*http_ways.WAYS, http_ways.RESUMED]
        self.assertEqual(2 * ways, [one[0] for one in turns])
        self.assertEqual({("load", http_ways.CONNECTIONS), ("connect", http_ways.NEW_AT_ONCE)}, {one[2:] for one in turns})
        self.assertEqual(ways, [row[1] for row in rows[1:]])
        self.assertEqual(["", "1.15 (1.06 to 1.25)", "2.62 (2.24 to 3.00)"], [row[3] for row in rows[1:4]])

    def test_workers_by_http_and_by_sql_end_as_many_jobs(self):
        asked = {"http": [], "sql": []}

        def rate(name, of):
            def drained(_, jobs, batch, workers):
                asked[name].append((jobs, batch, workers))
                return of
            return drained

        rows = self.told(work, 3, 100_000, by_http=rate("http", 50.0), by_sql=rate("sql", 100.0),
                         running=lambda *_: {"jobs_per_second": 1000.0})
        self.assertEqual(asked["http"], asked["sql"])
        self.assertEqual(3 * [case[:2] for case in work.CASES], [one[1:] for one in asked["sql"]])
        for row in rows[1:-1]:
            self.assertEqual(["0.50 (0.50 to 0.50)", "0.050 (0.050 to 0.050)"], row[4:])

    def test_a_file_of_the_first_jobs_is_the_begin_of_all(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, part, other = (pathlib.Path(folder) / name for name in ("whole", "part", "other"))
            whole.write_text("1\n2\n3\n")
            part.write_text("1\n2\n")
            other.write_text("1\n4\n")
            self.assertTrue(export.same(whole, part))
            self.assertFalse(export.same(whole, other))
            self.assertFalse(export.same(part, whole))


class Pages(unittest.TestCase):
    def write(self, text, title, *figures):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            page.write_text(text)
            with contextlib.redirect_stdout(None), unittest.mock.patch.object(measure, "machine", lambda: "Here."):
                measure.section(title, [["what", "figure"], *figures], page)
            return page.read_text()

    def test_a_section_takes_the_place_of_its_older_one(self):
        table = "Here.\n\n| what | figure |\n|---|---|\n| a | 1 |\n"
        text = "# Page\n\n## Targets, 5 rounds\n\nold\n\n## More\n\nkept\n"
        self.assertEqual(f"# Page\n\n## Targets, 3 rounds\n\n{table}\n## More\n\nkept\n",
                         self.write(text, "Targets, 3 rounds", ["a", 1]))
        self.assertEqual(f"# Page\n\n## Targets, 5 rounds\n\nold\n\n## More, of it\n\n{table}",
                         self.write(text, "More, of it", ["a", 1]))
        self.assertEqual(f"{text}\n## New, first\n\n{table}", self.write(text, "New, first", ["a", 1]))


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
