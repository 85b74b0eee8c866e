"""Holds on ranges and on all but some values: what the ledger keeps of them, and whether a changed one covers less."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.canonical import canonical
from lapse.engine.remembered import RecordedHold
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.matchfacts import condition_of, match_facts
from lapse.model.policy import Hold
from lapse.model.ranges import MOST

ENDS = st.sampled_from([0, -5, 400, MOST, -MOST])
RANGES = (
    st.builds(Range, ENDS)
    | st.builds(Range, st.none(), ENDS)
    | st.tuples(ENDS, ENDS).map(lambda ends: Range(min(ends), max(ends)))
)
CONDITIONS = st.builds(
    Condition,
    field=st.sampled_from(["a", "$.b.c"]),
    values=st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(lambda found: tuple(sorted(found))),
    globs=st.lists(st.builds(Glob, st.sampled_from(["x*", "y?"])), max_size=1).map(tuple),
    numbers=st.lists(st.sampled_from([1, 2]), max_size=1).map(tuple),
    ranges=st.lists(RANGES, max_size=1).map(tuple),
    negated=st.booleans(),
)


@given(CONDITIONS)
def test_the_ledger_can_be_asked_what_a_hold_was_on(condition: Condition) -> None:
    """Facts come back from canonical JSON as the condition that they were made of."""
    (facts,) = json.loads(canonical(match_facts(Match((condition,)))))
    assert condition_of(facts) == condition


def covered(old: Condition, new: Condition) -> bool:
    """Whether a hold may be changed by hand from the one to the other."""
    before, after = (json.loads(canonical(Hold(matter="M", match=Match((each,))).facts())) for each in (old, new))
    return RecordedHold(matter="M", scope="", until=None, facts=before).is_covered_by(after)


WIDE, NARROW = Condition("n", (), ranges=(Range(400, 599),)), Condition("n", (), ranges=(Range(400, 499),))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (WIDE, NARROW),
        (replace(NARROW, negated=True), replace(WIDE, negated=True)),
        (Condition("n", ("a",), negated=True), Condition("n", ("a", "b"), negated=True)),
        (Condition("n", ("a",), negated=True), Condition("n", ("b",))),
        (Condition("n", ("a", "b")), Condition("n", ("a",))),
        (Condition("n", (), (Glob("a*"),)), Condition("n", (), (Glob("ab*"),))),
        (WIDE, Condition("n", ("404",))),
    ],
)
def test_a_hold_may_be_made_wider_by_hand_and_never_narrower(wide: Condition, narrow: Condition) -> None:
    """What a range or a negation covers is proven; what only may be is taken for narrower."""
    assert covered(narrow, wide)
    assert covered(wide, wide)
    assert not covered(wide, narrow)
