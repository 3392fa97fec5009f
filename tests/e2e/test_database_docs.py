"""docs/database.md says what is true: its code is the tested example, its commands run, its texts exist."""
import os
import re
import subprocess
from pathlib import Path

from node import PROGRAM, Node, clean_environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/database.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_every_snippet_stands_in_the_example_line_by_line():
    example = (ROOT / "examples/database/main.cpp").read_text()
    snippets = blocks("cpp")
    assert len(snippets) > 8
    for snippet in snippets:
        assert "\n" + snippet in example, f"not in the example as it is here:\n{snippet}"


def test_the_example_runs(workspace):
    done = subprocess.run([os.environ["TROUPE_DATABASE_EXAMPLE"], str(workspace.data)],
                          capture_output=True, text=True, timeout=120, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "shipped: completed", "placed: 3", "imported: 2", "end: committed", "aborted: aborted",
        "sum: 3126250", "pages: 7 5 3 2 1",
        "brush", '"pad, ruled"', "copied: 2"]


def test_the_commands_run_and_every_series_is_there(workspace):
    node = Node(workspace).start()
    (script,) = blocks("sh")
    script = script.replace("http://127.0.0.1:8080", node.url)
    script = script.replace("build/release/troupe", f"{PROGRAM}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True,
                          timeout=120, check=False,
                          env=clean_environment(TROUPE_DATA_DIR=str(workspace.data)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"checks"' in done.stdout
    for series in set(re.findall(r"`(troupe_db_\w+)", PAGE)):
        assert re.search(rf"^{series}(_bucket)?(\{{| )", done.stdout, re.M), series
    assert node.stop() == 0


def test_the_sentences_that_people_look_up_are_those_of_the_sources():
    table = PAGE.split("## When something is wrong")[1]
    sentences = re.findall(r"^\| `([a-z' ]{20,})(?:: \.\.\.)?`", table, re.M)
    sentences += re.findall(r'^\| "([^"]+)"', table, re.M)
    assert len(sentences) >= 4
    sources = [path.read_text() for room in ("actors", "messages") for path in (ROOT / room).glob("*.?pp")]
    for sentence in sentences:
        wanted = sentence.replace(" an actor's thread", " ")
        assert any(wanted in source for source in sources), sentence
