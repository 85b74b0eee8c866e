"""The lease of a database: one run at a time, told at once by GET_LOCK, and fenced by a number in a table.

GET_LOCK ends with the connection; the number is read, locked, in every take's transaction. So a run that lost its
connection without noticing cannot commit once another one has begun.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lapse.errors import BusyError, LeaseError
from lapse.stores.mysql import own
from lapse.stores.mysql.connection import Connection

_PATIENCE = 10
"""How often the row of the lease is asked for; each time waits as long as for any lock."""


@dataclass(slots=True)
class _Held:
    token: int
    users: int


_held: dict[str, _Held] = {}
"""Leases of this process, by lock: the datasets of one run share theirs."""


@contextmanager
def hold(connection: Connection, *, what: str) -> Iterator[int]:
    """Hold the lease of the connection's database, and give its number.

    Arguments:
        connection: Has the lock; it must stay open and with nobody else until the block is left.
        what: Who asks, for messages.

    Raises:
        LeaseError: If another run has it, or if a transaction of one that broke off is still open.
        UnsupportedError: If Lapse's own tables are not there, and this user may not make them.
    """
    name = lock_name(connection)
    held = _held.get(name)
    if held is None:
        held = _held[name] = _Held(_taken(connection, name, what), 0)
    held.users += 1
    try:
        yield held.token
    finally:
        held.users -= 1
        if not held.users:
            del _held[name]
            if connection.is_open:
                connection.rows("SELECT RELEASE_LOCK(%s)", (name,))


def holder(connection: Connection) -> str | None:
    """The connection that has the lease, for people. None if none has. Takes no lock."""
    ((owner,),) = connection.rows("SELECT IS_USED_LOCK(%s)", (lock_name(connection),))
    return None if owner is None else f"connection {owner} of the server"


def lock_name(connection: Connection) -> str:
    """The lock of the database: locks are the server's, so its name is in it."""
    ((database,),) = connection.rows("SELECT DATABASE()")
    return f"lapse:{hashlib.sha256(str(database).encode()).hexdigest()[:40]}:{_server(connection)}"[:64]


def _server(connection: Connection) -> str:
    ((port, name),) = connection.rows("SELECT @@port, @@hostname")
    return hashlib.sha256(f"{name}:{port}".encode()).hexdigest()[:12]


def _taken(connection: Connection, name: str, what: str) -> int:
    ((got,),) = connection.rows("SELECT GET_LOCK(%s, 0)", (name,))
    if got != 1:
        ((owner,),) = connection.rows("SELECT IS_USED_LOCK(%s)", (name,))
        raise LeaseError(
            f"{what}: another run works on this database (connection {owner} of the server)",
            hint="Wait until it is done, or stop it: the lease ends with its connection.",
        )
    try:
        own.make(connection)
        return _fenced(connection, what)
    except BaseException:
        if connection.is_open:
            connection.rows("SELECT RELEASE_LOCK(%s)", (name,))
        raise


def _fenced(connection: Connection, what: str) -> int:
    """The next number of the lease: it waits for the end of a transaction that a broken-off run left open."""
    for _ in range(_PATIENCE):
        try:
            return own.next_token(connection)
        except BusyError as error:
            trouble = error
    raise LeaseError(
        f"{what}: a transaction of an earlier run is still open",
        hint="information_schema.INNODB_TRX shows its connection. End it with KILL; then run again.",
    ) from trouble


def _forget_in_child() -> None:
    """A forked child has no lease: the connection is its parent's."""
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
