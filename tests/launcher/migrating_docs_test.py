#!/usr/bin/python3
"""The code in docs/migrating.md is the code that is compiled: migrating_snippets.cpp for what works,
session_misuse.cpp for what the compiler has to refuse."""

import pathlib
import re
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PAGE = (HERE.parent.parent / "docs/migrating.md").read_text()


def squeezed(text):
    return " ".join(text.split())


class Migrating(unittest.TestCase):
    def blocks(self, kind):
        found = re.findall(r"^```" + kind + r"\n(.*?)^```$", PAGE, re.M | re.S)
        self.assertGreater(len(found), 1)
        return found

    def test_what_is_shown_to_work_is_compiled(self):
        compiled = (HERE / "migrating_snippets.cpp").read_text()
        shown = self.blocks("cpp")
        for block in shown:
            self.assertIn(block, compiled)
        self.assertEqual(len(re.findall(r"^namespace ", compiled, re.M)), len(shown))

    def test_what_is_shown_to_be_refused_is_tested_to_be(self):
        refused = squeezed((HERE / "session_misuse.cpp").read_text())
        for block in self.blocks("cpp refused"):
            self.assertIn(squeezed(block), refused)


if __name__ == "__main__":
    unittest.main()
