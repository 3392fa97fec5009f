"""/openapi.json is true of a running node: every route answers as it says, requests made from it are
taken, and what is next to them is refused with a pointer. docs/api.md says the same."""
import json
import os
import random
import re
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from described import Described, Maker, Raw, inconsistent, pointer, put, text_of
from node import ask_over, clean_environment, fitting, until

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3_600_000
EVENTS = "/api/v1/events"
FUZZ_SECONDS = float(os.environ.get("TROUPE_FUZZ_SECONDS", 4))  # for values by chance, after each field was wrong in turn


@pytest.fixture(scope="module")
def api(node):
    return Described(node.ask("GET", "/openapi.json").json)


class Asker:
    """Asks by operation id, checks each answer, and remembers what was asked."""

    def __init__(self, node, api):
        self.node, self.api = node, api
        self.asked = set()

    def __call__(self, operation, param=None, query="", body=None, status=200, **headers):
        verb, path, _ = self.api.operation(operation)
        target = re.sub(r"\{\w+\}", str(param), path)
        answer = self.node.ask(verb, target + query, body, {k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status == status, f"{operation}: {answer.status}, {answer.body}"
        self.api.check(verb, path, answer)
        self.asked.add(operation)
        return answer


def test_every_route_answers_as_it_is_documented(node, api):
    ask = Asker(node, api)
    late = {"kind": "echo", "queue": "d1", "delay_ms": HOUR, "retry": {"policy": "list", "delays_ms": [1, 2]}}
    done = ask("enqueueJob", body={"kind": "echo", "args": [1, None]}, status=201).json["id"]
    failed = ask("enqueueJob", body={"kind": "fail", "max_attempts": 1}, status=201).json["id"]
    waits = ask("enqueueJob", body={**late, "unique": {"queue": True}, "tags": ["a"], "limit_key": "k"},
                status=201, Idempotency_Key="d-1").json["id"]
    ask("enqueueJob", body={**late, "unique": {"queue": True}, "tags": ["a"], "limit_key": "k"}, status=201,
        Idempotency_Key="d-1")
    ask("enqueueJob", body=late, status=422, Idempotency_Key="d-1")
    ask("enqueueJob", body={**late, "unique": {"queue": True}}, status=409)
    ask("enqueueJob", body={**late, "unique": {"queue": True, "on_conflict": "replace"}})
    ask("enqueueJob", body={}, status=400)
    ask("enqueueJobs", body={"jobs": [late, late]}, status=201)
    ask("enqueueJobs", body={"jobs": [{**late, "unique": {"queue": True, "on_conflict": "existing"}}]})
    each = [late, {**late, "unique": {"queue": True}}, {"kind": "xyzzy"}, late]
    told = ask("enqueueJobs", query="?mode=per_item", body={"jobs": each[:3]}, Idempotency_Key="d-2").json
    assert [one["status"] for one in told["results"]] == [201, 409, 400] and told["refused"] == 2
    again = ask("enqueueJobs", query="?mode=per_item", body={"jobs": each}, Idempotency_Key="d-2").json["results"]
    assert again[0] == {**told["results"][0], "replayed": True} and "replayed" not in again[3]
    ask("enqueueJobs", query="?mode=some", body={"jobs": each}, status=400)
    node.await_state(done, "completed")
    node.await_state(failed, "discarded")
    for job in (done, failed, waits):
        ask("getJob", job)
        ask("explainJob", job)
    ask("getJob", 2**62, status=404)
    ask("getJobLog", done)
    assert b"event: done" in ask("streamEvents", query=f"?job={failed},{done}").body
    ask("streamEvents", query=f"?job={2**62}", status=404)
    ask("streamEvents", query=f"?job={done}", status=400, Last_Event_ID="forged")
    page = ask("listJobs", query="?limit=2&queue=d1").json
    ask("listJobs", query=f"?limit=2&queue=d1&cursor={page['next']}")
    assert ask("listJobs", query="?fields=id,args&limit=1").json["jobs"][0].keys() == {"id", "args"}
    ask("listJobs", query="?limit=0", status=400)
    ask("listJobs", query="?fields=id,attempts", status=400)  # of one job only
    assert ask("getJob", done, query="?fields=state,attempts").json.keys() == {"state", "attempts"}
    ask("countJobs")
    for operation in ("listJobs", "exportJobs", "exportJobLines", "exportJobRows"):
        ask(operation, query="?tag=d7&tag=d8&limit_key=d7&created_before=2030-01-31T08:00:00%2B01:00&args=%7B%22a%22:%7B%22b%22:1%7D%7D")
        ask(operation, query="?args=7", status=400)
    for operation in ("exportJobs", "exportJobLines", "exportJobRows"):
        ask(operation, query="?queue=d1&limit=2")
        ask(operation, query="?limit=0", status=400)
    ask("editJob", waits, body={"priority": 3, "run_at": None})
    node.await_state(waits, "completed")
    ask("editJob", waits, body={"priority": 3}, status=409)
    ask("retryJob", waits)
    node.await_state(waits, "completed")
    ask("cancelJob", waits, status=409)
    ask("deleteJob", waits, status=204)
    ask("cancelJob", page["jobs"][1]["id"])

    limits = {"concurrency": 3, "rate": {"jobs": 5}, "key_rate": {"jobs": 2, "burst": 2}, "max_waiting": 9}
    ask("limitQueue", "d2", body=limits, status=404)
    ask("limitQueue", "d2", query="?create=true", body=limits)
    ask("pauseQueue", "never-seen", status=404)
    ask("limitQueue", "d2", body={"ordered": True}, status=409)
    for operation in ("pauseQueue", "resumeQueue", "drainQueue", "getQueue"):
        ask(operation, "d2")
    ask("drainQueue", "d2", query="?create=1", status=400)
    tag = ask("getQueue", "d2").headers["ETag"]
    ask("getQueue", "d2", status=304, If_None_Match=tag)
    ask("limitQueue", "d2", body={"concurrency": 4}, If_Match=tag)
    ask("limitQueue", "d2", body={"concurrency": 5}, status=412, If_Match=tag)
    ask("getQueue", "never-seen", status=404)
    assert ask("listQueues", query="?limit=1&fields=waiting").json["queues"] == [{"waiting": 0}]
    assert ask("getQueue", "d2", query="?fields=name,ordered").json == {"name": "d2", "ordered": False}

    # A node that was stalled for 4 s is silent for a while.
    name = fitting(lambda: ask("listNodes", query="?state=alive&limit=1").json["nodes"], bool, "the node beats")[0]["name"]
    assert ask("getNode", name).json["name"] == name
    ask("getNode", "never-seen", status=404)
    ask("listNodes", query="?state=asleep", status=400)
    ask("drainNode", "never-seen", status=404)
    for operation, state in (("drainNode", "draining"), ("resumeNode", "alive")):
        steered = partial(ask, operation, name)
        assert fitting(lambda: steered().json, lambda told: told["state"] != "silent", "it beats")["state"] == state  # pylint: disable=cell-var-from-loop

    born = ask("joinWork", body={"name": "d5", "queues": ["d5"], "kinds": ["echo"], "lease_ms": 600_000}, status=201).json
    mine = {"session": born["session"]}
    assert ask("claimWork", body={**mine, "queues": ["d5"]}).json == {"jobs": []}
    ask("claimWork", body={**mine, "queues": ["d6"]}, status=400)
    run = {"lease": "1", "job": done, "attempt": 1}
    assert ask("beatWork", body={**mine, "jobs": [done]}).json["lost"] == [done]
    ended = [{**run, "outcome": "completed"}, {"job": failed, "attempt": 1}]
    told = ask("finishWork", body={**mine, "outcomes": ended}).json["results"]
    assert [one["status"] for one in told] == ["fenced", "invalid"]
    assert ask("reportWork", body={**mine, "lines": [{**run, "line": "a"}]}).json == {"fenced": [done], "dropped": 0}
    ask("quietWorker", born["id"], status=204)
    assert ask("beatWork", body=mine).json["state"] == "quiet"
    ask("terminateWorker", born["id"], status=204)
    ask("terminateWorker", 2**62, status=404)
    ask("leaveWork", body=mine)
    ask("beatWork", body=mine, status=410)

    preview = {"action": "cancel", "filter": {"queue": "d1", "created_before": "2040-01-01T00:00:00+01:00"}}
    ask("startBulk", body={**preview, "dry_run": True})
    begun = ask("startBulk", body=preview, status=202).json["id"]
    until(lambda: ask("getBulk", begun).json["state"] == "done", "the operation's end")
    ask("cancelBulk", begun, status=409)
    moved = ask("startBulk", body={"action": "move", "ids": [done], "to": {"queue": "d3"}}, status=202)
    until(lambda: ask("getBulk", moved.json["id"]).json["state"] == "done", "the operation's end")
    ask("listBulks")

    export = ask("startExport", body={"format": "csv", "queue": "d1"}, status=202, Idempotency_Key="d-3").json["id"]
    ask("startExport", body={"format": "xml"}, status=400)
    until(lambda: ask("getExport", export).json["file"], "the export's file")
    tag = ask("getExportFile", export).headers["ETag"]
    ask("getExportFile", export, status=206, Range="bytes=0-9")
    ask("getExportFile", export, status=416, Range="bytes=1000000-")
    ask("getExportFile", export, status=304, If_None_Match=tag)
    ask("getExportFile", export, status=412, If_Match='"x"')
    ask("getExportFile", 2**62, status=404)
    wanted = {"format": "json", "tags": ["d7"], "limit_key": "d7", "created_from": "2030-01-31T08:00:00Z", "args": {"a": [1]}}
    empty = ask("startExport", body=wanted, status=202).json
    assert {name: empty[name] for name in wanted} == wanted and empty["created_before"] is None
    until(lambda: ask("getExport", empty["id"]).json["file"], "the export's file")
    ask("deleteExport", empty["id"], status=204)
    assert ask("listExports", query="?limit=1&queue=d1").json["exports"][0]["id"] == export
    ask("deleteExport", export, status=204)

    made = ask("createToken", body={"name": "d4", "role": "producer", "queues": ["d4"]}, status=201).json["token"]["id"]
    ask("createToken", body={"name": "d4", "role": "root"}, status=400)
    ask("listTokens", query="?limit=1")
    ask("revokeToken", made)
    ask("revokeToken", 2**62, status=404)
    ask("listAudit", query="?limit=2")
    assert ask("getConfiguration").json["settings"]
    for operation in ("getPool", "getRetention", "askDoctor"):
        ask(operation)
    assert ask("changeQueueRetention", "d6", body={"discarded_ms": None}).json["discarded_ms"] is None
    ask("changeQueueRetention", "d6", body={"discarded_ms": "7 days"}, status=400)
    assert ask("changeRetention", body={"completed_ms": 604_800_000}).json["queue"] is None
    ask("forgetQueueRetention", "d6", status=204)
    ask("forgetQueueRetention", "d6", status=404)

    until(lambda: all(node.ask("GET", path).status == 200 for path in ("/api/v1/health", "/readyz", "/healthz")), "health")
    for operation in ("getHealth", "isAlive", "isReady", "isHealthy", "getMetrics", "getIndex", "getOpenApi",
                      "getDocs", "getDocsStyle", "getDocsScript"):
        ask(operation)
    assert ask.asked == {o["operationId"] for _, _, o in api.operations()}


def test_options_and_head_and_405_agree_with_the_document(node, api):
    for path, item in api.document["paths"].items():
        target = re.sub(r"\{\w+\}", "17", path)
        options = node.ask("OPTIONS", target)
        assert options.status == 204 and options.body == b""
        allowed = set(options.headers["Allow"].split(", "))
        assert allowed >= {verb.upper() for verb in item} | {"OPTIONS"}, path
        assert ("HEAD" in allowed) == ("GET" in allowed)
        for verb in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            refused = node.ask(verb, target)
            assert refused.status == 405 and refused.json["code"] == "method_not_allowed"
            assert set(refused.headers["Allow"].split(", ")) == allowed
        if "get" in item:
            assert node.ask("HEAD", target).body == b"", path
            if path != EVENTS:  # it would not end
                fitting(lambda: [node.ask(verb, target).status for verb in ("HEAD", "GET")],  # pylint: disable=cell-var-from-loop
                        lambda both: both[0] == both[1], path)


def test_examples_are_valid_and_are_taken(node, api):
    for verb, path, operation in api.operations():
        if "requestBody" not in operation:
            continue
        schema = api.resolve(api.body_schema(operation))
        assert schema["examples"], operation["operationId"]
        for example in schema["examples"]:
            assert api.validator(schema).is_valid(example), example
            job = node.create("echo", delay_ms=HOUR)["id"]
            born = node.ask("POST", "/api/v1/work/join", {"name": "examples", "queues": ["py"]}).json
            param = job if "/jobs/" in path else born["id"] if "/workers/" in path else "examples"
            query = "?create=true" if operation["operationId"] == "limitQueue" else ""
            if "session" in example:
                example = {**example, "session": born["session"]}
            answer = node.ask(verb, re.sub(r"\{\w+\}", param, path) + query, example)
            if path not in ("/api/v1/bulk/{id}/cancel", "/api/v1/tokens/{id}/revoke"):
                assert answer.status < 300, f"{example}: {answer.body}"
                api.check(verb, path, answer)


def test_the_page_of_the_api_lists_exactly_the_routes(api):
    page = (ROOT / "docs/api.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (\w+) \|", page, re.M)
    table = {(verb, path): role for verb, path, role in rows}
    assert len(table) == len(rows)
    assert table == {(verb, path): o["x-troupe-role"] for verb, path, o in api.operations()}


@pytest.mark.parametrize("page", ["api.md", "events.md"])
def test_the_commands_of_the_page_run_as_written(node, page):
    (script,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    script = script.replace("--max-time 5 ", "--max-time 60 ")  # only ends what nothing would end
    done = subprocess.run(["bash", "-exuo", "pipefail", "-c", script.replace("http://127.0.0.1:8080", node.url)],
                          capture_output=True, text=True, timeout=120, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_problem_of_the_sources_is_documented(api):
    told = {}
    for status, form in api.document["components"]["responses"].items():
        schema = form["content"]["application/problem+json"]["schema"]
        if "allOf" in schema:
            told[schema["allOf"][1]["properties"]["status"]["const"]] = schema["allOf"][1]["properties"]["code"]["enum"]
    every = api.document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    found = set()
    for source in (ROOT / "http").glob("*.cpp"):
        if source.name != "openapi.cpp":
            found.update(re.findall(r'\b([45]\d\d),\s*"([a-z_]+)"', source.read_text()))
    assert len(found) > 12
    for status, code in found:
        assert code in every, code
        assert int(status) not in told or code in told[int(status)], (status, code)


# -- requests made from the document -------------------------------------------------------------------


def over_session(node):
    """Of a worker's life that is over."""
    session = node.ask("POST", "/api/v1/work/join", {"name": "over", "queues": ["py"]}).json["session"]
    assert node.ask("POST", "/api/v1/work/leave", {"session": session}).status == 200
    return session


class Fuzzer:
    """Sends each operation's bodies with one thing wrong, and asserts what becomes of them."""

    def __init__(self, node, document, seed):
        self.node = node
        self.random = random.Random(seed)
        # What only this node knows.
        document["components"]["schemas"]["NewJob"]["properties"]["kind"] = {"enum": ["echo", "noop"]}
        over = {"enum": [over_session(node)]}
        for schema in document["components"]["schemas"].values():
            if "additionalProperties" in schema and "session" in schema.get("properties", {}):
                schema["properties"]["session"] = over
        self.api = Described(document)
        self.maker = Maker(self.api, self.random)
        self.connection = node.connection()
        self.requests = 0
        self.touched = set()

    def send(self, operation, body, headers=None):
        verb, path, _ = self.api.operation(operation)
        param = {"editJob": self.edited, "limitQueue": self.limited}.get(operation, lambda: "17")()
        self.requests += 1
        answer = ask_over(self.connection, verb, re.sub(r"\{\w+\}", param, path), body, headers)
        assert answer.status < 500, f"{operation} {body[:2000]}: {answer.status} {answer.body}"
        self.api.check(verb, path, answer)
        if answer.headers["Connection"] == "close":
            self.connection.close()
        return answer

    def edited(self):
        return self.node.create("noop", delay_ms=HOUR)["id"]

    def limited(self):
        return f"l{self.requests}?create=true"

    def judge(self, operation, schema, value, at, raw=None):
        """Sends the value and holds the answer to what the schema says of it."""
        body = text_of(value, at, raw)
        valid = raw is None and self.api.validator(schema).is_valid(value) and not inconsistent(value)
        answer = self.send(operation, body)
        what = f"{operation} at {pointer(at)}: {body[:2000]} is answered {answer.status} {answer.body[:2000]}"
        if valid:
            assert answer.status in self.taken(operation, value), what
            return
        if answer.status == 413 and len(body) > 1000:
            return
        if operation == "finishWork" and answer.status in (200, 410) and at[:1] == ("outcomes",):  # each by itself
            wrong = [e for one in answer.json.get("results", []) for e in one.get("errors", [])]
            assert answer.status == 410 or wrong and all(e["pointer"].startswith("/outcomes/") for e in wrong), what
            return
        assert answer.status == 400 and answer.json["code"] == "invalid_argument", what
        assert answer.json["errors"], what
        # What the actions need is told where it is missing.
        if operation == "startBulk" and len(at) < 2:
            return
        here = pointer(at)
        parent = pointer(at[:-1])
        for error in answer.json["errors"]:
            told = error["pointer"]
            assert told.startswith(here) or here.startswith(told) or told.startswith(parent + "/"), what

    def taken(self, operation, value):
        if operation in ("enqueueJob", "enqueueJobs"):
            return {200, 201, 409} if '"unique"' in text_of(value).decode() else {201}
        if operation == "startBulk":
            return {200} if value.get("dry_run") else {202, 409}
        if operation == "limitQueue":
            nothing_said = all(part in (None, False) for part in value.values())
            return {200, 404} if nothing_said else {200, 409} if value.get("ordered") else {200}
        if operation == "editJob":
            return {200}
        if operation in ("createToken", "joinWork"):
            return {201}
        if "Work" in operation:
            return {200, 204, 404, 410}  # no session is live, so that no claim waits
        if operation == "startExport":
            return {202, 409}
        return {200, 404, 409}

    def each_field_wrong(self, operation, schema):
        for value in [self.maker.valid(schema, whole) for whole in (1.0, 1.0, 0.9, 0.5) for _ in range(10)]:
            for at, part, there in self.maker.places(schema, value):
                name = (operation, *("*" if isinstance(p, int) else p for p in at), part.get("title"))
                if name in self.touched:
                    continue
                self.touched.add(name)
                for other in self.maker.neighbours(part, there):
                    self.judge(operation, schema, put(value, at, other), at)
                for raw in self.maker.poisons():
                    self.judge(operation, schema, value, at, raw)
                if isinstance(there, dict) and there:
                    key = next(iter(there))
                    twice = text_of(there)[:-1] + b"," + text_of({key: there[key]})[1:]
                    self.judge(operation, schema, value, at, Raw(twice))

    def by_chance(self, bodies):
        operation, schema = self.random.choice(bodies)
        value = self.maker.valid(schema, self.random.uniform(0.15, 1))
        self.judge(operation, schema, value, ())
        at, part, there = self.random.choice(list(self.maker.places(schema, value)))
        other = self.random.choice([*self.maker.neighbours(part, there), *self.maker.poisons()])
        if isinstance(other, Raw):
            self.judge(operation, schema, value, at, other)
        else:
            self.judge(operation, schema, put(value, at, other), at)

    def parameters(self):
        """Each parameter of each list, right and wrong."""
        for verb, path, operation in self.api.operations():
            if not path.startswith("/api/") or verb != "GET":
                continue
            for parameter in map(self.api.resolve, operation.get("parameters", ())):
                if parameter["in"] == "query":
                    self.parameter(path, parameter)

    def parameter(self, path, parameter):
        schema = self.api.resolve(parameter["schema"])
        several = schema["type"] == "array"
        values = [self.maker.valid(schema) for _ in range(4)]
        if several:
            values = [value for value in values if value] + [value for value in self.maker.neighbours(schema, values[0]) if value]
            values += [[n] for n in self.maker.neighbours(schema["items"], "")]
        elif "contentMediaType" in schema:  # JSON of the body's schema of that name
            schema = self.api.document["components"]["schemas"]["ContainedArgs"]
            values = [json.dumps(self.maker.valid(schema)) for _ in range(4)]
            values += [json.dumps(n) for n in self.maker.neighbours(schema, {"a": [1]})] + [p.decode("latin-1") for p in self.maker.poisons()]
        else:
            values = [str(value) for value in values]
            values += [str(n) for n in self.maker.neighbours(schema, "") if isinstance(n, (int, str)) and n != ""]
        for value in values:
            whole = schema["type"] == "integer"
            judged = int(value) if whole and re.fullmatch(r"-?\d+", value) else value
            if several:
                judged = [part for part in value if isinstance(part, str)] if isinstance(value, list) else []
            elif schema["type"] == "object":
                judged = json_of(value)
            parts = [quoted(part) for part in (judged if several else [value])]
            valid = self.api.validator(schema).is_valid(judged) and (whole or several or len(value) < 19 or int_fits(value))
            target = re.sub(r"\{\w+\}", "17", path) + "?" + "&".join(f"{parameter['name']}={part}" for part in parts)
            answer = ask_over(self.connection, "HEAD" if path == EVENTS else "GET", target)
            self.requests += 1
            if path != EVENTS:  # it would not end
                self.api.check("GET", path, answer)
            expected = {200, 404} if valid else {400}
            if parameter["name"] == "cursor":
                expected = {400} # they cannot be made up
            assert answer.status in expected, f"{target}: {answer.status} {answer.body}"

    def head(self):
        for key, valid in (("k" * 255, True), ("k" * 256, False), ("\xe4", False), ("a\tb", False), ("~ !", True)):
            answer = self.send("enqueueJob", b'{"kind":"noop"}', {"Idempotency-Key": f"{key}"})
            assert answer.status == (201 if valid else 400), key
        assert self.send("enqueueJob", b'{"kind":"noop"}', {"Content-Type": "text/plain"}).status == 415


def quoted(text):
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02x}" for b in c.encode()) for c in text)


def json_of(text):
    """What it says; a text when it is not JSON that may be sent."""
    def once(pairs):
        assert len({key for key, _ in pairs}) == len(pairs) and not any("\0" in key for key, _ in pairs)
        return dict(pairs)
    def depth(value):
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if parts is None else 1 + max(map(depth, parts), default=0)
    try:
        value = json.loads(text, object_pairs_hook=once)
        return value if depth(value) <= 8 else text
    except (ValueError, AssertionError, RecursionError):
        return text


def int_fits(text):
    return not text.isdigit() or int(text) < 2**63


@pytest.mark.limit(600)
def test_whatever_is_next_to_a_valid_request_is_refused_with_a_pointer(node):
    seed = int(os.environ.get("TROUPE_SEED", 0)) or random.SystemRandom().randrange(1, 2**32)
    print(f"TROUPE_SEED={seed}")
    fuzzer = Fuzzer(node, node.ask("GET", "/openapi.json").json, seed)
    bodies = [(o["operationId"], fuzzer.api.body_schema(o)) for _, _, o in fuzzer.api.operations() if "requestBody" in o]
    fuzzer.parameters()
    fuzzer.head()
    # Each member of each body is wrong at least once, and each policy has its turn; of 200 seeds one needs a second round.
    schemas = [fuzzer.api.document["components"]["schemas"][name] for name in (
        "NewJob", "JobChanges", "NewBulk", "BulkFilter", "NewExport", "QueueLimits", "Rate", "UniqueRule", "NewToken")]
    missing = {"exponential", "fixed", "list", "none"}.union(*(schema["properties"] for schema in schemas))
    for _ in range(10):
        for operation, schema in bodies:
            fuzzer.each_field_wrong(operation, schema)
        missing -= {name for touched in fuzzer.touched for name in touched}
        if not missing:
            break
    assert not missing
    end = time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < end:
        fuzzer.by_chance(bodies)
    print(f"{fuzzer.requests} requests")
    assert node.ask("GET", "/readyz").status == 200
