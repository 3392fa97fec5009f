"""What cmake --install leaves: the program with what belongs to it, and a package that an outside project finds. The
project is README.md's few lines around the embedded example; its program runs a job on its own private PostgreSQL.
Takes the build tree and the compiler."""
import sys
import unittest
from pathlib import Path

from outside import ROOT, Outside

from node import Workspace  # of tests/e2e

COMPILER = sys.argv.pop() if len(sys.argv) > 2 else "c++"
BUILD = Path(sys.argv.pop())
OWN_TREES = (str(ROOT).encode(), str(BUILD).encode())


class Installed(Outside):
    def installed(self, component):
        """A prefix that was moved after the installation: nothing in it knows where it was."""
        self.run_here("cmake", "--install", BUILD, "--prefix", self.here / "first", "--component", component)
        return (self.here / "first").rename(self.here / component)

    def test_the_program_comes_with_its_pages_completions_and_configs(self):
        prefix = self.installed("program")
        self.assertTrue(self.run_here(prefix / "bin/troupe", "version").startswith("troupe "))
        for file, begin in {"share/man/man1/troupe.1": ".\\\"", "share/bash-completion/completions/troupe": "#",
                            "share/zsh/site-functions/_troupe": "#compdef troupe",
                            "share/fish/vendor_completions.d/troupe.fish": "", "share/troupe/configs/prometheus/alerts.yml": "",
                            "share/troupe/configs/grafana/troupe.json": "{", "share/troupe/clients/python/troupe.py": '"""',
                            "share/doc/troupe/README.md": "# Troupe", "share/doc/troupe/docs/cli.md": "# "}.items():
            text = (prefix / file).read_text()
            self.assertTrue(text.startswith(begin) and len(text) > 500, f"{file}: {text[:80]}")
        self.assertFalse((prefix / "include").exists())
        self.assertEqual([p.name for p in prefix.rglob("*test*")], [])

    def test_an_outside_project_finds_the_engine_and_runs_a_job(self):
        prefix = self.installed("development")
        self.assertFalse((prefix / "bin").exists())
        for file in prefix.rglob("*.cmake"):
            self.assertFalse(any(tree in file.read_bytes() for tree in OWN_TREES), file)
        self.project("find_package")
        self.run_here("cmake", "-S", ".", "-B", "build", "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={COMPILER}",
                      f"-DCMAKE_PREFIX_PATH={prefix}")
        self.run_here("ninja", "-C", "build", "mine")
        with Workspace() as place:
            said = self.run_here("build/mine", place.data)
        self.assertEqual(said, 'job 1 completed: {"greeted": {"name": "Ada"}}\n')

    def test_no_header_needs_one_that_is_not_installed(self):
        prefix = self.installed("development")
        headers = sorted(p.relative_to(prefix / "include/troupe") for p in prefix.rglob("*.hpp"))
        self.assertGreater(len(headers), 30)
        source = self.here / "all.cpp"
        source.write_text("".join(f'#include "{header}"\n' for header in reversed(headers)))
        self.run_here(COMPILER, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{prefix}/include/troupe", source)


if __name__ == "__main__":
    unittest.main()
