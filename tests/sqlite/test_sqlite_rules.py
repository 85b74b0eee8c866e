"""The compiled rules give, for any policy and any record, the code that `Selection.decide` gives."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lapse.instant import DAY, SECOND, Nanos, parse_rfc3339
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import FOREVER, parse_period
from lapse.model.policy import Dataset, Floor, Hold, Rule, TimeFormat
from lapse.model.ranges import MOST
from lapse.model.selection import Selection, select
from lapse.model.timetext import number_instant, parse_time_text
from lapse.ports import Found
from lapse.sqlcore.fields import widened
from lapse.sqlcore.rules import clamped
from lapse.stores.sqlite import SqliteStore

NOW = parse_rfc3339("2026-11-22T10:00:00Z")
FIELDS = ("kind", "tenant", "any", "$.doc.user", "$.doc.a.b", "$.any")
TEXTS = [
    "acme",
    "ACME",
    "acme ",
    "a",
    "",
    "12",
    "012",
    "-0",
    "12.0",
    "true",
    "a\0b",
    "zoë",
    "a*b",
    "[a]",
    "%",
    "é",
    "Zoë",
    "12\0",
    "-12",
    "+12",
    " 12",
    "12 ",
    "12\n",
    "\uff11\uff12",
    "9" * 18,
    "1" + "0" * 18,
    "-" + "9" * 18,
    "9" * 30,
]
RANGES = [Range(12, 12), Range(13), Range(last=12), Range(-12, 0), Range(last=-13), Range(MOST), Range(last=-MOST)]
text = st.sampled_from(TEXTS) | st.text(max_size=4, alphabet="ab*?[]^\0é𝄞")
inner = st.sampled_from(
    [None, True, False, 12, "12", -0.0, 1.5, 10**20, -(10**20), str(10**20), "acme", "", [1], {"b": "acme"}, {"b": 12}]
)
document = (
    st.dictionaries(st.sampled_from(["user", "a", "é", 'q"q']), inner, max_size=3).map(json.dumps)
    | st.dictionaries(st.sampled_from(["user", "é"]), inner, max_size=2).map(
        lambda d: json.dumps(d, ensure_ascii=False)
    )
    | st.sampled_from(["", "{", "12", "[]", "null", '{"user": "\\ud800"}', '{"user": NaN}', '{"\\u0075ser": "acme"}'])
)
cell = st.none() | text | st.sampled_from([0, 1, 12, -12, 2**63 - 1, 1.5, 12.0, b"acme", b""])
INSTANTS = [NOW - 400 * DAY, NOW - 30 * DAY, NOW - 30 * DAY - 1, NOW - 30 * DAY + 1, NOW - DAY, NOW, NOW + 301 * SECOND]
STRANGE = """|now|2026-02-30 00:00:00|2026-02-30 00:00:00.000|2026-11-01 24:00:00|2026-11-01|0000-01-01|12345
|9999-12-31 23:59:59|1500-01-01 00:00:00|2026-11-01 23:59:59.9996|2026-11-01 10:00Z  |2026-11-01 1a:00:00
|2026-11-01 10:00:00.1Z3|20:30:00.000 +05:00|2026-01-31 00:00:00.000""".replace("\n", "").split("|")


def iso(instant: int, digits: int, tail: str) -> str:
    """An instant in one of the layouts that databases use."""
    from lapse.instant import to_datetime

    whole, fraction = divmod(instant, SECOND)
    shown = to_datetime(Nanos(whole * SECOND)).strftime("%Y-%m-%d %H:%M:%S")
    return shown + (f".{fraction:09d}"[: digits + 1] if digits else "") + tail


times = (
    st.none()
    | st.builds(
        iso,
        st.sampled_from(INSTANTS),
        st.integers(0, 9),
        st.sampled_from(["", "Z", "+00:00", "+02:00", " ", "x", "\0"]),
    )
    | st.builds(iso, st.integers(int(NOW - 60 * DAY), int(NOW)), st.integers(3, 9), st.just(""))
    | st.sampled_from(STRANGE)
    | st.sampled_from([0, 1_700_000_000, 1_700_000_000_000, 1.5e9, 1e300, float("inf"), -5, 2**63 - 1, -(2**63), b"x"])
)


@st.composite
def alike(draw: st.DrawFn) -> list[str]:
    """Texts of one layout, and some that only look like it."""
    digits, tail = draw(st.integers(0, 9)), draw(st.sampled_from(["", "Z", "+00:00"]))
    fractions = st.sampled_from([0, 1, 999_400_000, 999_500_000, 999_600_000, 999_999_999])
    found = []
    for second, fraction in draw(st.lists(st.tuples(st.integers(0, 10**9), fractions), min_size=3, max_size=9)):
        written = iso(int(NOW) - second * SECOND + fraction, digits, tail)
        spoilt = [
            written + "\0",
            written + "\0x",
            written[:11] + "24" + written[13:],
            written[:8] + "31" + written[10:],
        ]
        spoilt += [written[:8] + "30" + written[10:], written[:19], written[:5] + "02-29" + written[10:]]
        found += [written, *draw(st.lists(st.sampled_from(spoilt), max_size=1))]
    return found


def matches(*fields: str) -> st.SearchStrategy[Match]:
    """Any match on some fields."""
    condition = st.builds(
        lambda field, values, globs, ranges, negated: Condition(
            field, tuple(values), tuple(map(Glob, globs)), ranges=tuple(ranges), negated=negated
        ),
        st.sampled_from(fields),
        st.lists(text, max_size=3),
        st.lists(text | st.sampled_from(["*", "a*", "?*", "a?b", "[a]", "[a*", "1?", "*b", "12*", "a\0*"]), max_size=2),
        st.lists(st.sampled_from(RANGES), max_size=2),
        st.booleans(),
    )
    return st.lists(condition, max_size=2).map(lambda found: Match(tuple(found)))


match = matches(*FIELDS)
wider = matches(*FIELDS, "gone")  # holds and floors may name what this table lacks
period = st.sampled_from([FOREVER, *map(parse_period, ("30 days", "1 day", "400 days", "9000 years"))])
FORMATS = [TimeFormat.ISO, TimeFormat.SECONDS, TimeFormat.MILLISECONDS, TimeFormat.NANOSECONDS, TimeFormat.WEBKIT]


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    """Any policy for one dataset."""
    rules = [
        Rule(index=index, match=draw(match), keep=draw(period), waived=True) for index in range(draw(st.integers(0, 3)))
    ]
    dataset = Dataset(
        name="log",
        store="",
        shown="log.db",
        table="log",
        time="at",
        time_format=draw(st.sampled_from(FORMATS)),
        zone=draw(st.sampled_from([None, "Europe/Paris"])),
        tenant="tenant",
        rules=tuple(rules),
        require=tuple(draw(st.lists(st.sampled_from(FIELDS[:5]), max_size=2, unique=True))),
        doubt_before=draw(st.sampled_from([None, Nanos(631_152_000 * SECOND)])),
    )
    bound = st.none() | st.sampled_from(INSTANTS[:3]).map(Nanos)
    holds = [Hold(matter="m", match=draw(wider), records_from=draw(bound)) for _ in range(draw(st.integers(0, 2)))]
    floors = [
        Floor(match=draw(wider), at_least=draw(period.filter(lambda p: p is not FOREVER)), because="law")
        for _ in range(draw(st.integers(0, 2)))
    ]
    return select(dataset, floors=floors, holds=holds, now=NOW, real_now=NOW)


Row = tuple[object, ...]
row = st.tuples(times, cell, cell, cell, st.none() | document)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose collations and affinities would change what is equal."""
    path = tmp_path_factory.mktemp("rules") / "log.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE log (at, kind TEXT COLLATE NOCASE, tenant COLLATE RTRIM, [any] NUMERIC, doc TEXT, "
            "every TEXT DEFAULT 'row')"
        )
    connection.close()
    return path


def stored(path: Path, rows: list[Row]) -> list[Row]:
    """Put rows into the table, and give what SQLite made of them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("DELETE FROM log")
    connection.executemany("INSERT INTO log (at, kind, tenant, [any], doc) VALUES (?, ?, ?, ?, ?)", rows)
    found = connection.execute("SELECT at, kind, tenant, [any], doc FROM log ORDER BY rowid").fetchall()
    connection.close()
    return found


def instant(selection: Selection, value: object) -> Nanos | None:
    """The time of a cell by the definition."""
    dataset = selection.dataset
    if isinstance(value, str) and dataset.time_format is TimeFormat.ISO:
        found = parse_time_text(value, dataset.zone)
    elif isinstance(value, int | float):
        found = number_instant(value, dataset.time_format)
    else:
        return None
    return None if found is None else clamped(found)


def read(cells: Row, field: str) -> object:
    """A field of a row by the definition."""
    values = dict(zip(("at", "kind", "tenant", "any", "doc"), cells, strict=True))
    if not field.startswith("$."):
        return values.get(field)
    column, *keys = field[2:].split(".")
    found = values[column]
    if keys:
        try:
            found = json.loads(found) if isinstance(found, str) else None
        except ValueError:
            return None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def judged(path: Path, selection: Selection) -> list[Found]:
    """What the store says of each row."""
    dataset = replace(selection.dataset, store=f"sqlite:///{path}", key="every")
    store = SqliteStore(dataset, read_only=True)
    try:
        return list(store.find(replace(selection, dataset=dataset), "row"))
    finally:
        store.close()


def held(path: Path, condition: Match) -> list[bool]:
    """Which rows a hold matches."""
    dataset = Dataset(name="log", store="", shown="", table="log", time="at")
    selection = select(dataset, floors=(), holds=[Hold(matter="m", match=condition)], now=NOW, real_now=NOW)
    return [found.code == selection.first_hold for found in judged(path, selection)]


PATTERNS = ["*", "a*", "?*", "a?b", "[a]", "[a*", "1?", "*b", "12*", "a\0*", "?", "a[*]b", "*e*", "𝄞"]


@pytest.mark.parametrize("field", FIELDS[:5])
def test_every_text_matches_what_the_definition_says(file: Path, field: str) -> None:
    """Each value and pattern against each kind of cell: collations, affinities and wildcards play no part."""
    cells = [*TEXTS, 0, 1, 12, -12, 13, MOST + 1, 2**63 - 1, -(2**63), 1.5, 12.0, b"acme", b"12", b"", None]
    inside = (*TEXTS, 12, -0, 12.0, True, None, [1], 10**20, -(10**20), 2**63)
    documents = [json.dumps({"user": value, "a": {"b": value}}) for value in inside]
    at = "2026-01-01 00:00:00"
    rows = stored(file, [(at, cell, cell, cell, doc) for cell, doc in zip_longest(cells, documents)])
    conditions = [Condition(field, (value,)) for value in [*TEXTS, "12.0", "1.5", "-12", str(2**63 - 1), "2e3"]]
    conditions += [Condition(field, (), (Glob(pattern),)) for pattern in PATTERNS]
    conditions += [Condition(field, (), ranges=(numbers,)) for numbers in RANGES]
    conditions += [Condition(field, ("acme",), (Glob("1*"),), ranges=(Range(-9, 5), Range(12))), Condition(field, ())]

    for condition in [*conditions, *(replace(each, negated=True) for each in conditions)]:
        expected = [condition.matches(read(row, field)) for row in rows]
        assert held(file, Match((condition,))) == expected, condition


def test_a_hold_on_a_column_that_is_not_there_holds_everything(file: Path) -> None:
    """It cannot tell the rows apart, so too much is kept, never too little."""
    stored(file, [("2026-01-01 00:00:00", "a", "b", None, None)] * 2)

    assert held(file, Match((Condition("gone", ("acme",)),))) == [True, True]
    assert held(file, Match((Condition("gone", ("acme",)), Condition("kind", ("b",))))) == [False, False]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(selection=selections(), rows=st.lists(row, min_size=1, max_size=12))
def test_the_compiled_rules_agree_with_the_definition(file: Path, selection: Selection, rows: list[Row]) -> None:
    """Collations, affinities, wildcards, JSON, every time format: code for code."""
    cells = stored(file, rows)

    definition = widened(selection, lambda column: column != "gone")
    expected = [definition.decide(instant(selection, found[0]), lambda name: read(found, name)) for found in cells]  # noqa: B023

    assert [found.code for found in judged(file, selection)] == expected


@settings(max_examples=200, deadline=None)
@given(values=st.lists(times, min_size=1, max_size=20) | alike(), zone=st.sampled_from([None, "Europe/Paris", "UTC"]))
def test_every_instant_is_the_definition_s_to_the_nanosecond(
    file: Path, values: list[object], zone: str | None
) -> None:
    """SQLite's own functions and Python read the same from a text, whatever layout is the usual one."""
    cells = stored(file, [(value, None, None, None, None) for value in values])
    dataset = Dataset(name="log", store="", shown="", table="log", time="at", time_format=TimeFormat.ISO, zone=zone)
    selection = select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)

    assert [found.instant for found in judged(file, selection)] == [instant(selection, cell[0]) for cell in cells]
