"""The lease: one run at a time on a table, fenced by advisory locks that end with their session or transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from lapse.errors import BusyError, LeaseError
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection

_held: dict[tuple[str, int], int] = {}
"""Leases of this process: database and lock, with how many datasets share each."""

_WAIT = "60s"


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
    _held[key] = _held.get(key, 0) + 1
    try:
        _await_zombies(connection, table, dataset)
        yield
    finally:
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
        if not connection.closed:
            connection.run("SELECT pg_advisory_unlock(%s)", (number,))


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


def fence(connection: Connection, table: Table) -> None:
    """Within a take's transaction: let the next run see that it is open."""
    connection.run("SELECT pg_advisory_xact_lock_shared(%s)", (lock_number(table, "take"),))
