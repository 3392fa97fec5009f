"""A directory outside of this tree, in which a project uses the engine as README.md says."""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from node import clean_environment  # noqa: E402


def readme_lines(command):
    """The one block of CMake that has this command."""
    blocks = re.findall(r"^```cmake\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (block,) = (block for block in blocks if command in block)
    return block


class Outside(unittest.TestCase):
    def setUp(self):
        self.here = Path(tempfile.mkdtemp(prefix="trp", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.here)

    def run_here(self, *command):
        done = subprocess.run([str(word) for word in command], cwd=self.here, capture_output=True, text=True, timeout=600,
                              env=clean_environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def project(self, command, before=""):
        """The embedded example with README.md's lines around `command`."""
        shutil.copy(ROOT / "examples/embedded/main.cpp", self.here)
        (self.here / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(mine CXX)\n" + before + readme_lines(command))
