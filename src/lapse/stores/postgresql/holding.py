"""Holds that lie in the database: found by every take before its commit, under a lock that whoever adds one waits for.

A take shares the lock from its last look at the holds until it commits; who adds a hold has it alone until the hold is
committed. So either the take saw the hold, or it had committed before the hold was there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from lapse import clock
from lapse.errors import HoldsError, StoreError, UnsupportedError
from lapse.model.posted import PostedHold
from lapse.model.selection import Selection
from lapse.sqlcore.holdstable import HOLDS_TABLE, HoldsTable, check_along, check_known
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.naming import escaped

_WAIT = "60s"
_LOCK = int.from_bytes(hashlib.sha256(b"lapse:holds").digest()[:8], "big", signed=True)
"""Number of the advisory lock on the holds of a database, the same for everybody."""

_TABLES = (
    "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), "
    "c.oid IS NOT DISTINCT FROM to_regclass(%s)::oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relname = %s AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 3 DESC, 1"
)
"""Every table of holds: what a hold is in must not depend on somebody's search path."""

_KIN = (
    "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = %s OR c.oid IN (SELECT relid FROM pg_partition_ancestors(%s::oid) "
    "UNION SELECT relid FROM pg_partition_tree(%s::oid)) ORDER BY c.oid <> %s, 1"
)
"""A table's name, then those of the tables that it is a partition of, and of its own partitions."""


def posted_holds(connection: Connection, table: Table) -> tuple[PostedHold, ...]:
    """The holds on *table*, on what it is a partition of, and on its partitions.

    Raises:
        HoldsError: If this role may not read them.
    """
    tables = list(_tables(connection))
    if not tables:
        return ()
    names = _kin(connection, table.oid)
    found = (each for holds in tables for each in holds.read(names))
    return tuple({each.id: each for each in found}.values())


def post_hold(connection: Connection, table: Table, hold: PostedHold) -> None:
    """Put a hold there; the table of holds is made where there is none.

    Raises:
        UnsupportedError: If this role may not.
        BusyError: If a commit under way did not end in time.
    """
    try:
        with connection.transaction("ISOLATION LEVEL READ COMMITTED"):
            _lock_alone(connection)
            tables = list(_tables(connection))
            if not tables:
                HoldsTable(connection.rows, placeholder="%s").create()
                tables = list(_tables(connection))
            tables[0].add(_kin(connection, table.oid)[0], hold)
    except StoreError as error:
        if not _is_denied(error):
            raise
        raise UnsupportedError(
            f"{connection.shown}: this role may not put holds into {HOLDS_TABLE}: {error.message}",
            hint="docs/holds.md has the statements that make the table and grant what is needed.",
        ) from error


def withdraw_hold(connection: Connection, table: Table, matter: str) -> None:
    """Remove the holds of a matter on exactly this table."""
    with connection.transaction("ISOLATION LEVEL READ COMMITTED"):
        _lock_alone(connection)
        for holds in _tables(connection):
            holds.remove(_kin(connection, table.oid)[:1], matter)


def check_holds(
    connection: Connection,
    selection: Selection,
    table: Table,
    along: Iterable[Table],
    what: str,
    *,
    parted: Sequence[int] = (),
) -> None:
    """Within a take's transaction, right before its commit: see that it was made under every hold there is.

    Arguments:
        connection: The session of the take.
        selection: What it was decided by.
        table: Its table.
        along: Tables whose rows go along.
        what: What is taken, for messages.
        parted: Numbers of tables that were partitions of it a moment ago: what is held in them is held.

    Raises:
        ChangedError: If a hold was added since.
        HoldsError: If one keeps rows that would go along, or if holds cannot be read.
    """
    connection.run("SELECT pg_advisory_xact_lock_shared(%s)", (_LOCK,))
    if connection.value("SHOW transaction_isolation") == "read committed":
        _check(connection, selection, table, along, what, parted)
        return
    # This transaction sees the database as it was when it began; what is there now, another one sees.
    other = connection.another()
    try:
        _check(other, selection, table, along, what, parted)
    finally:
        other.close()


def _check(
    connection: Connection,
    selection: Selection,
    table: Table,
    along: Iterable[Table],
    what: str,
    parted: Sequence[int],
) -> None:
    tables = list(_tables(connection))
    if not tables:
        return
    kin = [name for oid in (table.oid, *parted) for name in _kin(connection, oid)]
    for holds in tables:
        check_known(selection, holds.read(kin), what=what)
        for other in along:
            found = holds.read(_kin(connection, other.oid))
            check_along(found, clock.real_now(), table=table.shown, along=other.shown)


def _lock_alone(connection: Connection) -> None:
    connection.run(f"SET LOCAL lock_timeout = '{_WAIT}'")
    connection.run("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _tables(connection: Connection) -> Iterator[HoldsTable]:
    """Every table of holds, the one on the search path first."""
    for schema, readable, _ in connection.rows(_TABLES, (HOLDS_TABLE, HOLDS_TABLE)):
        name = f"{quote(schema)}.{quote(HOLDS_TABLE)}"
        if not readable:
            raise HoldsError(
                f"{connection.shown}: this role may not read the holds in {name}",
                hint=f"Grant it: GRANT USAGE ON SCHEMA {quote(schema)}, and GRANT SELECT ON {name}.",
            )
        yield HoldsTable(connection.rows, placeholder="%s", table=escaped(name))


def _kin(connection: Connection, oid: int) -> Sequence[str]:
    return [str(name) for (name,) in connection.rows(_KIN, (oid,) * 4)]


def _is_denied(error: StoreError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in ("42501", "25006")
