"""Whatever is done to a ledger is found, and named as what it is."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_helpers import NOW, RUN, disposal

from lapse.canonical import Digest, canonical
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.state.checkpoints import Checkpoint, sign_checkpoint
from lapse.state.keys import Signer, load_signer
from lapse.state.ledger import Ledger
from lapse.state.ledger_check import LedgerCheck, verify_ledger
from lapse.state.ledger_problem import ProblemKind

LENGTH = 12


@dataclass(frozen=True)
class World:
    """A ledger of `LENGTH` entries, another one signed by the same key, and a stranger's key."""

    folder: Path
    lines: tuple[bytes, ...] = field(repr=False)
    other_lines: tuple[bytes, ...] = field(repr=False)
    signer: Signer
    stranger: Signer

    def check(
        self, lines: Sequence[bytes], *, at: int | None = None, known: Sequence[Signer] = (), tail: bytes = b""
    ) -> LedgerCheck:
        """Check these lines in place of the ledger's own, against the checkpoint of its first *at* entries."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "ledger"
            shutil.copytree(self.folder, folder)
            (folder / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in lines) + tail)
            keys = {signer.key: signer.public for signer in (self.signer, *known)}
            checkpoints = () if at is None else (self.checkpoint(at),)
            return verify_ledger(folder, checkpoints=checkpoints, public_keys=keys)

    def checkpoint(self, count: int) -> Checkpoint:
        """The checkpoint of the first *count* entries."""
        entry = entry_of(self.lines[count - 1])
        return sign_checkpoint(self.signer, ledger=entry.ledger, n=count, head=entry.hash, at=entry.at)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("ledgers")
    signer = load_signer(root / "keys")
    return World(
        folder=root / "ledger",
        lines=written(Ledger(root / "ledger", signer)),
        other_lines=written(Ledger(root / "other", signer)),
        signer=signer,
        stranger=load_signer(root / "stranger"),
    )


def written(ledger: Ledger) -> tuple[bytes, ...]:
    """The lines of a new ledger with notes and disposals."""
    for number in range(LENGTH - 1):
        if number % 3:
            ledger.append(EntryKind.NOTE, {"number": number, "text": f'a "note" {number}'}, at=NOW)
        else:
            ledger.record(disposal(f"{number:06d}"), at=NOW)
    return tuple(ledger.path.read_bytes().splitlines())


def entry_of(line: bytes) -> LedgerEntry:
    return LedgerEntry.from_json(json.loads(line))


def forged(entry: LedgerEntry, signer: Signer | None = None) -> bytes:
    """The line of *entry* with its hash made right, signed by *signer* or with the signature it had."""
    keyed = entry if signer is None else replace(entry, key=signer.key)
    hashed = replace(keyed, hash=keyed.computed_hash())
    return canonical((hashed if signer is None else replace(hashed, signature=signer.sign(hashed.hash))).to_json())


def rewritten(lines: Sequence[bytes], first: int, signer: Signer | None) -> list[bytes]:
    """Change entry *first* and chain all that follow to it anew."""
    result = list(lines)
    for number in range(first, len(lines)):
        entry = entry_of(lines[number])
        if number == first:
            entry = replace(entry, at="2026-11-22T10:00:01Z")
        else:
            entry = replace(entry, prev=entry_of(result[number - 1]).hash)
        result[number] = forged(entry, signer)
    return result


def edited(line: bytes, field: str) -> bytes:
    """*line* with one field changed and nothing else."""
    facts: dict[str, Any] = json.loads(line)
    old = facts[field]
    other_digit = {"0": "1"}
    changes: dict[str, Any] = {
        "n": old + 7 if field == "n" else None,
        "body": {**old, "records": 1} if field == "body" else None,
        "kind": "note" if old != "note" else "run",
        "at": "2026-11-22T10:00:01Z",
    }
    default = other_digit.get(old[0], "0") + old[1:] if isinstance(old, str) else None
    return canonical({**facts, field: changes.get(field, default)})


def kinds(check: LedgerCheck) -> list[ProblemKind]:
    return [problem.kind for problem in check.problems]


places = st.integers(0, LENGTH - 1)
anywhere = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@pytest.mark.parametrize("kept", ["number", "hash"])
def test_an_edit_beside_a_removal_is_told_apart_from_it(world: World, kept: str) -> None:
    """The number that the edited entry has, or its hash in its follower, says which of the two is missing."""
    line = world.lines[6]
    changed = edited(line, "n") if kept == "hash" else forged(replace(entry_of(line), body={"text": "other"}))
    lines = [*world.lines[:5], changed, *world.lines[7:]]
    found = {(problem.kind, problem.entry) for problem in world.check(lines, at=LENGTH).problems}
    assert found == {(ProblemKind.REMOVED, 5), (ProblemKind.EDITED, 6)}


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
