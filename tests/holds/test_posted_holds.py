"""What a hold says about one table, in the form that lies in a store; and which holds are the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.canonical import canonical
from lapse.engine.remembered import RecordedHold
from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold, posted, together
from lapse.model.selection import RECORD_KEY, held_scopes

DATASET = Dataset(name="log", store="x", shown="x", table="log", time="at", tenant="who", type="kind", key="uid")
NOW = Nanos(1_800_000_000_000_000_000)

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_whole = st.integers(-(10**18) + 1, 10**18 - 1)
_ranges = st.one_of(
    _whole.map(Range),
    _whole.map(lambda last: Range(None, last)),
    st.tuples(_whole, _whole).map(lambda ends: Range(min(ends), max(ends))),
)
_conditions = st.builds(
    Condition,
    field=_text,
    values=st.lists(_text, max_size=3, unique=True).map(sorted).map(tuple),
    globs=st.lists(_text, max_size=2, unique=True).map(lambda found: tuple(Glob(each) for each in sorted(found))),
    ranges=st.lists(_ranges, max_size=2, unique=True).map(tuple),
    negated=st.booleans(),
)
_instants = st.integers(1, 2 * 10**18).map(Nanos)
_holds = st.builds(
    Hold,
    matter=_text,
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    dataset=st.just("log"),
    match=st.lists(_conditions, max_size=3).map(lambda found: Match(tuple(found))),
    keys=st.lists(_text, max_size=3, unique=True).map(sorted).map(tuple),
    since=st.none() | _instants,
    records_from=st.none() | _instants,
)


@given(hold=_holds, key=st.none() | _text)
def test_what_is_written_is_read_back(hold: Hold, key: str | None) -> None:
    """Every part of it, and its identity."""
    found = PostedHold(hold, key)

    again = PostedHold.from_text(found.text())

    assert again == found
    assert again.id == found.id


@given(one=_holds, other=_holds)
def test_holds_that_say_something_else_are_told_apart(one: Hold, other: Hold) -> None:
    """By their identity, in which the name of the dataset does not count."""
    assert PostedHold(one).id == PostedHold(replace(one, dataset="another")).id
    assert (PostedHold(one).id == PostedHold(other).id) == (PostedHold(one).text() == PostedHold(other).text())


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", "{}", '{"lapse_hold":1}', '{"lapse_hold":2,"matter":"m"}', '{"lapse_hold":1,"a":7}']
)
def test_what_is_no_hold_is_not_read(text: str) -> None:
    """Whatever it is instead."""
    with pytest.raises(ValueError, match=r"."):
        PostedHold.from_text(text)


def test_roles_become_columns_and_come_back_as_conditions_on_them() -> None:
    """Another policy may call another column its tenant."""
    hold = Hold(matter="m", match=Match((Condition("tenant", ("acme",), role="tenant"),)))
    elsewhere = replace(DATASET, name="calls", tenant="another")

    (scope,) = held_scopes(elsewhere, [posted(hold, DATASET).within(elsewhere)], (NOW,))

    assert scope.match.fields == ("who",)


def test_a_role_that_the_dataset_does_not_have_widens() -> None:
    """As it does here, so there."""
    hold = Hold(matter="m", match=Match((Condition("actor", ("bob",), role="actor"),)))

    assert posted(hold, DATASET).hold.match == Match()


def test_a_hold_of_this_host_that_is_found_in_the_store_is_one_hold() -> None:
    """A hold that says more or less is another."""
    hold = Hold(matter="m", dataset="log", match=Match((Condition("tenant", ("acme",), role="tenant"),)), keys=("1",))
    found = posted(hold, DATASET)
    other = posted(replace(hold, keys=("1", "2")), DATASET)

    assert together(DATASET, [hold], [found]) == (hold,)
    assert together(DATASET, [hold], [found, other]) == (hold, other.within(DATASET))
    assert together(replace(DATASET, name="calls"), [], [found])[0].dataset == "calls"


def test_keys_count_only_where_they_are_values_of_the_same_field() -> None:
    """Else nobody knows which records are meant, and all of them are."""
    found = posted(Hold(matter="m", dataset="log", keys=("1",)), DATASET)

    assert found.within(DATASET).keys == ("1",)
    assert found.within(replace(DATASET, key=None)).keys == ()
    assert found.within(replace(DATASET, key="other")).keys == ()


def test_a_text_log_without_a_key_field_is_held_whole_by_keys() -> None:
    """And the reason says so."""
    hold = Hold(matter="m", dataset="log", keys=("1",))
    lines = replace(DATASET, table=None, key=None)

    (scope,) = held_scopes(lines, [hold], (NOW,))
    (table,) = held_scopes(replace(DATASET, key=None), [hold], (NOW,))

    assert scope.keys is None
    assert scope.label == "hold m, all of it, as the dataset names no key"
    assert (table.keys, table.key_field) == (frozenset({"1"}), RECORD_KEY)


@pytest.mark.parametrize(
    ("was", "now", "covered"),
    [
        ({}, {}, True),
        ({"keys": ("1",)}, {}, True),
        ({}, {"keys": ("1",)}, False),
        ({"keys": ("1",)}, {"keys": ("1",)}, True),
        ({"keys": ("1",)}, {"keys": ("1", "2")}, False),
        ({"keys": ("1", "2")}, {"keys": ("1",)}, False),
        ({"match": Match((Condition("a", ("x",)),))}, {"match": Match((Condition("a", ("x", "y")),))}, True),
        (
            {"match": Match((Condition("a", ("x",), negated=True),))},
            {"match": Match((Condition("a", ("x", "y"), negated=True),))},
            False,
        ),
        (
            {"match": Match((Condition("a", ("x",), negated=True),))},
            {"match": Match((Condition("a", ("x",), negated=True),))},
            True,
        ),
        ({"match": Match((Condition("a", ("x",)),))}, {"match": Match((Condition("a", ("x",), negated=True),))}, False),
        (
            {"match": Match((Condition("a", (), ranges=(Range(1, 5),)),))},
            {"match": Match((Condition("a", ("1",)),))},
            False,
        ),
    ],
)
def test_a_recorded_hold_is_covered_by_one_that_keeps_no_less(
    was: dict[str, object], now: dict[str, object], covered: bool
) -> None:
    """On doubt it is not: of keys nothing is known but whether they are the same."""
    recorded, new = (
        json.loads(canonical(Hold(matter="m", dataset="log", **scope).facts()))  # type: ignore[arg-type]
        for scope in (was, now)
    )

    assert RecordedHold(matter="m", scope="s", until=None, facts=recorded).is_covered_by(new) is covered
