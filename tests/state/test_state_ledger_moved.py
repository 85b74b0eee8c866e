"""Entries of a ledger that were removed, moved, copied or inserted are found, and named as what they are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_deeds import LENGTH, World, anywhere, entry_of, forged, kinds, places, world

from lapse.canonical import Digest
from lapse.state.ledger_problem import ProblemKind

__all__ = ["world"]


@anywhere
@given(first=st.integers(0, LENGTH - 2), count=st.integers(1, 4))
def test_removed_entries_are_missing(world: World, first: int, count: int) -> None:
    """One problem for what was removed in one piece, with the neighbours by number."""
    end = min(first + count, LENGTH - 1)
    check = world.check([*world.lines[:first], *world.lines[end:]], at=LENGTH)
    assert kinds(check) == [ProblemKind.REMOVED]
    assert (check.problems[0].entry, check.problems[0].line) == (first, first + 1)


def test_a_removed_entry_is_named_with_its_neighbours(world: World) -> None:
    """A person can see at once where it was."""
    check = world.check([*world.lines[:5], *world.lines[6:]])
    assert [problem.message for problem in check.problems] == ["entry 5 is missing between 4 and 6"]


@anywhere
@given(count=st.integers(1, LENGTH - 1), at=st.integers(1, LENGTH))
def test_a_cut_tail_is_seen_by_the_checkpoint(world: World, count: int, at: int) -> None:
    """A checkpoint ahead of the ledger is a cut tail; one behind it is normal."""
    check = world.check(world.lines[:count], at=at)
    assert kinds(check) == ([ProblemKind.CUT_TAIL] if at > count else [])
    assert [problem.entry for problem in check.problems] == ([count] if at > count else [])


@anywhere
@given(place=places, other=places)
def test_swapped_entries_are_in_the_wrong_order(world: World, place: int, other: int) -> None:
    """One problem, and none if an entry is swapped with itself."""
    lines = list(world.lines)
    lines[place], lines[other] = lines[other], lines[place]
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == ([ProblemKind.REORDERED] if place != other else [])


@anywhere
@given(seed=st.randoms(use_true_random=False))
def test_shuffled_entries_are_in_the_wrong_order(world: World, seed: random.Random) -> None:
    """However many there are, it is one problem."""
    lines = list(world.lines)
    seed.shuffle(lines)
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == ([ProblemKind.REORDERED] if lines != list(world.lines) else [])


def test_the_wrong_order_is_named(world: World) -> None:
    """Neighbours are named together; an entry that was moved far is named with where it is."""
    lines = list(world.lines)
    lines[5], lines[6] = lines[6], lines[5]
    assert world.check(lines).problems[0].message == "entries 5 and 6 stand in the wrong order"
    lines = list(world.lines)
    lines.insert(9, lines.pop(2))
    assert world.check(lines).problems[0].message == "entry 2 stands in the wrong place, behind entry 9"


@anywhere
@given(place=places, at=st.integers(0, LENGTH))
def test_a_copied_entry_was_inserted(world: World, place: int, at: int) -> None:
    """The copy is named, not the one that is in its place."""
    lines = list(world.lines)
    lines.insert(at, world.lines[place])
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.INSERTED]
    assert check.problems[0].line in ({place + 2, place + 1} if at in (place, place + 1) else {at + 1})


@anywhere
@given(place=places, at=st.integers(0, LENGTH))
def test_an_entry_of_another_ledger_was_inserted(world: World, place: int, at: int) -> None:
    """The same key signed it, but for another ledger."""
    lines = list(world.lines)
    lines.insert(at, world.other_lines[place])
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.INSERTED]
    assert check.problems[0].line == at + 1


@anywhere
@given(at=st.integers(0, LENGTH - 1), n=st.integers(-3, LENGTH + 3), by_stranger=st.booleans())
def test_a_forged_entry_was_inserted(world: World, at: int, n: int, by_stranger: bool) -> None:
    """Whatever number it claims, and whether a stranger or nobody signed it."""
    prev = entry_of(world.lines[at - 1]).hash if at else Digest("0" * 64)
    entry = replace(entry_of(world.lines[at]), n=n, prev=prev, body={"text": "invented"})
    lines = list(world.lines)
    lines.insert(at, forged(entry, world.stranger if by_stranger else None))
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.INSERTED]
    assert check.problems[0].line == at + 1


@pytest.mark.parametrize("by_stranger", [True, False])
def test_a_forged_entry_at_the_end_is_not_signed_by_us(world: World, by_stranger: bool) -> None:
    """Behind the last entry it cannot be told from one that was changed, but its signature can."""
    last = entry_of(world.lines[-1])
    line = forged(replace(last, n=LENGTH, prev=last.hash), world.stranger if by_stranger else None)
    expected = ProblemKind.KEY_UNKNOWN if by_stranger else ProblemKind.BAD_SIGNATURE
    assert kinds(world.check([*world.lines, line], at=LENGTH)) == [expected]
