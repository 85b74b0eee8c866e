"""Tables of one interesting column, sent out and taken back by the parts of the store that do this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lapse.ports import LineBlock, Part, RestoreCount, RowBatch
from lapse.segments import open_writer, read_segment
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.encoding import COPY_OPTIONS, Decoded, Shape, read, read_plain
from lapse.stores.postgresql.restoring import restore
from servers.postgres import PostgresServer


class Columns:
    """A database, a session of the store in it, and what is done with tables there."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(url, shown="the database", read_only=False)

    def run(self, *statements: str) -> None:
        """Run statements, each committed by itself."""
        for statement in statements:
            self.connection.run(statement)

    def rows(self, query: str) -> list[Any]:
        """The rows of a query."""
        return self.connection.rows(query)

    def fill(self, kind: str, values: Sequence[str]) -> None:
        """Make the table ``log`` anew with a column ``x`` of that type, a row a value, and one with NULL."""
        self.run("DROP TABLE IF EXISTS log, fresh, kept", f"CREATE TABLE log (id integer PRIMARY KEY, x {kind})")
        for number, value in enumerate([*values, None]):
            self.run(f"INSERT INTO log VALUES ({number}, {self.connection.literal(value)})")

    def decoded(self, table: str = "log") -> list[Decoded]:
        """Delete all rows of a table, as they leave with what was decided of them."""
        found = find_table(self.connection, table)
        shape = Shape(found.columns)
        statement = (
            f"DELETE FROM {found.sql} AS r WHERE %s RETURNING {shape.select}, "
            "7 AS lapse_code, 'acme' AS lapse_tenant, 5::bigint AS lapse_instant"
        )
        return list(read(self.connection.copy_out(Fragment(statement, (True,)), COPY_OPTIONS), shape))

    def removed(self, table: str = "log") -> Part:
        """Delete all rows of a table; they are in the part."""
        shape = Shape(find_table(self.connection, table).columns)
        return self._part(shape, [each.rows for each in self.decoded(table)])

    def copied(self, table: str = "log") -> Part:
        """The rows of a table, which stay."""
        found = find_table(self.connection, table)
        shape = Shape(found.columns)
        query = Fragment(f"SELECT {shape.select} FROM {found.sql} AS r", ())
        return self._part(shape, list(read_plain(self.connection.copy_out(query, COPY_OPTIONS), shape)))

    @staticmethod
    def _part(shape: Shape, batches: list[RowBatch]) -> Part:
        return Part(table="log", columns=shape.columns, odd_column=shape.odd_column, batches=iter(batches))

    def restore(self, part: Part, table: str = "log") -> tuple[int, int]:
        """Put a part back, which can be used again afterwards; the rows written, and those that were there."""
        count: RestoreCount = restore(self.connection, table, part)
        return count.restored, count.present

    def close(self) -> None:
        """End the session."""
        self.connection.close()


def batches_of(part: Part) -> list[RowBatch]:
    """The batches of a part of rows, read through."""
    return [batch for batch in part.batches if not isinstance(batch, LineBlock)]


def again(part: Part, batches: list[RowBatch]) -> Part:
    """The part, to be read once more."""
    return Part(table=part.table, columns=part.columns, odd_column=part.odd_column, batches=iter(batches))


def through_parquet(part: Part, folder: Path) -> Iterator[Part]:
    """Write a part to a segment, and read it back as often as wanted; the content does not know the difference."""
    path, sealed, read_back = folder / "segment.parquet", ContentDigest(), ContentDigest()
    with open_writer("parquet", path, part) as writer:
        for batch in part.batches:
            writer.write(batch)
            sealed.update(batch)
    with path.open("rb") as file:
        back = [batch for batch in read_segment("parquet", file) if not isinstance(batch, LineBlock)]
    for rows in back:
        read_back.update(rows)
    assert read_back.digest() == sealed.digest()
    while True:
        yield again(part, back)


@pytest.fixture(scope="module")
def opened(postgres: PostgresServer) -> Iterator[Columns]:
    """A database and a session in it."""
    columns = Columns(postgres.create_database("restoring"))
    yield columns
    columns.close()
    postgres.drop_database("restoring")


@pytest.fixture
def columns(opened: Columns) -> Columns:
    """The database, empty."""
    opened.run('DROP SCHEMA IF EXISTS public, "Old" CASCADE', "CREATE SCHEMA public")
    return opened


def archive_of(columns: Columns, *statements: str) -> tuple[Part, list[RowBatch]]:
    """Run statements that make and fill ``log``, and archive all of it."""
    columns.run(*statements)
    part = columns.removed()
    return part, batches_of(part)
