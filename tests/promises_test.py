#!/usr/bin/python3
"""docs/promises.md names the tests of each promise. Fails when a promise has none, or when a file or
a case in it does not exist. A page that lies shows that each of these is noticed."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMISE = re.compile(r"^\d+\. ", re.M)
NAMED = re.compile(r"^ +- `(tests/[^`]+)`:((?:\s+`\w+`,?)+)", re.M)


def faults(page):
    wrong = []
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        for promise in PROMISE.split(section)[1:]:
            named = NAMED.findall(promise)
            if not named or len(named) != len(re.findall(r"^ +- ", promise, re.M)):
                wrong.append("names no test, or not as `file`: `case`: " + promise.split("\n")[0])
            for name, cases in named:
                path = ROOT / name
                text = path.read_text() if path.is_file() else ""
                for case in re.findall(r"`(\w+)`", cases):
                    if not re.search(rf"(_TEST_CASE\(\s*|^ *def ){case}\b", text, re.M):
                        wrong.append(f"{name} has no case {case}")
    return wrong


class Promises(unittest.TestCase):
    def page(self, *lines):
        return "# Promises\n\n## Some\n\n1. **All.**\n" + "".join(f"   - {line}\n" for line in lines)

    def test_a_page_that_lies_is_noticed(self):
        here, case = "`tests/db/values_pgtest.cpp`", "`integers_keep_their_ends`"
        self.assertEqual([], faults(self.page(f"{here}: {case}")))
        for lines in ([], [f"{here}: {case},\n     `no_such_case`"], [f"`tests/db/no.cpp`: {case}"],
                      [f"{here}: `integers_keep`"], [f"{here}: {case}", f"{here} and others"]):
            self.assertEqual(1, len(faults(self.page(*lines))), lines)

    def test_every_promise_names_tests_that_exist(self):
        page = (ROOT / "docs/promises.md").read_text()
        self.assertGreater(len(PROMISE.findall(page)), 10)
        self.assertEqual([], faults(page))


if __name__ == "__main__":
    unittest.main(verbosity=1)
