"""One table's rows on their way out: deleted in the open transaction, and handed over as the server sends them.

MariaDB deletes and yields in one statement. MySQL has no ``RETURNING``: there the rows are read and locked, then
deleted by the same condition in the same transaction. What is locked cannot change, so if as many rows went as
were read, they are the same ones; if not, the slice begins anew.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from lapse.errors import ChangedError, StoreError
from lapse.model.plan import Tally
from lapse.ports import Part, RowBatch
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.reading import Form, lines_of

STATEMENT = 60
"""Seconds that the statement of a take may last."""
NOTHING = "Nothing was removed. Run again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one table that are to go.

    Attributes:
        table: The table.
        where: The condition that they meet.
        form: How they travel.
    """

    table: Table
    where: Fragment
    form: Form


class Removal:
    """The rows of one table, deleted while they are read.

    Attributes:
        records: How many went so far.
        tallies: Counts of them, where their form has facts.
        content: Digest of them, where they travel whole.
        is_complete: Whether all of them went.
    """

    def __init__(self, connection: Connection, rows: Rows, *, returning: bool) -> None:
        self.records = 0
        self.tallies: list[Tally] = []
        self.content = ContentDigest()
        self.is_complete = False
        self._connection = connection
        self._rows = rows
        self._returning = returning
        self._flow = self._removing()

    def __iter__(self) -> Iterator[RowBatch]:
        """The rows, once; nothing where they are only counted."""
        return self._flow

    def close(self) -> None:
        """Wait for what the server still sends: nothing else can be asked before."""
        self._flow.close()

    def part(self, batches: Iterator[RowBatch]) -> Part:
        """The rows as a part of the take."""
        shape = self._rows.form.shape
        if shape is None:
            raise StoreError(f"rows of {self._rows.table.name} were only counted", hint="Report this as a bug.")
        return Part(table=self._rows.table.shown, columns=shape.columns, odd_column=shape.odd_column, batches=batches)

    def _removing(self) -> Generator[RowBatch, None, None]:
        table, where = self._rows.table.sql, self._rows.where
        if self._returning:
            limited = f"SET STATEMENT max_statement_time = {STATEMENT} FOR DELETE FROM {table} WHERE "
            yield from self._read(limited + where + " RETURNING " + self._rows.form.line)
        else:
            batches = list(
                self._read("SELECT " + self._rows.form.line + f" FROM {table} WHERE " + where + " FOR UPDATE")
            )
            self._delete()
            yield from batches
        check_warnings(self._connection, self._rows.table)
        self.is_complete = True

    def _read(self, statement: Fragment) -> Iterator[RowBatch]:
        with closing(lines_of(self._connection, statement, self._rows.form)) as read:
            for found in read:
                before = self.content.raw_size
                if found.rows is not None:
                    self.content.update(found.rows)
                self.tallies += found.tallies(self.content.raw_size - before)
                self.records += found.records
                if found.rows is not None:
                    yield found.rows

    def _delete(self) -> None:
        """Delete what was read and locked.

        Raises:
            ChangedError: If other rows went.
        """
        delete = f"DELETE FROM {self._rows.table.sql} WHERE " + self._rows.where
        gone = self._connection.change(delete) if self.records else 0
        if gone != self.records:
            raise ChangedError(f"{gone} rows went, but {self.records} were read", hint=NOTHING)


def check_warnings(connection: Connection, table: Table) -> None:
    """Nothing goes where the server was not sure of a value.

    Raises:
        StoreError: If it warned in the statement before.
    """
    warned = connection.warnings()
    if warned:
        raise StoreError(
            f"{table.shown}: the server warned while it compared and removed rows: {warned[0]}",
            hint="Nothing of it was removed. Change the value, the column's type or the trigger that it is about.",
        )
