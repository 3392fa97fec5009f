"""A project outside of this tree embeds the engine as README.md says: its CMake lines configure, what they would
build has all its inputs and none of our tests, and the embedded example compiles there. Not linked: that would
build everything once more. Takes the compiler."""
import sys
import unittest
from pathlib import Path

from outside import ROOT, Outside

COMPILER = sys.argv.pop(1) if len(sys.argv) > 1 else "c++"


class OutsideProject(Outside):
    def test_it_configures_has_all_its_inputs_and_compiles_the_example(self):
        (self.here / "troupe").symlink_to(ROOT)
        # A module of the same name as one of ours, and an older standard: neither is the engine's matter.
        (self.here / "cmake").mkdir()
        (self.here / "cmake/Room.cmake").write_text('message(FATAL_ERROR "not this one")\n')
        self.project("add_subdirectory", "set(CMAKE_CXX_STANDARD 14)\n"
                     "list(APPEND CMAKE_MODULE_PATH \"${CMAKE_CURRENT_SOURCE_DIR}/cmake\")\n")
        self.run_here("cmake", "-S", ".", "-B", "build", "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={COMPILER}")
        planned = self.run_here("ninja", "-C", "build", "-t", "commands", "mine")
        self.assertIn("engine.cpp.o", planned)
        for foreign in ("tests/", "bench/", "examples/", "cli/"):
            self.assertNotIn(f"troupe/{foreign}", planned)
        inputs = self.run_here("ninja", "-C", "build", "-t", "inputs", "mine").splitlines()
        sources = [Path(name) for name in inputs if name.startswith(str(self.here)) and "/build/" not in name]
        self.assertGreater(len(sources), 200)
        self.assertEqual([str(source) for source in sources if not source.exists()], [])
        self.run_here("ninja", "-C", "build", "CMakeFiles/mine.dir/main.cpp.o")


if __name__ == "__main__":
    unittest.main()
