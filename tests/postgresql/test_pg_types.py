"""Every PostgreSQL type: out of the table, through Parquet, and back, equal to the bit; or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg_columns import Columns, again, batches_of, through_parquet
from pg_values import VALUES, differing, keep, typed

from lapse.errors import StoreError
from lapse.ports import Part
from lapse.stores.postgresql.catalog import TableColumn, find_table
from lapse.stores.postgresql.connection import Block
from lapse.stores.postgresql.encoding import Shape, read_plain
from servers.postgres import PostgresServer

__all__ = ["typed"]

_XML = ['<a b="1">&lt;é</a>', '<?xml version="1.0"?><a/>', '<?xml version="1.0" encoding="UTF-8"?><a/>', "text", ""]
_ODD_ONES = {"date": 5, "time": 1, "timestamp": 5, "timestamptz": 4, "numeric(10,2)": 1}


def _comes_back(columns: Columns, kind: str, values: list[str], folder: Path) -> Part:
    columns.fill(kind, values)
    keep(columns)
    text = "SELECT id, format('%L', x), pg_typeof(x)::text FROM {} ORDER BY 1"
    before = columns.rows(text.format("log"))
    rows = len(values) + 1

    part = columns.removed()
    parts = through_parquet(part, folder)
    sealed = next(parts)

    assert columns.rows("SELECT count(*) FROM log") == [(0,)]
    assert columns.restore(sealed) == (rows, 0)
    assert columns.restore(next(parts)) == (0, rows)
    assert columns.restore(next(parts), "fresh") == (rows, 0)
    assert columns.restore(next(parts), "fresh") == (0, rows)
    for table in ("log", "fresh"):
        assert columns.rows(text.format(table)) == before
        assert differing(columns, table) == []
    return next(parts)


@pytest.mark.parametrize(("kind", "values"), VALUES.items(), ids=VALUES)
def test_a_value_of_every_type_comes_back_equal_from_parquet(
    typed: Columns, tmp_path: Path, kind: str, values: list[str]
) -> None:
    """Removed, sealed, restored into the same and into a new table: text, type and stored bits are as before."""
    _comes_back(typed, kind, values, tmp_path)


def test_xml_keeps_its_declaration(typed: Columns, tmp_path: Path) -> None:
    """Its output function leaves the declaration out. A server without XML can only hold NULL, which travels too."""
    (configured,) = typed.rows("SELECT setting FROM pg_config WHERE name = 'CONFIGURE'")[0]

    _comes_back(typed, "xml", _XML if "--with-libxml" in configured else [], tmp_path)


@pytest.mark.parametrize(("kind", "count"), _ODD_ONES.items(), ids=_ODD_ONES)
def test_values_that_arrow_cannot_hold_stand_in_the_odd_column(typed: Columns, kind: str, count: int) -> None:
    """Only they do: the others are of the Arrow type, where a query of the archive can use them."""
    values = VALUES[kind]
    typed.fill(kind, values)

    part = typed.copied()
    (batch,) = batches_of(part)

    assert part.odd_column == "_lapse_odd"
    assert batch.column("_lapse_odd").null_count == len(values) + 1 - count
    assert batch.column("x").null_count == count + 1
    assert part.columns[1].encoding == "native"


def test_a_generated_column_is_archived_and_computed_anew(typed: Columns, tmp_path: Path) -> None:
    """Its values are in the archive, marked; into a table that computes them they are not written."""
    typed.run(
        "DROP TABLE IF EXISTS log, fresh",
        "CREATE TABLE log (a integer, twice integer GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO log VALUES (1), (NULL)",
    )

    parts = through_parquet(typed.removed(), tmp_path)
    part = next(parts)

    assert part.columns[1].declared == "integer GENERATED ALWAYS"
    assert typed.restore(part) == (2, 0)
    assert typed.restore(next(parts), "fresh") == (2, 0)
    for table in ("log", "fresh"):
        assert typed.rows(f"SELECT a, twice FROM {table} ORDER BY a") == [(1, 2), (None, None)]


def test_the_interval_that_the_server_cannot_read_is_refused(typed: Columns) -> None:
    """It can be computed and written; one microsecond more travels."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log (x interval)")
    typed.run("INSERT INTO log SELECT interval '1 day -2562047788:00:54.775807' - interval '0.000001'")

    with pytest.raises(StoreError, match="column x "), typed.connection.transaction():
        typed.removed()

    assert typed.rows("SELECT x::text FROM log") == [("1 day -2562047788:00:54.775808",)]


def test_a_value_that_cannot_be_read_is_refused_by_its_column() -> None:
    """The message names the column and keeps the value to itself."""
    shape = Shape(
        [TableColumn(name="id", type="integer", base="integer"), TableColumn(name="x", type="d", base="date")]
    )

    with pytest.raises(StoreError, match="column x ") as refusal:
        list(read_plain(iter([Block(b"1,infinity\n", 1), Block(b"2,2020-99-99\n", 1)]), shape))
    with pytest.raises(StoreError, match="column id "):
        list(read_plain(iter([Block(b"one,2020-01-01\n", 1)]), shape))
    with pytest.raises(StoreError, match="column x holds a value that cannot be read as UTF-8"):
        list(read_plain(iter([Block(b"\xff\n", 1)]), Shape([TableColumn(name="x", type="text", base="text")])))

    assert "99" not in refusal.value.message


def test_a_single_byte_that_is_no_text_travels(typed: Columns, tmp_path: Path) -> None:
    """The server writes a ``"char"`` beyond ASCII as ``\\310``, and reads it so."""
    typed.run("DROP TABLE IF EXISTS log", 'CREATE TABLE log (x "char")', 'INSERT INTO log SELECT (-56)::"char"')
    before = typed.rows("SELECT ascii(x) FROM log")

    assert typed.restore(next(through_parquet(typed.removed(), tmp_path))) == (1, 0)
    assert typed.rows("SELECT ascii(x) FROM log") == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none()
            | st.text(
                st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from('",\\\r\n N')
            ),
            st.none() | st.binary(),
            st.none() | st.floats(),
            st.none() | st.datetimes(),
        ),
        min_size=1,
    )
)
def test_any_rows_come_back(typed: Columns, rows: list[tuple[object, ...]]) -> None:
    """Texts, bytes, numbers and times as they may be."""
    literal = typed.connection.literal
    typed.run("CREATE TABLE IF NOT EXISTS arbitrary (a text, b bytea, c double precision, d timestamp)")
    typed.run("TRUNCATE arbitrary")
    for row in rows:
        typed.run(f"INSERT INTO arbitrary VALUES ({', '.join(map(literal, row))})")
    query = "SELECT format('%L', t) FROM arbitrary t ORDER BY 1"
    before = typed.rows(query)

    assert typed.restore(typed.removed("arbitrary"), "arbitrary") == (len(rows), 0)
    assert typed.rows(query) == before


def test_bytes_that_are_no_text_are_refused(postgres: PostgresServer) -> None:
    """A database without an encoding may hold them; the rows stay, and the archive never guesses."""
    with postgres.connect() as admin:
        admin.execute("CREATE DATABASE bare ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    columns = Columns(postgres.url("bare"))
    try:
        columns.run("CREATE TABLE log (id integer, x text)", "INSERT INTO log VALUES (1, 'gr\u00fcn')")
        fine = columns.removed()
        columns.restore(fine)
        columns.run("INSERT INTO log SELECT 2, convert_from('\\xff', 'SQL_ASCII')")
        with pytest.raises(StoreError, match="UTF8"):
            columns.removed()
        assert columns.rows("SELECT id, octet_length(x) FROM log ORDER BY 1") == [(1, 5), (2, 1)]
    finally:
        columns.close()
        postgres.drop_database("bare")


def test_a_database_in_another_encoding_comes_back_byte_for_byte(postgres: PostgresServer) -> None:
    """The server converts LATIN1 to UTF-8 and back."""
    with postgres.connect() as admin:
        admin.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    columns = Columns(postgres.url("old"))
    try:
        columns.run("CREATE TABLE log (x text)", "INSERT INTO log VALUES ('gr\u00fcn')")
        part = columns.removed()
        (batch,) = batches_of(part)
        assert columns.restore(again(part, [batch])) == (1, 0)
        assert batch.column("x").to_pylist() == ["gr\u00fcn"]
        assert columns.rows("SELECT octet_length(x) FROM log") == [(4,)]
    finally:
        columns.close()
        postgres.drop_database("old")


def test_the_size_of_a_row_is_that_of_its_content(typed: Columns) -> None:
    """Texts and bytes count exactly, numbers eight, and NULL nothing of its own."""
    typed.run(
        "DROP TABLE IF EXISTS log",
        'CREATE TABLE log (id bigint, at timestamptz, "100%" text, x bytea, j jsonb)',
        "INSERT INTO log VALUES (1, now(), repeat('\u00fc', 1000), '\\x0000', NULL), (2, NULL, NULL, NULL, '[1]')",
    )
    shape = Shape(find_table(typed.connection, "log").columns)

    found = typed.connection.rows(f"SELECT {shape.size} FROM log AS r WHERE %s ORDER BY id", (True,))

    assert found[0] == (16 + 2000 + 2,)
    assert 16 < found[1][0] < 100
