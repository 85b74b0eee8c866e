"""A TCP proxy in front of a server, which loses a connection at a chosen moment of a commit.

with Proxy(server.url("shop")) as proxy:
    proxy.cut(Cut.AFTER, since=b"DELETE")
    ...  # work through proxy.url: the server commits, and nobody hears of it
    assert proxy.has_cut
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

POSTGRES_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message in which psycopg sends COMMIT."""
MYSQL_COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
"""The packet in which PyMySQL sends COMMIT."""

_COMMITS = {"postgresql": POSTGRES_COMMIT, "mysql": MYSQL_COMMIT, "mariadb": MYSQL_COMMIT}
_PATIENCE = 30


class Cut(Enum):
    """When a connection is lost.

    BEFORE: The server never gets the message. It notices the loss by itself, a moment later.
    AFTER: The server has answered, and the client does not get the answer.
    LATE: The client has lost the connection; the server has not, and gets the message from `Proxy.deliver`.
    """

    BEFORE = auto()
    AFTER = auto()
    LATE = auto()


class _Plan:
    """One cut to come, on whichever connection gets there first."""

    def __init__(self, moment: Cut, at: bytes, since: bytes, skip: int, then: Callable[[], object]) -> None:
        self.moment = moment
        self.at = at
        self.since = since
        self.then = then
        self._left = skip
        self._lock = threading.Lock()

    def is_due(self) -> bool:
        """Count one message that would do; whether it is the one. Says yes once."""
        with self._lock:
            self._left -= 1
            return self._left == -1


class _Watch:
    """Looks for a plan's message in what one client sends, wherever the chunks end."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        self._tail = b""
        self._begun = not plan.since

    def find(self, chunk: bytes) -> int | None:
        """Where in *chunk* the message starts, 0 if before it. None: not in here."""
        data = self._tail + chunk
        done = 0
        while (start := data.find(self._wanted, done)) >= 0:
            done = start + len(self._wanted)
            if not self._begun:
                self._begun = True
                continue
            self._begun = not self.plan.since
            if self.plan.is_due():
                return max(0, start - len(self._tail))
        kept = max(len(self.plan.at), len(self.plan.since)) - 1
        self._tail = data[max(done, len(data) - kept) :]
        return None

    @property
    def _wanted(self) -> bytes:
        return self.plan.at if self._begun else self.plan.since


class _Link:
    """A client's connection and the one to the server that stands for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._watch: _Watch | None = None
        self._swallow: _Plan | None = None
        self._late = b""
        self._answered = threading.Event()
        self._pumps = [threading.Thread(target=pump) for pump in (self._upward, self._downward)]
        for thread in self._pumps:
            thread.start()

    def close(self) -> None:
        """Lose the connection on both sides, and wait until nothing moves any more."""
        self._lose()
        for thread in self._pumps:
            thread.join()
        self._client.close()
        self._server.close()

    def deliver(self) -> None:
        """Send the server what was held back, if it was here, and wait for the answer or the end."""
        if self._late:
            # A server that has ended the session meanwhile takes nothing; that is a way to end, too.
            with contextlib.suppress(OSError):
                self._server.sendall(self._late)
            if not self._answered.wait(_PATIENCE):
                raise TimeoutError(f"the server did not answer within {_PATIENCE} seconds")

    def _upward(self) -> None:
        while chunk := _receive(self._client):
            if not self._pass_on(chunk):
                return
        if not self._late:
            self._lose()

    def _pass_on(self, chunk: bytes) -> bool:
        """Forward *chunk*, up to a cut. Returns whether there is more to forward."""
        watch = self._watching()
        start = None if watch is None else watch.find(chunk)
        if watch is None or start is None:
            return _send(self._server, chunk)
        plan = watch.plan
        if plan.moment is Cut.AFTER:
            self._swallow = plan
            return _send(self._server, chunk)
        _send(self._server, chunk[:start])
        if plan.moment is Cut.LATE:
            self._late = chunk[start:]
        self._proxy.cut_now(plan)
        _shut(self._client)
        if plan.moment is Cut.BEFORE:
            _shut(self._server)
        return False

    def _watching(self) -> _Watch | None:
        """The watch for the cut to come, which starts where that was asked for."""
        plan = self._proxy.plan
        if plan is None:
            return None
        if self._watch is None or self._watch.plan is not plan:
            self._watch = _Watch(plan)
        return self._watch

    def _downward(self) -> None:
        while chunk := _receive(self._server):
            if self._late:
                break
            if self._swallow is not None:
                self._proxy.cut_now(self._swallow)
                break
            if not _send(self._client, chunk):
                break
        self._answered.set()
        self._lose()

    def _lose(self) -> None:
        _shut(self._client)
        _shut(self._server)


class Proxy:
    """Stands between clients and the server of an address, and passes everything on but for the cuts.

    Attributes:
        url: The address to use in the server's stead.
        plan: The cut to come. None if there is none.
        has_cut: Whether the cut that was asked for last has come about.
        refusing: Whether new connections are closed at once, as when the network is down.
    """

    def __init__(self, url: str) -> None:
        """Stand before the server of *url*, an address such as ``postgresql://user@host:port/database``."""
        parts = urlsplit(url)
        self._commit = _COMMITS[parts.scheme]
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        user = parts.netloc.rpartition("@")[0]
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{user}@{place}" if user else place))
        self.plan: _Plan | None = None
        self.has_cut = False
        self.refusing = False
        self._links: list[_Link] = []
        self._accepting = threading.Thread(target=self._accept)

    def cut(
        self,
        moment: Cut,
        *,
        at: bytes = b"",
        since: bytes = b"",
        skip: int = 0,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Lose the connection that sends a certain message next; once.

        Args:
            moment: Before the server gets the message, after its answer, or with the message on its way.
            at: The message, or bytes in it. Empty means COMMIT.
            since: Bytes that the same client must have sent before it; with ``DELETE``, transactions
                that delete nothing do not count. Empty means any.
            skip: How many such messages pass first.
            then: Called when it is time, before the client notices; the server's crash, for one.
        """
        self.has_cut = False
        self.plan = _Plan(moment, at or self._commit, since, skip, then)

    def deliver(self) -> None:
        """Give the server what `Cut.LATE` held back, and wait until it has answered or has ended the session."""
        for link in self._links:
            link.deliver()

    def drop_all(self) -> None:
        """Lose every connection there is now."""
        while self._links:
            self._links.pop().close()

    def cut_now(self, plan: _Plan) -> None:
        """Note that *plan* comes about; for the connections."""
        self.plan = None
        self.has_cut = True
        plan.then()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener)
        self._accepting.join()
        self._listener.close()
        self.drop_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: the end
                return
            server = None if self.refusing else self._reach_server()
            if server is None:
                client.close()
            else:
                self._links.append(_Link(self, client, server))

    def _reach_server(self) -> socket.socket | None:
        try:
            return socket.create_connection(self._server)
        except OSError:  # the server is down, and the client hears of it by the closed connection
            return None


def _receive(source: socket.socket) -> bytes:
    """What has come; nothing at the end, however it came about."""
    try:
        return source.recv(65536)
    except OSError:
        return b""


def _send(target: socket.socket, data: bytes) -> bool:
    """Whether *target* still took the data."""
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _shut(end: socket.socket) -> None:
    """End a connection; a thread that waits on it wakes up."""
    with contextlib.suppress(OSError):  # it has ended already
        end.shutdown(socket.SHUT_RDWR)
