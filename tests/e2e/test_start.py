"""What stands in the way of a start: it is said at once, in one line that says what to do, and nothing is made."""
import os
import socket
import stat
import subprocess

import pytest

from node import Node, first_line, lasting_address, run, until

TAKEN = "the address is taken, perhaps by another troupe; choose another with --listen"


def refusal(*arguments, **more):
    """What the program says when it ends with 2: one line."""
    done = run(*arguments, **more)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == "" and done.stderr.startswith("troupe: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("family, host, shown", [(socket.AF_INET, "127.0.0.1", "127.0.0.1"),
                                                 (socket.AF_INET6, "::1", "[::1]")])
def test_a_taken_port_is_said_before_anything_starts(workspace, family, host, shown):
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        where = f"{shown}:{other.getsockname()[1]}"
        assert refusal("dev", "--listen", where, "--data-dir", workspace.data) == \
            f"troupe: cannot listen on {where}: {TAKEN}\n"
        assert not workspace.data.exists()
        # Nobody is at the database's port: it is not asked.
        refused = refusal("serve", "--listen", where, DATABASE_URL="postgresql://127.0.0.1:9/none")
        assert f"cannot listen on {where}" in refused


def test_an_address_of_another_machine_is_said(workspace):
    refused = refusal("dev", "--listen", "192.0.2.1:0", "--insecure-listen", "--data-dir", workspace.data)
    assert "192.0.2.1:0: this machine has no such address" in refused
    assert not workspace.data.exists()


def test_who_connects_during_the_start_is_answered_after_it(workspace):
    path = workspace.root / "s"
    log = workspace.log("node")
    with open(log, "wb") as out:
        node = workspace.start("dev", "--listen", f"127.0.0.1:0,unix:{path}", "--data-dir", workspace.data,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out)
    # After this line initdb runs, for a second or so.
    until(lambda: b"creating private PostgreSQL" in log.read_bytes(), "the start is on its way")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as early:
        early.settimeout(180)
        early.connect(str(path))
        early.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert early.recv(64).startswith(b"HTTP/1.1 200")
    assert first_line(node, 180).startswith("troupe ready http://127.0.0.1:")


def test_a_start_that_fails_leaves_no_socket(workspace):
    path = workspace.root / "s"
    failed = run("serve", "--listen", f"unix:{path}", DATABASE_URL="postgresql://127.0.0.1:9/none")
    assert failed.returncode == 6, failed.stderr
    assert not path.exists() and not path.with_name("s.lock").exists()


def test_a_killed_node_leaves_its_port_free_though_its_postgresql_lives_on(workspace):
    node = Node(workspace)
    node.listen = lasting_address()
    node.start().kill()
    os.kill(workspace.postmaster(), 0)
    with socket.socket() as next_one:
        next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        next_one.bind((node.host, int(node.port)))
        next_one.listen()


def test_a_data_directory_in_use_is_said(workspace):
    node = Node(workspace).start()
    refused = refusal("dev", "--listen", "127.0.0.1:0", "--data-dir", workspace.data)
    assert f"the data directory {workspace.data} is in use by process {node.process.pid}: stop it, or choose " in refused
    assert node.create("noop")["id"]
    assert node.stop() == 0


def a_file(where):
    where.write_text("mine")


def below_a_file(where):
    where.parent.write_text("mine")


def of_another_user(where):
    where.mkdir()
    os.chown(where, 65534, 65534)


def open_to_all(where):
    where.mkdir()
    where.chmod(0o777)


def of_another_version(where):
    (where / "pgdata").mkdir(parents=True)
    (where / "pgdata/PG_VERSION").write_text("9.6\n")


def something_else(where):
    (where / "pgdata").mkdir(parents=True)


@pytest.mark.parametrize("name, make, said", [
    ("d", a_file, "/d is not a directory: choose another --data-dir"),
    ("f/d", below_a_file, "cannot make the data directory {where}: Not a directory; choose another --data-dir"),
    ("d", of_another_user, "/d belongs to user "),
    ("d", open_to_all, "/d may be written by others (mode 0777): take that away with chmod go-w, or choose another --data-dir"),
    ("d", of_another_version, "was made by PostgreSQL 9, which is not installed ("),
    ("d", something_else, "/pgdata is there and is no PostgreSQL cluster: move it away, or choose another --data-dir"),
    ("d" * 100, None, "bytes, and the kernel allows 107: choose a shorter --data-dir"),
    ("a,b", None, "holds a comma"),
])
def test_a_data_directory_that_cannot_be_one_is_said(workspace, name, make, said):
    if make is of_another_user and os.geteuid() != 0:
        pytest.skip("nobody but root can give a directory away")
    where = workspace.root / name
    if make:
        make(where)
    refused = refusal("dev", "--listen", "127.0.0.1:0", "--data-dir", where)
    assert said.format(where=where) in refused and "--data-dir" in refused


def test_a_place_where_nobody_may_write_is_said():
    refused = refusal("dev", "--listen", "127.0.0.1:0", "--data-dir", "/proc/troupe")
    assert "cannot make the data directory /proc/troupe: " in refused and "choose another --data-dir" in refused
