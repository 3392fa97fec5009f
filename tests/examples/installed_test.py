"""What cmake --install leaves: the program with what belongs to it, and a package that an outside project finds. The
project is README.md's few lines around the embedded example; its program runs a job on its own private PostgreSQL.
Takes the build tree and the compiler."""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from node import Workspace, clean_environment  # noqa: E402

COMPILER = sys.argv.pop() if len(sys.argv) > 2 else "c++"
BUILD = Path(sys.argv.pop())
OWN_TREES = (str(ROOT).encode(), str(BUILD).encode())


def lines_of_the_readme():
    blocks = re.findall(r"^```cmake\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (block,) = (block for block in blocks if "find_package" in block)
    return block


class Installed(unittest.TestCase):
    def setUp(self):
        self.here = Path(tempfile.mkdtemp(prefix="trp", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.here)

    def run_here(self, *command):
        done = subprocess.run([str(word) for word in command], cwd=self.here, capture_output=True, text=True, timeout=240,
                              env=clean_environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def installed(self, component):
        """A prefix that was moved after the installation: nothing in it knows where it was."""
        self.run_here("cmake", "--install", BUILD, "--prefix", self.here / "first", "--component", component)
        return (self.here / "first").rename(self.here / component)

    def test_the_program_comes_with_its_pages_completions_and_configs(self):
        prefix = self.installed("program")
        self.assertTrue(self.run_here(prefix / "bin/troupe", "version").startswith("troupe "))
        for file, begin in {"share/man/man1/troupe.1": ".TH ", "share/bash-completion/completions/troupe": "#",
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
        shutil.copy(ROOT / "examples/embedded/main.cpp", self.here)
        (self.here / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(mine CXX)\n" + lines_of_the_readme())
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
