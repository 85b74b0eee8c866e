"""A partition that is set aside: taken out of its table while others go on, then dropped, or put back.

``DETACH PARTITION … CONCURRENTLY`` commits by itself, twice. So that whoever comes after a crash knows what it was
for, the partition first gets a note as its comment: which table it belongs to, where, and the comment it had. The
note goes with the partition, in the transaction that drops it and writes the marker. Where a note stands, nothing was
dropped, and the partition is put back, by the run itself or by the next one.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import msgspec

from lapse.errors import BusyError, ChangedError, CommitUnknownError, LapseError, StoreError, StoreMissingError
from lapse.model.disposal import Owner
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.partitions import ROWS_STAY, LeftAsideError, left_aside
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.leasing import fence, lingering
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf

CONCURRENTLY = 140_000
"""Server version from which a partition can be detached while others use its table."""

PATIENCE = 20
"""Seconds that the server may wait for others, before it gives up a detachment or an attachment. Nobody waits for it
meanwhile. A run that comes after a lost one waits longer than that for its session."""

_BOUNDS = re.compile(r"FOR VALUES FROM \((MINVALUE|'[^']*')\) TO \('[^']*'\)")
"""Of the partitions that go whole. Nothing else is believed of a note, as it becomes part of a statement."""

MARK = "Set aside by Lapse: "
"""What the comment of a partition that is aside begins with."""

_SECONDS = 4  # of the transaction that writes a note; the server takes one to cancel its own vacuum for it


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the comment of such a partition says.

    Attributes:
        table: The table that it belongs to, as it stands in a statement.
        bounds: Its bounds, as they stand in a statement, in UTC.
        comment: The comment that it had. None if it had none.
        check: The constraint that a detachment adds, as the server writes it.
        checks: Names of the check constraints that it had.
        ledger: Whose slice it is.
        run: The run.
        slice: The slice.
    """

    table: str
    bounds: str
    comment: str | None
    check: str
    checks: tuple[str, ...]
    ledger: str
    run: str
    slice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A partition with a note.

    Attributes:
        oid: Its number in the catalogue.
        schema: Its schema.
        name: Its name.
        attached: Whether it is a partition, be it one that is being detached.
        pending: Whether it is being detached, or a detachment broke off.
        note: What its comment says.
    """

    oid: int
    schema: str
    name: str
    attached: bool
    pending: bool
    note: Note

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def shown(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"

    @property
    def hidden(self) -> bool:
        """Whether its rows are in no answer of its table."""
        return self.pending or not self.attached

    def of(self, table: Table) -> Table:
        """The partition as a table of its own: it has all that *table* has, which it belongs to."""
        return replace(table, oid=self.oid, schema=self.schema, name=self.name)


def standing(connection: Connection, table: Table) -> tuple[Aside, ...]:
    """The partitions of *table* that have a note. Only those of the table's owner count: others may write anything."""
    if connection.version < CONCURRENTLY:
        return ()
    found = connection.rows(
        "SELECT c.oid::bigint, n.nspname, c.relname, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, FALSE), "
        "substr(d.description, length(%s) + 1) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
        "WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0 AND starts_with(d.description, %s) "
        "AND c.relkind = 'r' AND c.relowner = (SELECT relowner FROM pg_class WHERE oid = %s) "
        "ORDER BY n.nspname, c.relname",
        (MARK, MARK, table.oid),
    )
    read = (
        Aside(oid=oid, schema=schema, name=name, attached=attached, pending=pending, note=note)
        for oid, schema, name, attached, pending, text in found
        if (note := _read(text)) is not None
    )
    return tuple(aside for aside in read if aside.note.table == table.sql)


def _read(text: str) -> Note | None:
    try:
        note = msgspec.json.decode(text, type=Note)
    except msgspec.MsgspecError:
        return None  # somebody else's comment
    return note if _BOUNDS.fullmatch(note.bounds) else None


def left_of(connection: Connection, table: Table) -> tuple[Table, ...]:
    """The partitions of *table* whose rows it does not show."""
    return tuple(aside.of(table) for aside in standing(connection, table) if aside.hidden)


def remarks(connection: Connection, table: Table) -> Iterator[str]:
    """For a plan: what is aside of *table*."""
    for aside in standing(connection, table):
        with suppress(StoreMissingError):  # dropped at this moment, by the run that set it aside
            if aside.hidden:
                rows = connection.value(f"SELECT count(*) FROM {aside.sql}")
                yield left_aside(rows, partition=aside.shown, where="in a table of that name")


# Out


@contextmanager
def set_aside(connection: Connection, table: Table, leaf: Leaf, *, owner: Owner, slice_name: str) -> Iterator[None]:
    """Within the block *leaf* is a table of its own; it is put back if the block fails.

    Raises:
        BusyError: If its table is not to be had. The partition is where it was.
        ChangedError: If the server does not let it go. The partition is where it was.
        LeftAsideError: If it could not be put back.
    """
    with lingering(connection, table):
        aside = _noted(connection, table, leaf, owner=owner, slice_name=slice_name)
        try:
            _detach(connection, table, leaf)
            yield
        except CommitUnknownError:
            raise  # the next run finds out
        except LapseError:
            if connection.closed:
                raise
            connection.roll_back()
            put_back(connection, table, aside)
            raise


def _noted(connection: Connection, table: Table, leaf: Leaf, *, owner: Owner, slice_name: str) -> Aside:
    """Give the partition its note, under the lease."""
    with connection.transaction("ISOLATION LEVEL READ COMMITTED"):
        connection.limit(_SECONDS)
        fence(connection, table)
        connection.run(f"LOCK TABLE ONLY {leaf.sql} IN SHARE UPDATE EXCLUSIVE MODE")  # who else comments on it waits
        found = connection.rows(
            "SELECT n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'), "
            "'CHECK (' || pg_get_partition_constraintdef(c.oid) || ')', array(SELECT conname::text FROM pg_constraint "
            "WHERE conrelid = c.oid AND contype = 'c' ORDER BY 1) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits i ON i.inhrelid = c.oid "
            "WHERE c.oid = %s AND i.inhparent = %s AND NOT i.inhdetachpending",
            (leaf.oid, table.oid),
        )
        if not found or not _BOUNDS.fullmatch(found[0][2]):
            raise ChangedError(f"{leaf.sql} is no such partition of {table.shown} any more", hint=ROWS_STAY)
        schema, name, bounds, comment, check, checks = found[0]
        note = Note(
            table=table.sql, bounds=bounds, comment=comment, check=check, checks=tuple(checks),
            ledger=owner.ledger, run=owner.run, slice=slice_name,
        )  # fmt: skip
        _comment(connection, leaf.sql, MARK + msgspec.json.encode(note).decode())
    return Aside(oid=leaf.oid, schema=schema, name=name, attached=True, pending=False, note=note)


def _comment(connection: Connection, name: str, text: str | None) -> None:
    connection.run(f"COMMENT ON TABLE {escaped(name)} IS %s", (text,))


def _detach(connection: Connection, table: Table, leaf: Leaf) -> None:
    """Take the partition out; what uses the table goes on, and is waited for."""
    try:
        with connection.waiting(PATIENCE):
            connection.run(f"ALTER TABLE {table.sql} DETACH PARTITION {leaf.sql} CONCURRENTLY")
    except BusyError:
        raise
    except StoreError as error:
        if connection.closed:
            raise
        raise ChangedError(f"partition {leaf.sql} cannot be set aside: {error}", hint=ROWS_STAY) from error


# Back


def put_back(connection: Connection, table: Table, aside: Aside) -> None:
    """Make the partition one of *table* again, as it was, in one transaction; nothing of the note stays.

    Raises:
        LeftAsideError: If the server does not do it. Everything is as it was before.
    """
    try:
        with connection.waiting(PATIENCE), connection.transaction("ISOLATION LEVEL READ COMMITTED"):
            _attach(connection, table, aside)
            for name in _added(connection, aside):
                connection.run(f"ALTER TABLE ONLY {aside.sql} DROP CONSTRAINT {quote(name)}")
            _comment(connection, aside.sql, aside.note.comment)
    except StoreError as error:
        if connection.closed:
            raise
        raise LeftAsideError(
            f"partition {aside.shown} of {table.shown} is set aside, and could not be put back: {error.message}",
            hint="No row is lost, and the next run tries again. Where a session is in the way, let it end. Where "
            f"another partition has its range now, detach that one, or move the rows of {aside.shown} into "
            f"{table.shown}, see that none is missing, and drop the emptied table.",
        ) from error


def _attach(connection: Connection, table: Table, aside: Aside) -> None:
    """Complete a detachment that broke off, and undo a complete one. The constraint that it added spares a scan."""
    attached, pending = _place(connection, aside)
    if pending:
        connection.run(f"ALTER TABLE {table.sql} DETACH PARTITION {aside.sql} FINALIZE")
    if pending or not attached:
        connection.run(f"ALTER TABLE {table.sql} ATTACH PARTITION {aside.sql} {aside.note.bounds}")


def _place(connection: Connection, aside: Aside) -> tuple[bool, bool]:
    """Whether it is a partition now, and whether it is being detached."""
    found = connection.rows("SELECT TRUE, inhdetachpending FROM pg_inherits WHERE inhrelid = %s", (aside.oid,))
    return found[0] if found else (False, False)


def _added(connection: Connection, aside: Aside) -> list[str]:
    """The constraint that the detachment added."""
    found = connection.rows(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s AND contype = 'c' AND pg_get_constraintdef(oid) = %s "
        "AND conname <> ALL(%s::text[])",
        (aside.oid, aside.note.check, list(aside.note.checks)),
    )
    return [name for (name,) in found]


def settle(connection: Connection, table: Table) -> None:
    """Put back what broken-off runs left aside of *table*. The caller holds the lease.

    Raises:
        LeftAsideError: If that is not possible.
    """
    for aside in standing(connection, table):
        put_back(connection, table, aside)
