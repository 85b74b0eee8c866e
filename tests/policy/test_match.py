"""lapse.model.match: comparison by exact text, lists and explicit patterns."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.model.match import Condition, Glob, Match, text_of

names = st.text(alphabet="ab%_*?é'\"\\[].\n ", max_size=6)
conditions = st.builds(
    Condition,
    field=st.sampled_from(["type", "tenant"]),
    values=st.lists(st.sampled_from(["a", "b", "ab", "ba"]), max_size=3).map(tuple),
    globs=st.lists(st.builds(Glob, st.sampled_from(["*", "a*", "?b", "b"])), max_size=2).map(tuple),
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


@given(st.lists(conditions, max_size=3), st.lists(conditions, max_size=3), st.sampled_from(["a", "b", "ab", "ba", "c"]))
def test_an_exclusion_is_never_wrong(one: list[Condition], other: list[Condition], value: str) -> None:
    """Where one match excludes another, no record matches both."""
    first, second = Match(tuple(one)), Match(tuple(other))
    for tenant in ("a", "b", "ab", "ba", "c"):
        read = {"type": value, "tenant": tenant}.get
        if first.matches(read) and second.matches(read):
            assert not first.excludes(second)
            assert not second.excludes(first)


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
