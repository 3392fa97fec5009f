"""What a running node tells: metrics that promtool, the page, the dashboard and the alerts agree on; traces; logs."""
import json
import re
import subprocess
from pathlib import Path

import pytest

from node import Node, Workspace, clean_environment, fitting, run, until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/observability.md").read_text()
RULES = (ROOT / "configs/prometheus/alerts.yml").read_text()
DASHBOARD = json.loads((ROOT / "configs/grafana/troupe.json").read_text())
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-"
# What Prometheus itself adds, and words of its language that look like names.
NOT_OURS = {"up", "ALERTS"}


@pytest.fixture(scope="module")
def node():
    with Workspace() as place:
        running = Node(place, "--grace", "1", "--log-level", "debug", "--log-format", "json").start()
        failed = running.create("fail", args={"times": 1, "message": "not yet"},
                                retry={"policy": "fixed", "delay_ms": 1})["id"]
        running.await_state(failed, "completed")
        running.ask("GET", "/nowhere")
        until(lambda: all(name in running.ask("GET", "/metrics").body
                          for name in (b"\ntroupe_queue_latency_seconds{", b"\ntroupe_queue_jobs{")),
              "queues are measured, every ten seconds")
        yield running
        assert running.stop() == 0


def promtool(*arguments, text=None):
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=120,
                          cwd=ROOT, check=False)


def exported(node):
    """Each family's name with its type and the names of its labels."""
    families = {}
    for line in node.ask("GET", "/metrics").body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            families[name] = (kind, set())
        elif not line.startswith("#"):
            series, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            family = next(n for n in (series, re.sub(r"_(bucket|sum|count)$", "", series)) if n in families)
            families[family][1].update(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', labels or ""))
    return {name: (kind, labels - {"le"}) for name, (kind, labels) in families.items()}


def series_of(expression):
    """The metrics that an expression reads."""
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|group_left)\s*\([^)]*\)", "", plain)
    return {name for name in re.findall(r"\b[a-z_]+\b(?!\s*\()", plain)
            if name.startswith(("troupe_", "process_"))}


def families_of(series, families):
    return {name for name in series
            if name not in families and re.sub(r"_(bucket|sum|count)$", "", name) not in families}


def test_promtool_finds_nothing_wrong_with_the_metrics(node):
    done = promtool("check", "metrics", text=node.ask("GET", "/metrics").body.decode())
    assert done.returncode == 0 and done.stdout + done.stderr == "", done.stdout + done.stderr


def test_runs_and_requests_are_counted_by_what_they_were(node):
    text = node.ask("GET", "/metrics").body.decode()
    for line in ('troupe_jobs_total{queue="default",kind="fail",outcome="retried"} 1',
                 'troupe_jobs_total{queue="default",kind="fail",outcome="completed"} 1',
                 'troupe_job_duration_seconds_count{queue="default",kind="fail"} 2',
                 'troupe_job_attempts_total{outcome="retry"} 1',
                 'troupe_http_request_duration_seconds_count{method="POST",route="/api/v1/jobs",code="201"} 1',
                 'troupe_http_rejected_total{reason="no_route"} 1'):
        assert line in text.splitlines(), line


def test_the_table_of_the_page_is_what_a_node_exports(node):
    documented = {}
    for name, labels, kind in re.findall(r"^\| `(\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", PAGE, re.M):
        documented[name] = (kind, set(labels.split(",")) if labels else set())
    assert len(documented) > 50
    assert documented == fitting(lambda: exported(node), lambda found: found.keys() == documented.keys(), "all families", 20)


def test_every_metric_of_the_dashboard_and_of_the_alerts_is_exported(node):
    families = exported(node)
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    expressions += [variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable]
    expressions += re.findall(r"^ +expr: (?:>-\n)?((?:.*\n)(?: {10}.*\n)*)", RULES, re.M)
    assert len(expressions) > 50 and all(series_of(e) or "up{" in e for e in expressions)
    for expression in expressions:
        assert not families_of(series_of(expression), families), expression
        for label in re.findall(r'(\w+)(?:=~|!~|!=|=)"', expression):
            owners = [families[re.sub(r"_(bucket|sum|count)$", "", s) if s not in families else s][1]
                      for s in series_of(expression)]
            assert label in {"job", "instance"} or any(label in labels for labels in owners), (label, expression)
    assert families_of({"troupe_never_made"}, families)  # the check can fail


def test_the_dashboard_is_whole():
    panels = DASHBOARD["panels"]
    assert [p["title"] for p in panels if p["type"] == "row"] == ["Overview", "Queues", "Nodes", "Database", "HTTP"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert promtool_accepts(target["expr"]), target["expr"]


def promtool_accepts(expression):
    """Grafana's variables are no PromQL."""
    plain = expression.replace("$__rate_interval", "5m").replace("$job", "j").replace("$queue", "q")
    rule = {"groups": [{"name": "g", "rules": [{"record": "a", "expr": plain}]}]}
    return promtool("check", "rules", "/dev/stdin", text=json.dumps(rule)).returncode == 0


def test_the_rules_are_right_and_fire_when_they_should():
    for arguments in (("check", "rules", "configs/prometheus/alerts.yml"),
                      ("test", "rules", "configs/prometheus/alerts_test.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = (ROOT / "configs/prometheus/alerts_test.yml").read_text()
    for name in re.findall(r"- alert: (\w+)", RULES):
        assert name in tests, name


def test_what_the_rules_tell_people_to_call_exists():
    manual = run("man").stdout
    commands = re.findall(r"^\.SS (.*)$", manual, re.M)
    called = re.findall(r"`troupe ([^`]+)`", RULES)
    assert len(called) >= 6
    for call in called:
        assert any(f"troupe {call} ".startswith(f"{command} ") for command in commands), call
        for flag in re.findall(r"--[a-z-]+", call):
            assert flag.replace("-", r"\-") in manual or flag in manual, flag


def test_the_commands_of_the_page_run(node):
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)).replace("http://127.0.0.1:8080", node.url)
    # When queues were measured a job may have had to wait.
    until(lambda: b'\ntroupe_queue_latency_seconds{queue="default"} 0\n' in node.ask("GET", "/metrics").body, "nothing waits")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120,
                          cwd=ROOT, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'troupe_queue_latency_seconds{queue="default"} 0' in done.stdout
    assert f"traceresponse: {TRACE}" in done.stdout and f'"traceparent":"{TRACE}' in done.stdout


def test_a_trace_goes_with_the_job_and_into_the_log(node):
    asked = TRACE + "00f067aa0ba902b7-01"
    answer = node.ask("POST", "/api/v1/jobs/bulk", {"jobs": [{"kind": "noop"}, {"kind": "echo", "delay_ms": 1}]},
                      {"traceparent": asked})
    ours = answer.headers["traceresponse"]
    assert ours.startswith(TRACE) and ours.endswith("-01") and ours != asked
    ids = answer.json["ids"]
    for job_id in ids:
        assert node.await_state(job_id, "completed")["traceparent"] == ours
    plain = node.create("noop")
    assert "traceparent" not in plain and "traceresponse" not in node.ask("GET", "/livez").headers
    (log,) = node.place.root.glob("node*.log")

    def told():
        whole = log.read_text().rpartition("\n")[0]  # its last line may be on its way
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        assert all(set(line) == {"time", "level", "who", "message"} for line in lines)
        ends = [(line["who"], line["message"]) for line in lines if line["message"].endswith(f", trace {ours}")]
        return ends if len(ends) == 3 else None

    ends = until(told, "the request and both runs are in the log")
    assert sorted(who for who, _ in ends) == ["access", "run", "run"]
    assert any(message.startswith(f"job {ids[0]} (noop) of default, attempt 1: completed in ") for _, message in ends)


def test_logs_are_text_when_that_is_asked_for(workspace):
    done = run("serve", "--database", "postgresql:///nowhere?host=/nowhere", "--log-format", "text",
               "--listen", "127.0.0.1:0", "--data-dir", str(workspace.data))
    assert done.returncode != 0
    assert not re.search(r"^\{", done.stderr, re.M), done.stderr
