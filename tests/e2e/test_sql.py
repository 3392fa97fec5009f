"""docs/sql.md: its examples run as they are there, in psql and in psycopg2."""
import json
import re
import subprocess
from pathlib import Path

import psycopg2
import pytest

from node import PROGRAM, Node, clean_environment, run

# Workers whose heartbeats last: on a slow machine what is done by hand takes longer than the 4 s that a node has.
PATIENT = """
    create function public.last_longer() returns trigger language plpgsql as $$
    begin new.heartbeat_at := new.heartbeat_at + interval '1 hour'; return new; end $$;
    create trigger last_longer before insert or update of heartbeat_at on troupe.node for each row
      when (new.ended_at is null and new.name in ('psql', 'python', 'hand')) execute function public.last_longer()"""

PAGE = (Path(__file__).resolve().parents[2] / "docs/sql.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def database(workspace):
    """The URL of a node's database; the node leaves the queue `sql` alone."""
    node = Node(workspace, "--queue", "sql:0").start()
    node.sql(PATIENT)
    url = f"postgresql://postgres@/troupe?host={workspace.data}/pg"
    yield url
    assert node.stop() == 0


def query(url, sql, *values):
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_the_examples_run_in_psql(database):
    query(database, "create table orders (id int generated always as identity, item text, shipped boolean)")
    scripts = blocks("sql")
    assert len(scripts) == 7
    done = subprocess.run(["psql", "-X", "-v", "ON_ERROR_STOP=1", "-A", "-t", database],
                          input="\n".join(scripts), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "|cancelled|t" in done.stdout
    assert query(database, "select shipped from orders") == [(True,)]
    assert query(database, "select kind, state, result from troupe.jobs where state = 'completed'") == [
        ("ship", "completed", {"shipped": True})]
    assert query(database, "select state, count(*)::int from troupe.jobs group by 1 order by 1") == [
        ("available", 3), ("cancelled", 1), ("completed", 1), ("scheduled", 1)]


def test_what_a_worker_in_sql_reports_is_shown_by_the_command_line(workspace):
    node = Node(workspace, "--queue", "by-hand:0").start()
    node.sql(PATIENT)
    job = node.create("noop", queue="by-hand")["id"]
    url = f"postgresql://postgres@/troupe?host={workspace.data}/pg"
    worker = query(url, "select troupe.join_node('hand')")[0][0]
    ((lease, attempt),) = query(url, "select lease, attempt from troupe.claim(%s, 'by-hand', 1)", worker)

    def report(function, *values):
        assert query(url, "select alive from troupe.heartbeat(%s)", worker) == [(True,)]
        places = ", ".join(["%s"] * (3 + len(values)))
        return query(url, f"select troupe.{function}({places})", lease, job, attempt, *values)[0][0]

    assert report("report_progress", 12.5, "an eighth")
    assert report("log", "first") and report("log", "second")
    assert "12.5%, an eighth" in run("jobs", "get", job, TROUPE_URL=node.url).stdout
    with subprocess.Popen([PROGRAM, "jobs", "logs", job, "--follow"], stdout=subprocess.PIPE, text=True,
                          env=clean_environment(TROUPE_URL=node.url)) as follows:
        assert follows.stdout.readline().endswith("info   first\n")
        assert follows.stdout.readline().endswith("info   second\n")
        assert report("log", "third", 4)
        assert query(url, "select troupe.finish(%s, %s, %s, %s)", worker, lease, job, attempt) == [(True,)]
        assert not report("log", "late")
        assert follows.stdout.read().endswith("error  third\n")
        assert follows.wait(120) == 0
    lines = [json.loads(line) for line in run("jobs", "logs", job, "--json", TROUPE_URL=node.url).stdout.splitlines()]
    assert [line["text"] for line in lines] == ["first", "second", "third"]
    behind = run("jobs", "logs", job, "--after", lines[1]["number"], TROUPE_URL=node.url)
    assert "third" in behind.stdout and "second" not in behind.stdout
    assert run("jobs", "logs", "4711", TROUPE_URL=node.url).returncode == 3
    assert node.stop() == 0


def test_the_worker_in_python_runs_each_job_and_its_effects_once(database):
    (source,) = blocks("python")
    page = {}
    exec(compile(source, "docs/sql.md", "exec"), page)  # pylint: disable=exec-used
    query(database, "create table effect (job int)")
    query(database, "select troupe.enqueue('good', jsonb_build_object('n', n), queue => 'sql') "
                    "from generate_series(1, 40) n")
    query(database, "select troupe.enqueue('bad', jsonb_build_object('n', 99), queue => 'sql', max_attempts => 1)")

    def handle(cursor, kind, args):
        cursor.execute("insert into effect values (%s)", (args["n"],))
        if kind == "bad":
            raise ValueError("it is bad")
        return {"was": args["n"]}

    worker = page["Worker"](database, "sql")
    worker.run(handle)
    assert query(database, "select array_agg(job order by job) from effect") == [(list(range(1, 41)),)]
    assert query(database, "select count(*)::int, count(distinct (result ->> 'was')::int)::int "
                           "from troupe.jobs where state = 'completed'") == [(40, 40)]
    assert query(database, "select state, error from troupe.jobs where kind = 'bad'") == [("discarded", "it is bad")]
    assert query(database, "select count(*)::int from troupe.lease") == [(0,)]
    assert query(database, "select ended_at is not null from troupe.node where name = 'python'") == [(True,)]


def test_errors_have_the_states_that_the_page_names(database):
    cases = {
        "TR400": ["select troupe.enqueue('a b')", "select troupe.enqueue('a', unique_by => '[]')",
                  "select troupe.finish(1, 1, 1, 1, 'done')"],
        "TR404": ["select troupe.cancel(99)"],
        "TR409": ["select troupe.cancel(min(id)) from troupe.jobs where state = 'cancelled'",
                  "select troupe.enqueue('a', queue => 'sql', unique_by => '{}') from generate_series(1, 2)"],
        "TR410": ["select * from troupe.claim(99, 'sql', 1)"],
    }
    query(database, "select troupe.cancel(troupe.enqueue('a', queue => 'sql'))")
    for state, statements in cases.items():
        assert f"| `{state}` |" in PAGE
        for statement in statements:
            with pytest.raises(psycopg2.Error) as refused:
                query(database, statement)
            assert refused.value.pgcode == state, statement
