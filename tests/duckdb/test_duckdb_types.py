"""Every DuckDB type: out of the table, through Parquet, and back, equal; or refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from duckdb_tools import DuckdbFile, selection_of

from lapse.errors import StoreError
from lapse.ports import Budget, LineBlock, Part
from lapse.segments import open_writer, read_segment
from lapse.segments.content import ContentDigest
from lapse.testing.flow import drain, facts_of, prove

_INFINITIES = ["'infinity'", "'-infinity'"]
_NINES = "9" * 38
VALUES = {
    "BOOLEAN": ["true", "false"],
    "TINYINT": ["-128", "127"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807"],
    "UBIGINT": ["0", "18446744073709551615"],
    "HUGEINT": ["'-170141183460469231731687303715884105728'", "170141183460469231731687303715884105727"],
    "UHUGEINT": ["340282366920938463463374607431768211455"],
    "BIGNUM": [f"'-{_NINES}{_NINES}'"],
    "FLOAT": ["'nan'", "'inf'", "'-inf'", "-0.0", "1.17549435e-38", "0.1"],
    "DOUBLE": ["'nan'", "'inf'", "'-inf'", "-0.0", "5e-324", "0.1"],
    "DECIMAL(4,1)": ["1.5", "-999.9"],
    "DECIMAL(18,3)": ["1.500"],
    "DECIMAL(38,0)": [_NINES, f"-{_NINES}"],
    "DECIMAL(38,38)": [f"'-0.{_NINES}'"],
    "VARCHAR": ["''", "'it''s \"so\"'", "chr(0) || 'x' || chr(0)", "E'a\\r\\nb\\t'", "'🙂 zoe\u0308'", "'NULL'"],
    "BLOB": [r"'\x00\xFF\xC3'::BLOB", "''::BLOB"],
    "BIT": ["'0'", "'0101'", "'000000000000000000000000000000001'"],
    "UUID": ["'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'00000000-0000-0000-0000-000000000000'"],
    "ENUM('a', 'it''s', '')": ["'it''s'", "''"],
    "DATE": [*_INFINITIES, "'2020-02-29'", "'5877642-06-25 (BC)'", "'5881580-07-10'"],
    "TIME": ["'00:00:00'", "'23:59:59.999999'", "'24:00:00'"],
    "TIMETZ": ["'12:00:00.5+02:30:15'", "'24:00:00-15:59:59'"],
    "TIMESTAMP": [*_INFINITIES, "'2020-01-01 00:00:00.123456'", "'290309-12-22 (BC) 00:00:00'"],
    "TIMESTAMP_S": [*_INFINITIES, "'2020-01-01 00:00:01'", "'294247-01-10 04:00:54'"],
    "TIMESTAMP_MS": [*_INFINITIES, "'2020-01-01 00:00:01.123'"],
    "TIMESTAMP_NS": [*_INFINITIES, "'2020-01-01 00:00:01.123456789'", "'2262-04-11 23:47:16.854775806'"],
    "TIMESTAMPTZ": [*_INFINITIES, "'2020-01-01 00:00:01.123456+02'", "'290309-12-22 (BC) 00:00:00+00'"],
    "INTERVAL": ["INTERVAL 1 MONTH", "INTERVAL 30 DAY", "INTERVAL '1 year -3 days 4 hours 0.000001 seconds'"],
    "JSON": ['\'{"b": [1, 2.50, null, {"a": "\\u00e9"}], "a":1}\'', "'null'", "' 1'"],
    "VARCHAR[]": ["['a,b', 'c]', 'NULL', NULL, '''q''', '\"', ' x', '', '{']", "[]"],
    "DOUBLE[]": ["['nan'::DOUBLE, 0.1, 1e300, -0.0]"],
    "BLOB[]": [r"['\x00a'::BLOB]"],
    "INTEGER[3]": ["[1, NULL, 3]"],
    "STRUCT(a INTEGER, b VARCHAR)": ["{'a': 1, 'b': 'x, b: y}'}", "{'a': NULL, 'b': NULL}"],
    "STRUCT(a VARCHAR[])[]": ["[{'a': ['x''y', '\"', '[']}]"],
    "MAP(VARCHAR, INTEGER)": ["MAP{'a=1': 1, 'b,': 2}", "MAP{}"],
    "UNION(n INTEGER, t VARCHAR)": ["union_value(t := 'x')"],
}


def _fill(file: DuckdbFile, kind: str, values: list[str]) -> None:
    file.run(
        f'CREATE TABLE "log" ("id" INTEGER PRIMARY KEY, "at" TIMESTAMP, "x" {kind})',
        *(f"INSERT INTO \"log\" VALUES ({n}, '2020-01-01', {value})" for n, value in enumerate([*values, "NULL"])),
    )


def _through_parquet(part: Part, folder: Path) -> Part:
    """Write and read back a part; the content must not know the difference."""
    path, sealed, read = folder / "segment.parquet", ContentDigest(), ContentDigest()
    batches = list(part.batches)
    with open_writer("parquet", path, part) as writer:
        for batch in batches:
            writer.write(batch)
            sealed.update(batch)
    with path.open("rb") as file:
        back = list(read_segment("parquet", file))
    for batch in back:
        read.update(batch)
    assert read.digest() == sealed.digest()
    return Part(table=part.table, columns=part.columns, odd_column=part.odd_column, batches=iter(back))


@pytest.mark.parametrize(("kind", "values"), VALUES.items(), ids=VALUES)
def test_a_value_of_every_type_comes_back_equal_from_parquet(tmp_path: Path, kind: str, values: list[str]) -> None:
    """Removed, sealed, restored into the same and into a new table: text, type and equality are as before."""
    file = DuckdbFile(tmp_path)
    _fill(file, kind, values)
    query = 'SELECT "id", "at", "x"::VARCHAR, typeof("x") FROM "log" ORDER BY 1'
    before = file.rows(query)
    store = file.store()
    selection = selection_of(file.dataset())

    (piece,) = store.slices(selection, facts_of(selection), Budget())
    with store.take(piece) as taken:
        (part,) = drain(taken.parts())
        taken.commit(prove(piece, [part]))
    emptied = store.identity().mark
    counts = store.restore(_through_parquet(part.again(), tmp_path))
    again = store.restore(_through_parquet(part.again(), tmp_path))
    other = file.store(table="fresh")
    store.close()
    fresh = other.restore(_through_parquet(part.again(), tmp_path))
    other.close()

    assert emptied is not None
    assert emptied.values == {"id": (0,)}
    assert (counts.restored, counts.present) == (len(before), 0)
    assert (again.restored, again.present) == (0, len(before))
    assert fresh.restored == len(before)
    assert file.rows(query) == before
    assert file.rows(query.replace('"log"', '"fresh"')) == before


@pytest.mark.parametrize(
    ("kind", "value"),
    [("UNION(n INTEGER, t VARCHAR)", "union_value(n := 1)"), ("VARIANT", "{'a': 1}::VARIANT")],
    ids=["union", "variant"],
)
def test_a_value_whose_text_does_not_give_it_back_is_refused_by_name(tmp_path: Path, kind: str, value: str) -> None:
    """The take stops with the column's name, and the row is still there."""
    file = DuckdbFile(tmp_path)
    _fill(file, kind, [value])
    store = file.store()
    selection = selection_of(file.dataset())
    (piece,) = store.slices(selection, facts_of(selection), Budget())

    with pytest.raises(StoreError, match="column x "), store.take(piece) as taken:
        drain(taken.parts())
    store.close()

    assert file.rows('SELECT count(*) FROM "log"') == [(2,)]


def test_batches_hold_ten_thousand_rows_at_most(tmp_path: Path) -> None:
    """A slice of 25,000 rows comes in bounded batches, and all of it."""
    file = DuckdbFile(tmp_path)
    file.run(
        'CREATE TABLE "log" ("id" INTEGER PRIMARY KEY, "at" TIMESTAMP)',
        "INSERT INTO \"log\" SELECT i, TIMESTAMP '2020-01-01' FROM range(25000) AS r(i)",
    )
    store = file.store()
    selection = selection_of(file.dataset())
    (piece,) = store.slices(selection, facts_of(selection), Budget())

    with store.take(piece) as taken:
        (part,) = taken.parts()
        sizes = [batch.num_rows for batch in part.batches if not isinstance(batch, LineBlock)]
    store.close()

    assert max(sizes) <= 10_000
    assert sum(sizes) == 25_000


def test_a_restore_from_another_store_keeps_what_arrow_holds(tmp_path: Path) -> None:
    """A type that DuckDB does not know becomes the one that holds the segment's column."""
    file = DuckdbFile(tmp_path)
    _fill(file, "BIGINT", ["7"])
    store = file.store()
    selection = selection_of(file.dataset())
    (piece,) = store.slices(selection, facts_of(selection), Budget())
    with store.take(piece) as taken:
        (part,) = drain(taken.parts())
    foreign = tuple(replace(column, declared="NOT A TYPE; DROP TABLE log") for column in part.part.columns)

    store.close()
    other = file.store(table="foreign")
    other.restore(replace(part.again(), columns=foreign))
    other.close()

    assert file.rows('SELECT typeof("id"), typeof("at"), typeof("x") FROM "foreign" LIMIT 1') == [
        ("INTEGER", "TIMESTAMP", "BIGINT")
    ]
    assert file.rows('SELECT count(*) FROM "log"') == [(2,)]
