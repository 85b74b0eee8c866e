"""The one definition of the newest of a group, held against a plain count."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapse.errors import UnsupportedError
from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.newest import Gathering, Group, KnownNewest, Newest, group_of, grouping_fields, rules_with_newest
from lapse.model.policy import Hold, Last
from lapse.model.selection import SKEW, Selection, Verdict
from lapse.testing.flow import days_ago, judged, matching, rule
from lapse.testing.harness import NOW, Record
from lapse.testing.memory_world import MemoryWorld

_WORLD = MemoryWorld("newest")
_MANY = settings(max_examples=300, deadline=None)


def _selection(*lasts: Last | None, held: bool = False) -> Selection:
    first, *others = (rule("30 days", last=last) for last in lasts)
    rules = [rule("30 days", kind="a", last=first.last), *others]
    holds = [Hold(matter="1", match=matching(tenant="held"))] if held else []
    return judged(_WORLD, *rules, holds=holds)


_RECORDS = st.lists(
    st.builds(
        Record,
        key=st.just(0),
        at=st.one_of(
            st.none(),
            st.integers(0, 60).map(days_ago),
            st.sampled_from([Nanos(NOW + SKEW + 1), Nanos(0), days_ago(30, plus=-1)]),
        ),
        kind=st.sampled_from(["a", "b", None]),
        tenant=st.sampled_from(["held", "x", None]),
        level=st.sampled_from([7, None]),
    ),
    max_size=30,
)
_LAST = st.builds(Last, st.integers(1, 3), st.sampled_from([None, "level", "kind", "tenant"]))


def _gathered(selection: Selection, records: list[Record]) -> Gathering:
    gathering = Gathering(selection)
    for record in records:
        group = group_of(selection, record.instant, record.read)
        if group is not None and record.instant is not None:
            gathering.add(group, [record.instant])
    return gathering


@_MANY
@given(records=_RECORDS, one=_LAST, other=st.none() | _LAST, seed=st.integers(0, 9))
def test_a_record_goes_only_if_enough_of_its_group_are_newer(
    records: list[Record], one: Last, other: Last | None, seed: int
) -> None:
    """In whatever order the members come, and in however many parts."""
    selection = _selection(one, other, held=True)
    shuffled = random.Random(seed).sample(records, len(records))
    whole = _gathered(selection, records).newest()
    parts = _gathered(selection, shuffled[::2])
    for group, instants in _gathered(selection, shuffled[1::2]).times.items():
        parts.add(group, instants)

    for record in records:
        code = whole.decide(selection, record.instant, record.read)
        assert parts.newest().decide(selection, record.instant, record.read) == code
        if selection.outcomes[code].verdict is Verdict.LAPSED:
            assert _newer(selection, record, records) >= _count(selection, record)
        if selection.outcomes[code].reason.startswith("kept as one of"):
            assert _newer(selection, record, records) < _count(selection, record)


def _count(selection: Selection, record: Record) -> int:
    last = selection.sources[selection.dispatch.first(record.read) or 0].last
    return 0 if last is None else last.count


def _newer(selection: Selection, record: Record, records: list[Record]) -> int:
    """Believed records of the same rule and value that are newer."""
    rule_ = selection.dispatch.first(record.read)
    last = selection.sources[rule_ or 0].last
    per = None if last is None else last.per
    return sum(
        other.instant is not None
        and record.instant is not None
        and record.instant < other.instant <= NOW + SKEW
        and selection.dispatch.first(other.read) == rule_
        and (per is None or text_of(other.read(per)) == text_of(record.read(per)))
        for other in records
    )


def test_a_threshold_is_never_later_than_the_cutoff() -> None:
    """What the period keeps anyway is not told apart, so that new records change nothing about the old ones."""
    selection = _selection(Last(1), None)
    group = Group(0, None)
    gathering = Gathering(selection)

    gathering.add(group, [days_ago(1), days_ago(40)])

    assert gathering.newest().since(group) == days_ago(30)
    assert gathering.is_settled(group, days_ago(2))


def test_a_group_of_fewer_stays_whole() -> None:
    """It has no threshold; one of just as many has one, and stays whole as well."""
    selection = _selection(Last(2), None)
    few, enough = Group(0, "few"), Group(0, "enough")
    gathering = Gathering(selection)
    gathering.add(few, [days_ago(90)])
    gathering.add_all(enough, days_ago(90), 1_000_000)

    newest = gathering.newest()

    assert newest.since(few) is None
    assert newest.keeps(few, days_ago(5000))
    assert newest.since(enough) == days_ago(90)
    assert not newest.keeps(enough, days_ago(91))


def test_where_nobody_knows_the_newest_all_stay() -> None:
    """A store that has not looked removes nothing under such a rule."""
    selection = _selection(Last(1), None)
    record = Record(key=1, at=days_ago(900), kind="a")

    assert selection.outcomes[Newest().decide(selection, record.instant, record.read)].verdict is Verdict.KEPT
    assert selection.outcomes[selection.decide(record.instant, record.read)].verdict is Verdict.KEPT


def test_more_than_may_be_kept_apart_is_refused() -> None:
    """The bound is on times, so a large number of few groups counts as a small number of many."""
    gathering = Gathering(_selection(Last(3), None), most=5)
    gathering.add(Group(0, "a"), [days_ago(40), days_ago(41), days_ago(42), days_ago(43)])

    with pytest.raises(UnsupportedError, match="more than 5 newest records"):
        gathering.add(Group(0, "b"), [days_ago(40), days_ago(41), days_ago(42)])


def test_a_rule_that_keeps_forever_looks_for_no_newest() -> None:
    """Nothing of it ever goes."""
    selection = judged(_WORLD, rule("forever", kind="a", last=Last(1, "level")), rule("30 days", last=Last(2)))

    assert rules_with_newest(selection) == (1,)
    assert grouping_fields(selection) == ("level",)
    assert group_of(selection, days_ago(40), Record(key=1, at=None, kind="a").read) is None


def test_what_is_known_holds_for_other_holds_but_not_for_other_rules_or_times() -> None:
    """Held records are members, so a hold makes no difference to who is."""
    selection = _selection(Last(1), None)
    known = KnownNewest(selection, Newest())

    assert known.holds_for(_selection(Last(1), None, held=True))
    assert not known.holds_for(_selection(Last(2), None))
