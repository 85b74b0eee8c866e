"""Records go into PostgreSQL where their table is not there, or where another store archived them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pg_columns import Columns, again, archive_of, batches_of, columns, opened

from lapse.errors import StoreError, UnsupportedError
from lapse.model.manifest import Column
from lapse.ports import LineBlock, Part

__all__ = ["columns", "opened"]


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


def test_a_type_that_is_not_there_is_named_and_no_table_is_left(columns: Columns) -> None:
    """The archive cannot make an enumeration: its order and other words are not in it."""
    part, batches = archive_of(
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
    part, batches = archive_of(columns, "CREATE TABLE log (x integer)", "INSERT INTO log VALUES (1)")
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
