"""Lapse's own two tables in a database: the markers of commits, and the lease. Made before any transaction.

A statement that defines something commits what is open, so these tables are never made within a take.
"""

# ruff: noqa: S608 - names are ours

from __future__ import annotations

from lapse.errors import StoreError, UnsupportedError
from lapse.sqlcore.markers import MARKER_TABLE, Markers, MarkerTypes
from lapse.stores.mysql.catalog import LEASE_TABLE, OWN
from lapse.stores.mysql.connection import Connection

LEASE = "store"
"""Name of the one row of the lease table."""

_NAME = "VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin"
_OPTIONS = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_TYPES = MarkerTypes(key=_NAME.replace("255", "190"), text="LONGTEXT", options=_OPTIONS)


def markers(connection: Connection) -> Markers:
    """The markers in the connection's database."""
    return Markers(connection.rows, placeholder="%s", types=_TYPES)


def existing(connection: Connection) -> frozenset[str]:
    """Which of the two tables are there."""
    found = connection.rows(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (%s, %s)",
        OWN,
    )
    return frozenset(str(name) for (name,) in found)


def make(connection: Connection) -> None:
    """Create what is missing.

    Raises:
        UnsupportedError: If this user may not: without a marker nobody could tell whether a commit happened.
    """
    there = existing(connection)
    try:
        if MARKER_TABLE not in there:
            markers(connection).create()
        if LEASE_TABLE not in there:
            connection.run(
                f'CREATE TABLE IF NOT EXISTS "{LEASE_TABLE}" '
                f'("name" {_NAME} NOT NULL PRIMARY KEY, "token" BIGINT NOT NULL) {_OPTIONS}'
            )
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{error.message}: Lapse needs its tables {MARKER_TABLE} and {LEASE_TABLE} beside the dataset's",
            hint="Grant CREATE, SELECT, INSERT, UPDATE and DELETE on them, or let somebody else create them; "
            "docs/stores/mysql.md has the statements.",
        ) from error
    _sow(connection)


def _sow(connection: Connection) -> None:
    """See that the lease table has its row."""
    if not connection.rows(f'SELECT 1 FROM "{LEASE_TABLE}" WHERE "name" = %s', (LEASE,)):
        connection.run(f'INSERT IGNORE INTO "{LEASE_TABLE}" VALUES (%s, 0)', (LEASE,))


def next_token(connection: Connection) -> int:
    """Count the lease up, once nobody has its row locked, and give the new number.

    Raises:
        BusyError: If somebody has it locked.
    """
    with connection.transaction("the lease"):
        token = locked_token(connection) + 1
        connection.run(f'UPDATE "{LEASE_TABLE}" SET "token" = %s WHERE "name" = %s', (token, LEASE))
    return token


def locked_token(connection: Connection) -> int:
    """The lease's number, its row locked until the transaction ends.

    Raises:
        StoreError: If the row is gone.
    """
    rows = connection.rows(f'SELECT "token" FROM "{LEASE_TABLE}" WHERE "name" = %s FOR UPDATE', (LEASE,))
    if not rows:
        raise StoreError(f"the row of table {LEASE_TABLE} is gone", hint="Run again: it is made anew.")
    return int(rows[0][0])
