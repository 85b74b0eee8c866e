"""What PostgreSQL decides about a row is what `Selection.decide` decides, whatever the columns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pg_cells import (
    BROKEN,
    CLOCKS,
    DOCUMENTS,
    GLOBS,
    PATHS,
    POISONED,
    RANGES,
    SIMPLE,
    TEXTS,
    Row,
    codes_of,
    connection,
    fitting,
    matching,
    read_field,
    stored,
)
from pg_rules_tools import NOW, dataset, judge

from lapse.errors import UnsupportedError
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import parse_period
from lapse.model.plan import Tally
from lapse.model.policy import Hold, Rule
from lapse.model.selection import select
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection

__all__ = ["connection"]


@pytest.mark.parametrize("field", [*SIMPLE, *PATHS])
def test_every_text_matches_what_the_definition_says(connection: Connection, field: str) -> None:
    """Each value and pattern against each cell: types, collations, padding and wildcards play no part."""
    column = field.removeprefix("$.").partition(".")[0]
    cells = fitting(column, DOCUMENTS + (POISONED if column == "js" else []) if "$" in field else TEXTS)
    seen = stored(connection, CLOCKS[0], [Row("2026-01-01+00", {column: cell}) for cell in [*cells, None]])
    conditions = [Condition(field, (value,)) for value in [*TEXTS, "acme   ", "-7", "7.0", "1000", "a\0b", "False"]]
    conditions += [Condition(field, (), (Glob(pattern),)) for pattern in GLOBS]
    conditions += [Condition(field, tuple(TEXTS), (Glob("a?b"), Glob("12*"))), Condition(field, ("\ud800", "\0"))]
    conditions += [Condition(field, (), ranges=(numbers,)) for numbers in RANGES]
    conditions += [Condition(field, ("acme",), (Glob("1*"),), ranges=(Range(-9, 5), Range(12))), Condition(field, ())]

    for condition in [*conditions, *(replace(each, negated=True) for each in conditions)]:
        expected = [condition.matches(_by_reader(read_field(row, field))) for row in seen]
        assert matching(connection, condition) == expected, condition


def _by_reader(value: object) -> object:
    """Texts that PostgreSQL cannot hold match by their length only."""
    if not isinstance(value, str):
        return value
    return "".join("\ufdd0" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)


def test_json_in_a_text_column_is_looked_into_where_the_server_can(connection: Connection) -> None:
    """Since version 16; text that is no JSON has no fields and stops nothing. Before that it is refused."""
    cells = [*DOCUMENTS, *POISONED, *BROKEN]
    stored(connection, CLOCKS[0], [Row("2026-01-01+00", {"plain": cell}) for cell in cells])
    condition = Condition("$.plain.user", tuple(TEXTS), (Glob("a*"),))

    if connection.version < 160_000:
        with pytest.raises(UnsupportedError, match="column plain is text"):
            matching(connection, condition)
        return

    def user(cell: str) -> object:
        try:
            found = json.loads(cell)
        except ValueError:
            return None
        return _by_reader(found.get("user")) if isinstance(found, dict) else None

    assert matching(connection, condition) == [condition.matches(user(cell)) for cell in cells]


@pytest.mark.parametrize("field", [*SIMPLE, *PATHS])
def test_what_has_no_value_is_blank(connection: Connection, field: str) -> None:
    """NULL, an empty text, and for paths a key that is missing or null: doubtful where the field is required."""
    column = field.removeprefix("$.").partition(".")[0]
    documents = DOCUMENTS + (POISONED if column == "js" else [])
    cells = fitting(column, documents if "$" in field else TEXTS)
    seen = stored(connection, CLOCKS[0], [Row("2026-01-01+00", {column: cell}) for cell in [*cells, None]])
    required = dataset(table="zoned", require=(field,))
    selection = select(required, floors=(), holds=(), now=NOW, real_now=NOW)

    found = codes_of(connection, CLOCKS[0], selection)

    assert [code == selection.first_required for code in found] == [
        read_field(row, field) in (None, "") for row in seen
    ]


@pytest.mark.parametrize(
    "kind", ["double precision", "bytea", "numeric(5,2)", "numeric", "timestamp", "text[]", "inet"]
)
def test_a_rule_on_a_column_that_equals_nothing_is_refused(connection: Connection, kind: str) -> None:
    """It would match no record, and a hold would hold none: said, not passed over."""
    connection.run(f"DROP TABLE IF EXISTS strange; CREATE TABLE strange (id bigint PRIMARY KEY, at date, x {kind})")
    hold = Hold(matter="m", match=Match((Condition("x", ("1",)),)))
    selection = select(dataset(table="strange"), floors=(), holds=[hold], now=NOW, real_now=NOW)

    with pytest.raises(UnsupportedError, match="column x is"):
        _ = judge(connection, find_table(connection, "strange"), selection).code


@pytest.mark.parametrize("field", ["$.plain.user", "$.number.user"])
def test_a_path_into_what_is_no_document_is_refused(connection: Connection, field: str) -> None:
    """A number has no fields; nor has a text where the server cannot tell JSON from other texts."""
    if field == "$.plain.user" and connection.version >= 160_000:
        return
    with pytest.raises(UnsupportedError, match="column"):
        matching(connection, Condition(field, ("x",)))


def test_a_hold_on_a_column_that_is_not_there_holds_everything(connection: Connection) -> None:
    """It cannot tell the rows apart, so too much is kept, never too little."""
    stored(connection, CLOCKS[0], [Row("2026-01-01+00", {})] * 2)

    assert matching(connection, Condition("gone", ("acme",))) == [True, True]


def test_tallies_tell_tenants_apart_to_the_byte_and_changed_times(connection: Connection) -> None:
    """The column's collation merges no tenants; the checksum is another one when a time or key is."""
    rows = [Row("2020-01-01+00", {"nocase": name}) for name in ("acme", "ACME", "é", "e", None)]
    table = find_table(connection, "zoned")
    selection = select(dataset(table="zoned", tenant="nocase"), floors=(), holds=(), now=NOW, real_now=NOW)

    def count() -> tuple[Tally, ...]:
        judged = judge(connection, table, selection)
        return judged.tallies(connection, Fragment("TRUE"), size="8", from_="zoned AS r")

    stored(connection, CLOCKS[0], rows)
    before = count()
    again = count()
    connection.run("UPDATE zoned SET at = at + interval '1 microsecond' WHERE id = 0")
    later = count()
    connection.run("UPDATE zoned SET id = 77 WHERE id = 1")

    assert [tally.tenant for tally in before] == [None, "ACME", "acme", "e", "é"]
    assert before == again
    assert [a == b for a, b in zip(before, later, strict=True)] == [True, True, False, True, True]
    assert [a == b for a, b in zip(later, count(), strict=True)] == [True, False, True, True, True]


def test_one_unconditional_rule_is_a_range_of_the_column(connection: Connection) -> None:
    """No CASE, and an index on the time serves."""
    rule = Rule(index=0, match=Match(), keep=parse_period("30 days"), waived=True)
    selection = select(dataset(table="zoned", rules=(rule,)), floors=(), holds=(), now=NOW, real_now=NOW)
    judged = judge(connection, find_table(connection, "zoned"), selection)

    sql = judged.lapsed(selection.lapsed_codes()).sql

    assert sql == (
        "r.\"at\" < '2026-10-22 22:26:40.123457+00'::timestamptz AND r.\"at\" >= '1990-01-01 00:00:00+00'::timestamptz"
    )
    assert judged.bound(selection.lapsed_codes()) == Fragment(sql)
