"""Rows come out of PostgreSQL in bounded batches, with what was decided of each, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pg_columns import Columns, again, batches_of, through_parquet
from pg_values import differing, keep, typed

from lapse.errors import StoreError
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import TableColumn, find_table
from lapse.stores.postgresql.connection import Block
from lapse.stores.postgresql.encoding import COPY_OPTIONS, Shape, read, read_plain

__all__ = ["typed"]


def test_codes_tenants_and_instants_come_beside_the_rows(typed: Columns) -> None:
    """What the statement returns after the columns is not among them, whatever the columns are called."""
    typed.run(
        "DROP TABLE IF EXISTS log",
        "CREATE TABLE log (lapse_code text, lapse_tenant text, lapse_instant text, _lapse_odd date)",
        "INSERT INTO log VALUES ('a', 'b', 'c', 'infinity'), (NULL, '', '\\N', NULL)",
    )

    (found,) = typed.decoded()

    assert found.rows.schema.names == ["lapse_code", "lapse_tenant", "lapse_instant", "_lapse_odd", "_lapse_odd_"]
    assert found.rows.column(0).to_pylist() == ["a", None]
    assert found.rows.column(2).to_pylist() == ["c", "\\N"]
    assert (found.codes.to_pylist(), str(found.codes.type)) == ([7, 7], "int32")
    assert (found.tenants.to_pylist(), str(found.tenants.type)) == (["acme", "acme"], "string")
    assert (found.instants.to_pylist(), str(found.instants.type)) == ([5, 5], "int64")


def test_a_decision_may_be_null_or_empty(typed: Columns) -> None:
    """No tenant is not the tenant without a name, and neither is the one called \\N."""
    typed.fill("text", ["a"])
    shape = Shape(find_table(typed.connection, "log").columns)
    query = f"SELECT {shape.select}, NULL::int, t, NULL::bigint FROM log r, unnest(ARRAY[NULL, '', %s]) t WHERE id = 0"

    (found,) = read(typed.connection.copy_out(Fragment(query, ("\\N",)), COPY_OPTIONS), shape)

    assert found.codes.to_pylist() == [None, None, None]
    assert found.tenants.to_pylist() == [None, "", "\\N"]
    assert found.instants.to_pylist() == [None, None, None]


def test_names_with_every_sign_travel(typed: Columns, tmp_path: Path) -> None:
    """Quotes, blanks, percent signs, capitals and accents stand in a name; a dropped column is not there."""
    names = ["Mixed Case", 'q"uote', "100%s", "%(x)s", "zoë", "a,b", "select", "back\\slash", "{}"]
    quoted = [quote(name) for name in names]
    definitions = ", ".join(f"{name} {kind}" for name, kind in zip(quoted, ["text", "bytea", "json"] * 3, strict=True))
    typed.run("DROP TABLE IF EXISTS log", f"CREATE TABLE log (gone text, {definitions})", "ALTER TABLE log DROP gone")
    typed.run("INSERT INTO log VALUES ('a', '\\x00', 'null', 'b', '\\xff', '1', 'c', '', '{}')")
    before = typed.rows("SELECT log::text FROM log")

    part = next(through_parquet(typed.removed(), tmp_path))

    assert [column.name for column in part.columns] == names
    assert typed.restore(part) == (1, 0)
    assert typed.rows("SELECT log::text FROM log") == before


def test_rows_come_in_bounded_batches(typed: Columns) -> None:
    """A take's memory does not grow with it: 25,000 small rows are three batches, twelve megabytes as well."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log AS SELECT i FROM generate_series(1, 25000) i")
    narrow = [batch.num_rows for batch in batches_of(typed.copied())]
    typed.run("DROP TABLE log", "CREATE TABLE log AS SELECT repeat('x', 1000) x FROM generate_series(1, 12000)")
    wide = [batch.num_rows for batch in batches_of(typed.copied())]

    assert narrow == [10_000, 10_000, 5_000]
    assert len(wide) == 3
    assert sum(wide) == 12_000


def test_a_row_larger_than_a_batch_comes_whole(typed: Columns, tmp_path: Path) -> None:
    """Ten megabytes in one value, with a line end in it and rows before and after."""
    typed.fill("text", ["small"])
    typed.run("INSERT INTO log SELECT 7, repeat(E'0123456\"\\n', 1200000)", "INSERT INTO log VALUES (8, 'after')")
    keep(typed)

    part = next(through_parquet(typed.removed(), tmp_path))

    assert typed.restore(part) == (4, 0)
    assert differing(typed) == []


def test_no_rows_are_no_batches(typed: Columns) -> None:
    """An empty table sends nothing."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log (x date)")

    assert typed.decoded() == []


def test_one_column_of_nothing_but_null_is_rows(typed: Columns) -> None:
    """A line that is empty but for NULL counts as a row, out and in."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log (x text)", "INSERT INTO log VALUES (NULL), (''), (NULL)")

    (batch,) = batches_of(part := typed.copied())

    assert batch.column("x").to_pylist() == [None, "", None]
    typed.run("TRUNCATE log")
    assert typed.restore(again(part, [batch])) == (3, 0)
    assert typed.rows("SELECT x FROM log ORDER BY x") == [("",), (None,), (None,)]


def test_what_the_server_refuses_midway_comes_out_as_it_is(typed: Columns) -> None:
    """An error after the first rows is the store's own, not one of Arrow's, and the rows are still there."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log AS SELECT i FROM generate_series(1, 60000) i")
    shape = Shape(find_table(typed.connection, "log").columns)
    statement = f"DELETE FROM log r RETURNING {shape.select}, 1 / (i - 60000), NULL, NULL"

    with pytest.raises(StoreError, match="division by zero"):
        list(read(typed.connection.copy_out(Fragment(statement), COPY_OPTIONS), shape))

    assert typed.rows("SELECT count(*) FROM log") == [(60_000,)]


def test_a_refusal_ends_the_statement_and_the_session_goes_on(typed: Columns) -> None:
    """Rows that the server still had to send do not stand in the way of a rollback, and all are there."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log AS SELECT 'x' x FROM generate_series(1, 200000)")
    shape = Shape([TableColumn(name="x", type="date", base="date")])
    statement = Fragment("DELETE FROM log RETURNING '2020-99-99'")

    with pytest.raises(StoreError, match="column x "), typed.connection.transaction():
        list(read_plain(typed.connection.copy_out(statement, COPY_OPTIONS), shape))

    assert typed.rows("SELECT count(*) FROM log") == [(200_000,)]


def test_rows_that_do_not_add_up_are_refused() -> None:
    """What was parsed must be as many rows as were sent: a delete must not lose one on the way."""
    shape = Shape([TableColumn(name="x", type="text", base="text")])

    with pytest.raises(StoreError, match="2 rows, which read as 1"):
        list(read_plain(iter([Block(b'"a\nb"\n', 2)]), shape))
