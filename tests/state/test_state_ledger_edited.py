"""Entries of a ledger that were edited, hashed again, or signed again are found, and named as what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_deeds import LENGTH, World, anywhere, edited, entry_of, forged, kinds, places, rewritten, world

from lapse.canonical import Digest
from lapse.state.ledger_problem import ProblemKind

__all__ = ["world"]


@anywhere
@given(place=places, field=st.sampled_from(["n", "prev", "ledger", "kind", "at", "body", "key", "hash"]))
def test_an_edit_of_any_field_is_an_edit(world: World, place: int, field: str) -> None:
    """One problem, at that entry, whatever the field; a number that was changed is no removal."""
    lines = list(world.lines)
    lines[place] = edited(lines[place], field)
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.EDITED]
    assert (check.problems[0].entry, check.problems[0].line) == (place, place + 1)


@anywhere
@given(place=places)
def test_an_edited_signature_is_a_bad_signature(world: World, place: int) -> None:
    """The chain shows that the content is what it was."""
    lines = list(world.lines)
    lines[place] = edited(lines[place], "signature")
    check = world.check(lines)
    assert kinds(check) == [ProblemKind.BAD_SIGNATURE]
    assert check.problems[0].entry == place


@anywhere
@given(place=places, changes=st.sampled_from([{"body": {"x": 1}}, {"n": 77}, {"at": "2027-01-01T00:00:00Z"}]))
def test_an_edit_that_was_hashed_again_is_an_edit(world: World, place: int, changes: dict[str, Any]) -> None:
    """Without the key the signature cannot follow, and the chain or the checkpoint knows the old hash."""
    lines = list(world.lines)
    lines[place] = forged(replace(entry_of(lines[place]), **changes))
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.EDITED]
    assert check.problems[0].entry == place


def test_a_last_entry_that_was_hashed_again_has_a_bad_signature(world: World) -> None:
    """Nothing behind it knows its hash, so no more can be said."""
    lines = [*world.lines[:-1], forged(replace(entry_of(world.lines[-1]), body={}))]
    assert kinds(world.check(lines)) == [ProblemKind.BAD_SIGNATURE]


@anywhere
@given(place=places)
def test_a_chain_made_anew_without_the_key_is_one_problem(world: World, place: int) -> None:
    """From the first changed entry on, no signature fits."""
    check = world.check(rewritten(world.lines, place, None))
    assert kinds(check) == [ProblemKind.BAD_SIGNATURE]
    assert check.problems[0].entry == place


@anywhere
@given(place=places)
def test_a_chain_made_anew_by_a_stranger_is_one_problem(world: World, place: int) -> None:
    """Its key is not known here."""
    check = world.check(rewritten(world.lines, place, world.stranger), at=LENGTH)
    assert kinds(check) == [ProblemKind.KEY_UNKNOWN]
    assert check.problems[0].entry == place


@anywhere
@given(place=places)
def test_a_chain_made_anew_with_a_known_key_is_not_what_the_checkpoint_names(world: World, place: int) -> None:
    """Whoever has the key can make a perfect chain, but not the checkpoint in the archive."""
    lines = rewritten(world.lines, place, world.signer)
    assert kinds(world.check(lines, at=LENGTH)) == [ProblemKind.CHECKPOINT_MISMATCH]
    assert world.check(lines).ok


@anywhere
@given(place=st.integers(0, LENGTH - 2))
def test_one_entry_changed_and_signed_again_is_an_edit(world: World, place: int) -> None:
    """Its follower is chained to another one."""
    lines = list(world.lines)
    lines[place] = forged(replace(entry_of(lines[place]), body={}), world.signer)
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.EDITED]
    assert check.problems[0].entry == place


@anywhere
@given(place=st.integers(0, LENGTH - 2))
def test_an_entry_unchained_and_signed_again_is_an_edit(world: World, place: int) -> None:
    """It fits neither neighbour, so it is the one that was changed."""
    lines = list(world.lines)
    lines[place] = forged(replace(entry_of(lines[place]), prev=Digest("f" * 64)), world.signer)
    check = world.check(lines)
    assert kinds(check) == [ProblemKind.EDITED]
    assert check.problems[0].entry == place


@pytest.mark.parametrize("kept", ["number", "hash"])
def test_an_edit_beside_a_removal_is_told_apart_from_it(world: World, kept: str) -> None:
    """The number that the edited entry has, or its hash in its follower, says which of the two is missing."""
    line = world.lines[6]
    changed = edited(line, "n") if kept == "hash" else forged(replace(entry_of(line), body={"text": "other"}))
    lines = [*world.lines[:5], changed, *world.lines[7:]]
    found = {(problem.kind, problem.entry) for problem in world.check(lines, at=LENGTH).problems}
    assert found == {(ProblemKind.REMOVED, 5), (ProblemKind.EDITED, 6)}
