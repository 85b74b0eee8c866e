"""Records go back into PostgreSQL exactly, once, all or none; what is there is never overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pg_columns import Columns, again, batches_of

from lapse.errors import StoreError, StoreMissingError, UnsupportedError, VerificationError
from lapse.model.manifest import Column
from lapse.ports import LineBlock, Part, RowBatch
from servers.postgres import PostgresServer


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


def _archived(columns: Columns, *statements: str) -> tuple[Part, list[RowBatch]]:
    """Run statements that make and fill ``log``, and archive all of it."""
    columns.run(*statements)
    part = columns.removed()
    return part, batches_of(part)


def _foreign(cells: Mapping[str, Any], columns: list[Column], odd: list[Any] | None = None) -> Part:
    """A part as another kind of store makes it."""
    arrays = dict(cells)
    if odd is not None:
        packed = [None if cell is None else msgspec.msgpack.encode(cell) for cell in odd]
        arrays["_lapse_odd"] = pa.array(packed, pa.binary())
    batch = pa.RecordBatch.from_pydict(arrays)
    return Part(
        table="log",
        columns=tuple(columns),
        odd_column=None if odd is None else "_lapse_odd",
        batches=iter([batch]),
    )


def test_what_is_missing_is_written_and_what_is_there_is_counted(columns: Columns) -> None:
    """Rows of the archive that are there equal stay as they are; rows of others do not matter."""
    part, batches = _archived(
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
    part, batches = _archived(
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
    part, batches = _archived(
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
    part, batches = _archived(
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
    part, batches = _archived(
        columns,
        "CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text)",
        "INSERT INTO log (x) VALUES ('a'), ('b')",
    )

    assert columns.restore(again(part, batches)) == (2, 0)
    assert columns.rows("SELECT id, x FROM log ORDER BY 1") == [(1, "a"), (2, "b")]


def test_rows_find_their_partitions_or_none_comes_back(columns: Columns) -> None:
    """A row without a partition undoes those that had one."""
    part, batches = _archived(
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
    part, batches = _archived(
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
    part, batches = _archived(
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
    part, batches = _archived(columns, f"CREATE TABLE log (x {before})", f"INSERT INTO log VALUES ('{value}')")
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
    part, batches = _archived(columns, f"CREATE TABLE log (x {before})", f"INSERT INTO log VALUES ('{value}')")
    columns.run("DROP TABLE log", f"CREATE TABLE log (x {after})")

    with pytest.raises(StoreError):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT * FROM log") == []


def test_columns_that_came_since_take_their_defaults(columns: Columns) -> None:
    """As they would have had in rows that had stayed; the order of the columns does not matter."""
    part, batches = _archived(
        columns, "CREATE TABLE log (id integer PRIMARY KEY, x text)", "INSERT INTO log VALUES (1, 'a')"
    )
    columns.run("DROP TABLE log", "CREATE TABLE log (y text, x text, z integer DEFAULT 7, id integer PRIMARY KEY)")

    assert columns.restore(again(part, batches)) == (1, 0)
    assert columns.restore(again(part, batches)) == (0, 1)
    assert columns.rows("SELECT id, x, y, z FROM log") == [(1, "a", None, 7)]


def test_a_key_that_came_since_does_not_hide_what_is_there(columns: Columns) -> None:
    """Rows are known by the content that was archived, then."""
    part, batches = _archived(columns, "CREATE TABLE log (x text)", "INSERT INTO log VALUES ('a'), ('a')")
    columns.run("ALTER TABLE log ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")

    assert columns.restore(again(part, batches)) == (2, 0)
    assert columns.restore(again(part, batches)) == (0, 2)


def test_a_column_that_is_gone_is_named(columns: Columns) -> None:
    """A part of a record is no record."""
    part, batches = _archived(columns, "CREATE TABLE log (id integer, gone text)", "INSERT INTO log VALUES (1, 'a')")
    columns.run("ALTER TABLE log DROP gone")

    with pytest.raises(StoreMissingError, match="gone"):
        columns.restore(again(part, batches))


def test_a_generated_column_may_be_gone(columns: Columns) -> None:
    """Its values came from the others."""
    part, batches = _archived(
        columns,
        "CREATE TABLE log (id integer, twice integer GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO log VALUES (1)",
    )
    columns.run("ALTER TABLE log DROP twice")

    assert columns.restore(again(part, batches)) == (1, 0)


def test_a_table_of_many_columns_is_compared_whole(columns: Columns) -> None:
    """A function of the server takes a hundred arguments; a table may have more columns."""
    many = ", ".join(f"c{n} integer DEFAULT {n}" for n in range(130))
    part, batches = _archived(
        columns, f"CREATE TABLE log (id integer PRIMARY KEY, {many})", "INSERT INTO log (id) VALUES (1)"
    )
    columns.restore(again(part, batches))
    columns.run("UPDATE log SET c129 = 0")

    with pytest.raises(StoreError, match="key 1 "):
        columns.restore(again(part, batches))


def test_a_type_that_is_not_there_is_named_and_no_table_is_left(columns: Columns) -> None:
    """The archive cannot make an enumeration: its order and other words are not in it."""
    part, batches = _archived(
        columns, "CREATE TYPE mood AS ENUM ('a', 'b')", "CREATE TABLE log (x mood)", "INSERT INTO log VALUES ('a')"
    )
    columns.run("DROP TABLE log", "DROP TYPE mood")

    with pytest.raises(StoreError, match="no type mood in the database, which column x needs"):
        columns.restore(again(part, batches))
    assert columns.rows("SELECT 1 FROM pg_class WHERE relname = 'log'") == []

    columns.run("CREATE TYPE mood AS ENUM ('b', 'a')")
    assert columns.restore(again(part, batches)) == (1, 0)


def test_a_table_is_made_in_the_schema_that_is_named(columns: Columns) -> None:
    """A dot divides where such a schema is there; else it is part of the name."""
    part, batches = _archived(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")
    columns.run('CREATE SCHEMA "Old"')

    for name in ("Old.Log 1", "no.such"):
        assert columns.restore(again(part, batches), name) == (1, 0)
        assert columns.restore(again(part, batches), name) == (0, 1)

    assert columns.rows('SELECT x FROM "Old"."Log 1" UNION ALL SELECT x FROM "no.such"') == [(1,), (1,)]


@pytest.mark.parametrize(
    "declared",
    ["integer); DROP TABLE precious; --", "integer --", "integer /*", "setof integer", "", "varchar(9", "x y z"],
)
def test_a_declared_type_is_no_place_for_a_statement(columns: Columns, declared: str) -> None:
    """What a manifest calls a type is used only if the server reads all of it as one."""
    columns.run("CREATE TABLE precious (x integer)")
    native = Column(name="x", declared=declared, arrow="int32")

    restored = columns.restore(_foreign({"x": pa.array([1], pa.int32())}, [native]))

    assert restored == (1, 0)
    assert columns.rows("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'x'") == [
        ("integer",), ("integer",),
    ]  # fmt: skip
    assert columns.rows("SELECT * FROM precious") == []


def test_what_another_store_archived_is_taken_where_it_fits(columns: Columns) -> None:
    """SQLite's INTEGER has eight bytes, and its names for types are free."""
    cells = {
        "a": pa.array([2**40, None], pa.int64()),
        "b": pa.array(["x", ""], pa.string()),
        "c": pa.array([b"\x00\xff", None], pa.large_binary()),
        "d": pa.array([0.1, float("nan")], pa.float64()),
        "e": pa.array([2**64 - 1, 0], pa.uint64()),
        "f": pa.array([1, None], pa.timestamp("ms", "UTC")),
    }
    declared = {"a": "INTEGER", "b": "SHORT WORDS", "c": "", "d": "REAL", "e": "UBIGINT", "f": "TIMESTAMP"}
    part = _foreign(cells, [Column(name=n, declared=d, arrow=str(cells[n].type)) for n, d in declared.items()])
    (batch,) = batches_of(part)

    assert columns.restore(again(part, [batch])) == (2, 0)
    assert columns.restore(again(part, [batch.slice(1)])) == (0, 1)
    assert columns.rows("SELECT a, b, c, d::text, e::text, f::text FROM log ORDER BY a") == [
        (2**40, "x", b"\x00\xff", "0.1", "18446744073709551615", "1970-01-01 00:00:00.001+00"),
        (None, "", None, "NaN", "0", None),
    ]


def test_a_cell_that_no_column_of_postgresql_holds_is_refused(columns: Columns) -> None:
    """A number in a column of texts is SQLite's own."""
    text = Column(name="x", declared="TEXT", arrow="string")

    with pytest.raises(UnsupportedError, match="column x "):
        columns.restore(_foreign({"x": pa.array(["a", None])}, [text], [None, {"x": 5}]))

    assert columns.rows("SELECT 1 FROM pg_class WHERE relname = 'log'") == []


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.time64("ns"), pa.duration("us")], ids=str)
def test_a_type_that_postgresql_would_round_is_refused(columns: Columns, kind: Any) -> None:
    """Nanoseconds do not fit microseconds."""
    column = Column(name="x", declared="TIMESTAMP_NS", arrow=str(kind))

    with pytest.raises(UnsupportedError, match="column x "):
        columns.restore(_foreign({"x": pa.array([1], kind)}, [column]))


def test_lines_are_no_rows(columns: Columns) -> None:
    """Text logs go back into files."""
    column = Column(name="x", declared="text", arrow="string")
    part = Part(table="log", columns=(column,), odd_column=None, batches=iter([LineBlock(b"{}\n", 1)]))

    with pytest.raises(UnsupportedError, match="lines"):
        columns.restore(part)


def test_a_view_takes_nothing_back(columns: Columns) -> None:
    """What an INSERT into it would do is its own business."""
    part, batches = _archived(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")
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
    part, batches = _archived(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")

    def broken() -> Iterator[RowBatch]:
        yield from batches
        raise VerificationError("damaged")

    with pytest.raises(VerificationError, match="damaged"):
        columns.restore(Part(table="log", columns=part.columns, odd_column=part.odd_column, batches=broken()))

    assert columns.rows("SELECT * FROM log") == []
    assert columns.restore(again(part, batches)) == (1, 0)


def test_two_rows_of_one_key_are_refused(columns: Columns) -> None:
    """An archive of a table that had no key yet does not fit one that has."""
    part, batches = _archived(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1), (1)")
    columns.run("ALTER TABLE log ADD PRIMARY KEY (x)")

    with pytest.raises(StoreError, match="duplicate key"):
        columns.restore(again(part, batches))

    assert columns.rows("SELECT * FROM log") == []
