"""Every PostgreSQL type: out of the table, through Parquet, and back, equal to the bit; or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg_columns import Columns, again, batches_of, through_parquet

from lapse.errors import StoreError
from lapse.ports import Part
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import TableColumn, find_table
from lapse.stores.postgresql.connection import Block
from lapse.stores.postgresql.encoding import COPY_OPTIONS, Shape, read, read_plain
from servers.postgres import PostgresServer

_ADDED = (
    "CREATE SCHEMA \"Other 100%\"",
    "CREATE TYPE \"Other 100%\".\"Mood\" AS ENUM ('a', 'it''s', '', 'ü,\"')",
    "CREATE TYPE pair AS (a integer, \"B c\" text)",
    "CREATE DOMAIN short AS character varying(3) CHECK (value <> 'no')",
    "CREATE DOMAIN cents AS numeric(10,2)",
    "CREATE DOMAIN many AS integer[]",
    "CREATE DOMAIN shorter AS short",
    "CREATE TYPE textrange AS RANGE (subtype = text)",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION citext",
)  # fmt: skip
_INFINITIES = ["infinity", "-infinity"]
_NINES = "9" * 38
VALUES: dict[str, list[str]] = {
    "boolean": ["t", "f"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["NaN", *_INFINITIES, "-0", "0", "1.17549435e-38", "1e-45", "0.1", "3.4028235e38", "16777217"],
    "double precision": ["NaN", *_INFINITIES, "-0", "5e-324", "0.1", "1.7976931348623157e308", "0.30000000000000004"],
    "numeric": ["NaN", "0", "0.000", "-1.50", "1e-40", _NINES * 4 + ".000", "1e1000", "100"],
    "numeric(10,2)": ["NaN", "0", "-1.5", "99999999.99", "0.01"],
    "numeric(38,0)": [_NINES, f"-{_NINES}"],
    "numeric(38,38)": [f"-0.{_NINES}", "0", f"0.{'0' * 37}1"],
    "numeric(39,2)": ["1.5", "NaN"],
    "numeric(1000,500)": ["1.5"],
    "text": [
        "", "\\N", "NULL", "\\.", "it's \"so\"", "a\r\nb\tc\rd\n", ",", " x ", "🙂 zoe\u0308", "\\x41", "\x01\x7f",
        "NaN",
    ],
    "character varying(26)": ["", "x", "ü" * 26, " "],
    "character(5)": ["ab", "", "ab  ", "abcde"],
    "bpchar": ["ab  ", "", "ab"],
    'text COLLATE "C"': ["é", "e\u0301"],
    "name": ["x", "Ü y"],
    '"char"': ["a", ""],
    "citext": ["Abc", ""],
    "bytea": ["", "\\x00ffc3", "\\x5c78", "\\x" + "00" * 3000],
    "date": [*_INFINITIES, "2020-02-29", "0001-01-01", "9999-12-31", "10000-01-01", "4714-11-24 BC", "5874897-12-31"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.5"],
    "time(0)": ["23:59:59", "24:00:00"],
    "timetz": ["12:00:00.5+02:30:15", "24:00:00-15:59:59", "00:00:00+00"],
    "timestamp": [
        *_INFINITIES, "2020-01-01 00:00:00.123456", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999", "10000-01-01", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999",
    ],
    "timestamp(3)": ["2020-01-01 00:00:00.123", "infinity"],
    "timestamptz": [
        *_INFINITIES, "2020-01-01 00:00:00.123456+05:45", "1969-12-31 23:59:59.9Z", "0044-03-15 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00", "2020-03-29 02:30:00 Europe/Paris",
    ],
    "interval": [
        "1 month", "30 days", "-1 year -2 mons +3 days -04:05:06.000001", "1 year -1 day", "-00:00:00.000001", "0",
        "178956970 years 7 mons", "-178956970 years -8 mons", "2147483647 days", "-2147483648 days",
        "2562047788:00:54.775807", "-2562047788:00:54.775807", "1 mon -1 day 00:00:01",
    ],
    "interval day to second(3)": ["1 day 00:00:01.123"],
    "uuid": ["ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"],
    "json": ['{"b": [1, 2.50, null, {"a": "\\u00e9"}], "a":1, "a":2}', "null", " 1\n", '"\\u0000"'],
    "jsonb": ['{"b": [1, 2.50, null, {"a": "\\u00e9"}], "a":1}', "null", "1.000", '""'],
    "jsonpath": ['$."a"[*] ? (@ > 1)'],
    "inet": ["1.2.3.4", "1.2.3.4/24", "::1", "2001:db8::/32", "0.0.0.0/0"],
    "cidr": ["1.2.3.0/24", "::/0", "1.2.3.4/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(3)": ["101"],
    "bit varying": ["", "0", "000000001"],
    "money": ["$1,000.05", "-$0.01", "-92233720368547758.08"],
    "oid": ["0", "4294967295"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "pg_lsn": ["FFFFFFFF/FFFFFFFF", "0/0"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "tid": ["(4294967295,65535)"],
    "regclass": ["pg_class", "4294967"],
    "regtype": ["integer", '"Other 100%"."Mood"'],
    "regprocedure": ["sum(integer)"],
    "tsvector": ["'a':1A 'it''s':2,3B 'b c' 'd\\\\e'", ""],
    "tsquery": ["'a' & !('b c':*AB | 'it''s') <2> 'd'", ""],
    "point": ["(0.1,-0)", "(NaN,infinity)", "(5e-324,1.7976931348623157e308)"],
    "line": ["{1,-1,0.1}"],
    "lseg": ["[(0.1,0.2),(0.30000000000000004,4)]"],
    "box": ["(3,4),(0.1,0.2)"],
    "path": ["[(0.1,0.2),(3,4)]", "((0.1,0.2),(3,4))"],
    "polygon": ["((0.1,0.2),(3,4),(5,6))"],
    "circle": ["<(0.1,0.2),0.3>"],
    "integer[]": ["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={5,6}", "[-2:-1][5:6]={{1,2},{3,NULL}}"],
    "text[]": ['{"a,b","c}","NULL",NULL,"","\\"","\\\\"," x ","{",nul,"a\nb\rc"}'],
    "bytea[]": ['{"\\\\x00ff",""}'],
    "double precision[]": ["{NaN,0.1,1e300,-0,Infinity}"],
    "timestamp with time zone[]": ['{infinity,"2020-01-01 00:00:00+00","0044-03-15 00:00:00+00 BC"}'],
    "numeric(4,1)[]": ["{1.0,NaN}"],
    "pair": ['(1,"x, (y) ""z""")', "(,)", '(,"")', '(2147483647," \n")'],
    "pair[]": ['{"(1,\\"a,b\\")","(,)"}'],
    '"Other 100%"."Mood"': ["it's", "", 'ü,"'],
    '"Other 100%"."Mood"[]': ['{it\'s,"","ü,\\""}'],
    "short": ["", "ab"],
    "shorter": ["", "ab"],
    "cents": ["1.5", "NaN"],
    "many": ["{1,2}", "[0:1]={5,6}"],
    "int4range": ["empty", "[1,5)", "(,)", "[1,)"],
    "tstzrange": ['["2020-01-01 00:00:00.5+00",infinity)', "(,)"],
    "textrange": ['["a,""b","c)"]', '("",)'],
    "int4multirange": ["{}", "{[1,3),[5,)}"],
    "datemultirange": ["{[2020-01-01,2020-02-01)}"],
    "numeric(3,-2)": ["1200", "NaN"],
    "numeric(3,5)": ["0.00123"],
    "hstore": ['"a=>"=>"b, c", "n"=>NULL, "q\\""=>""', ""],
}  # fmt: skip
_XML = ['<a b="1">&lt;é</a>', '<?xml version="1.0"?><a/>', '<?xml version="1.0" encoding="UTF-8"?><a/>', "text", ""]
_ODD_ONES = {"date": 5, "time": 1, "timestamp": 5, "timestamptz": 4, "numeric(10,2)": 1}


@pytest.fixture(scope="module")
def typed(postgres: PostgresServer) -> Iterator[Columns]:
    """A database with types of its own."""
    url = postgres.create_database("types")
    columns = Columns(url)
    columns.run(*_ADDED)
    yield columns
    columns.close()
    postgres.drop_database("types")


def _kept(columns: Columns) -> None:
    columns.run("CREATE TABLE kept AS SELECT * FROM log")


def _differing(columns: Columns, table: str = "log") -> list[int]:
    """Rows that are not there to the bit as they were: ``*=`` compares what is stored."""
    query = (
        f"SELECT k.id FROM kept k LEFT JOIN {table} l ON l.id = k.id WHERE NOT coalesce(l::record *= k::record, false)"
    )
    return [number for (number,) in columns.rows(query)]


def _comes_back(columns: Columns, kind: str, values: list[str], folder: Path) -> Part:
    columns.fill(kind, values)
    _kept(columns)
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
        assert _differing(columns, table) == []
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
    _kept(typed)

    part = next(through_parquet(typed.removed(), tmp_path))

    assert typed.restore(part) == (4, 0)
    assert _differing(typed) == []


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


def test_the_interval_that_the_server_cannot_read_is_refused(typed: Columns) -> None:
    """It can be computed and written; one microsecond more travels."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log (x interval)")
    typed.run("INSERT INTO log SELECT interval '1 day -2562047788:00:54.775807' - interval '0.000001'")

    with pytest.raises(StoreError, match="column x "), typed.connection.transaction():
        typed.removed()

    assert typed.rows("SELECT x::text FROM log") == [("1 day -2562047788:00:54.775808",)]


def test_a_refusal_ends_the_statement_and_the_session_goes_on(typed: Columns) -> None:
    """Rows that the server still had to send do not stand in the way of a rollback, and all are there."""
    typed.run("DROP TABLE IF EXISTS log", "CREATE TABLE log AS SELECT 'x' x FROM generate_series(1, 200000)")
    shape = Shape([TableColumn(name="x", type="date", base="date")])
    statement = Fragment("DELETE FROM log RETURNING '2020-99-99'")

    with pytest.raises(StoreError, match="column x "), typed.connection.transaction():
        list(read_plain(typed.connection.copy_out(statement, COPY_OPTIONS), shape))

    assert typed.rows("SELECT count(*) FROM log") == [(200_000,)]


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


def test_rows_that_do_not_add_up_are_refused() -> None:
    """What was parsed must be as many rows as were sent: a delete must not lose one on the way."""
    shape = Shape([TableColumn(name="x", type="text", base="text")])

    with pytest.raises(StoreError, match="2 rows, which read as 1"):
        list(read_plain(iter([Block(b'"a\nb"\n', 2)]), shape))


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
