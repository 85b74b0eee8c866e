"""Floors beside rules and beside each other: what cannot be meant is refused with both places, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_helpers import dataset, only, place

from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match
from lapse.model.period import parse_period
from lapse.policyfile import load
from lapse.policyfile.lasting import outlasted, outlasts
from lapse.policyfile.nearby import Nearby

KEEP = "type: kind\ntenant: site\narchive: none\nallow: [no time]\nkeep: "


def floors(*texts: str) -> str:
    """The floors of a policy, one a line from line 2 on."""
    return "floors:\n" + "".join(f"  - {{{text}}}\n" for text in texts)


@pytest.mark.parametrize(
    ("keep", "floor", "where", "message", "hint"),
    [
        ("90 days", "match: all, at least: forever, because: law", (13, 11),
         "cannot be meant: the floor at {file}:3:5, because of law, lets none of these records go, ever", "forever`"),
        ("no time", "match: all, at least: 1 day, because: law", (13, 11),
         "cannot be meant: the floor at {file}:3:5, because of law, keeps all of these records 1 day", "a period"),
        ("[{type: [a, b], for: 1 day}, {for: forever}]", "match: {type: 'glob:?'}, at least: forever, because: law",
         (13, 12), "rule 1 (type a, b: 1 day) at {file}:13:12 cannot be meant", "narrow the floor"),
        ("[{type: a, for: 1 day}, {for: 2 days}]", "match: {dataset: log}, at least: forever, because: law", (13, 12),
         "rule 1 (type a: 1 day) at {file}:13:12 and rule 2 (everything: 2 days) at {file}:13:35 cannot", None),
        # Where the dataset has no such column, the floor covers everything.
        ("1 day", "match: {actor: root}, at least: forever, because: law", (13, 11), "cannot be meant", None),
    ],
)  # fmt: skip
def test_a_rule_that_a_floor_makes_void_is_refused(
    tmp_path: Path, keep: str, floor: str, where: tuple[int, int], message: str, hint: str | None
) -> None:
    """Removing what is never let go, and removing at any age what must be kept: both sides are cited."""
    path = dataset(tmp_path, KEEP + keep, head=floors(floor))
    complaint = only(path)
    assert message.format(file=path) in complaint.message
    assert place(complaint) == where
    assert hint is None or hint in (complaint.hint or "")


@pytest.mark.parametrize(
    ("keep", "floor"),
    [
        ("90 days", "match: all, at least: 1 year, because: law"),
        ("90 days", "match: {type: a}, at least: forever, because: law"),
        ("forever", "match: all, at least: forever, because: law"),
        ("[{type: a, for: forever}, {for: 1 day}]", "match: {type: a}, at least: forever, because: law"),
        ("[{type: 'glob:a*', for: 1 day}]", "match: {type: 'glob:ab*'}, at least: forever, because: law"),
        ("[{type: {not: a}, for: no time}]", "match: {type: b}, at least: 1 day, because: law"),
        ("[{tenant: x, for: 1 day}]", "match: {tenant: y}, at least: forever, because: law"),
    ],
)
def test_a_floor_that_only_lengthens_is_what_floors_are_for(tmp_path: Path, keep: str, floor: str) -> None:
    """A longer period, some of a rule's records, or none: nothing is wrong."""
    assert load(dataset(tmp_path, KEEP + keep, head=floors(floor))).floors


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("match: all, at least: 1 year, because: PCI", "match: all, at least: 2 years, because: PCI",
         "PCI asks for 2 years here, but for 1 year of the same records at {file}:3:5"),
        ("match: {type: a}, at least: 1 year, because: PCI", "match: {type: a}, at least: 30 days, because: PCI",
         "PCI asks for 30 days here, but for 1 year of the same records at {file}:3:5"),
        ("match: all, at least: 1 year, because: PCI", "match: all, at least: 12 months, because: PCI", None),
        ("match: all, at least: 1 year, because: PCI", "match: all, at least: 2 years, because: SOX", None),
        ("match: {type: a}, at least: 1 year, because: PCI", "match: {type: b}, at least: 2 years, because: PCI", None),
        ("match: {dataset: log}, at least: 1 year, because: PCI", "match: all, at least: 2 years, because: PCI", None),
    ],
)  # fmt: skip
def test_one_reason_cannot_ask_for_two_periods_of_the_same_records(
    tmp_path: Path, first: str, second: str, message: str | None
) -> None:
    """One of the two is a mistake; two laws, or two scopes, may well differ."""
    path = dataset(tmp_path, KEEP + "1 day", head=floors(first, second))
    if message is None:
        assert len(load(path).floors) == 2
        return
    complaint = only(path)
    assert complaint.message == message.format(file=path)
    assert place(complaint) == (4, 5)


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("floors: [{match: {type: a, kind: b}, at least: 1 day, because: law}]", "type a and kind b"),
        ("floors: [{match: {dataset: log, type: a, kind: {not: a}}, at least: 1 day, because: law}]", "kind not a"),
        ("holds: [{matter: M, match: {type: {to: 4}, kind: {from: 5}}}]", "type 4 or less and kind 5 or more"),
        ("holds: [{matter: M, match: {type: a, kind: [a, b]}}]", None),
        ("holds: [{matter: M, match: {actor: a, kind: b}}]", None),
        ("holds: [{matter: M, match: {type: {not: a}, kind: {not: b}}}]", None),
    ],
)
def test_what_is_to_keep_and_can_match_nothing_is_refused(tmp_path: Path, scope: str, message: str | None) -> None:
    """The role `type` is the column `kind`: no record has two values there."""
    path = dataset(tmp_path, KEEP + "1 day", head=f"{scope}\n")
    if message is None:
        load(path)
        return
    complaint = only(path)
    assert complaint.message.startswith("no record can match all that is asked for here: ")
    assert message in complaint.message
    assert place(complaint)[0] == 2


def test_a_hold_that_is_wrong_in_itself_is_told_once(tmp_path: Path) -> None:
    """One that ends before it begins is no hold to look further at."""
    hold = "{matter: M, match: {type: a, kind: b}, since: 2026-02-01, until: 2026-01-01}"
    assert "the hold covers nothing" in only(dataset(tmp_path, KEEP + "1 day", head=f"holds: [{hold}]\n")).message


PERIODS = [
    "1 day", "30 days", "31 days", "364 days", "365 days", "366 days", "367 days", "1 month", "2 months", "11 months",
    "12 months", "13 months", "1 year", "4 years", "P1Y6M", "P1M3D", "30 whole days", "365 whole days", "36 hours",
    "31 calendar days in Europe/Berlin", "365 calendar days in Pacific/Apia", "no time", "forever",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(PERIODS),
    st.sampled_from(PERIODS),
    st.integers(0, 4 * 366 * 24).map(lambda hours: Nanos(1_700_000_000 * 10**9 + hours * 3600 * 10**9)),
)
def test_a_period_that_outlasts_another_never_lets_go_earlier(one: str, other: str, now: Nanos) -> None:
    """At no moment of four years, leap day and clock changes among them, is its cutoff the later one."""
    longer, shorter = parse_period(one), parse_period(other)
    if outlasts(longer, shorter):
        first, second = longer.cutoff(now), shorter.cutoff(now)
        assert second is not None
        assert first is None or first <= second
        assert not outlasts(shorter, longer)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("forever", "10 years", True), ("forever", "forever", False), ("1 year", "365 days", False),
        ("1 year", "364 days", True), ("366 days", "1 year", False), ("367 days", "1 year", True),
        ("1 day", "no time", True), ("no time", "no time", False), ("2 years", "13 months", True),
        ("P1Y1D", "P1Y", True), ("P1Y", "P1Y", False), ("90 whole days", "90 days", True),
        ("91 days", "90 whole days", False), ("12 months", "1 year", False),
    ],
)  # fmt: skip
def test_only_what_is_longer_whatever_the_date_outlasts(one: str, other: str, expected: bool) -> None:
    """A year is 365 days or 366; on doubt neither outlasts."""
    assert outlasts(parse_period(one), parse_period(other)) is expected


def test_of_several_floors_the_longest_is_named(tmp_path: Path) -> None:
    """Each outlasted rule is told once, with the floor that has effect."""
    head = floors(
        "match: all, at least: 1 year, because: A", "match: {type: x}, at least: 3 years, because: B",
        "match: {dataset: log}, at least: 2 years, because: C",
    )  # fmt: skip
    keep = "[{type: x, for: 1 day}, {type: z, for: 3 years}, {for: 2 days}]"
    policy = load(dataset(tmp_path, KEEP + keep, head=head))
    found = list(outlasted(policy.datasets["log"], policy.floors))
    assert [(each.floor.because, [rule.name for rule in each.rules]) for each in found] == [
        ("B", ["rule 1"]), ("C", ["rule 3"]),
    ]  # fmt: skip


_CONDITIONS = st.builds(
    lambda field, values, globs, negated: Condition(field, tuple(values), tuple(map(Glob, globs)), negated=negated),
    st.sampled_from("ab"),
    st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
    st.lists(st.sampled_from(["x*", "?"]), max_size=1),
    st.booleans(),
).filter(lambda condition: bool(condition.values or condition.globs))
_MATCHES = st.lists(_CONDITIONS, max_size=2).map(lambda found: Match(tuple(found)))


@settings(max_examples=300, deadline=None)
@given(st.lists(_MATCHES, max_size=8), _MATCHES)
def test_near_are_those_that_a_comparison_with_each_finds(matches: list[Match], one: Match) -> None:
    """In their order: whatever could have a record in common; and of plain values, whatever covers it all."""
    nearby = Nearby((match, number) for number, match in enumerate(matches))
    assert list(nearby.meeting(one)) == [n for n, match in enumerate(matches) if not match.excludes(one)]
    covering = [n for n, match in enumerate(matches) if match.covers(one)]
    assert set(nearby.covering(one)) <= set(covering)
    if all(condition.is_plain for match in (one, *matches) for condition in match.conditions):
        assert list(nearby.covering(one)) == covering
