"""A relay on loopback between nodes and the server's socket that reads the protocol: a trap springs
at the n-th time that a node executes a statement, before the server has heard of it, or when it has
committed and the node has not. So a process is killed at a named point with nothing in it that knows.

One thread, at most MAX_LINKS connections, at most MAX_WAITING bytes that one side has not taken.
"""
import os
import selectors
import socket
import struct
import threading

MAX_LINKS = 200
MAX_WAITING = 64 << 20
PIECE = 1 << 16
STARTUP_WITHOUT_ANSWER = (80877102, 80877103, 80877104)  # cancel, TLS, GSS


class Trap:
    """Springs once, or never: `over` is set when it has sprung, and when the connection on which it
    waited for the answer is gone. `committed` is False when the server refused the statement."""

    def __init__(self, node, statements, after, action, nth=1):
        self.node, self.statements, self.after, self.action = node, statements, after, action
        self.left = nth
        self.committed = None
        self.sprung = False
        self.over = threading.Event()


class Frames:
    """Cuts a stream into messages of the protocol: (type, whole message), type b'' for a startup."""

    def __init__(self, startup):
        self.startup = startup
        self.rest = bytearray()

    def feed(self, data):
        self.rest += data
        while True:
            head = 0 if self.startup else 1
            if len(self.rest) < head + 4:
                return
            size = head + struct.unpack_from("!I", self.rest, head)[0]
            if len(self.rest) < size:
                return
            message = bytes(self.rest[:size])
            del self.rest[:size]
            if self.startup:
                code = struct.unpack_from("!I", message, 4)[0]
                self.startup = code in STARTUP_WITHOUT_ANSWER
                yield b"", message
            else:
                yield message[:1], message


def statement_of(message):
    """The name in a Bind: the prepared statement that is about to run."""
    return message[5:].split(b"\0", 2)[1].decode(errors="replace")


class Link:
    def __init__(self, node, client, server):
        self.node, self.client, self.server = node, client, server
        self.from_client, self.from_server = Frames(True), Frames(False)
        self.waiting = {client: bytearray(), server: bytearray()}  # to be sent there
        self.asked = 0  # groups that the client has closed with a Sync
        self.answered = -1  # the first ReadyForQuery ends the startup
        self.trap = self.trap_at = None
        self.silent = False

    def other(self, end):
        return self.server if end is self.client else self.client


class Proxy:
    def __init__(self, socket_path):
        self._socket_path = socket_path
        self._selector = selectors.DefaultSelector()
        self._lock = threading.RLock()
        self._links = set()
        self._traps = []
        self._listeners = []
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, ("wake", None))
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def open(self, node):
        """A port of this node's own."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listener.setblocking(False)
        with self._lock:
            self._listeners.append(listener)
            self._selector.register(listener, selectors.EVENT_READ, ("listen", node))
        self._wake()
        return listener.getsockname()[1]

    def arm(self, trap):
        with self._lock:
            self._traps.append(trap)
        return trap

    def disarm(self, trap):
        """True when it will not spring any more; else its statement is with the server."""
        with self._lock:
            if trap in self._traps:
                self._traps.remove(trap)
                return True
            return trap.over.is_set()

    def cut(self, node):
        """Resets the node's connections."""
        with self._lock:
            for link in [one for one in self._links if one.node == node]:
                self._drop(link, reset=True)

    def close(self):
        self._ending = True
        self._wake()
        self._thread.join(10)
        with self._lock:
            for link in list(self._links):
                self._drop(link)
            for listener in self._listeners:
                listener.close()

    def _wake(self):
        os.write(self._wake_out, b"x")

    def _run(self):
        while not self._ending:
            for key, events in self._selector.select(1.0):
                with self._lock:
                    self._serve(key, events)

    def _serve(self, key, events):
        what, owner = key.data
        if what == "wake":
            os.read(self._wake_in, 4096)
        elif what == "listen":
            self._accept(key.fileobj, owner)
        elif owner in self._links:
            try:
                if events & selectors.EVENT_WRITE:
                    self._flush(owner, key.fileobj)
                if events & selectors.EVENT_READ:
                    self._read(owner, key.fileobj)
            except OSError:
                self._drop(owner)

    def _accept(self, listener, node):
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.socket(socket.AF_UNIX)
        try:
            if len(self._links) >= MAX_LINKS:
                raise OSError("too many links")
            server.connect(self._socket_path)
        except OSError:
            client.close()
            server.close()
            return
        link = Link(node, client, server)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for end in (client, server):
            end.setblocking(False)
            self._selector.register(end, selectors.EVENT_READ, ("link", link))
        self._links.add(link)

    def _read(self, link, end):
        try:
            data = end.recv(PIECE)
        except BlockingIOError:
            return
        if not data:
            return self._drop(link)
        if link.silent:
            return
        to = link.other(end)
        if end is link.client:
            for kind, message in link.from_client.feed(data):
                if not self._from_client(link, kind, message):
                    break
                link.waiting[to] += message
        else:
            for kind, message in link.from_server.feed(data):
                if self._from_server(link, kind):
                    link.waiting[to] += message
                if link.silent:
                    break
        if link in self._links:
            self._flush(link, to)

    def _from_client(self, link, kind, message):
        """False when this message and all after it go no further."""
        if kind == b"B" and link.trap is None:
            trap = self._trap_for(link.node, statement_of(message))
            if trap and not trap.after:
                link.silent = True
                self._spring(link, trap)
                return False
            if trap:
                link.trap, link.trap_at = trap, link.asked
                trap.committed = True
        if kind in (b"S", b"Q"):
            link.asked += 1
        return True

    def _from_server(self, link, kind):
        """True when the message goes on to the client."""
        withheld = link.trap is not None and link.answered >= link.trap_at
        if withheld and kind == b"E":
            link.trap.committed = False
        if kind == b"Z":
            if withheld:
                link.silent = True
                self._spring(link, link.trap)
            link.answered += 1
        return not withheld

    def _trap_for(self, node, statement):
        for trap in self._traps:
            if trap.node == node and statement in trap.statements:
                trap.left -= 1
                if trap.left <= 0:
                    self._traps.remove(trap)
                    return trap
        return None

    def _spring(self, link, trap):
        trap.action()
        trap.sprung = True
        self._drop(link, reset=True)
        trap.over.set()

    def _flush(self, link, end):
        out = link.waiting[end]
        if out:
            try:
                del out[:end.send(out)]
            except BlockingIOError:
                pass
        source = link.other(end)
        self._want(link, end, write=bool(out))
        self._want(link, source, read=len(out) < MAX_WAITING)

    def _want(self, link, end, read=None, write=None):
        now = self._selector.get_key(end).events
        events = now
        for wanted, flag in ((read, selectors.EVENT_READ), (write, selectors.EVENT_WRITE)):
            if wanted is not None:
                events = events | flag if wanted else events & ~flag
        if events != now:
            # Never without any interest: reading resumes as soon as what waits has been taken.
            self._selector.modify(end, events or selectors.EVENT_WRITE, ("link", link))

    def _drop(self, link, reset=False):
        if link not in self._links:
            return
        self._links.discard(link)
        if link.trap is not None:
            link.trap.over.set()
        for end in (link.client, link.server):
            self._selector.unregister(end)
            if reset and end is link.client:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
