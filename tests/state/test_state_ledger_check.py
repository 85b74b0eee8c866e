"""Whatever is done to a ledger is found; one that nobody touched is fine."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_deeds import LENGTH, World, anywhere, edited, entry_of, kinds, places, world
from state_helpers import RUN

from lapse.state.ledger_check import verify_ledger
from lapse.state.ledger_problem import ProblemKind

__all__ = ["world"]


def test_an_untouched_ledger_is_fine(world: World) -> None:
    """At its own checkpoint, at an earlier one, and without any."""
    for at in (LENGTH, LENGTH - 1, 1, None):
        check = world.check(world.lines, at=at)
        assert (check.ok, check.problems, check.entries) == (True, (), LENGTH)
        assert check.head == (LENGTH - 1, entry_of(world.lines[-1]).hash)


def test_a_ledger_that_never_was_is_fine(tmp_path: Path) -> None:
    """No entries, no checkpoints, no problem; and nothing is made."""
    check = verify_ledger(tmp_path / "ledger", checkpoints=(), public_keys={})
    assert (check.ok, check.entries, check.head) == (True, 0, None)
    assert not (tmp_path / "ledger").exists()


@anywhere
@given(place=places, junk=st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")))
def test_an_overwritten_line_is_unreadable(world: World, place: int, junk: bytes) -> None:
    """It is one problem: its place shows which entry it was."""
    lines = list(world.lines)
    lines[place] = junk
    check = world.check(lines, at=LENGTH)
    assert kinds(check) == [ProblemKind.UNREADABLE]
    assert check.problems[0].entry == place


def test_a_line_with_other_spacing_or_a_key_twice_was_edited(world: World) -> None:
    """Readers take the first or the last of two equal keys; an entry has one spelling only."""
    line = world.lines[4]
    for changed in (line.replace(b":", b": ", 1), line[:-1] + b',"n":4}', line + b" "):
        lines = [*world.lines[:4], changed, *world.lines[5:]]
        assert kinds(world.check(lines)) == [ProblemKind.EDITED]


def test_a_deeply_nested_line_is_unreadable(world: World) -> None:
    """It does not bring the check down."""
    lines = [*world.lines[:4], b"[" * 200_000, *world.lines[5:]]
    assert kinds(world.check(lines)) == [ProblemKind.UNREADABLE]


def test_an_unfinished_line_is_told_but_is_no_failure(world: World) -> None:
    """A crash explains it."""
    check = world.check(world.lines, at=LENGTH, tail=b'{"at":')
    assert check.ok
    assert kinds(check) == [ProblemKind.UNFINISHED_LINE]


def test_a_last_line_cut_in_half_is_a_cut_tail_too(world: World) -> None:
    """A crash does not explain why the checkpoint knows it."""
    check = world.check(world.lines[:-1], at=LENGTH, tail=world.lines[-1][:50])
    assert not check.ok
    assert kinds(check) == [ProblemKind.CUT_TAIL, ProblemKind.UNFINISHED_LINE]


@pytest.mark.parametrize("lines", ["none", "other"])
def test_a_ledger_that_is_gone_or_replaced_is_seen_by_the_checkpoint(world: World, lines: str) -> None:
    """Also where another ledger, signed by the same key, stands in its place."""
    check = world.check(world.other_lines if lines == "other" else (), at=LENGTH)
    assert ProblemKind.WHOLE_LEDGER_GONE in kinds(check)
    assert set(kinds(check)) <= {ProblemKind.WHOLE_LEDGER_GONE, ProblemKind.SIDECAR_CHANGED}


def test_a_ledger_that_is_gone_is_seen_by_its_sidecars(world: World) -> None:
    """Without a checkpoint, they are what remains."""
    assert kinds(world.check(())) == [ProblemKind.WHOLE_LEDGER_GONE]


def test_an_unknown_key_is_one_problem(world: World) -> None:
    """Without the public keys nothing can be said of the entries, and it is said once."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ledger"
        shutil.copytree(world.folder, folder)
        check = verify_ledger(folder, checkpoints=(), public_keys={})
    assert kinds(check) == [ProblemKind.KEY_UNKNOWN]
    assert check.entries == LENGTH


@pytest.mark.parametrize("change", ["changed", "missing", "link"])
def test_counts_by_tenant_are_checked(world: World, tmp_path: Path, change: str) -> None:
    """The entry vouches for its sidecar, which is a file of its own and no link."""
    shutil.copytree(world.folder, tmp_path / "ledger")
    sidecar = tmp_path / "ledger" / "tenants" / RUN / "000003.json"
    if change == "changed":
        sidecar.write_bytes(sidecar.read_bytes().replace(b"2", b"3"))
    else:
        sidecar.rename(tmp_path / "moved")
    if change == "link":
        sidecar.symlink_to(tmp_path / "moved")
    check = verify_ledger(tmp_path / "ledger", checkpoints=(), public_keys={world.signer.key: world.signer.public})
    expected = ProblemKind.SIDECAR_MISSING if change == "missing" else ProblemKind.SIDECAR_CHANGED
    assert kinds(check) == [expected]
    assert check.problems[0].entry == 4


def test_the_checkpoint_says_which_of_two_ledgers_is_ours(world: World) -> None:
    """Where there are more entries of a stranger's ledger than of our own."""
    lines = [world.other_lines[0], world.other_lines[2], world.lines[0]]
    check = world.check(lines, at=1)
    assert [(problem.kind, problem.line) for problem in check.problems] == [
        (ProblemKind.INSERTED, 1),
        (ProblemKind.INSERTED, 2),
    ]


def test_a_ledger_overwritten_with_junk_is_unreadable_and_not_gone(world: World) -> None:
    """Nothing more can be said of it than that."""
    assert kinds(world.check([b"junk"] * LENGTH, at=LENGTH)) == [ProblemKind.UNREADABLE]


@anywhere
@given(first=places, second=places, seed=st.randoms(use_true_random=False))
def test_two_deeds_at_once_are_never_overlooked(world: World, first: int, second: int, seed: random.Random) -> None:
    """Naming may be rough then, but the check fails and does not break."""
    lines = list(world.lines)
    lines[first] = edited(lines[first], "body")
    moved = lines.pop(second)
    if seed.random() < 0.5:
        lines.insert(seed.randrange(LENGTH), moved)
    check = world.check(lines, at=LENGTH)
    assert not check.ok
