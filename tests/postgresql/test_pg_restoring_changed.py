"""Records go back into a PostgreSQL table that has changed since, where their values stay the same."""

from __future__ import annotations

import pytest
from pg_columns import Columns, again, archive_of, columns, opened

from lapse.errors import StoreError, StoreMissingError

__all__ = ["columns", "opened"]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("integer", "5", "bigint"),
        ("character varying(5)", "ab", "text"),
        ("text", "ffffffff-ffff-ffff-ffff-ffffffffffff", "uuid"),
        ("uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", "text"),
        ("json", "[1, 2]", "jsonb"),
        ("numeric(6,2)", "1.50", "numeric"),
    ],
)
def test_a_type_that_has_changed_takes_values_that_stay_the_same(
    columns: Columns, before: str, value: str, after: str
) -> None:
    """Their text says so."""
    part, batches = archive_of(columns, f"CREATE TABLE log (x {before})", f"INSERT INTO log VALUES ('{value}')")
    columns.run("DROP TABLE log", f"CREATE TABLE log (x {after})")

    assert columns.restore(again(part, batches)) == (1, 0)
    assert columns.rows("SELECT format('%s', x) FROM log") == [(value,)]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("numeric(6,2)", "1.25", "numeric(6,1)"),
        ("numeric", "1.25", "numeric(6,1)"),
        ("text", "ab  ", "character varying(2)"),
        ("text", "abc", "character varying(2)"),
        ("timestamp", "2020-01-01 00:00:00.5", "timestamp(0)"),
        ("timestamp", "2020-01-01 00:00:00", "timestamptz"),
        ("double precision", "0.12345678901", "real"),
        ("json", "[1,2]", "jsonb"),
        ("bigint", "5000000000", "integer"),
        ("text", "a", "integer"),
    ],
)
def test_a_type_that_would_change_a_value_does_not_get_it(
    columns: Columns, before: str, value: str, after: str
) -> None:
    """Rounded, cut, shifted or refused: nothing is written."""
    part, batches = archive_of(columns, f"CREATE TABLE log (x {before})", f"INSERT INTO log VALUES ('{value}')")
    columns.run("DROP TABLE log", f"CREATE TABLE log (x {after})")

    with pytest.raises(StoreError):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT * FROM log") == []


def test_columns_that_came_since_take_their_defaults(columns: Columns) -> None:
    """As they would have had in rows that had stayed; the order of the columns does not matter."""
    part, batches = archive_of(
        columns, "CREATE TABLE log (id integer PRIMARY KEY, x text)", "INSERT INTO log VALUES (1, 'a')"
    )
    columns.run("DROP TABLE log", "CREATE TABLE log (y text, x text, z integer DEFAULT 7, id integer PRIMARY KEY)")

    assert columns.restore(again(part, batches)) == (1, 0)
    assert columns.restore(again(part, batches)) == (0, 1)
    assert columns.rows("SELECT id, x, y, z FROM log") == [(1, "a", None, 7)]


def test_a_key_that_came_since_does_not_hide_what_is_there(columns: Columns) -> None:
    """Rows are known by the content that was archived, then."""
    part, batches = archive_of(columns, "CREATE TABLE log (x text)", "INSERT INTO log VALUES ('a'), ('a')")
    columns.run("ALTER TABLE log ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")

    assert columns.restore(again(part, batches)) == (2, 0)
    assert columns.restore(again(part, batches)) == (0, 2)


def test_a_column_that_is_gone_is_named(columns: Columns) -> None:
    """A part of a record is no record."""
    part, batches = archive_of(columns, "CREATE TABLE log (id integer, gone text)", "INSERT INTO log VALUES (1, 'a')")
    columns.run("ALTER TABLE log DROP gone")

    with pytest.raises(StoreMissingError, match="gone"):
        columns.restore(again(part, batches))


def test_a_generated_column_may_be_gone(columns: Columns) -> None:
    """Its values came from the others."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (id integer, twice integer GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO log VALUES (1)",
    )
    columns.run("ALTER TABLE log DROP twice")

    assert columns.restore(again(part, batches)) == (1, 0)


def test_a_table_of_many_columns_is_compared_whole(columns: Columns) -> None:
    """A function of the server takes a hundred arguments; a table may have more columns."""
    many = ", ".join(f"c{n} integer DEFAULT {n}" for n in range(130))
    part, batches = archive_of(
        columns, f"CREATE TABLE log (id integer PRIMARY KEY, {many})", "INSERT INTO log (id) VALUES (1)"
    )
    columns.restore(again(part, batches))
    columns.run("UPDATE log SET c129 = 0")

    with pytest.raises(StoreError, match="key 1 "):
        columns.restore(again(part, batches))
