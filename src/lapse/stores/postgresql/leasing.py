"""The lease: one run at a time on a table, fenced by advisory locks that end with their session or transaction."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lapse.errors import BusyError, LeaseError, StoreError
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection


@dataclass(slots=True)
class _Held:
    session: int
    users: int


_held: dict[tuple[str, int], _Held] = {}
"""Leases of this process: database and lock, with the server's process that has it, and how many datasets share it."""

_WAIT = "60s"
_IS_HELD = (
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = ANY(%s) "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid::bigint << 32 | objid::bigint) = %s)"
)
"""Whether one of some sessions has a lock; two datasets of a process share the one that the first of them took."""


_HOLDERS = (
    "SELECT l.pid, host(a.client_addr) FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock' "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = %s LIMIT 1"
)


def lock_number(table: Table, what: str) -> int:
    """The number of an advisory lock on *table*, the same for everybody: 64 bits of a digest of its name."""
    digest = hashlib.sha256(f"lapse:{what}:{table.schema}.{table.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def lease(connection: Connection, table: Table, *, address: str, dataset: str) -> Iterator[None]:
    """Keep other runs away from *table*; datasets of this process share it.

    Raises:
        LeaseError: If another run has it, or one that broke off is still committing.
    """
    number = lock_number(table, "run")
    key = (address, number)
    if key not in _held and not connection.value("SELECT pg_try_advisory_lock(%s)", (number,)):
        raise LeaseError(
            f"dataset {dataset}: another run works on table {table.shown}",
            hint="Wait until it is done, or stop it. pg_locks shows the advisory lock and its session.",
        )
    held = _held.setdefault(key, _Held(connection.pid, 0))
    held.users += 1
    try:
        _await_zombies(connection, table, dataset)
        yield
    finally:
        held.users -= 1
        if not held.users:
            del _held[key]
        # A session that has ended, noticed or not, has no locks any more; what the run did is told all the same.
        with contextlib.suppress(StoreError):
            connection.run("SELECT pg_advisory_unlock(%s)", (number,))


def lease_holder(connection: Connection, table: Table) -> str | None:
    """The session that has the lease, for people. None if none has. Takes no lock."""
    found = connection.rows(_HOLDERS, (lock_number(table, "run"),))
    if not found:
        return None
    pid, host = found[0]
    return f"session {pid} of the server" + ("" if host is None else f", from {host}")


def _await_zombies(connection: Connection, table: Table, dataset: str) -> None:
    """Wait for a transaction of a run that is gone: until it has ended, its outcome is unknown."""
    try:
        with connection.transaction():
            connection.run(f"SET LOCAL lock_timeout = '{_WAIT}'")
            connection.run("SET LOCAL statement_timeout = 0")
            connection.run("SELECT pg_advisory_xact_lock(%s)", (lock_number(table, "take"),))
    except BusyError as error:
        raise LeaseError(
            f"dataset {dataset}: a transaction of an earlier run on table {table.shown} is still open",
            hint="Its session is the one in pg_locks that holds the advisory lock. End it with pg_terminate_backend.",
        ) from error


@contextmanager
def lingering(connection: Connection, table: Table) -> Iterator[None]:
    """Let the next run wait for this session, as for a take, while it commits more than once.

    A session whose client is gone completes the statement it waits in. Whoever checks the `fence` within the block is
    not overtaken by another run until it is left.
    """
    number = lock_number(table, "take")
    connection.run("SELECT pg_advisory_lock_shared(%s)", (number,))
    try:
        yield
    finally:
        with contextlib.suppress(StoreError):  # a session that has ended has no locks any more
            connection.run("SELECT pg_advisory_unlock_shared(%s)", (number,))


def fence(connection: Connection, table: Table) -> None:
    """Within a take's transaction: let the next run see that it is open.

    Raises:
        LeaseError: If another session has the lease for this process, and has ended: the next run may be here already.
    """
    connection.run("SELECT pg_advisory_xact_lock_shared(%s)", (lock_number(table, "take"),))
    number = lock_number(table, "run")
    sessions = [held.session for (_, lock), held in _held.items() if lock == number]
    if not sessions or connection.pid in sessions:
        return
    if not connection.value(_IS_HELD, (sessions, number)):
        raise LeaseError(
            f"{connection.shown}: the session that kept other runs away from table {table.shown} has ended",
            hint="Nothing was removed. Run again.",
        )
