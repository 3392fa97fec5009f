"""`troupe scrape` on sites served by this test: right rows, counted failures, and a crawl that is
killed in the middle and goes on."""
import csv
import http.server
import json
import os
import pty
import select
import signal
import subprocess
import threading

import pytest

from node import Node, clean_environment, run, until

_pause = threading.Event()  # never set


class Site:
    """Pages by path on loopback: path -> (status, content type, text). `delay` seconds per page; so many as `most` are
    answered, and the others wait for more."""

    def __init__(self, pages, delay=0.0):
        self.hits = []
        self.most = float("inf")
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.hits.append(self.path)
                mine = len(site.hits)
                if delay:
                    _pause.wait(delay)
                while mine > site.most:
                    _pause.wait(0.02)
                status, kind, text = pages.get(self.path, (404, "text/html", "<p>gone"))
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.most = float("inf")
        self.server.shutdown()
        self.server.server_close()


def html(title, links=(), more=""):
    anchors = "".join(f'<li><a href="{link}">{link}</a>' for link in links)
    return (200, "text/html; charset=utf-8",
            f"<!doctype html><title>{title}</title><h1>{title}</h1>{more}<ul>{anchors}</ul>")


SMALL = {
    "/": html("Start, \"the\" first", ["/a.html", "/b.html#part", "/dead1", "/dead2",
                                       "/picture.png", "http://elsewhere.example/"]),
    "/a.html": html("A", ["/", "/b.html", "/dead1", "/broken"], "<h2>one</h2><h3>two</h3>"),
    "/b.html": html("Grüße 日本", ["c.html"]),
    "/c.html": html("C", ["/a.html"], "<p class=price>12.50</p>"),
    "/picture.png": (200, "image/png", "no html"),
    "/broken": (403, "text/html", "<p>no"),
}


def scrape(place, url, *arguments, **more):
    return run("scrape", url, "--allow-private", "--data-dir", place.data, *arguments,
               seconds=240, **more)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_right_dead_links_are_counted_and_a_second_run_is_anew(workspace):
    out = workspace.root / "deep" / "er" / "items.csv"
    unmade = scrape(workspace, "http://127.0.0.1:9/", "--out", out)
    assert unmade.returncode == 2 and f"there is no folder {out.parent}" in unmade.stderr
    out.parent.mkdir(parents=True)
    with Site(SMALL) as site:
        done = scrape(workspace, site.url + "/", "--out", out, "--select",
                      "price=//p[@class='price']", "--json")
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        rows = {row["url"]: row for row in rows_of(out)}
        assert list(next(iter(rows.values()))) == [
            "url", "status", "title", "headings", "links", "bytes", "fetched_at", "price"]
        assert sorted(rows) == sorted(site.url + path for path in [
            "/", "/a.html", "/b.html", "/c.html", "/dead1", "/dead2", "/broken", "/picture.png"])
        start = rows[site.url + "/"]
        assert start["title"] == 'Start, "the" first' and start["status"] == "200"
        assert (start["headings"], start["links"]) == ("1", "6")
        assert start["bytes"] == str(len(SMALL["/"][2].encode()))
        assert start["fetched_at"].endswith("Z")
        assert rows[site.url + "/a.html"]["headings"] == "3"
        assert rows[site.url + "/b.html"]["title"] == "Grüße 日本"
        assert rows[site.url + "/c.html"]["price"] == "12.50"
        assert rows[site.url + "/dead1"]["status"] == "404"
        assert (summary["pages"], summary["items"], summary["failed"]) == (8, 8, 4)
        assert summary["failures"] == {"HTTP 404": 2, "HTTP 403": 1, "not an HTML page": 1}
        assert summary["seconds"] > 0 and summary["pages_per_second"] > 0
        assert summary["bytes"] >= sum(len(SMALL[p][2].encode()) for p in ("/", "/a.html"))
        assert sorted(site.hits).count("/dead1") == 1  # each link followed once

        again = scrape(workspace, site.url + "/", "--out", out)
        assert again.returncode == 0, again.stderr
        assert "continuing" not in again.stderr
        assert "HTTP 404" in again.stdout and str(out) in again.stdout
        assert len(rows_of(out)) == 8
    assert not list((workspace.data / "exports").iterdir())


def test_ndjson_limits_and_text_summary(workspace):
    out = workspace.root / "items.ndjson"
    with Site(SMALL) as site:
        done = scrape(workspace, site.url + "/", "--out", out, "--max-pages", "3", "--json")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(lines) == 3 and json.loads(done.stdout)["pages"] == 3
        assert lines[0]["url"] == site.url + "/" and lines[0]["error"] is None
        shallow = scrape(workspace, site.url + "/", "--max-depth", "0", "--json")
        assert json.loads(shallow.stdout)["pages"] == 1


def test_a_crawl_that_gives_nothing_is_exit_1_and_leaves_the_old_file(workspace):
    out = workspace.root / "items.csv"
    out.write_text("old")
    nobody = scrape(workspace, "http://127.0.0.1:9/", "--out", out, "--json")
    assert nobody.returncode == 1
    assert "connect" in nobody.stderr
    assert json.loads(nobody.stdout)["items"] - json.loads(nobody.stdout)["failed"] == 0
    assert out.read_text() == "old"
    with Site(SMALL) as site:
        missing = scrape(workspace, site.url + "/dead1")
        assert missing.returncode == 1 and "HTTP 404" in missing.stderr
        # Without --allow-private, loopback is not reached at all.
        private = run("scrape", site.url + "/", "--data-dir", workspace.data)
        assert private.returncode == 1
        assert "--allow-private" in private.stderr
        assert site.hits == ["/dead1"]


def test_a_selector_that_is_no_xpath_is_told(workspace):
    with Site(SMALL) as site:
        wrong = scrape(workspace, site.url + "/", "--select", "x=//[[")
        assert wrong.returncode == 1
        assert "selectors" in wrong.stderr and "Traceback" not in wrong.stderr


def big_site(pages):
    """Every page links to four others, so that all are found within a few levels."""
    return {f"/p{n}.html": html(f"Page {n}", [f"/p{4 * n + k}.html" for k in range(1, 5)
                                               if 4 * n + k < pages] + ["/p0.html"])
            for n in range(pages)}


PAGES = 600


def start_scrape(place, url, out):
    log = open(place.log("scrape"), "wb")
    with log:
        return place.start("scrape", url, "--allow-private", "--data-dir", place.data, "--out", out,
                           "--concurrency", "8", stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=log)


def check_whole(site, out, summary, workspace):
    urls = [row["url"] for row in rows_of(out)]
    assert len(urls) == len(set(urls)), "an item is doubled"
    assert set(urls) == {f"{site.url}/p{n}.html" for n in range(PAGES)}, "a page is missing"
    assert {row["status"] for row in rows_of(out)} == {"200"}
    assert (summary["pages"], summary["items"], summary["failed"]) == (PAGES, PAGES, 0)
    # Every page is a job that one can look up afterwards.
    node = Node(workspace).start()
    listed = run("jobs", "list", "--kind", "scrape.page", "--all", "--json", TROUPE_URL=node.url)
    jobs = json.loads(listed.stdout)["jobs"]
    assert {job["args"]["url"] for job in jobs} == set(urls)
    assert len(jobs) == PAGES and {job["state"] for job in jobs} == {"completed"}
    crawls = node.ask("GET", "/api/v1/jobs?kind=scrape").json["jobs"]
    assert [job["state"] for job in crawls] == ["completed"]
    assert node.stop() == 0


def test_a_crawl_killed_in_the_middle_goes_on_without_loss_or_doubles(workspace):
    out = workspace.root / "items.csv"
    with Site(big_site(PAGES), delay=0.02) as site:
        for hits in (80, 240):  # killed twice
            site.most = hits
            first = start_scrape(workspace, site.url + "/p0.html", out)
            until(lambda: len(site.hits) > hits or first.poll() is not None, "the crawl is under way", 120)
            assert first.poll() is None, workspace.tail_of_logs()
            first.send_signal(signal.SIGKILL)
            first.wait(120)
        assert not out.exists()
        site.most = float("inf")
        done = scrape(workspace, site.url + "/p0.html", "--out", out, "--json", "--concurrency",
                      "8")
        assert done.returncode == 0, done.stderr
        assert "continuing crawl 1" in done.stderr
        assert "lease" in done.stderr  # the lines say what it waits for
        summary = json.loads(done.stdout)
        assert summary["job"] == "1"
        # Only what was under way at a kill is fetched again.
        assert len(site.hits) < PAGES + 200
        check_whole(site, out, summary, workspace)


def test_an_interrupted_crawl_ends_cleanly_and_goes_on_at_once(workspace):
    out = workspace.root / "items.csv"
    with Site(big_site(PAGES), delay=0.02) as site:
        site.most = 100
        first = start_scrape(workspace, site.url + "/p0.html", out)
        until(lambda: len(site.hits) > 100, "the crawl is under way", 120)
        first.send_signal(signal.SIGINT)
        site.most = float("inf")
        assert first.wait(120) == 130, workspace.tail_of_logs()
        assert "the same command continues it" in workspace.tail_of_logs()
        assert workspace.postmaster() is None  # its server ended with it
        done = scrape(workspace, site.url + "/p0.html", "--out", out, "--json", "--concurrency",
                      "8")
        assert done.returncode == 0, done.stderr
        assert "continuing crawl 1" in done.stderr
        check_whole(site, out, json.loads(done.stdout), workspace)


def test_time_over_is_exit_7_and_the_crawl_stays(workspace):
    with Site(big_site(PAGES), delay=0.05) as site:
        over = scrape(workspace, site.url + "/p0.html", "--timeout", "1", "--concurrency", "2")
        assert over.returncode == 7, over.stderr
        assert "the same command continues it" in over.stderr


def all_of(terminal, seconds):
    """What is written to a terminal until its last writer has gone."""
    shown = b""
    while select.select([terminal], [], [], seconds)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            return shown  # Linux says EIO at the end
    raise AssertionError(f"silent for {seconds} s after {shown!r}")


@pytest.mark.parametrize("term, bar", [("xterm", True), ("dumb", False)])
def test_a_bar_is_drawn_on_a_terminal_that_can_and_lines_elsewhere(workspace, term, bar):
    leader, follower = pty.openpty()
    with Site(big_site(120), delay=0.05) as site:
        process = workspace.start(
            "scrape", site.url + "/p0.html", "--allow-private", "--data-dir", workspace.data,
            "--concurrency", "4", stdout=subprocess.PIPE, stderr=follower,
            env=clean_environment(TERM=term))
        os.close(follower)
        shown = all_of(leader, 120)
        assert process.wait(120) == 0
        summary = process.stdout.read().decode()
    os.close(leader)
    assert ("\r[" in shown.decode()) == bar, shown
    assert (" of 120 pages" in shown.decode() or " pages, " in shown.decode()) != bar, shown
    assert "pages/s" in summary and "\x1b" not in summary
