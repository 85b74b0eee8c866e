"""Holds that lie in the database: found by every take before its commit, under a lock that whoever adds one waits for.

One run at a time works on a database, so the lock need not be shared: a take has it from its last look at the holds
until it is committed, and who adds a hold until the hold is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lapse import clock
from lapse.errors import BusyError, HoldsError, StoreMissingError, UnsupportedError
from lapse.model.posted import PostedHold
from lapse.model.selection import Selection
from lapse.sqlcore.holdstable import HOLDS_TABLE, HoldsTable, HoldsTypes, check_along, check_known
from lapse.stores.mysql.catalog import Table, quote
from lapse.stores.mysql.connection import Connection

_WAIT = 60
_FOREIGN = f"Another version of Lapse or another program made {HOLDS_TABLE}. Nothing is removed while it is there."
_TYPES = HoldsTypes(
    id="CHAR(64) CHARACTER SET ascii COLLATE ascii_bin",
    name="VARCHAR(130) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    text="LONGTEXT",
    options="ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
)


def posted_holds(connection: Connection, table: Table) -> tuple[PostedHold, ...]:
    """The holds on *table*.

    Raises:
        HoldsError: If this user may not read them.
    """
    try:
        return _holds(connection, table).read([table.name])
    except StoreMissingError as error:
        if not _is_there(connection, table):
            return ()
        raise HoldsError(f"the holds cannot be read: {error.message}", hint=_FOREIGN) from error
    except UnsupportedError as error:  # the server does not say whether it is there, either
        raise HoldsError(
            f"this user may not read the holds in {HOLDS_TABLE}: {error.message}",
            hint="Make the table where it is missing, and grant SELECT on it; docs/holds.md has the statements.",
        ) from error


def post_hold(connection: Connection, table: Table, hold: PostedHold) -> None:
    """Put a hold there; the table of holds is made where there is none.

    Raises:
        UnsupportedError: If this user may not.
        BusyError: If a commit under way did not end in time.
    """
    holds = _holds(connection, table)
    try:
        if not _is_there(connection, table):
            holds.create()
        with locked(connection, table), connection.transaction(f"hold {hold.hold.matter}"):
            holds.add(table.name, hold)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"this user may not put holds into {HOLDS_TABLE}: {error.message}",
            hint="docs/holds.md has the statements that make the table and grant what is needed.",
        ) from error


def withdraw_hold(connection: Connection, table: Table, matter: str) -> None:
    """Remove the holds of a matter on the table."""
    if _is_there(connection, table):
        with locked(connection, table), connection.transaction(f"release of hold {matter}"):
            _holds(connection, table).remove([table.name], matter)


def check_holds(connection: Connection, selection: Selection, table: Table, along: Iterable[Table], what: str) -> None:
    """Within a take's transaction, and under the lock: see that it was made under every hold there is.

    Arguments:
        connection: The session of the take.
        selection: What it was decided by.
        table: Its table.
        along: Tables whose rows go along.
        what: What is taken, for messages.

    Raises:
        ChangedError: If a hold was added since.
        HoldsError: If one keeps rows that would go along, or if holds cannot be read.
    """
    check_known(selection, posted_holds(connection, table), what=what)
    for other in along:
        check_along(posted_holds(connection, other), clock.real_now(), table=table.shown, along=other.shown)


@contextmanager
def locked(connection: Connection, table: Table) -> Iterator[None]:
    """Have the lock on the holds of the table's database. It ends with the connection at the latest.

    Raises:
        BusyError: If somebody else has it for too long.
    """
    name = f"lapse:holds:{hashlib.sha256(table.database.encode()).hexdigest()[:40]}"
    ((got,),) = connection.rows("SELECT GET_LOCK(%s, %s)", (name, _WAIT))
    if got != 1:
        raise BusyError(
            f"somebody else has had the holds of database {table.database} locked for {_WAIT} s",
            hint="A hold is being added, or a run commits. Try again.",
        )
    try:
        yield
    finally:
        if connection.is_open:
            connection.rows("SELECT RELEASE_LOCK(%s)", (name,))


def _holds(connection: Connection, table: Table) -> HoldsTable:
    """The table of holds in the database of *table*."""
    name = f"{quote(table.database)}.{quote(HOLDS_TABLE)}"
    return HoldsTable(connection.rows, placeholder="%s", table=name, types=_TYPES)


def _is_there(connection: Connection, table: Table) -> bool:
    return bool(
        connection.rows(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            (table.database, HOLDS_TABLE),
        )
    )
