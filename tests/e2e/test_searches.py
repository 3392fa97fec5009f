"""Jobs by tags, limit_key, time and args: the same filter in lists, exports and operations on many jobs, by HTTP and by
the command line, also where a page ends before it is full; and docs/searches.md."""
import json
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from node import PROGRAM, clean_environment, run, until

PAGE = (Path(__file__).resolve().parents[2] / "docs/searches.md").read_text()
HOUR = 3_600_000
LOOKS = 10_000  # of a page
HOSTILE = ("' or '1'='1", "'; drop table troupe.job; --", "x' union select null--", "') or pg_sleep(9)--", "\\'; select 1", "$1",
           "{a,b}", '{"a"}', "%", "_", "\u202e", "null", "\\", '"', "a&tag=b", "a b", "ä☂")


def ask(node, *arguments, **more):
    return run(*arguments, TROUPE_URL=node.url, **more)


def put(node, jobs):
    answer = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop", "delay_ms": HOUR, **job} for job in jobs]})
    assert answer.status == 201, answer.body
    return answer.json["ids"]


def query_of(**wanted):
    parts = []
    for name, value in wanted.items():
        for one in value if isinstance(value, list) else [value]:
            parts.append(f"{name}={quote(json.dumps(one) if isinstance(one, dict) else one, safe='')}")
    return "&".join(parts)


def pages_of(node, query, limit=500):
    pages, cursor = [], ""
    while cursor is not None:
        answer = node.ask("GET", f"/api/v1/jobs?limit={limit}&{query}{cursor and '&cursor=' + cursor}")
        assert answer.status == 200, answer.body
        pages.append([job["id"] for job in answer.json["jobs"]])
        cursor = answer.json["next"]
    return pages


def found(node, **wanted):
    return [job for page in pages_of(node, query_of(**wanted)) for job in page]


def lines(text):
    return [json.loads(line)["id"] for line in text.splitlines()]


@pytest.fixture(scope="module")
def ids(node):
    """A, B and the rest of the searched jobs, of which many others are newer."""
    a, b, *others = put(node, [
        {"queue": "s", "tags": ["red", "big"], "limit_key": "k-1", "args": {"customer": {"id": 7, "name": "x"}, "lines": [1, 2]}},
        {"queue": "s", "tags": ["red"], "args": {"customer": {"id": 8}}},
        {"queue": "s", "tags": ["reddish"], "args": {"customer": {"id": "7"}}},
        {"queue": "s", "args": [{"customer": {"id": 7}}]}])
    for _ in range(3):
        put(node, [{"queue": "many"}] * LOOKS)
    return a, b, others


def test_a_list_has_what_fits_everything(node, ids):
    a, b, _ = ids
    assert found(node, tag="red") == [b, a]
    assert found(node, tag=["big", "red"]) == [a]
    assert found(node, tag=["red", "blue"]) == []
    assert found(node, limit_key="k-1") == [a]
    assert found(node, args={"customer": {"id": 7}}) == [a]
    assert found(node, args={"lines": [2]}, queue="s", state="scheduled", kind="noop") == [a]
    assert found(node, args={"lines": [2]}, state="completed") == []
    made = node.job(a)["created_at"]
    assert found(node, created_from=made, tag="red") == [b, a]
    assert found(node, created_before=made, tag="red") == []
    later = node.create("noop", delay_ms=HOUR, tags=["red"])
    # With a zone of its own: the same moment.
    assert found(node, created_from=re.sub("Z$", "+00:00", later["created_at"]), tag="red") == [later["id"]]
    assert found(node, created_before=later["created_at"], tag="red") == [b, a]
    node.ask("DELETE", f"/api/v1/jobs/{later['id']}")


def test_a_page_ends_where_it_has_looked_enough_and_a_cursor_belongs_to_its_search(node, ids):
    a, b, _ = ids
    pages = pages_of(node, query_of(tag="red"))
    # One that has looked for a second ends, too: on a slow machine there are more.
    assert len(pages) >= 4 and pages[:3] == [[], [], []] and [job for page in pages for job in page] == [b, a]
    first = node.ask("GET", "/api/v1/jobs?tag=red")
    assert first.json["jobs"] == [] and first.json["next"]
    for other in ("tag=red&tag=big", "tag=Red", "", "tag=red&kind=noop", "tag=red&created_before=2040-01-01T00:00:00Z"):
        refused = node.ask("GET", f"/api/v1/jobs?{other}&cursor={first.json['next']}")
        assert refused.status == 400 and "cursor" in refused.json["detail"], other


def test_the_command_line_goes_on_until_it_has_enough_or_all_is_seen(node, ids):
    a, b, _ = ids
    listed = ask(node, "jobs", "list", "--tag", "red", "--json")
    assert [job["id"] for job in json.loads(listed.stdout)["jobs"]] == [b, a]
    one = ask(node, "jobs", "list", "--tag", "red", "--limit", "1", "--json")
    assert [job["id"] for job in json.loads(one.stdout)["jobs"]] == [b] and json.loads(one.stdout)["next"]
    shown = ask(node, "jobs", "list", "--args", '{"customer":{"id":7}}', "--tag", "red", "--tag", "big", "--created-from",
                "2020-01-01T00:00:00Z", "--created-before", "2040-01-01T01:00:00+01:00", "--limit-key", "k-1").stdout.splitlines()
    assert len(shown) == 2 and shown[0].startswith("ID") and shown[1].split()[0] == a
    nothing = ask(node, "jobs", "list", "--tag", "none", "--all")
    assert nothing.stdout.split() == shown[0].split() and nothing.returncode == 0, nothing
    assert json.loads(ask(node, "jobs", "list", "--tag", "none", "--json").stdout) == {"jobs": [], "next": None}
    for wrong in (["--args", "[7]"], ["--args", "{"], ["--created-from", "soon"], ["--tag", ""], ["--tag", "x" * 256]):
        refused = ask(node, "jobs", "list", *wrong)
        assert refused.returncode == 2 and refused.stdout == "", wrong
        assert wrong[0][2:].replace("-", "_") in refused.stderr.replace("--args", "args"), refused.stderr


def test_exports_have_what_the_list_has(node, ids, workspace):
    a, b, _ = ids
    assert lines(node.ask("GET", "/api/v1/jobs.ndjson?tag=red").body.decode()) == [a, b]
    assert [job["id"] for job in node.ask("GET", f"/api/v1/jobs.json?{query_of(args={'customer': {'id': 7}})}").json] == [a]
    assert len(node.ask("GET", "/api/v1/jobs.csv?tag=red&tag=big").body.decode().splitlines()) == 2
    done = ask(node, "export", "--tag", "red", "--args", '{"customer":{}}', "--created-before", "2040-01-01T00:00:00Z")
    assert lines(done.stdout) == [a, b]
    out = workspace.root / "red.ndjson"
    ask(node, "export", "--tag", "red", "--tag", "big", "--stored", "--out", str(out))
    assert lines(out.read_text()) == [a]
    wanted = {"format": "ndjson", "tags": ["red"], "limit_key": "k-1", "created_from": "2020-01-01T00:00:00Z",
              "created_before": "2040-01-01T00:00:00.5+00:00", "args": {"lines": [2, 1]}}
    answer = node.ask("POST", "/api/v1/exports", wanted)
    assert answer.status == 202, answer.body
    told = until(lambda: (e := node.ask("GET", f"/api/v1/exports/{answer.json['id']}").json)["file"] and e, "the file is there", 60)
    assert {**wanted, "created_before": "2040-01-01T00:00:00.5Z"}.items() <= told.items(), told
    assert lines(node.ask("GET", f"/api/v1/exports/{told['id']}/file").body.decode()) == [a]


def test_operations_meet_what_the_list_has(node, ids):
    a, b, _ = ids
    for wanted, met in (({"tags": ["red"]}, [a, b]), ({"tags": ["red", "big"]}, [a]), ({"tag": "red"}, [a, b]),
                        ({"args": {"customer": {"id": 7}}}, [a]), ({"limit_key": "k-1", "created_from": "2020-01-01T00:00:00Z"}, [a]),
                        ({"queue": "s", "created_after": "2040-01-01T00:00:00Z"}, [])):
        answer = node.ask("POST", "/api/v1/bulk", {"action": "cancel", "filter": wanted, "dry_run": True})
        assert answer.status == 200 and answer.json["sample"] == met, (wanted, answer.body)
    fresh = put(node, [{"queue": "s2", "tags": ["now"], "args": {"n": n}} for n in range(3)])
    told = ask(node, "jobs", "bulk", "cancel", "--tag", "now", "--args", '{"n":1}', "--created-from", "2020-01-01T00:00:00Z", "--yes",
               "--json")
    told = json.loads(told.stdout)
    assert told["changed"] == 1
    assert told["filter"] == {"tags": ["now"], "args": {"n": 1}, "created_from": "2020-01-01T00:00:00.000000Z"}
    assert [node.job(one)["state"] for one in fresh] == ["scheduled", "cancelled", "scheduled"]


def test_hostile_texts_find_what_has_them_and_nothing_else(node):
    made = {}
    for text in HOSTILE:
        (made[text],) = put(node, [{"queue": "h", "tags": [text], "limit_key": text, "args": {"deep": {text: text}}}])
    for text, job in made.items():
        for wanted in ({"tag": text}, {"limit_key": text}, {"args": {"deep": {text: text}}}, {"args": {"deep": {text: text}}, "tag": text}):
            assert found(node, queue="h", **wanted) == [job], wanted
            assert lines(node.ask("GET", f"/api/v1/jobs.ndjson?{query_of(queue='h', **wanted)}").body.decode()) == [job]
        listed = ask(node, "jobs", "list", "--queue", "h", f"--tag={text}", "--args", json.dumps({"deep": {text: text}}), "--json")
        assert [one["id"] for one in json.loads(listed.stdout)["jobs"]] == [job], text
    for name in ("state", "queue", "kind", "created_from", "created_before", "args"):
        for text in HOSTILE:
            answer = node.ask("GET", f"/api/v1/jobs?{name}={quote(text, safe='')}")
            assert answer.status == 400 or (name, text) in {("queue", "null"), ("kind", "null"), ("queue", "_"), ("kind", "_")}, (name, text)
    for query in ("tag=%00", "tag=%FF", "tag=%C0%80", "limit_key=%ED%A0%80", "args=%7B%22a%22%3A%22%FF%22%7D", "args=%7B%22a%22%3A%22%5Cu0000%22%7D",
                  "tag=", "tag", "tag=a&" * 10 + "tag=a", "args=%7B%22a%22%3A1%7D&args=%7B%22a%22%3A1%7D"):
        for path in ("/api/v1/jobs", "/api/v1/jobs.ndjson"):
            answer = node.ask("GET", f"{path}?{query}")
            assert answer.status == 400 and answer.json["code"] == "invalid_argument", (query, answer.body)


def test_the_commands_of_the_page_run_as_written(node):
    for script in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S):
        script = script.replace("http://127.0.0.1:8080", node.url).replace("build/release/troupe", PROGRAM)
        done = subprocess.run(["bash", "-exuo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120,
                              env=clean_environment(TROUPE_URL=node.url), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
