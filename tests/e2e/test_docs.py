"""README.md and docs/ say what is true: their commands run, their code is the tested code, their paths exist."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from node import PROGRAM, Node, clean_environment, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = {"messages", "db", "actors", "http", "handlers", "launcher", "cli", "tests", "bench"}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


@pytest.mark.limit(600)
def test_the_first_job_of_the_readme_runs_as_written(workspace):
    dev, session = blocks(ROOT / "README.md", "sh")[1:3]
    assert dev == "build/release/troupe dev --listen 127.0.0.1:8080\n"
    node = Node(workspace).start()
    # Only the port and the program's place differ from what a reader types.
    script = session.replace("http://127.0.0.1:8080", node.url)
    script = script.replace("build/release/troupe", PROGRAM)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True,
                          timeout=120, env=clean_environment(TROUPE_URL=node.url), check=False)
    assert done.returncode == 0, done.stderr
    created = json.JSONDecoder().raw_decode(done.stdout)[0]
    assert created["id"] == "1" and created["args"] == {"hello": "world"}
    assert node.await_state("1", "completed")["attempts"][0]["result"] == {"hello": "world"}
    assert "sleep" in done.stdout and "completed" in done.stdout
    for name in ("cli.md", "progress.md", "retention.md"):
        run_commands_of(name, node, workspace)
    assert node.stop() == 0


def run_commands_of(name, node, workspace):
    """Every block of the page in one shell, as written: only the server and the home differ."""
    (workspace.root / "bin").mkdir(exist_ok=True)
    if not (workspace.root / "bin/troupe").exists():
        (workspace.root / "bin/troupe").symlink_to(Path(PROGRAM).resolve())
    script = "".join(blocks(ROOT / "docs" / name, "sh")).replace("http://127.0.0.1:8080", node.url)
    there = clean_environment(TROUPE_URL=node.url, HOME=str(workspace.root),
                              PATH=f"{workspace.root}/bin:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True,
                          timeout=240, env=there, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_and_exit_code_is_documented():
    page = (ROOT / "docs/cli.md").read_text()
    manual = run("man").stdout
    rows = "\n".join(re.findall(r"^\| `troupe .*", page, re.M))
    named = sorted(re.findall(r"`(troupe [a-z ]+)`", rows))
    assert named == sorted(re.findall(r"^\.SS (.*)$", manual, re.M))
    codes = re.findall(r"^ +(\d+) +(.*)$", run("--help").stdout.split("Exit codes:")[1], re.M)
    assert codes == re.findall(r"^\| (\d+) \| (.*) \|$", page.split("## Exit codes")[1], re.M)


def test_the_embedding_snippet_is_the_tested_example():
    example = (ROOT / "examples/embedded/main.cpp").read_text()
    snippets = blocks(ROOT / "README.md", "cpp")
    assert len(snippets) == 1
    at = 0
    for line in snippets[0].splitlines():
        found = example.find(line + "\n", at)
        assert found >= 0, f"not in the example, or not in this order: {line}"
        at = found
    assert len(example.splitlines()) < 40


def test_the_embedded_example_runs_its_job(workspace):
    done = subprocess.run([os.environ["TROUPE_EXAMPLE"], str(workspace.data)], capture_output=True,
                          text=True, timeout=120, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'job 1 completed: {"greeted": {"name": "Ada"}}\n'


def test_every_key_flag_and_variable_is_documented(workspace):
    page = (ROOT / "docs/configuration.md").read_text()
    file = workspace.root / "troupe.toml"
    file.write_text("xyzzy = 1\n")
    refused = run("dev", "--config", file).stderr
    keys = refused.split("keys are ")[1].split("\n")[0].split(", ")
    assert len(keys) > 20 and all(f"| `{key}` |" in page for key in keys), keys
    documented = re.findall(r"^\| `([a-z_.]+)` \| `--", page, re.M)
    assert sorted(documented) == sorted(keys)
    shown = run("serve", "--help").stdout
    for name in re.findall(r"\(Env:(\w+)\)", shown):
        assert f"`{name}`" in page, name
    (example,) = blocks(ROOT / "docs/configuration.md", "toml")
    file.write_text(example)
    refused = run("serve", "--config", file, "--max-waiting", "0").stderr
    assert "xyzzy" not in refused and "database." in refused, refused


def test_the_map_of_rooms_names_every_room():
    rows = re.findall(r"^\| \[(\w+)/\]\((\w+)\) \|", (ROOT / "README.md").read_text(), re.M)
    assert {name for name, _ in rows} == ROOMS
    assert all(name == target and (ROOT / target).is_dir() for name, target in rows)


def test_links_lead_somewhere():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_in_the_docs_exist_with_the_flags_they_show():
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            words = line.split("#")[0].split()
            if not words or not re.match(r"(scripts|bench)/", words[0]):
                continue
            script = ROOT / words[0]
            assert os.access(script, os.X_OK), f"{page.name}: {line}"
            source = script.read_text() + (ROOT / "scripts/lib.sh").read_text()
            if source.startswith("#!/usr/bin/python3"): # its options may lie in a module
                source = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=120, check=True).stdout
            for flag in (word for word in words[1:] if word.startswith("--")):
                assert flag in source, f"{page.name}: {line}"
    presets = json.loads((ROOT / "CMakePresets.json").read_text())
    names = {preset["name"] for preset in presets["configurePresets"]}
    for page in PAGES:
        for preset in re.findall(r"--preset (\w+)", page.read_text()):
            assert preset in names, f"{page.name}: preset {preset}"
