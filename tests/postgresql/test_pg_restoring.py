"""Records go back into PostgreSQL exactly, once, all or none; what is there is never overwritten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pg_columns import Columns, again, archive_of, batches_of, columns, opened

from lapse.errors import StoreError, UnsupportedError, VerificationError
from lapse.ports import Part, RowBatch

__all__ = ["columns", "opened"]


def test_what_is_missing_is_written_and_what_is_there_is_counted(columns: Columns) -> None:
    """Rows of the archive that are there equal stay as they are; rows of others do not matter."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (id integer PRIMARY KEY, x text)",
        "INSERT INTO log SELECT i, 'row ' || i FROM generate_series(1, 5) i",
    )
    columns.run("INSERT INTO log VALUES (2, 'row 2'), (4, 'row 4'), (9, 'another')")

    assert columns.restore(again(part, batches)) == (3, 2)
    assert columns.restore(again(part, batches)) == (0, 5)
    assert columns.rows("SELECT id FROM log ORDER BY 1") == [(1,), (2,), (3,), (4,), (5,), (9,)]


@pytest.mark.parametrize(
    ("kind", "archived", "there"),
    [
        ("text", "a", "b"),
        ("text", "", None),
        ("numeric", "1.0", "1.00"),
        ("double precision", "0", "-0"),
        ("json", '{"a":1}', '{"a": 1}'),
        ("citext", "a", "A"),
        ("interval", "30 days", "1 month"),
        ("bpchar", "a", "a "),
        ("inet", "1.2.3.4/32", "1.2.3.4/31"),
    ],
)
def test_a_row_of_the_same_key_and_other_content_is_never_overwritten(
    columns: Columns, kind: str, archived: str, there: str | None
) -> None:
    """What a type calls equal is not enough. The restore names the key and writes nothing at all."""
    literal = columns.connection.literal
    part, batches = archive_of(
        columns,
        "CREATE EXTENSION citext",
        f"CREATE TABLE log (id integer PRIMARY KEY, x {kind})",
        f"INSERT INTO log VALUES (1, {literal(archived)}), (2, {literal(archived)})",
    )
    columns.run(f"INSERT INTO log VALUES (2, {literal(there)})")
    before = columns.rows("SELECT format('%L', log) FROM log")

    with pytest.raises(StoreError, match="key 2 is there with other content"):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT format('%L', log) FROM log") == before


def test_without_a_key_it_counts_how_often_a_row_is_there(columns: Columns) -> None:
    """Three equal rows went, one of them is there again: two come back, and no more."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (x json, y integer)",
        "INSERT INTO log VALUES ('1', NULL), ('1', NULL), ('1', NULL), (NULL, 2), ('1', 2)",
    )
    columns.run("INSERT INTO log VALUES ('1', NULL), ('1', 3)")

    assert columns.restore(again(part, batches)) == (4, 1)
    assert columns.restore(again(part, batches)) == (0, 5)
    assert columns.rows("SELECT x::text, y, count(*) FROM log GROUP BY 1, 2 ORDER BY 1, 2") == [
        ("1", 2, 1), ("1", 3, 1), ("1", None, 3), (None, 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["uuid", "character(36)", "text", "bytea"])
def test_a_key_may_be_of_any_type_and_of_several_columns(columns: Columns, kind: str) -> None:
    """Also of one that travels as text."""
    part, batches = archive_of(
        columns,
        f"CREATE TABLE log (id {kind}, at timestamptz, PRIMARY KEY (at, id))",
        "INSERT INTO log VALUES ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'infinity')",
        "INSERT INTO log VALUES ('ffffffff-ffff-ffff-ffff-ffffffffffff', '2020-01-01 00:00:00.000001Z')",
    )
    columns.run("INSERT INTO log VALUES ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'infinity')")

    assert columns.restore(again(part, batches)) == (1, 1)
    assert columns.restore(again(part, batches)) == (0, 2)


def test_identity_columns_get_their_old_numbers(columns: Columns) -> None:
    """Though the server is always to number them."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text)",
        "INSERT INTO log (x) VALUES ('a'), ('b')",
    )

    assert columns.restore(again(part, batches)) == (2, 0)
    assert columns.rows("SELECT id, x FROM log ORDER BY 1") == [(1, "a"), (2, "b")]


def test_rows_find_their_partitions_or_none_comes_back(columns: Columns) -> None:
    """A row without a partition undoes those that had one."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (id integer, x text) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF log FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high PARTITION OF log FOR VALUES FROM (10) TO (20)",
        "INSERT INTO log VALUES (1, 'a'), (11, 'b')",
    )
    columns.run("DROP TABLE high")

    with pytest.raises(StoreError, match="no partition"):
        columns.restore(again(part, batches))
    assert columns.rows("SELECT * FROM log") == []

    columns.run("CREATE TABLE high PARTITION OF log FOR VALUES FROM (10) TO (20)")
    assert columns.restore(again(part, batches)) == (2, 0)
    assert columns.rows("SELECT x FROM high") == [("b",)]


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
@pytest.mark.parametrize("body", ["NEW.x := 'altered'; RETURN NEW;", "RETURN NULL;"])
def test_a_trigger_that_alters_or_drops_rows_undoes_the_restore(columns: Columns, key: str, body: str) -> None:
    """The records would not be there as they were archived."""
    part, batches = archive_of(
        columns,
        f"CREATE TABLE log (id integer {key}, x text)",
        "INSERT INTO log VALUES (1, 'a')",
        f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        "CREATE TRIGGER meddle BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION meddle()",
    )

    with pytest.raises(StoreError, match="1 rows would not be there as they were archived"):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT * FROM log") == []


def test_a_trigger_that_moves_rows_to_a_child_table_is_counted(columns: Columns) -> None:
    """Such is partitioning by inheritance: the server says that nothing was inserted."""
    part, batches = archive_of(
        columns,
        "CREATE TABLE log (id integer, x text)",
        "CREATE TABLE child () INHERITS (log)",
        "INSERT INTO child VALUES (1, 'a')",
        "CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO child VALUES (NEW.*); RETURN NULL; END $$",
        "CREATE TRIGGER move BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION move()",
    )

    assert columns.restore(again(part, batches)) == (1, 0)
    assert columns.rows("SELECT * FROM child") == [(1, "a")]


def test_a_view_takes_nothing_back(columns: Columns) -> None:
    """What an INSERT into it would do is its own business."""
    part, batches = archive_of(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")
    columns.run("CREATE VIEW seen AS SELECT * FROM log")

    with pytest.raises(UnsupportedError, match="seen is no table"):
        columns.restore(again(part, batches), "seen")


def test_a_child_without_its_parent_does_not_come_back(columns: Columns) -> None:
    """Parents first; else the server refuses and nothing is written."""
    columns.run(
        "CREATE TABLE parent (id integer PRIMARY KEY)",
        "CREATE TABLE log (id integer PRIMARY KEY, parent integer REFERENCES parent)",
        "INSERT INTO parent VALUES (1), (2)",
        "INSERT INTO log VALUES (10, 1), (20, 2)",
    )
    child = columns.removed()
    rows = batches_of(child)
    columns.run("DELETE FROM parent WHERE id = 2")

    with pytest.raises(StoreError, match="foreign key"):
        columns.restore(again(child, rows))
    assert columns.rows("SELECT * FROM log") == []

    columns.run("INSERT INTO parent VALUES (2)")
    assert columns.restore(again(child, rows)) == (2, 0)


def test_a_segment_that_breaks_off_restores_nothing(columns: Columns) -> None:
    """The reader's own error comes out, the first batch goes back, and the session can be used."""
    part, batches = archive_of(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")

    def broken() -> Iterator[RowBatch]:
        yield from batches
        raise VerificationError("damaged")

    with pytest.raises(VerificationError, match="damaged"):
        columns.restore(Part(table="log", columns=part.columns, odd_column=part.odd_column, batches=broken()))

    assert columns.rows("SELECT * FROM log") == []
    assert columns.restore(again(part, batches)) == (1, 0)


def test_two_rows_of_one_key_are_refused(columns: Columns) -> None:
    """An archive of a table that had no key yet does not fit one that has."""
    part, batches = archive_of(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1), (1)")
    columns.run("ALTER TABLE log ADD PRIMARY KEY (x)")

    with pytest.raises(StoreError, match="duplicate key"):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT * FROM log") == []
