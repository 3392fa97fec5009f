"""The bounds of HTTP at one less, exactly and one more over plain sockets, and hostile texts wherever something is
looked up by a text."""
import re
import socket
import time

import pytest

from described import Described
from node import ask_over

HOUR = 3_600_000
HOSTILE = ("'; drop table troupe.jobs; --", "' or '1'='1", "x' union select null--", "') or pg_sleep(60)--", "\\'; select 1", "$$x$$", "%",
           "_", "*", "$1", "{}", "{a,b}", "null", "../../etc/passwd", "a\x00b", "\x01", "\u202e\u2603", "x" * 3000, "${jndi:x}", "`id`",
           "<script>", "a,b", "1e9", "-1", "0x10", " 1", "\xb2", str(2**63), "9" * 400)


@pytest.fixture(scope="module")
def api(node):
    return Described(node.ask("GET", "/openapi.json").json)


class Socket:
    """Bytes as they are, and answers as they come."""

    def __init__(self, node):
        self.socket = socket.create_connection((node.host, int(node.port)), timeout=120)
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts):
        for part in parts:
            self.socket.sendall(part)
        return self

    def answer(self):
        """Status and head of the next answer; None at the end."""
        while b"\r\n\r\n" not in self.left:
            if not self._more():
                return None
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"\r\nContent-Length: (\d+)", head)[1])
        while len(self.left) < length:
            assert self._more(), "the answer is cut off"
        self.left = self.left[length:]
        return int(head.split(b" ")[1]), head

    def _more(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.left += piece
        return piece != b""


def status_of(node, *parts):
    """Of one request; a refusal that leaves its end in doubt ends the connection."""
    with Socket(node) as end:
        status, head = end.send(*parts).answer()
        if status in (413, 414, 431):
            assert b"\r\nConnection: close" in head and end.answer() is None
        return status


def around(bound):
    return (bound - 1, bound, bound + 1)


def test_heads_are_taken_up_to_their_bounds(node):
    def target(length):
        return b"GET /" + b"x" * (length - 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n"

    def head(length):
        text = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n"
        return text % (b"x" * (length - len(text) + 2))

    def fields(count):
        return b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * (count - 1) + b"\r\n"

    assert [len(head(n)) for n in (100, 16384)] == [100, 16384]
    assert [status_of(node, head(n)) for n in around(16 * 1024)] == [200, 200, 431]
    assert [status_of(node, fields(n)) for n in around(100)] == [200, 200, 431]
    assert [status_of(node, target(n).replace(b"Host: a", b"Host: localhost")) for n in around(8 * 1024)] == [404, 404, 414]


def test_a_connection_serves_a_thousand_requests(node):
    with Socket(node) as end:
        end.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1001)
        answers = [end.answer() for _ in range(1000)]
        assert {status for status, _ in answers} == {200}
        assert [b"\r\nConnection: close" in head for _, head in answers] == [False] * 999 + [True]
        assert end.answer() is None


@pytest.mark.limit(600)
def test_each_body_is_taken_up_to_its_bound(node, api):
    """In one piece and in chunks. The body says nothing that is known, so that nothing is done."""
    seen = set()
    for verb, path, operation in api.operations():
        if "requestBody" not in operation:
            continue
        bound = int(re.fullmatch(r"At most (\d+) bytes\.", operation["requestBody"]["description"])[1])
        target = re.sub(r"\{\w+\}", "4611686018427387904", path)
        head = (f"{verb} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n").encode()
        for size in around(bound):
            body = b'{"xyzzy":1}'.ljust(size)
            # What is too long is refused before it has been sent.
            whole = status_of(node, head, b"Content-Length: %d\r\n\r\n" % size, b"" if size > bound else body)
            what = f"{verb} {path} with {size} of {bound} bytes: {whole}"
            assert whole == 413 if size > bound else whole in (400, 404), what
            if bound not in seen:
                chunked = status_of(node, head, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size,
                                    b"" if size > bound else body + b"\r\n0\r\n\r\n")
                assert chunked == whole, what
        seen.add(bound)
    assert len(seen) >= 5


def test_arguments_are_taken_up_to_their_bounds(node):
    def put(args):
        return node.ask("POST", "/api/v1/jobs", b'{"kind":"noop","delay_ms":%d,"args":%s}' % (HOUR, args)).status

    def members(count):
        return b"{" + b",".join(b'"%d":1' % n for n in range(count)) + b"}"

    taken = [201, 201, 400]
    assert [put(b'"' + b"x" * (size - 2) + b'"') for size in around(1024 * 1024)] == taken
    assert put(b"[" + b",".join([b"1"] * 520_000) + b"]") == 201  # what grows the most in the database
    assert [put(b"[" * depth + b"]" * depth) for depth in around(64)] == taken
    assert [put(members(count)) for count in around(10_000)] == taken
    assert [put(b"0." + b"1" * (length - 2)) for length in around(512)] == taken
    assert [put(b"1e-%d" % exponent) for exponent in around(999)] == taken
    assert [put(b"1e%d" % exponent) for exponent in (307, 308, 309)] == taken  # beyond it JavaScript has no number
    keys = [node.ask("POST", "/api/v1/jobs", b'{"kind":"noop"}', {"Idempotency-Key": "k" * n}).status for n in around(255)]
    assert keys == taken


def percent(text):
    return "".join(c if c.isascii() and c.isalnum() else "".join(f"%{byte:02x}" for byte in c.encode()) for c in text)


@pytest.mark.limit(600)
def test_hostile_texts_find_nothing_and_change_nothing(node, api):
    """In each parameter of each route that reads, in each path, and in each member of a filter."""
    job = node.create("noop", queue="b1", delay_ms=HOUR, tags=["a"], limit_key="k")
    connection = node.connection()
    slowest = 0.0

    def asked(verb, target, body=None, headers=None):
        nonlocal slowest
        begin = time.monotonic()
        answer = ask_over(connection, verb, target, body, headers)
        slowest = max(slowest, time.monotonic() - begin)
        return answer

    count = 0
    for verb, path, operation in api.operations():
        parameters = [api.resolve(one) for one in operation.get("parameters", ())]
        for parameter in parameters:
            for text in HOSTILE if parameter["in"] != "header" else ():
                query = parameter["in"] == "query"
                if query and verb != "GET" and operation["operationId"] != "enqueueJobs":
                    continue
                target = re.sub(r"\{\w+\}", "17" if query else lambda _, text=text: percent(text), path)
                target += f"?{parameter['name']}={percent(text)}" if query else ""
                if path == "/api/v1/events":
                    verb = "HEAD"  # a stream would not end
                answer = asked(verb, target, {} if verb in ("POST", "PATCH", "PUT") else None)
                count += 1
                name = parameter["name"] if query else path
                schema = api.resolve(parameter["schema"])
                valid = api.validator(schema).is_valid([text] if schema["type"] == "array" else text)
                assert answer.status in ((200, 204, 400, 404, 409) if valid else (400, 404)), f"{name}={text!r}: {answer.status} {answer.body}"
    for member in ("state", "queue", "kind", "tag", "tags", "limit_key", "created_from", "created_before", "args"):
        for text in HOSTILE:
            value = {"tags": [text], "args": {text: text}}.get(member, text)
            answer = asked("POST", "/api/v1/bulk", {"action": "cancel", "dry_run": True, "filter": {member: value}})
            assert answer.status == 400 or answer.status == 200 and answer.json["matched"] == 0, f"{member}={text!r}: {answer.body}"
            count += 1
    for header in ("Idempotency-Key", "If-Match", "If-None-Match", "Range", "Last-Event-ID", "traceparent", "X-Request-Id"):
        for text in (text for text in HOSTILE if text.isascii() and text.isprintable()):
            assert asked("GET", f"/api/v1/jobs/{job['id']}", headers={header: text}).status == 200, (header, text)
            assert asked("PATCH", "/api/v1/queues/b1", {"xyzzy": 1}, {header: text}).status in (400, 412), (header, text)
            count += 2
    connection.close()
    assert count > 1000 and slowest < 30, (count, slowest)
    after = node.job(job["id"])
    assert {name: after[name] for name in job} == job
    assert node.ask("GET", "/readyz").status == 200


def test_hostile_texts_are_kept_and_found_as_they_are(node):
    for text in HOSTILE:
        if "\x00" not in text and len(text) <= 128:
            kept = node.create("noop", queue="b2", delay_ms=HOUR, tags=[text], limit_key=text, args={text: text})
            assert (kept["tags"], kept["limit_key"], kept["args"]) == ([text], text, {text: text})
            found = node.ask("POST", "/api/v1/bulk", {"action": "cancel", "dry_run": True, "filter": {"tag": text, "limit_key": text}})
            assert found.json["matched"] == 1, text


def test_a_list_of_huge_jobs_comes_in_pages_that_end_early(node):
    """80 MiB of arguments: more than the database's answer may have, whatever limit is asked for."""
    args = '"' + "x" * (1024 * 1024 - 2) + '"'
    put = []
    for _ in range(8):
        job = '{"kind":"noop","queue":"huge","delay_ms":%d,"args":%s}' % (HOUR, args)
        put += node.ask("POST", "/api/v1/jobs/bulk", ('{"jobs":[' + ",".join([job] * 10) + "]}").encode()).json["ids"]
    for path in ("/api/v1/jobs?queue=huge&limit=500", "/api/v1/jobs?state=scheduled&queue=huge&limit=500&fields=id"):
        seen, cursor = [], ""
        while cursor is not None:
            page = node.ask("GET", path + cursor)
            assert page.status == 200 and len(page.body) < 18 * 1024 * 1024
            seen += [job["id"] for job in page.json["jobs"]]
            cursor = page.json["next"] and "&cursor=" + page.json["next"]
        assert seen == put[::-1]
