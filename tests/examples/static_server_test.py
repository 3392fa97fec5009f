#!/usr/bin/python3
"""The static server of the examples against a directory of its own: files, kept connections, and
requests that try to leave the directory. The program's path is the first argument."""

import http.client
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
DEADLINE = 60


class StaticServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        outer = pathlib.Path(cls.directory.name)
        (outer / "secret").write_text("secret")
        root = outer / "site"
        (root / "sub dir").mkdir(parents=True)
        (root / "index.html").write_text("<p>home</p>")
        (root / "sub dir" / "index.html").write_text("<p>sub</p>")
        (root / "a.css").write_text("p {}")
        (root / "big.txt").write_bytes(b"x" * 3_000_000)
        os.symlink(outer / "secret", root / "link")
        cls.server = subprocess.Popen([PROGRAM, str(root)], stdout=subprocess.PIPE, text=True)
        cls.url = cls.server.stdout.readline().strip()
        cls.port = int(cls.url.rstrip("/").rsplit(":", 1)[1])

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        code = cls.server.wait(timeout=DEADLINE)
        cls.server.stdout.close()
        cls.directory.cleanup()
        if code != 0:
            raise AssertionError(f"the server ended with {code}")

    def setUp(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        self.addCleanup(self.connection.close)

    def get(self, target, method="GET", **more):
        self.connection.request(method, target, **more)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def test_the_url_is_on_loopback(self):
        self.assertRegex(self.url, r"^http://127\.0\.0\.1:\d+/$")

    def test_files_come_whole_and_with_their_type(self):
        status, body, headers = self.get("/")
        self.assertEqual((200, b"<p>home</p>"), (status, body))
        self.assertEqual("text/html; charset=utf-8", headers["Content-Type"])
        self.assertEqual("text/css", self.get("/a.css?v=1")[2]["Content-Type"])
        self.assertEqual(b"<p>sub</p>", self.get("/sub%20dir")[1])
        self.assertEqual(3_000_000, len(self.get("/big.txt")[1]))

    def test_a_connection_serves_many_requests(self):
        self.get("/")
        kept = self.connection.sock
        self.get("/nothing")
        self.get("/a.css")
        self.assertIs(kept, self.connection.sock)

    def test_requests_may_come_in_one_piece_and_answers_keep_their_order(self):
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as raw:
            raw.sendall(b"GET /a.css HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n")
            answers = b"".join(iter(lambda: raw.recv(65536), b""))
        self.assertLess(answers.index(b"200 OK"), answers.index(b"404 Not Found"))

    def test_head_has_the_length_and_no_body(self):
        status, body, headers = self.get("/a.css", "HEAD")
        self.assertEqual((200, b"", "4"), (status, body, headers["Content-Length"]))

    def test_nothing_outside_the_directory_is_served(self):
        for target in ("/../secret", "/%2e%2e/secret", "/sub%20dir/../../secret", "/link", "//etc/passwd",
                       "/..%2fsecret", "/nothing", "/sub%20dir/../..//secret"):
            self.assertEqual(404, self.get(target)[0], target)
        for target in ("/%00", "/%zz", "/%", "relative", "*"):
            self.assertEqual(400, self.get(target)[0], target)
            self.connection.close()

    def test_only_reading_is_allowed(self):
        status, _, headers = self.get("/", "DELETE")
        self.assertEqual((405, "GET, HEAD"), (status, headers["Allow"]))
        self.assertEqual(400, self.get("/", "POST", body="x")[0])

    def test_a_head_that_never_ends_is_cut_off(self):
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as raw:
            try:
                raw.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
                self.assertEqual(b"", raw.recv(1))
            except (ConnectionResetError, BrokenPipeError):
                pass

    def test_wrong_arguments_are_answered_with_usage(self):
        for arguments in ([], ["/tmp", "port"], ["/tmp", "70000"], ["/tmp", "1", "2"]):
            ended = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=DEADLINE)
            self.assertEqual(2, ended.returncode, arguments)
            self.assertIn(b"usage", ended.stderr)


if __name__ == "__main__":
    unittest.main()
