"""From the options of `hold add` to a hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lapse.cli.scope import Ordered, hold_of
from lapse.errors import PolicyError, UsageError
from lapse.instant import parse_rfc3339
from lapse.model.match import Condition, Glob, Range

BARE = Ordered(
    matter="2026-17", reason="litigation", dataset=None, tenants=(), types=(), matches=(), since=None, until=None,
    everything=False,
)  # fmt: skip


def test_no_scope_is_an_error_and_never_all() -> None:
    """Whoever means everything must say so."""
    with pytest.raises(UsageError, match="needs a scope"):
        hold_of(BARE)

    assert hold_of(replace(BARE, everything=True)).match.conditions == ()


def test_all_and_a_scope_contradict_each_other() -> None:
    """It is not guessed which of them is meant."""
    with pytest.raises(UsageError, match="two things"):
        hold_of(replace(BARE, everything=True, dataset="calls"))


def test_fields_roles_and_patterns_become_conditions() -> None:
    """Values of one field are alternatives; `glob:` begins a pattern; an equals sign may be part of a value."""
    ordered = replace(BARE, tenants=("acme", "zoë"), matches=("caller=glob:+49*", "caller=1=2", "tenant=third"))

    assert hold_of(ordered).match.conditions == (
        Condition(field="tenant", values=("acme", "zoë", "third"), role="tenant"),
        Condition(field="caller", values=("1=2",), globs=(Glob("+49*"),), role="caller"),
    )


def test_ranges_negations_and_roles_become_conditions() -> None:
    """`!=` is all but these; two dots make a range of whole numbers, and a text like it is written as a pattern."""
    matches = ("s=400..499", "s=-5..", "s=..-9", "s=1..x", "s=..", "s=glob:1..2", "zone!=a", "zone != 1..2", "zone=c")
    ordered = replace(BARE, subtypes=("x",), actors=("root",), matches=matches)

    assert hold_of(ordered).match.conditions == (
        Condition("subtype", ("x",), role="subtype"),
        Condition("actor", ("root",), role="actor"),
        Condition("s", ("1..x", ".."), (Glob("1..2"),), "s", ranges=(Range(400, 499), Range(-5), Range(last=-9))),
        Condition("zone", ("a", " 1..2"), role="zone", negated=True),
        Condition("zone", ("c",), role="zone"),
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("s=5..4", "'5..4': no number is from 5 to 4", "A text like it is written glob:5..4."),
        ("s!=1..9999999999999999999", "too large for a range", "glob:1..9999999999999999999"),
        ("s=set:vip", "'set:vip' would be a set of the policy, which may change", "written glob:set:vip."),
        ("!=x", "'!=x' is not FIELD=VALUE", "caller=4711"),
        ("s!=", "an empty value for s", "Write the value."),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_can(text: str, message: str, hint: str) -> None:
    """Backwards and endless ranges, sets of a policy that could change, and negations of nothing."""
    with pytest.raises(UsageError) as caught:
        hold_of(replace(BARE, matches=(text,)))
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["caller", "=x", "caller=", "caller=glob:"])
def test_a_match_without_field_or_value_is_an_error(text: str) -> None:
    """Neither means anything that could be held."""
    with pytest.raises(UsageError):
        hold_of(replace(BARE, matches=(text,)))


def test_dates_and_instants_bound_the_order() -> None:
    """A date is its first instant in UTC."""
    hold = hold_of(replace(BARE, everything=True, since="2026-10-01", until="2026-10-02T08:00:00+02:00"))

    assert hold.since == parse_rfc3339("2026-10-01T00:00:00Z")
    assert hold.until == parse_rfc3339("2026-10-02T06:00:00Z")


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "2026-10-01T08:00:00", ""])
def test_a_time_that_cannot_be_read_is_an_error(text: str) -> None:
    """An instant needs its zone."""
    with pytest.raises(UsageError, match="--since"):
        hold_of(replace(BARE, everything=True, since=text))


def test_a_hold_that_ends_before_it_begins_is_an_error() -> None:
    """It would hold nothing."""
    with pytest.raises(PolicyError):
        hold_of(replace(BARE, everything=True, since="2026-10-02", until="2026-10-01"))
