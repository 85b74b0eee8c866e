"""What PostgreSQL decides about a row is what `Selection.decide` decides, whatever the columns and the policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg_rules_tools import DAY_NS, NOW, clamp, connected, dataset, judge

from lapse.errors import UnsupportedError
from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import FOREVER, parse_period
from lapse.model.plan import Tally
from lapse.model.policy import Floor, Hold, Rule, TimeFormat
from lapse.model.ranges import MOST
from lapse.model.selection import Selection, select
from lapse.model.timetext import number_instant, parse_time_text
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from servers.postgres import PostgresServer

_UUID = "7f0c1b6e-0000-4000-8000-00000000000a"
_TEXTS = [
    "acme",
    "ACME",
    "acme ",
    "",
    " ",
    "a%b",
    "a_b",
    "axb",
    "a\\b",
    "é",
    "e\u0301",
    "𝄞",
    "O'Neil",
    "12",
    "-0",
    "007",
]
_TEXTS += ["true", _UUID, _UUID.upper(), "a\nb", "E'x'", "%s", "9223372036854775808", "\ufdd0"]
_TEXTS += ["-7", "12\n", "\n12", "+12", "\uff11\uff12", "9" * 18, "1" + "0" * 18, "-" + "9" * 18]
_RANGES = [Range(12, 12), Range(13), Range(last=12), Range(-7, 0), Range(last=-8), Range(MOST), Range(last=-MOST)]
_GLOBS = [
    "*",
    "a*",
    "?*",
    "a?b",
    "a%b",
    "a_b",
    "a\\b",
    "*\\*",
    "[a]*",
    "?",
    "*e*",
    "1?",
    "t*",
    "%",
    "ac me?",
    "*\0",
    "*-*",
]
_VALUES: list[object] = [*_TEXTS, 10**30, -(10**30), MOST + 1, 12, -7, 12.0, True, False, None, [1], {}]
_DOCUMENTS = [
    *(json.dumps({"user": value, "a": {"b": value}}) for value in _VALUES),
    '{"user": "x", "user": "acme"}', '{"user": -0, "a": [{"b": 1}]}', '{"user": 1e3}', '{"user": 12345678901234567890}',
    '{"a": null}', '{"user": {"user": "acme"}}', '["user"]', '"user"', "null", "{}", ' { "user" : "acme" } ',
]  # fmt: skip
_POISONED = [
    r'{"user": "acme", "x": "\u0000"}', r'{"user": "a\u0000b"}', r'{"user": "a\\u0000b"}', r'{"user": "a\ud800b"}',
    r'{"user": "\ude00\ud83d\ude00", "a": {"b": "x"}}', r'{"user": "\ud83d\ud83d"}', r'{"us\u0000er": 1, "user": "12"}',
    r'{"user": "\\\u0000\\\\ud800"}', r'{"user": "\uD83D\uDE00"}',
]  # fmt: skip
_BROKEN = ["", "{broken", "acme", '{"user": "acme"', '{"user": 01}', "{'user': 1}", '{"user": "a\tb"}']

_COLUMNS = {
    "plain": "text",
    "kind": "varchar(40)",
    "nocase": "text COLLATE nocase",
    "padded": "char(40)",
    "label": "mood",
    "tag": "tagged",
    "folded": "citext",
    "flag": "boolean",
    "small": "smallint",
    "number": "bigint",
    "whole": "numeric(30,0)",
    "who": "uuid",
    "odd % name": "text",
    "doc": "jsonb",
    "js": "json",
}
_SIMPLE = tuple(name for name in _COLUMNS if name not in ("doc", "js"))
_PATHS = ("$.doc.user", "$.doc.a.b", "$.js.user", "$.js.a.b")
_MOODS = ("acme", "ACME", "", "a%b", "12")


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[Connection]:
    """A database whose types and collations would change what is equal, with a table for each kind of time."""
    with connected(postgres.create_database("pg_rules")) as session:
        # Not every build knows collations that take different texts for equal.
        able = session.value("SELECT EXISTS (SELECT FROM pg_collation WHERE collname LIKE '%-x-icu')")
        equal = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)" if able else 'FROM "POSIX"'
        session.run("CREATE EXTENSION citext")
        session.run(
            f"CREATE COLLATION nocase {equal};"
            f"CREATE TYPE mood AS ENUM ({_labels(_MOODS)}); CREATE DOMAIN tagged AS text COLLATE nocase"
        )
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        for clock in CLOCKS:
            session.run(f'CREATE TABLE "{clock.name}" (id bigint PRIMARY KEY, at {clock.kind}, {columns})')
        yield session
    postgres.drop_database("pg_rules")


@dataclass(frozen=True, slots=True)
class Clock:
    """A kind of time column: how a moment is written, and which instant that is by the definition."""

    name: str
    kind: str
    write: Callable[[Nanos], str]
    read: Callable[[str, str | None], Nanos | None]


def _micros(instant: Nanos) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant // 1000)).replace(tzinfo=None))


CLOCKS = (
    Clock("zoned", "timestamptz", lambda i: _micros(i) + "+00", lambda text, _: parse_time_text(text, None)),
    Clock("naive", "timestamp", _micros, parse_time_text),
    Clock("days", "date", lambda i: _micros(i)[:10], parse_time_text),
    Clock("texts", "varchar(40)", lambda i: f"{_micros(i)[:19]}.{i % 10**9:09}", parse_time_text),
    Clock(
        "counts", "bigint", lambda i: str(i // 10**6),
        lambda text, _: number_instant(int(text), TimeFormat.MILLISECONDS),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row as they are inserted; None is NULL."""

    at: str | None
    cells: dict[str, str | None]


def _stored(connection: Connection, clock: Clock, rows: list[Row]) -> list[dict[str, object]]:
    """Put rows into the table, and give what a reader sees in each."""
    connection.run(f'TRUNCATE "{clock.name}"')
    marks = ", ".join(["(" + ", ".join(["%s"] * (2 + len(_COLUMNS))) + ")"] * len(rows))
    cells = [cell for n, row in enumerate(rows) for cell in (n, row.at, *(row.cells.get(name) for name in _COLUMNS))]
    connection.run(f'INSERT INTO "{clock.name}" VALUES {marks}', cells)
    listed = ", ".join(f'"{name}"::text' for name in _COLUMNS).replace("%", "%%")
    found = connection.rows(f'SELECT {listed} FROM "{clock.name}" ORDER BY id', ())
    return [{name: _seen(name, cell) for name, cell in zip(_COLUMNS, row, strict=True)} for row in found]


def _seen(name: str, text: str | None) -> object:
    if text is None:
        return None
    reads: dict[str, Callable[[str], object]] = {"flag": lambda t: t == "true", "doc": json.loads, "js": json.loads}
    reads |= {"small": int, "number": int, "whole": lambda t: float(t) if t == "NaN" else int(t)}
    return reads.get(name, str)(text)


def _field(cells: dict[str, object], field: str) -> object:
    """A field of a row by the definition."""
    if not field.startswith("$."):
        return cells.get(field)
    column, *keys = field[2:].split(".")
    found = cells[column]
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _codes(connection: Connection, clock: Clock, selection: Selection) -> list[int]:
    compiled = judge(connection, find_table(connection, clock.name), selection).code
    return [code for (code,) in connection.query("SELECT " + compiled + f' FROM "{clock.name}" AS r ORDER BY id')]


def _matching(connection: Connection, condition: Condition) -> list[bool]:
    """Which rows of the first table a hold matches."""
    hold = Hold(matter="m", match=Match((condition,)))
    selection = select(dataset(table="zoned"), floors=(), holds=[hold], now=NOW, real_now=NOW)
    return [code == selection.first_hold for code in _codes(connection, CLOCKS[0], selection)]


def _fitting(name: str, texts: list[str]) -> list[str | None]:
    """Those of *texts* that a column can hold."""
    if name == "label":
        return [text for text in texts if text in _MOODS]
    if name in ("small", "number"):
        return ["12", "-7", "0", "7", "32767"]
    if name == "whole":
        return ["12", "-7", "0", "123456789012345678901", "NaN", "9223372036854775808", "-123456789012345678901"]
    if name == "flag":
        return ["true", "false"]
    if name == "who":
        return [_UUID, str(UUID(int=0))]
    return list(texts)


@pytest.mark.parametrize("field", [*_SIMPLE, *_PATHS])
def test_every_text_matches_what_the_definition_says(connection: Connection, field: str) -> None:
    """Each value and pattern against each cell: types, collations, padding and wildcards play no part."""
    column = field.removeprefix("$.").partition(".")[0]
    cells = _fitting(column, _DOCUMENTS + (_POISONED if column == "js" else []) if "$" in field else _TEXTS)
    seen = _stored(connection, CLOCKS[0], [Row("2026-01-01+00", {column: cell}) for cell in [*cells, None]])
    conditions = [Condition(field, (value,)) for value in [*_TEXTS, "acme   ", "-7", "7.0", "1000", "a\0b", "False"]]
    conditions += [Condition(field, (), (Glob(pattern),)) for pattern in _GLOBS]
    conditions += [Condition(field, tuple(_TEXTS), (Glob("a?b"), Glob("12*"))), Condition(field, ("\ud800", "\0"))]
    conditions += [Condition(field, (), ranges=(numbers,)) for numbers in _RANGES]
    conditions += [Condition(field, ("acme",), (Glob("1*"),), ranges=(Range(-9, 5), Range(12))), Condition(field, ())]

    for condition in [*conditions, *(replace(each, negated=True) for each in conditions)]:
        expected = [condition.matches(_by_reader(_field(row, field))) for row in seen]
        assert _matching(connection, condition) == expected, condition


def _by_reader(value: object) -> object:
    """Texts that PostgreSQL cannot hold match by their length only."""
    if not isinstance(value, str):
        return value
    return "".join("\ufdd0" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)


def test_json_in_a_text_column_is_looked_into_where_the_server_can(connection: Connection) -> None:
    """Since version 16; text that is no JSON has no fields and stops nothing. Before that it is refused."""
    cells = [*_DOCUMENTS, *_POISONED, *_BROKEN]
    _stored(connection, CLOCKS[0], [Row("2026-01-01+00", {"plain": cell}) for cell in cells])
    condition = Condition("$.plain.user", tuple(_TEXTS), (Glob("a*"),))

    if connection.version < 160_000:
        with pytest.raises(UnsupportedError, match="column plain is text"):
            _matching(connection, condition)
        return

    def user(cell: str) -> object:
        try:
            found = json.loads(cell)
        except ValueError:
            return None
        return _by_reader(found.get("user")) if isinstance(found, dict) else None

    assert _matching(connection, condition) == [condition.matches(user(cell)) for cell in cells]


@pytest.mark.parametrize("field", [*_SIMPLE, *_PATHS])
def test_what_has_no_value_is_blank(connection: Connection, field: str) -> None:
    """NULL, an empty text, and for paths a key that is missing or null: doubtful where the field is required."""
    column = field.removeprefix("$.").partition(".")[0]
    documents = _DOCUMENTS + (_POISONED if column == "js" else [])
    cells = _fitting(column, documents if "$" in field else _TEXTS)
    seen = _stored(connection, CLOCKS[0], [Row("2026-01-01+00", {column: cell}) for cell in [*cells, None]])
    required = dataset(table="zoned", require=(field,))
    selection = select(required, floors=(), holds=(), now=NOW, real_now=NOW)

    found = _codes(connection, CLOCKS[0], selection)

    assert [code == selection.first_required for code in found] == [_field(row, field) in (None, "") for row in seen]


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
        _matching(connection, Condition(field, ("x",)))


def test_a_hold_on_a_column_that_is_not_there_holds_everything(connection: Connection) -> None:
    """It cannot tell the rows apart, so too much is kept, never too little."""
    _stored(connection, CLOCKS[0], [Row("2026-01-01+00", {})] * 2)

    assert _matching(connection, Condition("gone", ("acme",))) == [True, True]


# Random policies

_text = st.sampled_from(_TEXTS[:12])
_condition = st.builds(
    lambda field, values, globs, ranges, negated: Condition(
        field, tuple(values), tuple(map(Glob, globs)), ranges=tuple(ranges), negated=negated
    ),
    st.sampled_from([*_SIMPLE, *_PATHS]),
    st.lists(_text, max_size=3),
    st.lists(_text | st.sampled_from(_GLOBS), max_size=2),
    st.lists(st.sampled_from(_RANGES), max_size=1),
    st.booleans(),
)
_match = st.lists(_condition, max_size=2).map(lambda found: Match(tuple(found)))
_gone = st.sampled_from([(), (), (Condition("gone", ("x",)),)])
_wider = st.builds(lambda match, gone: Match((*match.conditions, *gone)), _match, _gone)
_PERIODS = ("30 days", "1 day", "2 calendar days in Europe/Paris", "9000 years")
_period = st.sampled_from([FOREVER, *map(parse_period, _PERIODS)])
_DOUBT = Nanos(631_152_000 * 10**9)
_BASES = [NOW - 30 * DAY_NS, NOW - DAY_NS, NOW, NOW + 300 * 10**9, _DOUBT, NOW - 400 * DAY_NS, NOW - 2 * DAY_NS]
_moments = st.builds(
    lambda base, shift: Nanos(base + shift),
    st.sampled_from(_BASES),
    st.sampled_from(
        [0, 1, -1, -789, 211, 1000, -1000, 10**6, -(10**6), DAY_NS, -DAY_NS, 7_200 * 10**9, -3_600 * 10**9]
    ),
)
_STRANGE = {
    "zoned": ["infinity", "-infinity"],
    "naive": ["infinity", "-infinity"],
    "days": ["infinity", "-infinity"],
    "texts": ["", "garbage", "2026-02-30", "2026-11-21", "2026-11-21T10:00:00Z", "2026-10-25 02:30:00+0200"],
    "counts": ["0", "-1", "1700000000", str(2**63 - 1)],
}


@st.composite
def _selections(draw: st.DrawFn, clock: Clock) -> Selection:
    """Any policy for one table; every other one a single rule, as most are."""
    rules = draw(st.sampled_from([0, 1, 1, 1, 2, 3]))
    single = st.just(Match()) if rules == 1 and draw(st.booleans()) else _match
    plain = draw(st.booleans())
    kept = dataset(
        table=clock.name,
        time_format=TimeFormat.MILLISECONDS if clock.name == "counts" else TimeFormat.AUTO,
        zone=draw(st.sampled_from([None, "Europe/Paris", "Pacific/Kiritimati"])),
        tenant=draw(st.sampled_from(["nocase", "$.doc.user", "who"])),
        rules=tuple(Rule(index=i, match=draw(single), keep=draw(_period), waived=True) for i in range(rules)),
        require=() if plain else tuple(draw(st.lists(st.sampled_from([*_SIMPLE, *_PATHS]), max_size=2, unique=True))),
        doubt_before=draw(st.sampled_from([None, _DOUBT])),
    )
    bound = st.none() | _moments
    holds = st.builds(
        lambda match, begin, end: Hold(matter="m", match=match, records_from=begin, records_before=end),
        _wider, bound, st.none(),
    )  # fmt: skip
    floors = st.builds(
        lambda match, period: Floor(match=match, at_least=period, because="law"),
        _wider,
        _period.filter(lambda period: period is not FOREVER),
    )
    return select(
        kept,
        holds=[] if plain else draw(st.lists(holds, max_size=2)),
        floors=[] if plain else draw(st.lists(floors, max_size=2)),
        now=NOW,
        real_now=Nanos(NOW - draw(st.sampled_from([0, 0, 40 * DAY_NS]))),
    )


@st.composite
def _rows(draw: st.DrawFn, clock: Clock) -> list[Row]:
    found = []
    for _ in range(draw(st.integers(1, 10))):
        at = draw(
            st.none() | _moments.map(clock.write) | _moments.map(clock.write) | st.sampled_from(_STRANGE[clock.name])
        )
        cells = {name: draw(st.none() | st.sampled_from(_fitting(name, _TEXTS))) for name in _SIMPLE}
        documents = st.none() | st.sampled_from(_DOCUMENTS[:14])
        found.append(Row(at, cells | {"doc": draw(documents), "js": draw(documents)}))
    return found


def _expected(clock: Clock, selection: Selection, rows: list[Row], seen: list[dict[str, object]]) -> list[int]:
    definition = widened(selection, lambda column: column != "gone")
    return [
        definition.decide(_instant(clock, row, selection), lambda field: _field(cells, field))  # noqa: B023
        for row, cells in zip(rows, seen, strict=True)
    ]


def _instant(clock: Clock, row: Row, selection: Selection) -> Nanos | None:
    if row.at is None or "infinity" in row.at:
        return None
    found = clamp(clock.read(row.at, selection.dataset.zone))
    return None if found is None else Nanos(found)


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: clock.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_the_compiled_rules_agree_with_the_definition(
    connection: Connection, clock: Clock, data: st.DataObject
) -> None:
    """Code for code; and what removes, bounds, counts and checks says the same as the code."""
    rows, selection = data.draw(_rows(clock)), data.draw(_selections(clock))
    seen = _stored(connection, clock, rows)
    judged = judge(connection, find_table(connection, clock.name), selection)

    expected = _expected(clock, selection, rows, seen)

    assert _codes(connection, clock, selection) == expected
    lapsed = selection.lapsed_codes()
    for codes in [lapsed, *((code,) for code in lapsed), (0, 2, selection.unmatched_code), ()]:
        removed = _ids(connection, clock, judged.lapsed(codes))
        assert removed == [number for number, code in enumerate(expected) if code in codes]
        bound = judged.bound(codes)
        assert bound is None or set(removed) <= set(_ids(connection, clock, bound))
        found = judged.tallies(connection, Fragment("TRUE"), codes, size="8", from_=f'"{clock.name}" AS r')
        assert sum(tally.records for tally in found) == len(removed)
    tallies = judged.tallies(connection, Fragment("TRUE"), size="8", from_=f'"{clock.name}" AS r')
    assert _summary(tallies) == _counted([_instant(clock, row, selection) for row in rows], expected)


def _ids(connection: Connection, clock: Clock, where: Fragment) -> list[int]:
    found = connection.query(f'SELECT id FROM "{clock.name}" AS r WHERE ' + where + " ORDER BY id")
    return [number for (number,) in found]


Counts = dict[int, tuple[int, int | None, int | None]]


def _summary(tallies: tuple[Tally, ...]) -> Counts:
    """Records, oldest and newest of each code."""
    found: dict[int, Tally] = {}
    for tally in tallies:
        known = found.get(tally.code)
        assert tally.size == 8 * tally.records
        alone = replace(tally, tenant=None)
        found[tally.code] = alone if known is None else known.merged(alone)
    return {code: (tally.records, tally.oldest, tally.newest) for code, tally in found.items()}


def _counted(instants: list[Nanos | None], codes: list[int]) -> Counts:
    found: Counts = {}
    for code in set(codes):
        of_code = [instant for instant, other in zip(instants, codes, strict=True) if other == code]
        times = [instant for instant in of_code if instant is not None]
        found[code] = (len(of_code), min(times, default=None), max(times, default=None))
    return found


def test_tallies_tell_tenants_apart_to_the_byte_and_changed_times(connection: Connection) -> None:
    """The column's collation merges no tenants; the checksum is another one when a time or key is."""
    rows = [Row("2020-01-01+00", {"nocase": name}) for name in ("acme", "ACME", "é", "e", None)]
    table = find_table(connection, "zoned")
    selection = select(dataset(table="zoned", tenant="nocase"), floors=(), holds=(), now=NOW, real_now=NOW)

    def count() -> tuple[Tally, ...]:
        judged = judge(connection, table, selection)
        return judged.tallies(connection, Fragment("TRUE"), size="8", from_="zoned AS r")

    _stored(connection, CLOCKS[0], rows)
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
