"""lapse.policyfile.shadowing: rules that can never decide are proven so, by index, and never guessed."""

from __future__ import annotations

import random
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapse.errors import Origin
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import parse_period
from lapse.model.policy import Rule
from lapse.policyfile.remainders import Box, Values
from lapse.policyfile.shadowing import shadows

DAY = parse_period("1 day")
WORLD: dict[str, tuple[object, ...]] = {
    "a": (None, "x", "y", "xy", "zz", "5", 5, "6", 6, "7", 7, "8", 8, 1.5, True, "true", "007", "odd"),
    "b": (None, "x", "y", "7", 7, "odd"),
}
"""Values of every kind that a condition of these tests can tell apart."""


def a_rule(index: int, *conditions: Condition, tenant: str | None = None) -> Rule:
    """A rule of a day, on line *index* + 1."""
    return Rule(
        index=index, match=Match(conditions), keep=DAY, waived=True, tenant=tenant, origin=Origin("p", index + 1, 1)
    )


def is_(field: str, *values: str, negated: bool = False) -> Condition:
    """A condition on plain values."""
    return Condition(field, values, negated=negated)


def globbed(field: str, *patterns: str, negated: bool = False) -> Condition:
    """A condition on patterns."""
    return Condition(field, (), tuple(map(Glob, patterns)), negated=negated)


def ranged(field: str, first: int | None, last: int | None, *, negated: bool = False) -> Condition:
    """A condition on a range."""
    return Condition(field, (), ranges=(Range(first, last),), negated=negated)


def found(*rules: tuple[Condition, ...]) -> dict[int, list[int]]:
    """The rules that never decide, from 1, with those that take their records."""
    made = tuple(a_rule(index, *conditions) for index, conditions in enumerate(rules))
    return {each.rule.number: [taker.number for taker in each.takers] for each in shadows(made)}


X, Y, XY = is_("a", "x"), is_("a", "y"), is_("a", "x", "y")
NOT_X, NOT_Y = is_("a", "x", negated=True), is_("a", "y", negated=True)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([(), (X,)], {2: [1]}),
        ([(X,), ()], {}),
        ([(X,), (X,)], {2: [1]}),
        ([(XY,), (X,)], {2: [1]}),
        ([(X,), (XY,)], {}),
        ([(X,), (Y,), (XY,)], {3: [1, 2]}),
        ([(X,), (is_("b", "x"),), (XY, is_("b", "x"))], {3: [2]}),
        ([(X,), (NOT_X,), ()], {3: [1, 2]}),
        ([(X,), (NOT_X,), (Y,)], {3: [2]}),
        ([(NOT_X,), (NOT_Y,), (Y,)], {3: [1]}),
        ([(NOT_X,), (NOT_Y,), ()], {3: [1, 2]}),
        ([(NOT_X,), (X,)], {}),
        ([(NOT_X,), (is_("a", "x", "y", negated=True),)], {2: [1]}),
        ([(is_("a", "x", "y", negated=True),), (NOT_X,)], {}),
        ([(globbed("a", "x*"),), (is_("a", "xy"),)], {2: [1]}),
        ([(globbed("a", "x*"),), (is_("a", "yx"),)], {}),
        ([(globbed("a", "x*"),), (globbed("a", "xy*"),)], {2: [1]}),
        ([(globbed("a", "xy*"),), (globbed("a", "x*"),)], {}),
        ([(globbed("a", "*"),), (ranged("a", 1, 9),)], {2: [1]}),
        ([(globbed("a", "*"),), ()], {}),  # a record without the field is left
        ([(globbed("a", "*"),), (globbed("a", "*", negated=True),), ()], {3: [1, 2]}),
        ([(ranged("a", 1, 9),), (is_("a", "5"),)], {2: [1]}),
        ([(ranged("a", 1, 9),), (is_("a", "05"),)], {}),
        ([(ranged("a", 1, 9),), (is_("a", "5", "10"),)], {}),
        ([(ranged("a", 1, 9),), (is_("a", "10"),), (is_("a", "5", "10"),)], {3: [1, 2]}),
        ([(ranged("a", 1, 5),), (ranged("a", 6, None),), (ranged("a", 3, 90),)], {3: [1, 2]}),
        ([(ranged("a", 1, 5),), (ranged("a", 7, None),), (ranged("a", 3, 90),)], {}),
        ([(is_("a", "1"),), (is_("a", "2"),), (ranged("a", 1, 2),)], {3: [1, 2]}),
        ([(is_("a", "1"),), (ranged("a", 1, 2),)], {}),
        ([(ranged("a", 1, 9, negated=True),), (is_("a", "x"),)], {2: [1]}),
        ([(X, is_("b", "x")), (X, is_("b", "x", negated=True)), (X,)], {3: [1, 2]}),
        ([(X, is_("b", "x")), (X, is_("b", "y")), (X,)], {}),
        ([(X, Y)], {1: []}),
        ([(X, NOT_X)], {1: []}),
        ([(X, globbed("a", "y*"))], {1: []}),
        ([(ranged("a", 1, 2), ranged("a", 4, 5))], {1: []}),
        ([(ranged("a", 1, 4), ranged("a", 4, 5))], {}),
        ([(ranged("a", 1, None), ranged("a", None, 9)), (ranged("a", 2, 3),)], {2: [1]}),
        # Digits of more than 18 places are in a range as a number, not as a text.
        ([(ranged("a", 1, None),), (is_("a", "1" * 21),)], {}),
        ([(ranged("a", 1, None, negated=True),), (is_("a", "1" * 21),)], {}),
        ([(is_("a", "true"),), (ranged("a", 0, 1),)], {}),
    ],
)  # fmt: skip
def test_each_way_to_take_all_records_first_is_found(
    rules: list[tuple[Condition, ...]], expected: dict[int, list[int]]
) -> None:
    """One earlier rule or several between them, by values, lists, globs, ranges and complements; and nothing else."""
    assert found(*rules) == expected


_CONDITIONS = st.builds(
    lambda field, values, globs, ranges, negated: Condition(
        field, tuple(values), tuple(map(Glob, globs)), ranges=tuple(ranges), negated=negated
    ),
    st.sampled_from("ab"),
    st.lists(st.sampled_from(["x", "y", "5", "7", "true", "007"]), max_size=3, unique=True),
    st.lists(st.sampled_from(["x*", "*y", "?", "*", "x"]), max_size=1),
    st.lists(st.sampled_from([Range(5, 6), Range(7, None), Range(None, 6), Range(6, 7)]), max_size=2),
    st.booleans(),
).filter(lambda condition: bool(condition.values or condition.globs or condition.ranges))
_RULES = st.lists(st.lists(_CONDITIONS, max_size=3).map(tuple), min_size=1, max_size=6)


def deciding(rules: list[tuple[Condition, ...]]) -> set[int]:
    """The rules that decide about some record of the world, from 1; each tried by itself."""
    matches = [Match(conditions) for conditions in rules]
    records = [dict(zip(WORLD, values, strict=True)) for values in product(*WORLD.values())]
    firsts = (next((n for n, m in enumerate(matches, start=1) if m.matches(r.get)), None) for r in records)
    return {first for first in firsts if first is not None}


@settings(max_examples=400, deadline=None)
@given(_RULES)
def test_a_rule_that_decides_about_a_record_is_never_called_dead(rules: list[tuple[Condition, ...]]) -> None:
    """Whatever the rules: none of those that are named decides about any record of a whole world."""
    dead = found(*rules)

    assert not deciding(rules) & set(dead)
    for number, takers in dead.items():
        assert all(taker < number for taker in takers)


_PLAIN = st.builds(
    lambda field, values, negated: Condition(field, tuple(values), negated=negated),
    st.sampled_from("ab"),
    st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2, unique=True),
    st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(_PLAIN, max_size=2).map(tuple), min_size=1, max_size=6))
def test_of_plain_values_and_complements_every_dead_rule_is_found(rules: list[tuple[Condition, ...]]) -> None:
    """Nothing is missed where conditions name values or all but these."""
    assert set(found(*rules)) == set(range(1, len(rules) + 1)) - deciding(rules)


@settings(max_examples=300, deadline=None)
@given(st.lists(_CONDITIONS, max_size=3), st.lists(_CONDITIONS, max_size=3))
def test_what_is_left_of_a_match_is_exactly_what_the_other_leaves(one: list[Condition], other: list[Condition]) -> None:
    """A record lies in one of the boxes, and in only one, if it matches the first and not the second."""
    first, second = Match(tuple(one)), Match(tuple(other))
    left = list(Box.of(first).without(second))
    for values in product(*WORLD.values()):
        record = dict(zip(WORLD, values, strict=True))
        inside = [box for box in left if all(v.has(record.get(name)) for name, v in box.fields.items())]
        # A boolean goes with its text, and a fraction with no value at all: boxes name the text and the number.
        if not any(isinstance(value, (bool, float)) for value in values):
            assert len(inside) == int(first.matches(record.get) and not second.matches(record.get)), record


@settings(max_examples=300, deadline=None)
@given(st.lists(_CONDITIONS, max_size=4))
def test_a_witness_matches_and_an_empty_box_has_none(conditions: list[Condition]) -> None:
    """The record that stands for a match fits it; where a box is called empty, no record of the world fits."""
    match = Match(tuple(conditions))
    box = Box.of(match)
    witness = box.witness()
    if witness is not None:
        assert match.matches(witness.get)
    if box.is_empty:
        assert witness is None
        assert not deciding([tuple(conditions)])


def test_all_values_can_be_asked_for_one() -> None:
    """Without any condition a field may well be missing."""
    assert list(Values().one()) == [None]
    assert not Values().is_empty


def test_the_complaint_cites_both_sides_with_their_lines() -> None:
    """The rule and those that take its records, by their names; of many, the first ones."""
    rules = [a_rule(n, is_("a", str(n))) for n in range(5)]
    rules.append(a_rule(5, is_("a", *map(str, range(5)))))
    rules.append(a_rule(6, is_("a", "0")))
    rules.append(a_rule(7, X, Y))
    told = [str(each.complaint) for each in shadows(rules)]
    five = "rule 1 at p:1:1; rule 2 at p:2:1; rule 3 at p:3:1 and 2 more"
    assert told == [
        f"p:6:1: rule 6 never decides: {five} take all its records first",
        "p:7:1: rule 7 never decides: rule 1 at p:1:1 takes all its records first",
        "p:8:1: rule 8 never decides: no record can match all that it asks for (a x and a y)",
    ]


def many(tenants: int, types: int) -> list[Rule]:
    """Rules of *types* types for each tenant, of which the last is for all that is left."""
    rules: list[Rule] = []
    for tenant in range(tenants):
        for kind in range(types):
            own = (is_("tenant", f"t{tenant}"), *((is_("type", f"k{kind}"),) if kind < types - 1 else ()))
            rules.append(a_rule(len(rules), *own, tenant=f"t{tenant}"))
    rules.append(a_rule(len(rules), is_("tenant", "t7"), is_("type", "k3")))
    rules.append(a_rule(len(rules)))
    return rules


def test_a_hundred_thousand_rules_take_seconds() -> None:
    """10,000 tenants of 10 rules each, one dead rule among them: found, and in time that grows as the rules do."""
    small, large = many(1_000, 10), many(10_000, 10)
    began = time.process_time()
    assert [each.rule.index for each in shadows(small)] == [10_000]
    short = time.process_time() - began
    began = time.process_time()
    assert [each.rule.index for each in shadows(large)] == [100_000]
    long = time.process_time() - began
    assert long < 15
    assert long < 30 * max(short, 0.05)


def test_many_rules_on_one_field_in_any_order_take_no_more() -> None:
    """10,000 lists that overlap, shuffled: only those are named whose every value came before."""
    dice = random.Random(5)
    lists = [tuple(str(dice.randrange(20_000)) for _ in range(3)) for _ in range(10_000)]
    seen: set[str] = set()
    expected = []
    for number, values in enumerate(lists, start=1):
        if seen.issuperset(values):
            expected.append(number)
        seen.update(values)
    assert list(found(*((is_("a", *values),) for values in lists))) == expected
    assert expected


def test_patterns_and_complements_of_many_tenants_take_no_more() -> None:
    """Only rules that ask for the same plain values are tried with each other: 20,000 rules in a few seconds."""
    rules: list[Rule] = []
    for tenant in range(5_000):
        own = is_("tenant", f"t{tenant}")
        for other in (globbed("type", "k*"), ranged("code", 400, 499), is_("type", "x", negated=True)):
            rules.append(a_rule(len(rules), own, other))
        rules.append(a_rule(len(rules), own, is_("type", f"k{tenant}")))
    began = time.process_time()
    assert [each.rule.index for each in shadows(rules)] == list(range(3, 20_000, 4))
    assert time.process_time() - began < 15


def test_beyond_very_many_patterns_nothing_is_claimed() -> None:
    """A rule that the 400th pattern covers may be missed; one that the first covers is not, and none is made up."""
    patterns = [(globbed("a", f"p{number}-*"),) for number in range(400)]
    assert found(*patterns, (is_("a", "p0-x"),), (is_("a", "p399-x"),), (is_("a", "q"),)) in (
        {401: [1]},
        {401: [1], 402: [400]},
    )
