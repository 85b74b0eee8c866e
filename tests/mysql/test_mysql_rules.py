"""The compiled rules give, for any policy and any record, the code that `Selection.decide` gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mysql_judged import DATABASE, judged, server

from lapse.errors import UnsupportedError
from lapse.instant import DAY, SECOND, Nanos, to_datetime
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import FOREVER, parse_period
from lapse.model.policy import Dataset, Floor, Hold, Rule
from lapse.model.ranges import MOST
from lapse.model.selection import Selection, select
from lapse.sqlcore.fields import widened
from lapse.stores.mysql import MysqlStore
from lapse.testing.harness import NOW
from lapse.testing.strategies import NAMES
from servers.mariadb import MariadbServer

__all__ = ["server"]

FIELDS = ("kind", "tenant", "number", "$.doc.user", "$.doc.a.b")
INSIDE = Match((Condition("$.doc.user", ("acme",)),))
RULE = Rule(index=0, match=Match(()), keep=parse_period("30 days"), waived=True)
TEXTS = [
    *NAMES,
    "a",
    "12",
    "-12",
    "-0",
    "012",
    "12.0",
    "true",
    "a*b",
    "%",
    "é",
    "É",
    "e\u0301",
    "ß",
    "ss",
    "\u200b",
    "𝄞",
    "|",
    "a|b",
    "+12",
    " 12",
    "12\n",
    "\n12",
    "\uff11\uff12",
    "9" * 18,
    "1" + "0" * 18,
    "-" + "9" * 18,
]
RANGES = [Range(12, 12), Range(13), Range(last=12), Range(-12, 0), Range(last=-13), Range(MOST), Range(last=-MOST)]
PATTERNS = ["*", "a*", "?*", "a?b", "[a]", "1?", "*b", "12*", "?", "*e*", "𝄞", "|*", "100%", "a_b", "*\u0301", ""]
INSTANTS = [NOW - 400 * DAY, NOW - 30 * DAY, NOW - 30 * DAY - 1, NOW - 30 * DAY + 1, NOW - DAY, NOW, NOW + 301 * SECOND]
text = st.sampled_from(TEXTS)
inner = st.sampled_from(
    [
        None,
        True,
        False,
        12,
        -12,
        "12",
        1.5,
        10**20,
        -(10**20),
        str(10**20),
        "acme",
        "",
        "ACME ",
        'é𝄞"\\\n',
        [1],
        {"b": "acme"},
    ]
)
document = (
    st.dictionaries(st.sampled_from(["user", "a", "é"]), inner, max_size=3).map(json.dumps)
    | st.dictionaries(st.sampled_from(["user", "a"]), inner, max_size=2).map(
        lambda d: json.dumps(d, ensure_ascii=False)
    )
    | st.sampled_from(["", "{", "12", "[]", "null", '{"user": -0}', '[{"user": "acme"}]', '{"a": [{"b": "acme"}]}'])
)
match = st.lists(
    st.builds(
        lambda field, values, globs, ranges, negated: Condition(
            field, tuple(values), tuple(map(Glob, globs)), ranges=tuple(ranges), negated=negated
        ),
        st.sampled_from(FIELDS),
        st.lists(text, max_size=3),
        st.lists(st.sampled_from(PATTERNS), max_size=2),
        st.lists(st.sampled_from(RANGES), max_size=1),
        st.booleans(),
    ),
    max_size=2,
).map(lambda found: Match(tuple(found)))
period = st.sampled_from([FOREVER, *map(parse_period, ("30 days", "1 day", "400 days", "900 years"))])
Row = tuple[Any, ...]
row = st.tuples(
    st.sampled_from(INSTANTS),
    st.none() | text,
    st.none() | text,
    st.sampled_from([None, 0, 12, -12, 2**62]),
    st.none() | document,
)


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    """Any policy for one dataset."""
    count = draw(st.integers(0, 3))
    rules = [Rule(index=index, match=draw(match), keep=draw(period), waived=True) for index in range(count)]
    dataset = Dataset(
        name="log", store="", shown="log", table="log", time="at", tenant="tenant", rules=tuple(rules),
        require=tuple(draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True))),
        doubt_before=draw(st.sampled_from([None, Nanos(631_152_000 * SECOND)])),
    )  # fmt: skip
    bound = st.none() | st.sampled_from(INSTANTS[:3]).map(lambda instant: Nanos(instant - instant % 1000))
    holds = [Hold(matter="m", match=draw(match), records_from=draw(bound)) for _ in range(draw(st.integers(0, 2)))]
    lasting = period.filter(lambda p: p is not FOREVER)
    floors = [Floor(match=draw(match), at_least=draw(lasting), because="law") for _ in range(draw(st.integers(0, 2)))]
    return select(dataset, floors=floors, holds=holds, now=NOW, real_now=NOW)


def shown(instant: int) -> str:
    """As a DATETIME(6) has it."""
    return to_datetime(Nanos(instant)).strftime("%Y-%m-%d %H:%M:%S.%f")


def store_rows(server: MariadbServer, rows: Sequence[Row]) -> None:
    """Put rows into the table."""
    with server.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE log")
        cursor.executemany(
            "INSERT INTO log (at, kind, tenant, number, doc) VALUES (%s, %s, %s, %s, %s)",
            [(shown(at), *rest) for at, *rest in rows],
        )


def read(cells: Row, field: str) -> object:
    """A field of a row by the definition."""
    values = dict(zip(("at", "kind", "tenant", "number", "doc"), cells, strict=True))
    if not field.startswith("$."):
        return values.get(field)
    column, *keys = field[2:].split(".")
    try:
        found = json.loads(values[column]) if isinstance(values[column], str) else None
    except ValueError:
        return None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_every_text_matches_what_the_definition_says(server: MariadbServer, field: str) -> None:
    """Each value and pattern against each kind of cell: collations, padding and wildcards play no part."""
    inside = (*TEXTS, 12, 12.0, True, None, [1], 10**20, -(10**20), MOST + 1)
    documents = [json.dumps({"user": value, "a": {"b": value}}) for value in inside]
    numbers = [0, 12, -12, 7, None, MOST + 1, -(2**63), 2**63 - 1, 13] * 20
    rows = [
        (NOW - DAY, one, one, number, doc)
        for one, number, doc in zip([*TEXTS, *[None] * 8], numbers, documents, strict=False)
    ]
    store_rows(server, rows)
    conditions = [Condition(field, (value,)) for value in [*TEXTS, "0", "7", "2e3"]]
    conditions += [Condition(field, (), (Glob(pattern),)) for pattern in PATTERNS]
    conditions += [Condition(field, (), ranges=(numbers,)) for numbers in RANGES]
    conditions += [Condition(field, ("acme",), (Glob("1*"),), ranges=(Range(-9, 5), Range(12))), Condition(field, ())]

    for condition in [*conditions, *(replace(each, negated=True) for each in conditions)]:
        dataset = Dataset(name="log", store="", shown="", table="log", time="at")
        holds = [Hold(matter="m", match=Match((condition,)))]
        selection = select(dataset, floors=(), holds=holds, now=NOW, real_now=NOW)
        held = [found.code == selection.first_hold for found in judged(server, selection)]
        assert held == [condition.matches(read(cells, field)) for cells in rows], condition


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(selection=selections(), rows=st.lists(row, min_size=1, max_size=12))
def test_the_compiled_rules_agree_with_the_definition(
    server: MariadbServer, selection: Selection, rows: list[Row]
) -> None:
    """Collations, wildcards, JSON: code for code."""
    store_rows(server, rows)

    definition = widened(selection, lambda column: column != "gone")
    expected = [
        definition.decide(Nanos(cells[0] - cells[0] % 1000), lambda name, cells=cells: read(cells, name))  # type: ignore[misc]
        for cells in rows
    ]

    assert [found.code for found in judged(server, selection)] == expected


def test_a_hold_on_a_field_inside_a_json_text_covers_every_record(server: MariadbServer) -> None:
    """MariaDB does not find a key that is written with escapes, so such a hold would miss records."""
    store_rows(server, [(NOW - DAY, "a", "b", 1, doc) for doc in ('{"\\u0075ser": "acme"}', '{"user": "b"}', None)])
    dataset = Dataset(name="log", store="", shown="", table="log", time="at", rules=(RULE,))
    selection = select(dataset, floors=(), holds=[Hold(matter="m", match=INSIDE)], now=NOW, real_now=NOW)

    codes = [found.code for found in judged(server, selection, kind=MysqlStore)]

    assert codes == [selection.first_hold] * 3


def test_a_floor_on_a_field_inside_a_json_text_covers_every_record(server: MariadbServer) -> None:
    """What it could not tell apart is kept as long as the floor says."""
    store_rows(server, [(NOW - 40 * DAY, "a", "b", 1, '{"user": "b"}')])
    dataset = Dataset(name="log", store="", shown="", table="log", time="at", rules=(RULE,))
    floor = Floor(match=INSIDE, at_least=parse_period("60 days"), because="law")

    with_floor, without = (
        [
            found.code in selection.lapsed_codes()
            for selection in [select(dataset, floors=floors, holds=(), now=NOW, real_now=NOW)]
            for found in judged(server, selection, kind=MysqlStore)
        ]
        for floors in ([floor], [])
    )

    assert (with_floor, without) == ([False], [True])


@pytest.mark.parametrize("more", [{"rules": (replace(RULE, match=INSIDE),)}, {"require": ("$.doc.user",)}])
def test_a_rule_on_a_field_inside_a_json_text_is_refused(server: MariadbServer, more: dict[str, Any]) -> None:
    """The error names the field, and a way that works."""
    dataset = Dataset(name="log", store="", shown="", table="log", time="at", **{"rules": (RULE,), **more})
    selection = select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)

    with pytest.raises(UnsupportedError, match=r"\$\.doc\.user lies in a JSON text") as caught:
        judged(server, selection, kind=MysqlStore)

    assert "JSON_VALUE" in str(caught.value.hint)


@pytest.mark.parametrize(
    "kind",
    ["TINYINT", "TINYINT UNSIGNED", "BIGINT UNSIGNED", "BIGINT(20) ZEROFILL", "DECIMAL(20,0)", "DECIMAL(40,0)", "YEAR",
     "ENUM('12', '012', '12.0')", "CHAR(20)", "VARCHAR(60) CHARACTER SET latin1"],
)  # fmt: skip
def test_a_range_reads_every_type_of_whole_numbers_and_texts(server: MariadbServer, kind: str) -> None:
    """Unsigned, padded with zeros, of forty digits; and no bound that the type cannot hold makes a difference."""
    wide = [0, 12, 13, 127, 2000, 2**63, 2**64 - 1, 10**39, -12, -128, -(10**39), "012", "12.0"]
    with server.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS typed")
        cursor.execute(
            f"CREATE TABLE typed (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME DEFAULT '2026-11-21', x {kind}, "
            "every VARCHAR(5) DEFAULT 'row')"
        )
        for value in [*wide, None]:
            cursor.execute("INSERT IGNORE INTO typed (x) VALUES (%s)", (value,))
        cursor.execute("SELECT IF(x IS NULL, NULL, x + 0), x FROM typed ORDER BY id")
        texts = kind.startswith(("ENUM", "CHAR", "VARCHAR"))
        stored = [text if texts or number is None else int(number) for number, text in cursor.fetchall()]
    conditions = [Condition("x", (), ranges=(numbers,)) for numbers in [*RANGES, Range(-1, 2**40), Range(last=2**59)]]

    assert len(set(stored)) > 2
    for condition in [*conditions, *(replace(each, negated=True) for each in conditions)]:
        dataset = Dataset(name="log", store="", shown="", table="typed", time="at")
        selection = select(
            dataset, floors=(), holds=[Hold(matter="m", match=Match((condition,)))], now=NOW, real_now=NOW
        )
        held = [found.code == selection.first_hold for found in judged(server, selection, "typed")]
        assert held == [condition.matches(value) for value in stored], condition
