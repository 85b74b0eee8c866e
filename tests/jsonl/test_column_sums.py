"""Sums in columns are those of the lines one by one, however they are taken in, sent and added up."""

from __future__ import annotations

import os
import pickle
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import DAY, line, selected

from lapse.instant import Nanos, rfc3339
from lapse.model.match import Condition, Glob, Match
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.policy import Rule
from lapse.model.selection import Selection
from lapse.sqlcore import columntallies
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.stores.jsonl import bulk, parting
from lapse.stores.jsonl.blocksums import BlockBuilder
from lapse.stores.jsonl.bulk import Bulk
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.judging import Judge, Value
from lapse.stores.jsonl.lines import lines
from lapse.stores.jsonl.manysums import ManySums, Named
from lapse.stores.jsonl.parting import Parted, Parting
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.sizing import add_sizes
from lapse.stores.jsonl.summing import Sum
from lapse.testing.flow import rule
from lapse.testing.harness import NOW

_MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_NAMES = (None, "", "a", "b")


@st.composite
def _sums(draw: st.DrawFn) -> Sum:
    timed, instant = draw(st.booleans()), draw(st.sampled_from([-(2**63), -1, 0, 5, 2**63 - 1]))
    return Sum(
        code=draw(st.sampled_from([0, 1, 7, 900])),
        tenant=draw(st.sampled_from(_NAMES)),
        values=(),
        records=draw(st.integers(1, 9)),
        size=draw(st.integers(1, 2**40)),
        oldest=Nanos(instant) if timed else None,
        newest=Nanos(max(instant, draw(st.integers(-9, 9)))) if timed else None,
        checksum=draw(st.integers(2**61, 2**62)) if timed else 0,
    )


def _columns(found: Sequence[Sum], names: Sequence[str | None] = _NAMES) -> ManySums:
    def ends(item: Sum) -> tuple[int, int]:
        return NO_TIME if item.oldest is None or item.newest is None else (item.oldest, item.newest)

    rows = [
        (item.code, names.index(item.tenant), item.records, item.size, *ends(item), item.checksum) for item in found
    ]
    columns = Columns(*np.array(rows, np.int64).reshape(-1, 7).T)
    return ManySums((), Named(columns, names), np.arange(len(rows)), [()] * len(rows))


def _added(found: Sequence[Sum]) -> tuple[Tally, ...]:
    counts = Counts()
    for item in found:
        counts.add_sum(item)
    return counts.tallies()


@pytest.fixture(autouse=True)
def _columns_are_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest number of sums is taken as columns, and soon added up."""
    monkeypatch.setattr(bulk, "_MANY", 0)
    monkeypatch.setattr("lapse.stores.jsonl.scanning._FEW", 3)
    monkeypatch.setattr(columntallies, "_GROUPS", 5)


@_MANY
@given(
    st.lists(st.tuples(st.sampled_from(["columns", "one by one", "sent", "settled"]), st.lists(_sums(), max_size=9)))
)
def test_counts_are_the_same_by_whatever_way_they_come(parts: list[tuple[str, list[Sum]]]) -> None:
    """Checksums of any sum, lines without a time, and tenants numbered differently by each who counted."""
    counts = Counts()
    for way, found in parts:
        if way == "one by one":
            counts.add_sums(found)
        elif way == "columns":
            counts.add_sums(_columns(found))
        else:
            other = Counts()
            other.add_sums(_columns(found, _NAMES[::-1]))
            if way == "settled":
                other.settle()
            counts.merge(pickle.loads(pickle.dumps(other)))

    expected = _added([item for _, found in parts for item in found])
    assert counts.tallies() == expected
    assert pickle.loads(pickle.dumps(counts)).tallies() == expected
    assert all(0 <= tally.checksum < CHECKSUM_MODULUS for tally in expected)


@_MANY
@given(
    st.lists(st.lists(_sums(), max_size=30), max_size=9),
    st.lists(st.integers(0, 3), min_size=901, max_size=901),
    st.booleans(),
)
def test_sizes_by_destination_are_the_same_in_columns(parts: list[list[Sum]], goals: list[int], mixed: bool) -> None:
    """Whatever comes one by one in between; nothing is said of what no line goes to."""
    sizes, expected = dict[int, int](), Counter[int]()
    for number, found in enumerate(parts):
        add_sizes(sizes, found if mixed and number % 2 else _columns(found), array("I", goals))
        for item in found:
            expected[goals[item.code]] += item.size

    assert sizes == expected


@pytest.mark.parametrize("tenants", [255, 256, 257])
def test_a_block_remembers_as_many_groups_in_columns_as_one_by_one(tenants: int) -> None:
    """The same groups, or none where they are too many; a group in several stretches of time is one."""
    judge = Judge(selected("/x", rule("30 days"), tenant="tenant"))
    times = [rfc3339(Nanos(NOW - days * DAY)) for days in (90, 1)]
    data = b"".join(line(time, tenant=f"t{number}") for number in range(tenants) for time in times)
    (told,) = Bulk(judge).judge(data)
    together, singly = BlockBuilder(0), BlockBuilder(0)

    sums = told.sums()
    together.add(data, sums, (), lines=2 * tenants)
    singly.add(data, list(sums), (), lines=2 * tenants)

    assert isinstance(sums, ManySums)
    assert len(sums.named.columns) == 2 * tenants
    assert sums.distinct == tenants
    assert together.built() == singly.built()
    assert (together.built().groups is None) is (tenants > 256)


@pytest.mark.parametrize("many", [0, 1, 60, 150, 151])
def test_sums_stay_in_columns_once_there_are_very_many_groups(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Also when the groups are forgotten; what they come to is the same."""
    monkeypatch.setattr(bulk, "_MANY", many)
    monkeypatch.setattr(bulk, "_MOST_LINES", 40)
    judge = Judge(selected("/x", rule("30 days"), tenant="tenant"))
    times = [rfc3339(Nanos(NOW - days * DAY)) for days in (90, 1)]
    data = b"".join(line(times[n % 2], tenant=f"t{n // 2 % 150}") for n in range(600))

    found = [told.sums() for told in Bulk(judge).judge(data)]

    first = next((number for number, sums in enumerate(found) if isinstance(sums, ManySums)), len(found))
    assert first == (max(0, -(-many // 20) - 1) if many <= 150 else len(found))
    assert all(isinstance(sums, ManySums) for sums in found[first:])
    counts = Counts()
    for sums in found:
        counts.add_sums(sums)
    assert counts.tallies() == _added([item for sums in found for item in sums])
    assert [tally.records for tally in counts.tallies()] == [2] * 300


def _world(log: Path) -> bytes:
    times = [rfc3339(Nanos(NOW - days * DAY)) for days in (90, 1, 40, 35)]
    found = [
        line(times[n * n % 4], tenant=["a", "b", None, 1][n % 4], type="x" if n % 3 else "y", n=n) for n in range(200)
    ]
    whole = b"".join([*found[:50], b"no json\n", *found[50:], line(times[0])[:-1]])
    log.write_bytes(whole)
    return whole


def _parted(log: Path, selection: Selection) -> list[Parted]:
    going = selection.lapsed_codes()
    facts = log.stat()
    extent = Extent(path=log, inode=facts.st_ino, size=facts.st_size)
    descriptor = os.open(log, os.O_RDONLY)
    try:
        found = Parting(Judges(Judge(selection), size=1 << 30), frozenset(going), going.mask())
        return list(found.parted(descriptor, extent, start=0, head=None))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("children", [False, True])
def test_lines_that_go_are_counted_in_columns_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: bool
) -> None:
    """Those that stay are not in the counts; runs are exactly the lines that go, also when a child has told them."""
    monkeypatch.setattr(parting, "_FOR_ONE", 0 if children else 1 << 40)
    monkeypatch.setattr(parting, "_TASK", 2000)
    log = tmp_path / "log"
    selection = selected(log, rule("30 days", type="x"), rule("60 days"), tenant="tenant", type="type")
    whole, judge, expected, gone = _world(log), Judge(selection), Counts(), []
    for each in lines([whole]):
        told = judge.judge(each)
        if told.code in frozenset(selection.lapsed_codes()):
            expected.add(each, told, judge.tenant(told))
            gone.append(each.data)

    found, counts = _parted(log, selection), Counts()
    for part in found:
        counts.add_sums(part.sums)
        if part.more is not None:
            counts.add_packed(part.more)

    assert any(part.more is not None for part in found)
    assert b"".join(bytes(part.data) for part in found) == whole
    assert counts.tallies() == expected.tallies()
    assert b"".join(bytes(part.data[run.start : run.end]) for part in found for run in part.going) == b"".join(gone)
    assert sum(run.records for part in found for run in part.going) == len(gone)


def _glob(text: str) -> Match:
    return Match((Condition(field="type", values=(), globs=(Glob(text),)),))


_BY_TYPE, _BY_TENANT = rule("2 days", type="a"), rule("9 days", tenant="b")
_BY_BOTH, _BY_PART = rule("40 days", type="a", tenant="b"), replace(rule("1 days"), match=_glob("a*"))


@pytest.mark.parametrize("rules", list(permutations([_BY_TYPE, _BY_TENANT, _BY_BOTH, _BY_PART])))
@pytest.mark.parametrize("last", [(), (rule("30 days"),)])
def test_the_rule_of_many_values_at_once_is_that_of_each(rules: tuple[Rule, ...], last: tuple[Rule, ...]) -> None:
    """The first in file order, whichever fields the rules ask for, and whether they ask for parts of values."""
    timeline = Timeline(Judge(selected("/x", *rules, *last, type="type", tenant="tenant")))
    tenants: tuple[Value, ...] = ("b", "c", "", None, (), 1, True)
    values = [(tenant, kind) for tenant in tenants for kind in ("a", "ab", "c", "1", None, (), 1, True)]

    courses, bases = timeline.ruled(values)

    singly = [timeline.decided(each) for each in values]
    assert timeline.simple
    assert bases == [group.base for group in singly]
    assert courses == [group.course for group in singly]
    assert timeline.tenants(values) == [group.tenant for group in singly]
