"""What PostgreSQL decides about a row is what `Selection.decide` decides, whatever the policy."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from pg_cells import (
    CLOCKS,
    DOCUMENTS,
    GLOBS,
    PATHS,
    RANGES,
    SIMPLE,
    TEXTS,
    Clock,
    Row,
    codes_of,
    connection,
    fitting,
    read_field,
    stored,
)
from pg_rules_tools import DAY_NS, NOW, clamp, dataset, judge

from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match
from lapse.model.period import FOREVER, parse_period
from lapse.model.plan import Tally
from lapse.model.policy import Floor, Hold, Rule, TimeFormat
from lapse.model.selection import Selection, select
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection

__all__ = ["connection"]

_text = st.sampled_from(TEXTS[:12])
_condition = st.builds(
    lambda field, values, globs, ranges, negated: Condition(
        field, tuple(values), tuple(map(Glob, globs)), ranges=tuple(ranges), negated=negated
    ),
    st.sampled_from([*SIMPLE, *PATHS]),
    st.lists(_text, max_size=3),
    st.lists(_text | st.sampled_from(GLOBS), max_size=2),
    st.lists(st.sampled_from(RANGES), max_size=1),
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
        require=() if plain else tuple(draw(st.lists(st.sampled_from([*SIMPLE, *PATHS]), max_size=2, unique=True))),
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
        cells = {name: draw(st.none() | st.sampled_from(fitting(name, TEXTS))) for name in SIMPLE}
        documents = st.none() | st.sampled_from(DOCUMENTS[:14])
        found.append(Row(at, cells | {"doc": draw(documents), "js": draw(documents)}))
    return found


def _expected(clock: Clock, selection: Selection, rows: list[Row], seen: list[dict[str, object]]) -> list[int]:
    definition = widened(selection, lambda column: column != "gone")
    return [
        definition.decide(_instant(clock, row, selection), lambda field: read_field(cells, field))  # noqa: B023
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
    seen = stored(connection, clock, rows)
    judged = judge(connection, find_table(connection, clock.name), selection)

    expected = _expected(clock, selection, rows, seen)

    assert codes_of(connection, clock, selection) == expected
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
        alone = structs.replace(tally, tenant=None)
        found[tally.code] = alone if known is None else known.merged(alone)
    return {code: (tally.records, tally.oldest, tally.newest) for code, tally in found.items()}


def _counted(instants: list[Nanos | None], codes: list[int]) -> Counts:
    found: Counts = {}
    for code in set(codes):
        of_code = [instant for instant, other in zip(instants, codes, strict=True) if other == code]
        times = [instant for instant in of_code if instant is not None]
        found[code] = (len(of_code), min(times, default=None), max(times, default=None))
    return found
