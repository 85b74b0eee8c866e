"""Counts added up in columns are the tallies of the whole, as those added up row by row are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.instant import Nanos
from lapse.model.match import Condition, Match
from lapse.model.period import FOREVER, parse_period
from lapse.model.plan import CHECKSUM_MODULUS, Tally, merge
from lapse.model.policy import Dataset, Rule
from lapse.model.selection import Selection, select
from lapse.sqlcore import columntallies
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.sqlcore.columntallies import ColumnTallies, by_key, ways
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64

_TIMES = st.integers(-3, 3) | st.sampled_from([MIN_INT64, MAX_INT64])
_ROWS = st.builds(
    lambda code, tenant, records, size, ends, checksum: Tally(
        code=code,
        tenant=tenant,
        records=records,
        size=size,
        oldest=ends and Nanos(min(ends)),
        newest=ends and Nanos(max(ends)),
        checksum=checksum,
    ),
    st.integers(0, 2) | st.just(2**30),
    st.sampled_from([None, "", "a", "B", "é", "𝄞", "a,\"'\n"]),
    st.integers(1, 5),
    st.integers(0, 2**40),
    st.none() | st.tuples(_TIMES, _TIMES),
    st.integers(1 - CHECKSUM_MODULUS, CHECKSUM_MODULUS - 1),
)


def _columns(tallies: ColumnTallies, rows: list[Tally]) -> Columns:
    ends = [NO_TIME if row.oldest is None else (row.oldest, row.newest) for row in rows]
    listed = (
        [row.code for row in rows],
        tallies.numbers(row.tenant for row in rows),
        [row.records for row in rows],
        [row.size for row in rows],
        [oldest for oldest, _ in ends],
        [newest for _, newest in ends],
        [row.checksum for row in rows],
    )
    names = ("codes", "tenants", "records", "sizes", "oldest", "newest", "checksums")
    return Columns(**{name: np.array(found, np.int64) for name, found in zip(names, listed, strict=True)})


def _reduced(tally: Tally) -> tuple[object, ...]:
    return tally.code, tally.tenant, tally.records, tally.size, tally.oldest, tally.newest, (
        tally.checksum % CHECKSUM_MODULUS
    )  # fmt: skip


@given(st.lists(st.lists(_ROWS, max_size=6), max_size=6), st.integers(1, 8), st.integers(1, 3))
def test_stretches_add_up_to_the_whole(parts: list[list[Tally]], groups: int, at_once: int) -> None:
    """Records, sizes, extents and checksums by outcome and tenant, in their order, however often they are added up."""
    found = ColumnTallies()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columntallies, "_GROUPS", groups)
        patch.setattr(columntallies, "_AT_ONCE", at_once)
        for part in parts:
            added = found.add(_columns(found, part))
            assert len(added) == len({(row.code, row.tenant) for row in part})
            assert [*map(_reduced, found.tallies(added))] == [*map(_reduced, merge(part))]

        assert [*map(_reduced, found.merged())] == [*map(_reduced, merge(row for part in parts for row in part))]


@given(st.lists(st.lists(_ROWS, max_size=6), max_size=6), st.integers(1, 8))
def test_what_others_have_counted_adds_up_to_the_whole(parts: list[list[Tally]], groups: int) -> None:
    """Each numbers the tenants as they came to it, and nothing of it is added up before it is taken over."""
    found = ColumnTallies()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columntallies, "_GROUPS", groups)
        for part in parts:
            other = ColumnTallies()
            other.take_in(by_key(_columns(other, part)))
            found.merge(other)

        expected = [*map(_reduced, merge(row for part in parts for row in part))]
        assert len(found) == len(expected)
        assert [*map(_reduced, found.merged())] == expected


def test_a_single_part_is_added_up_too() -> None:
    """Of one code and tenant it may have several."""
    found, row = ColumnTallies(), Tally(code=1, tenant="a", records=1, size=2)

    found.take_in(by_key(_columns(found, [row, row])))

    assert [(tally.records, tally.size) for tally in found.merged()] == [(2, 4)]


@pytest.mark.parametrize("sign", [1, -1])
def test_checksums_may_add_up_to_more_than_64_bits_hold(sign: int) -> None:
    """Thousands of the largest, in one stretch."""
    count, found = 5_000, ColumnTallies()
    row = Tally(code=3, tenant=None, records=1, size=1, checksum=sign * (CHECKSUM_MODULUS - 1))

    for _ in range(2):
        found.add(_columns(found, [row] * count))

    (tally,) = found.merged()
    assert (tally.records, tally.checksum) == (2 * count, -sign * 2 * count % CHECKSUM_MODULUS)


_KEEPS = st.tuples(st.sampled_from([FOREVER, parse_period("1 day"), parse_period("2 days")]), st.sampled_from("ab"))


@given(st.lists(_KEEPS, max_size=6))
def test_how_records_lapsed_is_told_from_their_codes(found: list[tuple[object, str]]) -> None:
    """As it is from each by itself."""
    selection = _selected([Rule(index=0, match=Match(), keep=keep, archives=(name,)) for keep, name in found])  # type: ignore[arg-type]
    ending_of, codes = selection.ending, np.arange(len(selection.outcomes))

    told = [None if way < 0 else ending_of.endings[way] for way in ways(ending_of, codes).tolist()]

    assert told == [ending_of(code) for code in codes.tolist()]


def _selected(rules: list[Rule]) -> Selection:
    matches = (Match((Condition("tenant", (str(number),)),)) for number in range(len(rules)))
    numbered = (
        replace(rule, index=number, match=match)
        for number, (rule, match) in enumerate(zip(rules, matches, strict=True))
    )
    log = Dataset(name="log", store="", shown="", time="at", rules=tuple(numbered))
    return select(log, floors=(), holds=(), now=Nanos(10**18), real_now=Nanos(10**18))
