"""Fields of a DuckDB table: compared by their text, to the byte; paths into JSON and structs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from duckdb_tools import DuckdbFile, selection_of

from lapse.errors import UnsupportedError
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.ranges import MOST
from lapse.sqlcore.conditions import compile_condition
from lapse.sqlcore.fragments import joined
from lapse.stores.duckdb import DuckdbStore
from lapse.stores.duckdb.catalog import find_table
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.dialect import DuckdbDialect
from lapse.testing.flow import keys_of, rule, run


@pytest.mark.parametrize("collation", ["NOCASE", "NOACCENT", "de"])
def test_a_collation_makes_no_name_match_another(tmp_path: Path, collation: str) -> None:
    """Comparing, grouping, finding and restoring are to the byte, whatever the column or file says."""
    file = DuckdbFile(tmp_path)
    with duckdb.connect(str(file.path)) as connection:
        if collation == "de":
            connection.execute("LOAD icu")
        connection.execute(f'CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "who" VARCHAR COLLATE {collation})')
        connection.execute(
            "INSERT INTO \"log\" SELECT i, '2020-01-01', w FROM (VALUES (1,'zoe'),(2,'ZOE'),(3,'zoë')) v(i,w)"
        )
    condition = Condition(field="who", values=("zoe",), globs=(Glob("zo?e"),), role="tenant")
    only = rule("1 day", ())
    dataset = file.dataset(
        tenant="who", rules=(type(only)(index=0, match=Match((condition,)), keep=only.keep, waived=True),)
    )
    store = DuckdbStore(dataset, read_only=False)
    selection = selection_of(dataset)

    tallies = {(tally.tenant, tally.records) for tally in store.survey(selection)}
    removals = run(store, selection)
    store.close()

    assert tallies == {("zoe", 1), ("ZOE", 1), ("zoë", 1)}
    assert [keys_of(removal.drained) for removal in removals] == [[1]]


_JSON = [
    ('{"user": "anna"}', "anna"),
    ('{"user": 7}', "7"),
    ('{"user": true}', "true"),
    ('{"user": "7"}', "7"),
    ('{"user": 7.0}', None),
    ('{"user": null}', None),
    ('{"user": {"user": "anna"}}', None),
    ('{"user": ["anna"]}', None),
    ('["anna"]', None),
    ("{broken", None),
    ("anna", None),
    ("{}", None),
    ('{"user": ""}', ""),
    ('{"user": 123456789012345678901234567890}', None),
]


@pytest.mark.parametrize("kind", ["VARCHAR", "JSON"])
def test_a_path_reads_inside_json(tmp_path: Path, kind: str) -> None:
    """Texts, integers and booleans have a text; other values, other shapes and broken JSON have none."""
    rows = [(text, found) for text, found in _JSON if kind == "VARCHAR" or not text.startswith(("{b", "anna"))]
    file = DuckdbFile(tmp_path)
    file.run(f'CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "detail" {kind})')
    for number, (text, _) in enumerate(rows):
        file.run(f"INSERT INTO \"log\" VALUES ({number}, '2020-01-01', '{text}')")
    store = file.store(key="id", tenant="$.detail.user")
    selection = selection_of(file.dataset(key="id", tenant="$.detail.user"))

    found = [next(store.find(selection, str(number))).values["$.detail.user"] for number in range(len(rows))]
    tallied = {tally.tenant for tally in store.survey(selection)}
    store.close()

    assert found == [text for _, text in rows]
    assert tallied == {text for _, text in rows}


@pytest.mark.parametrize("key", ["*", "0", "a/b", "a~b", 'a"b', "a b", "é", ""])
def test_a_path_s_keys_are_names_and_no_patterns(tmp_path: Path, key: str) -> None:
    """Wildcards, positions and slashes of DuckDB's own paths mean nothing."""
    file = DuckdbFile(tmp_path)
    texts = [json.dumps({key: "x"}), json.dumps({"other": "x"}), json.dumps(["x"]), json.dumps({"a": {"b": "x"}})]
    file.run('CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "d" VARCHAR)')
    for number, text in enumerate(texts):
        file.run(f"INSERT INTO \"log\" VALUES ({number}, '2020-01-01', '{text}')")
    store = file.store(key="id", tenant=f"$.d.{key}")
    selection = selection_of(file.dataset(key="id", tenant=f"$.d.{key}"))

    found = [next(store.find(selection, str(number))).values[f"$.d.{key}"] for number in range(4)]
    store.close()

    assert found == ["x", None, None, None]


def test_a_path_reads_inside_structs(tmp_path: Path) -> None:
    """A STRUCT column has fields like an object."""
    file = DuckdbFile(tmp_path)
    file.run(
        'CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "d" STRUCT("user" STRUCT("name" VARCHAR)))',
        "INSERT INTO \"log\" VALUES (1, '2020-01-01', {'user': {'name': 'anna'}})",
    )
    store = file.store(tenant="$.d.user.name")

    (tally,) = store.survey(selection_of(file.dataset(tenant="$.d.user.name")))
    store.close()

    assert tally.tenant == "anna"


@pytest.mark.parametrize("kind", ["DOUBLE", "BLOB", "DECIMAL(5,2)", "TIMESTAMP", "VARCHAR[]"])
def test_a_rule_on_a_column_that_equals_nothing_is_refused(tmp_path: Path, kind: str) -> None:
    """It would match no record, and a hold would hold none: said, not passed over."""
    file = DuckdbFile(tmp_path)
    file.run(f'CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "x" {kind})')
    dataset = file.dataset(rules=(rule("1 day", x="1"),))
    store = DuckdbStore(dataset, read_only=True)

    with pytest.raises(UnsupportedError, match="column x is"):
        list(store.survey(selection_of(dataset)))
    store.close()


_RANGES = [Range(12, 12), Range(13), Range(last=12), Range(-12, 0), Range(last=-13), Range(MOST), Range(last=-MOST)]
_NUMBERS = (0, 12, 13, 127, -12, -128, 255, MOST, MOST + 1, -MOST - 1, 2**64 - 1, 10**30, -(10**30))
_TEXTS = (
    "12",
    "012",
    "+12",
    " 12",
    "12\n",
    "12.0",
    "-0",
    "0",
    "-12",
    "\uff11\uff12",
    str(MOST),
    str(MOST + 1),
    "",
    "x",
)


def _held(file: DuckdbFile, conditions: Sequence[Condition]) -> list[list[bool]]:
    """Which rows each condition matches, in the order of their numbers; what is NULL matches nothing."""
    connection = Connection(str(file.path), read_only=True)
    try:
        dialect = DuckdbDialect(find_table(connection, "log"))
        answers = ["coalesce(" + compile_condition(condition, dialect) + ", FALSE)" for condition in conditions]
        rows = connection.query("SELECT " + joined(", ", answers) + ' FROM "log" ORDER BY "id"')
    finally:
        connection.close()
    return [list(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *((kind, _NUMBERS) for kind in ("TINYINT", "UTINYINT", "BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM")),
        *((kind, _NUMBERS) for kind in ("DECIMAL(4,0)", "DECIMAL(38,0)")),
        ("VARCHAR", _TEXTS),
        ("ENUM('12', '012', '13', 'x')", ("12", "012", "13", "x")),
        ("BOOLEAN", (True, False)),
        ("UUID", ("00000000-0000-0000-0000-000000000012",)),
    ],
    ids=str,
)
def test_a_range_reads_every_type_of_whole_numbers_and_texts(
    tmp_path: Path, kind: str, values: tuple[object, ...]
) -> None:
    """Unsigned, of forty digits, small: no bound that the type cannot hold makes a difference."""
    file = DuckdbFile(tmp_path)
    stored: list[object] = []
    with duckdb.connect(str(file.path)) as connection:
        connection.execute(f'CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "x" {kind})')
        for value in (*values, None):
            with suppress(duckdb.ConversionException, duckdb.InvalidInputException):  # the type cannot hold it
                row = [len(stored), value if value is None else str(value)]
                connection.execute(f"INSERT INTO \"log\" VALUES (?, '2020-01-01', CAST(?::VARCHAR AS {kind}))", row)
                stored.append(value)
    conditions = [Condition("x", ("a",) if kind == "VARCHAR" else (), ranges=(numbers,)) for numbers in _RANGES]

    assert len(stored) > 1
    conditions += [replace(each, negated=True) for each in conditions]
    for condition, held in zip(conditions, _held(file, conditions), strict=True):
        assert held == [condition.matches(value) for value in stored], condition


def test_a_range_reads_inside_json(tmp_path: Path) -> None:
    """Integers and texts that are some; no fractions, no booleans, and -0 is 0."""
    values = (*_TEXTS, 0, 12, 13, -12, 2**63, 2**64 - 1, -(2**63), MOST + 1, 12.0, 1.5, True, None, [12], {"user": 12})
    file = DuckdbFile(tmp_path)
    with duckdb.connect(str(file.path)) as connection:
        connection.execute('CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "d" VARCHAR)')
        documents = [*(json.dumps({"user": value}) for value in values), '{"user": -0}', "{}", "{broken", None]
        connection.executemany("INSERT INTO \"log\" VALUES (?, '2020-01-01', ?)", list(enumerate(documents)))
    stored = [*values, 0, None, None, None]

    both = (False, True)
    conditions = [Condition("$.d.user", (), ranges=(each,), negated=negated) for each in _RANGES for negated in both]
    for condition, held in zip(conditions, _held(file, conditions), strict=True):
        assert held == [condition.matches(value) for value in stored], condition
