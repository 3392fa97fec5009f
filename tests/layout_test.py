#!/usr/bin/python3
"""Reads the sources and fails when the house is not as docs and design draw it: the arrows between
rooms, who may include which library, pairs of source and test, lengths, and words that must not be.
Each rule is first shown a tree that breaks it; a rule that stays silent there fails the test."""

import pathlib
import re
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

ROOMS = ["messages", "db", "actors", "http", "handlers", "launcher", "cli"]
CODE = ROOMS + ["examples", "bench", "tests"]

# room -> rooms it may include. What is not listed may include every room.
ARROWS = {
    "messages": {"messages"},
    "db": {"db", "messages"},
    "actors": {"actors", "db", "messages"},
    "http": {"http", "messages"},
    "handlers": {"handlers", "messages"},
    "launcher": {"launcher", "http", "handlers", "actors", "db", "messages"},
    "cli": {"cli", "launcher", "messages"},
    "examples": {"examples", "launcher", "db", "messages"},
}

# library (first part of the include) -> where it may be included, as patterns of whole paths.
LIBRARIES = {
    "libpq-fe.h": [r"db/[^/]+\.cpp", r"tests/.*", r"bench/.*"],
    "caf": [r"actors/.*", r"messages/(interfaces|type_ids)\.hpp", r"http/bridge\.cpp",
            r"launcher/.*", r"tests/(actors|http|launcher|support)/.*", r"bench/database\.cpp"],
    "boost/beast": [r"http/.*", r"tests/http/.*"],
    "boost/asio": [r"http/.*", r"launcher/.*", r"examples/.*", r"tests/(http|launcher|support)/.*"],
    "boost/test": [r"tests/.*"],
    "boost": [r"http/.*"],
    "nlohmann": [r"http/.*", r"handlers/args\.cpp", r"launcher/span_encoding\.cpp", r"cli/.*",
                 r"tests/.*"],
    "curl": [r"handlers/.*", r"launcher/span_exporter\.cpp", r"cli/.*", r"tests/.*", r"bench/.*"],
    "libxml": [r"handlers/.*", r"tests/handlers/.*", r"bench/.*"],
    "zlib.h": [r"http/gzip\.cpp", r"tests/http/.*"],
    "spdlog": [r"launcher/.*"],
    "fmt": [r"handlers/.*", r"launcher/.*", r"cli/.*"],
    "prometheus": [r"http/.*"],
    "CLI": [r"cli/.*"],
    "openssl": [r"bench/requests\.cpp", r"http/.*", r"launcher/.*", r"handlers/stored_export\.cpp", r"tests/http/.*"],
    "date": [r"messages/.*", r"http/.*", r"actors/.*"],
}
# Directories of the C library and the kernel.
SYSTEM = {"sys", "netinet", "arpa", "net", "linux"}

# Actors wait for messages and for nothing else.
BLOCKING_HEADERS = {"mutex", "shared_mutex", "thread", "condition_variable", "future", "semaphore",
                    "latch", "barrier"}
BLOCKING_WORDS = re.compile(
    r"\b(sleep_for|sleep_until|usleep|nanosleep|scoped_actor|blocking_actor|pthread_\w+"
    r"|std::(mutex|thread|jthread|condition_variable\w*|future|promise|async))\b")
SLEEPING = {
    ".cpp": re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|\bsleep\s*\("),
    ".hpp": re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|\bsleep\s*\("),
    ".py": re.compile(r"\b(time|asyncio)\.sleep\b|import sleep\b"),
    ".sh": re.compile(r"^\s*sleep\b", re.M),
}
SQL = re.compile(
    r"^\s*(select\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|truncate\s"
    r"|with\s+\w+\s+as\s*\(|(create|alter|drop)\s+(table|index|schema|database|function|view|type"
    r"|role|sequence|extension)\s|listen\s+\w|notify\s+\w|copy\s+\w+\s+(from|to)\s)", re.I)
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
EMPTY_NAME = re.compile(r"(manager|helper|util)s?$", re.I)

FILE_LINES, HEADER_LINES, FUNCTION_LINES = 500, 200, 70

# Sources without a test file of their own, and what tests them. An entry that is no longer needed
# (the source is gone, or has its test) fails.
# They speak to databases that have no schema of ours yet, over connections of their own.
BEFORE_THE_SCHEMA = {"db/migrate.cpp", "db/admin.cpp"}

TESTED_ELSEWHERE = {
    "actors/cast.cpp": "launcher/engine_pgtest.cpp",
    "actors/connection_dial.cpp": "actors/pool_test.cpp",
    "actors/connection_loan.cpp": "actors/pool_lending_pgtest.cpp",
    "actors/connection.cpp": "actors/pool_pgtest.cpp",
    "actors/crawl_store.cpp": "actors/crawl_port_pgtest.cpp",
    "actors/executor_writing.cpp": "actors/executor_test.cpp",
    "messages/bulk.cpp": "http/bulk_routes_test.cpp",
    "messages/span.cpp": "actors/run_span_test.cpp",
    "http/engine_families.cpp": "http/metrics_test.cpp",
    "db/bulk_statements.cpp": "db/bulk_pgtest.cpp",
    "db/json_text.cpp": "db/unique_rule_test.cpp",
    "http/json_admin.cpp": "http/admin_routes_test.cpp",
    "http/json_bulk.cpp": "http/bulk_routes_test.cpp",
    "cli/bulk_commands.cpp": "e2e/test_bulk.py",
    "actors/gate.cpp": "actors/entrance_test.cpp",
    "actors/guard.cpp": "actors/entrance_test.cpp",
    "actors/janitor.cpp": "actors/clockwork_test.cpp",
    "actors/pulse.cpp": "actors/clockwork_test.cpp",
    "actors/scheduler.cpp": "actors/clockwork_test.cpp",
    "actors/run_work.cpp": "launcher/run_session_pgtest.cpp",
    "actors/session.cpp": "actors/entrance_test.cpp",
    "http/json_work_write.cpp": "http/work_routes_test.cpp",
    "http/json_work.cpp": "http/work_routes_test.cpp",
    "actors/work_store.cpp": "e2e/test_work.py",
    "actors/stored_export.cpp": "e2e/test_exports.py",
    "actors/work_desk.cpp": "actors/unit_of_work_test.cpp",
    "launcher/migrate.cpp": "db/migrate_pgtest.cpp",
    "launcher/readiness.cpp": "launcher/asio_loop_test.cpp",
    "launcher/export_ports.cpp": "e2e/test_exports.py",
    "launcher/token_admin.cpp": "e2e/test_tokens.py",
    "launcher/doctor.cpp": "e2e/test_cli.py",
    "cli/config_command.cpp": "e2e/test_cli.py",
    "cli/doctor_command.cpp": "e2e/test_cli.py",
    "cli/answer.cpp": "cli/job_view_test.cpp",
    "cli/bench_command.cpp": "e2e/test_bench.py",
    "cli/bench_queue.cpp": "e2e/test_bench.py",
    "cli/export_command.cpp": "e2e/test_exports.py",
    "cli/job_commands.cpp": "e2e/test_cli.py",
    "cli/drain_wait.cpp": "e2e/test_queues.py",
    "cli/node_commands.cpp": "e2e/test_cli.py",
    "cli/server_commands.cpp": "e2e/test_cli.py",
    "cli/server_options.cpp": "cli/client_options_test.cpp",
    "cli/talk.cpp": "e2e/test_cli.py",
    "cli/token_commands.cpp": "e2e/test_tokens.py",
    "cli/queue_commands.cpp": "e2e/test_queues.py",
    "cli/option_sources.cpp": "cli/options_test.cpp",
    "cli/refusals.cpp": "cli/options_test.cpp",
    "cli/progress_display.cpp": "e2e/test_scrape.py",
    "cli/scrape_command.cpp": "e2e/test_scrape.py",
    "cli/scrape_options.cpp": "cli/options_test.cpp",
    "cli/serve_command.cpp": "e2e/test_jobs.py",
    "cli/shell_commands.cpp": "e2e/test_cli.py",
    "cli/top_command.cpp": "e2e/test_cli.py",
    "cli/top_gatherer.cpp": "e2e/test_cli.py",
    "cli/watch_command.cpp": "e2e/test_cli.py",
    "cli/signals.cpp": "e2e/test_jobs.py",
    "db/blocking.cpp": "db/migrate_pgtest.cpp",
    "db/connection_reading.cpp": "db/connection_pgtest.cpp",
    "db/literals.cpp": "db/copy_pgtest.cpp",
    "db/ask_once.cpp": "db/tokens_pgtest.cpp",
    "db/dial.cpp": "db/connecting_pgtest.cpp",
    "db/admin.cpp": "db/connecting_pgtest.cpp",
    "db/query.cpp": "db/values_pgtest.cpp",
    "db/queue_statements.cpp": "db/queues_pgtest.cpp",
    "db/stored_export_statements.cpp": "db/stored_exports_pgtest.cpp",
    "db/token_statements.cpp": "db/tokens_pgtest.cpp",
    "db/unit_of_work_answers.cpp": "db/unit_of_work_test.cpp",
    "db/work_request.cpp": "db/unit_of_work_test.cpp",
    "db/result.cpp": "db/values_pgtest.cpp",
    "http/database_families.cpp": "http/metrics_test.cpp",
    "http/document_routes.cpp": "http/openapi_test.cpp",
    "http/routes.cpp": "http/openapi_test.cpp",
    "http/errors.cpp": "http/trouble_test.cpp",
    "http/hub.cpp": "http/server_test.cpp",
    "http/job_routes.cpp": "http/server_test.cpp",
    "http/json_tokens.cpp": "http/token_routes_test.cpp",
    "http/json_export.cpp": "http/stored_export_routes_test.cpp",
    "http/json_read.cpp": "http/json_test.cpp",
    "http/json_write.cpp": "http/json_test.cpp",
    "http/listener.cpp": "http/server_test.cpp",
    "http/peer.cpp": "http/server_test.cpp",
    "http/peer_answer.cpp": "http/server_test.cpp",
    "http/problem.cpp": "http/server_test.cpp",
    "http/reader.cpp": "http/framing_test.cpp",
    "http/queue_routes.cpp": "http/queues_test.cpp",
    "http/route_answers.cpp": "http/queues_test.cpp",
    "http/system_routes.cpp": "http/system_test.cpp",
    "http/time_format.cpp": "http/json_test.cpp",
    "http/tls_session.cpp": "http/tls_test.cpp",
    "http/transport.cpp": "http/tls_test.cpp",
    "handlers/args.cpp": "handlers/scrape_test.cpp",
    "handlers/crawls.cpp": "handlers/scrape_test.cpp",
    "handlers/page_arena.cpp": "handlers/page_test.cpp",
    "handlers/part_file.cpp": "handlers/export_test.cpp",
    "handlers/scrape_page.cpp": "handlers/scrape_test.cpp",
    "handlers/selectors.cpp": "handlers/page_test.cpp",
    "handlers/text.cpp": "handlers/page_test.cpp",
    "handlers/transfer.cpp": "handlers/fetcher_test.cpp",
    "launcher/postgres_directory.cpp": "launcher/private_postgres_pgtest.cpp",
}


def strip(text, keep_strings=False):
    """C++ without comments and, unless kept, with empty strings; lines stay where they are."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\\\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'", re.S)

    def replace(match):
        found = match.group(0)
        newlines = "\n" * found.count("\n")
        if found.startswith("/"):
            return newlines
        return found if keep_strings else '""' + newlines

    return token.sub(replace, text)


def string_literals(text):
    """The strings of C++ code; neighbours that the compiler joins are joined."""
    code = strip(text, keep_strings=True)
    one = re.compile(r'R"([^()\\\s]*)\((.*?)\)\1"|"((?:\\.|[^"\\\n])*)"', re.S)
    joined, end = [], None
    for match in one.finditer(code):
        value = match.group(2) if match.group(2) is not None else match.group(3)
        if end is not None and not code[end:match.start()].strip():
            joined[-1] += value
        else:
            joined.append(value)
        end = match.end()
    return joined


def functions(text):
    """(first line, number of lines) of each function that is not inside another one."""
    code = re.sub(r"^[ \t]*#[^\n]*(\\\n[^\n]*)*", lambda m: "\n" * m.group(0).count("\n"),
                  strip(text), flags=re.M)
    stack, statement, start, line = [], "", 1, 1
    for at, char in enumerate(code):
        if char == "\n":
            line += 1
        if char == "{":
            if "function" in stack:
                kind = "inner"
            elif re.search(r"(\bnamespace(\s+[\w:]+)?|\bextern\s*\"\")\s*$", statement) or (
                    re.search(r"\b(class|struct|union|enum)\b", statement)
                    and "(" not in re.sub(r"\balignas\s*\([^)]*\)", "", statement)):
                kind = "scope"
            else:
                kind = "function" if "(" in statement else "value"
            stack.append(kind)
            if kind == "function":
                begun = start
            if kind in ("scope", "inner"):
                statement = ""
        elif char == "}" and stack:
            kind = stack.pop()
            rest = code[at + 1:].lstrip()[:1]
            if kind == "function" and rest not in (",", "{"):
                yield begun, line - begun + 1
            if rest not in (",", "{", ")", ";") or kind == "scope":
                statement = ""
        elif char == ";":
            statement = ""
        else:
            if not statement.strip() and not char.isspace():
                start = line
            statement += char


class Tree:
    """One source tree and what is wrong with it, as (rule, sentence)."""

    def __init__(self, root, tested_elsewhere=None):
        self.root = pathlib.Path(root)
        self.tested_elsewhere = tested_elsewhere or {}
        self.wrong = []

    def report(self, rule, path, what):
        self.wrong.append((rule, f"{path}: {what}"))

    def files(self, directories, *suffixes):
        for directory in directories:
            for path in sorted((self.root / directory).rglob("*")):
                if path.is_file() and (path.suffix in suffixes or path.name in suffixes):
                    if "node_modules" not in path.parts and "__pycache__" not in path.parts:
                        yield path.relative_to(self.root), path.read_text(errors="replace")

    def check(self):
        for path, text in self.files(CODE, ".cpp", ".hpp"):
            self.check_includes(path, text)
            self.check_words(path, text)
            self.check_cpp_lengths(path, text)
        for path, text in self.all_sources():
            self.check_source(path, text)
        self.check_pairs()
        return self.wrong

    def all_sources(self):
        yield from self.files(CODE + ["cmake"], ".cpp", ".hpp", ".py", ".sh", ".cmake", ".sql",
                              "CMakeLists.txt")
        for path in sorted((self.root / "scripts").glob("*")) + sorted((self.root / ".ci").glob("*")):
            if path.is_file():
                yield path.relative_to(self.root), path.read_text(errors="replace")

    # -- includes ------------------------------------------------------------------------------------

    def check_includes(self, path, text):
        room = path.parts[0]
        code = strip(text, keep_strings=True)
        for form, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', code, re.M):
            first = name.split("/")[0]
            if form == '"':
                if first in ROOMS and room in ARROWS and first not in ARROWS[room]:
                    self.report("arrow", path, f"{room} may not include {name}")
                if first not in CODE and not name.startswith("generated"):
                    self.report("include", path, f"{name} is not relative to the root")
            else:
                self.check_library(path, room, name)

    def check_library(self, path, room, name):
        parts = name.split("/")
        library = "/".join(parts[:2]).removesuffix(".hpp") if parts[0] == "boost" else parts[0]
        if library not in LIBRARIES and parts[0] == "boost":
            library = "boost"
        places = LIBRARIES.get(library)
        if places is None:
            if len(parts) > 1 and parts[0] not in SYSTEM:
                self.report("library", path, f"nothing says who may include {name}")
        elif not any(re.fullmatch(place, path.as_posix()) for place in places):
            self.report("library", path, f"may not include {name}")
        if room == "actors" and name in BLOCKING_HEADERS:
            self.report("blocking", path, f"an actor has no use for <{name}>")

    # -- words ---------------------------------------------------------------------------------------

    def check_words(self, path, text):
        room, code = path.parts[0], strip(text)
        if room == "actors":
            for found in BLOCKING_WORDS.finditer(code):
                self.report("blocking", path, f"{found.group(0)} blocks an actor's thread")
        # Examples are programs of users, benchmarks bring tables of their own.
        if room not in ("tests", "bench", "examples") and path.as_posix() not in BEFORE_THE_SCHEMA:
            for literal in string_literals(text):
                if SQL.search(literal):
                    self.report("sql", path, f"SQL belongs to db/sql: {literal[:40]!r}")
        names = re.findall(r"\b(?:class|struct|enum(?:\s+class)?)\s+(\w+)", code)
        for name in names + [path.stem]:
            if EMPTY_NAME.search(name):
                self.report("name", path, f"{name} says nothing of what it does")
        if path.suffix == ".hpp" and not re.search(r"^#pragma once$", text, re.M):
            self.report("pragma", path, "no #pragma once")

    def check_source(self, path, text):
        if UNFINISHED.search(text):
            self.report("unfinished", path, UNFINISHED.search(text).group(0))
        if path.parts[0] == "tests" and path.suffix in SLEEPING:
            code = strip(text) if path.suffix in (".cpp", ".hpp") else text
            if SLEEPING[path.suffix].search(code) and path.name != "layout_test.py":
                self.report("sleep", path, "tests wait for events, not for time")
        lines = text.split("\n")
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if path.as_posix() == "db/schema.sql":
            return  # pg_dump's words, compared as a whole
        if path.name == "CMakeLists.txt" and path.parts[0] != "cmake":
            return  # short lists that their directory explains
        if path.suffix == ".cpp" and (self.root / path.with_suffix(".hpp")).exists():
            return  # its header begins with the comment of both
        if not re.match(r'\s*(//|#(?!include|pragma)|--|"""|/\*)', lines[0] if lines else ""):
            self.report("comment", path, "does not begin with a comment that says what it is")

    # -- lengths -------------------------------------------------------------------------------------

    def check_cpp_lengths(self, path, text):
        count = text.count("\n")
        bound = HEADER_LINES if path.suffix == ".hpp" and path.parts[0] != "tests" else FILE_LINES
        if count > bound:
            self.report("length", path, f"{count} lines, at most {bound}")
        for first, lines in functions(text):
            if lines > FUNCTION_LINES:
                self.report("function", path, f"the function at line {first} has {lines} lines, "
                                              f"at most {FUNCTION_LINES}")

    # -- pairs ---------------------------------------------------------------------------------------

    def check_pairs(self):
        unneeded = dict(self.tested_elsewhere)
        for path, _ in self.files(ROOMS, ".cpp"):
            if path.parts[0] == "cli" and path.stem == "main":
                continue
            stem = self.root / "tests" / path.parent / path.stem
            paired = any(stem.with_name(stem.name + end).exists()
                         for end in ("_test.cpp", "_pgtest.cpp"))
            if paired:
                continue
            if path.as_posix() not in self.tested_elsewhere:
                self.report("pair", path, f"no test tests/{path.parent}/{path.stem}_test.cpp")
                continue
            where = self.tested_elsewhere[path.as_posix()]
            if not (self.root / "tests" / where).exists():
                self.report("pair", path, f"the test that is to cover it is gone: tests/{where}")
            unneeded.pop(path.as_posix())
        for path in unneeded:
            self.report("pair", path, "its entry in TESTED_ELSEWHERE is no longer needed")


class RulesSpeak(unittest.TestCase):
    """Each rule on a tree that breaks it, and on its nearest neighbour that does not."""

    def wrong(self, files, tested_elsewhere=None):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = pathlib.Path(directory) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
            return Tree(directory, tested_elsewhere).check()

    def assert_breaks(self, rule, files, **more):
        found = self.wrong(files, **more)
        self.assertIn(rule, [name for name, _ in found], found)

    def assert_keeps(self, files, **more):
        self.assertEqual([], self.wrong(files, **more))

    def header(self, body="", path="http/a.hpp"):
        return {path: "// What it is.\n#pragma once\n" + body}

    def test_arrows(self):
        self.assert_breaks("arrow", self.header('#include "db/pool.hpp"\n'))
        self.assert_breaks("arrow", self.header('#include "actors/a.hpp"\n', "db/a.hpp"))
        self.assert_breaks("arrow", self.header('#include "http/a.hpp"\n', "cli/a.hpp"))
        self.assert_breaks("include", self.header('#include "a.hpp"\n'))
        self.assert_keeps(self.header('#include "messages/job.hpp"\n// #include "db/pool.hpp"\n'))

    def test_libraries(self):
        self.assert_breaks("library", self.header("#include <libpq-fe.h>\n", "db/a.hpp"))
        self.assert_breaks("library", self.header("#include <caf/all.hpp>\n"))
        self.assert_breaks("library", self.header("#include <caf/all.hpp>\n", "messages/job.hpp"))
        self.assert_breaks("library", self.header("#include <nlohmann/json.hpp>\n", "handlers/a.hpp"))
        self.assert_breaks("library", self.header("#include <boost/asio.hpp>\n", "db/a.hpp"))
        self.assert_breaks("library", self.header("#include <boost/beast/http.hpp>\n", "launcher/a.hpp"))
        self.assert_breaks("library", self.header("#include <rocksdb/db.h>\n"))
        self.assert_keeps(self.header("#include <caf/all.hpp>\n", "actors/a.hpp"))
        self.assert_keeps(self.header("#include <sys/socket.h>\n#include <vector>\n"))

    def test_blocking_actors(self):
        self.assert_breaks("blocking", self.header("#include <mutex>\n", "actors/a.hpp"))
        self.assert_breaks("blocking", self.header("void f() { sleep_for(1); }\n", "actors/a.hpp"))
        self.assert_keeps(self.header("// no std::mutex here\n", "actors/a.hpp"))

    def test_sql(self):
        for path in BEFORE_THE_SCHEMA:
            self.assertTrue((ROOT / path).exists(), path)
        self.assert_breaks("sql", self.header('auto q = "select 1";\n'))
        self.assert_keeps(self.header('auto q = "select 1";\n', "examples/a.hpp"))
        self.assert_breaks("sql", self.header('auto q = R"(\n  INSERT INTO t values (1))";\n', "db/a.hpp"))
        self.assert_breaks("sql", self.header('auto q = "delete "\n  "from t";\n'))
        self.assert_keeps(self.header('auto q = "select_me"; auto r = "please select one";\n'))

    def test_pairs(self):
        source = {"db/a.cpp": "// What it is.\n"}
        test = {"tests/db/a_pgtest.cpp": "// What it tests.\n"}
        other = {"tests/db/b_test.cpp": "// What it tests.\n"}
        excuse = {"db/a.cpp": "db/b_test.cpp"}
        self.assert_breaks("pair", source)
        self.assert_keeps(source | test)
        self.assert_keeps(source | other, tested_elsewhere=excuse)
        self.assert_breaks("pair", source, tested_elsewhere=excuse)
        self.assert_breaks("pair", source | test | other, tested_elsewhere=excuse)
        self.assert_breaks("pair", other, tested_elsewhere=excuse)

    def test_lengths(self):
        self.assert_breaks("length", self.header("\n" * 199))
        self.assert_breaks("length", {"bench/a.cpp": "// What it is.\n" + "\n" * 500})
        self.assert_keeps({"bench/a.cpp": "// What it is.\n" + "\n" * 499})

    def test_functions(self):
        def source(lines, head="int f() {"):
            return {"bench/a.cpp": "// What.\nnamespace x {\n" + head + "\n" + "  g();\n" * (lines - 2)
                                   + "}\n}\n"}
        self.assert_breaks("function", source(71))
        self.assert_keeps(source(70))
        self.assert_breaks("function", source(71, "c::c(int a) : a_{a}, b_{1} {"))
        self.assert_breaks("function", source(71, "struct s {\nvoid f() const {") | {})
        self.assert_breaks("function", source(71, "auto f = [](int a) {"))
        self.assert_keeps({"bench/a.cpp": "// What.\nBEGIN_IDS(a)\nnamespace x::y {\n" + "  int a;\n" * 90 + "}\n"})
        self.assert_keeps({"bench/a.cpp": "// What.\nstruct s {\n" + "  int a;\n" * 90 + "};\n"})

    def test_sleep(self):
        self.assert_breaks("sleep", self.header("void f() { std::this_thread::sleep_for(a); }\n", "tests/a.hpp"))
        self.assert_breaks("sleep", {"tests/a.py": '"""What."""\nimport time\ntime.' + "sleep(1)\n"})
        self.assert_keeps(self.header('auto name = "sleep_for";\n', "tests/a.hpp"))

    def test_words(self):
        self.assert_breaks("unfinished", self.header("// TO" "DO: later\n"))
        self.assert_breaks("name", self.header("class PoolManager {};\n"))
        self.assert_breaks("name", self.header("", "http/string_utils.hpp"))
        self.assert_breaks("pragma", {"http/a.hpp": "// What it is.\n"})
        self.assert_breaks("comment", {"http/a.hpp": "#pragma once\n"})
        self.assert_breaks("comment", {"bench/a.cpp": "#include <vector>\n"})
        self.assert_keeps(self.header("", "bench/a.hpp") | {"bench/a.cpp": "#include <vector>\n"})
        self.assert_breaks("comment", {"scripts/a": "#!/bin/bash\nset -e\n"})
        self.assert_keeps({"scripts/a": "#!/bin/bash\n# What it does.\n"})


class Repository(unittest.TestCase):
    def test_the_house_is_in_order(self):
        wrong = Tree(ROOT, TESTED_ELSEWHERE).check()
        self.assertEqual([], wrong, "\n" + "\n".join(f"[{rule}] {what}" for rule, what in wrong))


if __name__ == "__main__":
    unittest.main(verbosity=1)
