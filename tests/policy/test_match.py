"""lapse.model.match: comparison by exact text, lists and explicit patterns."""

from __future__ import annotations

import pickle
import re
from fnmatch import translate
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.errors import PolicyError
from lapse.model.match import Condition, Glob, Match, Range, text_of
from lapse.model.ranges import MOST, whole_number

names = st.text(alphabet="ab%_*?é'\"\\[].\n ", max_size=6)
VALUES = [
    "a", "b", "ab", "ba", "", "1", "3", "-4", "007", "+5", "-0", "true", "12345678901234567890", str(MOST), "1\n",
    "\u0661",
    0, 1, 2, 3, 4, 5, -4, MOST, MOST + 1, -MOST - 1, 12345678901234567890, True, False, 1.0, 3.5, None, b"a", (), "1*",
]  # fmt: skip
numbers = st.integers(-5, 5) | st.sampled_from([MOST, -MOST])
ranges = (
    st.builds(Range, numbers)
    | st.builds(Range, st.none(), numbers)
    | st.tuples(numbers, numbers).map(lambda pair: Range(min(pair), max(pair)))
)
conditions = st.builds(
    Condition,
    field=st.sampled_from(["type", "tenant"]),
    values=st.lists(st.sampled_from([each for each in VALUES if isinstance(each, str)]), max_size=3).map(tuple),
    globs=st.lists(
        st.builds(Glob, st.sampled_from(["*", "**", "a*", "?b", "b", "?", "1*", "*1?", "-?", "??", "t*e"])), max_size=2
    ).map(tuple),
    numbers=st.lists(st.integers(-1, 4), max_size=1).map(tuple),
    ranges=st.lists(ranges, max_size=2).map(tuple),
    negated=st.booleans(),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("acme", "acme"), ("", ""), (7, "7"), (-7, "-7"), (10**30, "1" + "0" * 30), (True, "true"), (False, "false"),
        (None, None), (1.0, None), (float("nan"), None), (b"acme", None), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_a_value_is_compared_by_its_text(value: object, text: str | None) -> None:
    """Integers and booleans have one text; NULL, floats, bytes, lists and objects equal nothing."""
    assert text_of(value) == text


@given(names, names)
def test_a_name_matches_only_itself(wanted: str, value: str) -> None:
    """Quotes, wildcards of SQL and of globs, accents and line ends are plain characters in a value."""
    assert Condition(field="tenant", values=(wanted,)).matches(value) is (wanted == value)


@given(st.text(alphabet="ab*?.\n", max_size=6), st.text(alphabet="ab.\n", max_size=6))
def test_a_pattern_agrees_with_fnmatch(pattern: str, value: str) -> None:
    """`*` is any run, also across line ends, `?` any one character, and the whole text must fit."""
    assert Glob(pattern).matches(value) is (re.fullmatch(translate(pattern), value) is not None)


@pytest.mark.parametrize("value", ["AUTH.login", "auth", "xauth.login"])
def test_a_pattern_is_neither_a_prefix_nor_caseless(value: str) -> None:
    """`glob:auth.*` takes in `auth.login`, but not what only looks like it."""
    condition = Condition(field="type", values=(), globs=(Glob("auth.*"),))
    assert condition.matches("auth.login")
    assert not condition.matches(value)


def test_brackets_in_a_pattern_are_themselves() -> None:
    """Only `*` and `?` are wildcards."""
    assert Glob("[ab]").matches("[ab]")
    assert not Glob("[ab]").matches("a")


def test_all_conditions_must_hold() -> None:
    """A match is a conjunction; without conditions it is everything."""
    match = Match((Condition(field="type", values=("a", "b")), Condition(field="tenant", values=("acme",))))
    assert match.matches({"type": "b", "tenant": "acme"}.get)
    assert not match.matches({"type": "b", "tenant": "other"}.get)
    assert not match.matches({"type": "b"}.get)
    assert Match().matches(lambda name: None)


@given(st.lists(conditions, max_size=3), st.lists(conditions, max_size=3), st.sampled_from(VALUES))
def test_an_exclusion_is_never_wrong(one: list[Condition], other: list[Condition], value: object) -> None:
    """Where one match excludes another, no record matches both."""
    first, second = Match(tuple(one)), Match(tuple(other))
    for tenant in VALUES:
        read = {"type": value, "tenant": tenant}.get
        if first.matches(read) and second.matches(read):
            assert not first.excludes(second)
            assert not second.excludes(first)


@given(st.lists(conditions, max_size=3), st.lists(conditions, max_size=3), st.sampled_from(VALUES))
def test_what_covers_another_match_takes_all_its_records(
    one: list[Condition], other: list[Condition], value: object
) -> None:
    """Where one match covers another, every record that matches the other matches it too."""
    first, second = Match(tuple(one)), Match(tuple(other))
    for tenant in VALUES:
        read = {"type": value, "tenant": tenant}.get
        if second.matches(read) and not first.matches(read):
            assert not first.covers(second)


@given(conditions, st.sampled_from(VALUES))
def test_not_is_the_plain_complement(condition: Condition, value: object) -> None:
    """A negated condition matches exactly what the condition does not, a missing value included."""
    other = Condition(
        field=condition.field,
        values=condition.values,
        globs=condition.globs,
        numbers=condition.numbers,
        ranges=condition.ranges,
        negated=not condition.negated,
    )
    assert other.matches(value) is not condition.matches(value)
    assert pickle.loads(pickle.dumps(other)) == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Condition("f", ("a",)), Condition("f", ("a", "b"), negated=True)),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), ranges=(Range(6, None),))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), ranges=(Range(1, 3), Range(4)), negated=True)),
        (Condition("f", (), ranges=(Range(1, 3),)), Condition("f", ("3", "1", "2"), negated=True)),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", ("7", "a", "007"))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), (Glob("a*"),))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), (Glob("*"),), negated=True)),
        (Condition("f", (), (Glob("a*"),)), Condition("f", (), (Glob("b*"),))),
        (Condition("f", (), (Glob("*.log"),)), Condition("f", (), (Glob("*.txt"),))),
        (Condition("f", (), (Glob("ab*"),)), Condition("f", (), (Glob("a*"),), negated=True)),
        (Condition("f", (), numbers=(3,)), Condition("f", (), ranges=(Range(4, 9),))),
        (Condition("f", (), numbers=(3,)), Condition("f", ("4",))),
    ],
)
def test_what_is_plainly_apart_is_proven_to_be(one: Condition, other: Condition) -> None:
    """Ranges, negations and patterns that share no value exclude each other, whichever is asked."""
    assert one.excludes(other)
    assert other.excludes(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Condition("f", ("a",), negated=True), Condition("f", ("b",), negated=True)),
        (Condition("f", (), ranges=(Range(5),)), Condition("f", ("12345678901234567890",))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), (Glob("?"),))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", (), numbers=(3,))),
        (Condition("f", (), ranges=(Range(1, 5),)), Condition("f", ("6",), negated=True)),
        (Condition("f", (), numbers=(1,)), Condition("f", ("1",))),
        (Condition("f", (), (Glob("a*"),)), Condition("f", (), (Glob("*a"),))),
        (Condition("f", ("a",)), Condition("g", ("b",))),
    ],
)
def test_what_could_meet_is_not_taken_for_apart(one: Condition, other: Condition) -> None:
    """A number of twenty digits is in an open range, though the same digits as text are not; and so on."""
    assert not Match((one,)).excludes(Match((other,)))
    assert not Match((other,)).excludes(Match((one,)))


@given(st.text(alphabet="ab*?", max_size=5), st.text(alphabet="ab*?", max_size=5))
def test_patterns_meet_where_some_text_fits_both(one: str, other: str) -> None:
    """Every short text over the letters of both and another one is tried."""
    texts = ["".join(chars) for length in range(6) for chars in product("abc", repeat=length)]
    first, second = Glob(one), Glob(other)
    both = [text for text in texts if first.matches(text) and second.matches(text)]
    assert first.meets(second) == second.meets(first)
    assert first.meets(second) or not both
    if first.meets(second) and max(len(one), len(other)) + min(len(one), len(other)) <= 5:
        assert both
    if first.covers(second):
        assert all(first.matches(text) for text in texts if second.matches(text))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7), ("7", 7), ("-7", -7), ("0", 0), (10**30, 10**30), ("9" * 18, MOST), ("1" + "0" * 18, None),
        ("007", None), ("+5", None), ("-0", None), (" 5", None), ("5\n", None), ("5.0", None), ("", None),
        ("\u0665", None),
        (5.0, None), (True, None), ("true", None), (None, None), (b"5", None), ([5], None),
    ],
)  # fmt: skip
def test_a_range_is_of_whole_numbers(value: object, number: int | None) -> None:
    """Integers of any size, and texts of up to 18 digits in their one plain form; nothing that only looks like one."""
    assert whole_number(value) == number


def test_the_ends_of_a_range_are_in_it() -> None:
    """From 400 to 499 has both, and neither neighbour; an end that is left out is none."""
    between = Condition("status", (), ranges=(Range(400, 499),))
    assert [between.matches(value) for value in (399, 400, 499, 500, "400", "0400", 400.0)] == [
        False, True, True, False, True, False, False,
    ]  # fmt: skip
    assert Range(400).has(10**30)
    assert Range(last=499).has(-(10**30))


@pytest.mark.parametrize("pair", [(None, None), (5, 4), (10**18, None), (None, -(10**18))])
def test_a_range_that_cannot_be_meant_is_refused(pair: tuple[int | None, int | None]) -> None:
    """Without any end it is no range; backwards it is empty; and its ends are numbers that texts can be."""
    with pytest.raises(PolicyError):
        Range(*pair)


def test_different_values_of_one_field_exclude_each_other() -> None:
    """Two tenants are apart; a pattern that takes in the other's value is not."""
    acme, other = Condition(field="tenant", values=("acme",)), Condition(field="tenant", values=("other",))
    assert Match((acme,)).excludes(Match((other,)))
    assert not Match((acme,)).excludes(Match((Condition(field="tenant", values=(), globs=(Glob("a*"),)),)))
    assert Match((acme,)).excludes(Match((Condition(field="tenant", values=(), globs=(Glob("b*"),)),)))
    assert not Match((acme,)).excludes(Match())


def test_a_match_says_what_it_is() -> None:
    """Reasons show the word the policy used, its values and its patterns."""
    condition = Condition(field="schema_name", values=("a", "b"), globs=(Glob("c*"),), role="type")
    assert str(Match((condition, Condition(field="n", values=("1",))))) == "type a, b, glob:c* and n 1"
    assert str(Match()) == "everything"
    assert Match((condition,)).fields == ("schema_name",)
    assert str(Condition("actor", ("root",), (Glob("svc-*"),), negated=True)) == "actor not root, glob:svc-*"
    wide = Condition("status", (), ranges=(Range(400, 499), Range(600), Range(last=99)))
    assert str(wide) == "status 400 to 499, 600 or more, 99 or less"
    many = Condition("tenant", tuple(f"t{number}" for number in range(1021)), negated=True)
    assert str(many) == f"tenant not {', '.join(f't{number}' for number in range(20))} and 1,001 more"
