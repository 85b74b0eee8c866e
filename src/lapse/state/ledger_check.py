"""The check of a whole ledger: against itself, its sidecars, and the checkpoints that others keep.

One deed gives one problem, named as what it is; what only follows from it is not reported again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from lapse.canonical import Digest, sha256
from lapse.errors import StateError
from lapse.model.ledger_entry import GENESIS_PREVIOUS
from lapse.state.checkpoints import Checkpoint
from lapse.state.files import read_private
from lapse.state.ledger import LEDGER_FILE, Head, sidecar_path
from lapse.state.ledger_lines import Flaw, Line, judged
from lapse.state.ledger_places import Placed, place
from lapse.state.ledger_problem import Problem, ProblemKind, entries_text
from lapse.state.lines import unfinished_bytes, whole_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheck:
    """What a check found.

    Attributes:
        entries: Number of whole lines in the ledger.
        head: The last entry, intact or not. None if there is none.
        problems: Everything found; empty if nothing was.
    """

    entries: int
    head: Head | None
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the ledger."""
        return not any(problem.kind.is_failure for problem in self.problems)


def verify_ledger(folder: Path, *, checkpoints: Sequence[Checkpoint], public_keys: Mapping[str, bytes]) -> LedgerCheck:
    """Check the ledger in *folder*; writes nothing.

    Arguments:
        folder: The ledger's folder; need not exist.
        checkpoints: Checkpoints of this ledger from archive targets. Without any, a cut tail cannot be seen.
        public_keys: The keys that may sign, raw, by id.

    Raises:
        StateError: If the ledger cannot be read.
    """
    path = folder / LEDGER_FILE
    lines = list(judged(whole_lines(path), public_keys))
    signed, problems = _signed(checkpoints, public_keys)
    problems += _gone(folder, lines, signed)
    placement = place(lines, expected={checkpoint.ledger for checkpoint in signed})
    here = {line.ledger for line in lines}
    chain = _Chain(placement.placed, [checkpoint for checkpoint in signed if checkpoint.ledger in here])
    problems += placement.problems
    problems += chain.flaws()
    problems += chain.breaks()
    problems += chain.against_checkpoints()
    problems += _sidecars(folder, chain.intact())
    problems += _unfinished(path)
    last = placement.placed[-1] if placement.placed else None
    head = None if last is None else Head(last.entry, Digest(last.line.hash))
    return LedgerCheck(entries=len(lines), head=head, problems=tuple(problems))


class _Chain:
    """Entries in their places, with what their followers and the checkpoints say their hashes are."""

    def __init__(self, placed: Sequence[Placed], checkpoints: Sequence[Checkpoint]) -> None:
        self._placed = placed
        self._checkpoints = checkpoints
        self._reported: set[int] = set()
        self._vouched = {checkpoint.n - 1: str(checkpoint.hash) for checkpoint in checkpoints}
        self._vouched |= {item.entry - 1: item.line.prev for item in placed if item.line.sound}

    def flaws(self) -> Iterator[Problem]:
        """What is wrong with lines by themselves; neighbours with the same flaw are one problem."""
        flawed = [item for item in self._placed if not item.line.sound]
        self._reported.update(item.entry for item in flawed)
        for group in _neighbours(flawed):
            yield self._flaw(group)

    def _flaw(self, group: Sequence[Placed]) -> Problem:
        first, last = group[0], group[-1]
        flaw, which = first.line.flaw, entries_text(first.entry, last.entry)
        was = "was" if first is last else "were"
        if flaw is Flaw.UNREADABLE:
            kind, message = ProblemKind.UNREADABLE, f"{which} cannot be read: {first.line.reason}"
        elif flaw is Flaw.CHANGED:
            kind, message = ProblemKind.EDITED, f"{which} {was} changed: {first.line.reason}"
        elif flaw is Flaw.KEY_UNKNOWN:
            kind, message = ProblemKind.KEY_UNKNOWN, f"{which} {was} signed by a stranger: {first.line.reason}"
        elif self._vouched.get(last.entry, last.line.hash) != last.line.hash:
            kind, message = ProblemKind.EDITED, f"{which} {was} changed and hashed again, but not signed again"
        else:
            kind, message = ProblemKind.BAD_SIGNATURE, f"{which}: {first.line.reason}"
        return Problem(kind=kind, entry=first.entry, line=first.line.number, message=message)

    def breaks(self) -> Iterator[Problem]:
        """Entries that are signed by a known key, but are not those that their neighbours are chained to."""
        broken = self._broken_links()
        for entry in sorted(broken):
            if entry not in broken:
                continue  # the break before it was reported with it
            # An entry that fits neither neighbour was changed itself; else the one that is not vouched for.
            culprit = entry + 1 if entry + 1 in broken or entry < 0 else entry
            broken -= {entry, culprit}
            self._reported.add(culprit)
            yield Problem(
                kind=ProblemKind.EDITED,
                entry=culprit,
                line=next(item.line.number for item in self._placed if item.entry == culprit),
                message=f"entry {culprit} was changed and signed again: its neighbours are chained to another one",
            )

    def _broken_links(self) -> set[int]:
        """Entries whose follower's ``prev`` is not their hash; -1 is the one before the first."""
        broken = {
            one.entry
            for one, other in pairwise(self._placed)
            if one.line.sound and other.line.sound and other.entry == one.entry + 1 and other.line.prev != one.line.hash
        }
        if self._placed and self._placed[0].line.sound and self._placed[0].entry == 0:
            broken |= {-1} if self._placed[0].line.prev != GENESIS_PREVIOUS else set()
        return broken

    def against_checkpoints(self) -> Iterator[Problem]:
        """A tail that was cut off, and a chain that was made anew."""
        if not self._placed:
            return
        end = self._placed[-1].entry + 1
        furthest = max(self._checkpoints, key=lambda checkpoint: checkpoint.n, default=None)
        if furthest is not None and furthest.n > end:
            yield Problem(
                kind=ProblemKind.CUT_TAIL,
                entry=end,
                message=f"the tail was cut off, {entries_text(end, furthest.n - 1)}: the checkpoint of {furthest.at} "
                f"has {furthest.n} entries, the ledger ends with entry {end - 1}",
            )
        yield from self._mismatch()

    def intact(self) -> list[Placed]:
        """Entries that nothing was reported of so far."""
        return [item for item in self._placed if item.entry not in self._reported]

    def _mismatch(self) -> Iterator[Problem]:
        """The earliest entry that is not the one its checkpoint names."""
        intact = {item.entry: item.line for item in self.intact()}
        for checkpoint in sorted(self._checkpoints, key=lambda checkpoint: checkpoint.n):
            line = intact.get(checkpoint.n - 1)
            if line is not None and line.hash != checkpoint.hash:
                yield Problem(
                    kind=ProblemKind.CHECKPOINT_MISMATCH,
                    entry=checkpoint.n - 1,
                    line=line.number,
                    message=f"entry {checkpoint.n - 1} is not the one that the checkpoint of {checkpoint.at} names: "
                    "the ledger was written anew, this entry or an earlier one",
                )
                return


def _neighbours(flawed: Sequence[Placed]) -> Iterator[list[Placed]]:
    """Runs of entries with one flaw and one key; an edited entry stands by itself."""

    def run(numbered: tuple[int, Placed]) -> tuple[object, ...]:
        position, item = numbered
        alone = item.entry if item.line.flaw is Flaw.CHANGED else None
        return item.entry - position, item.line.flaw, item.line.key, alone

    for _, group in groupby(enumerate(flawed), key=run):
        yield [item for _, item in group]


def _signed(
    checkpoints: Sequence[Checkpoint], public_keys: Mapping[str, bytes]
) -> tuple[list[Checkpoint], list[Problem]]:
    """The checkpoints that a known key signed, and what is wrong with the others."""
    signed, problems = [], []
    for checkpoint in checkpoints:
        public = public_keys.get(checkpoint.key)
        if public is not None and checkpoint.signed_by(public):
            signed.append(checkpoint)
            continue
        kind = ProblemKind.KEY_UNKNOWN if public is None else ProblemKind.BAD_SIGNATURE
        reason = f"key {checkpoint.key} is not known here" if public is None else f"not signed by key {checkpoint.key}"
        problems.append(Problem(kind=kind, message=f"checkpoint {checkpoint.path}: {reason}"))
    return signed, problems


def _gone(folder: Path, lines: Sequence[Line], checkpoints: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Ledgers that others remember, and that are not here."""
    here = {line.ledger for line in lines if line.ledger}
    if lines and not here:
        return  # not a single line can be read, which is reported as that
    for ledger in sorted({checkpoint.ledger for checkpoint in checkpoints} - here):
        known = max(checkpoint.n for checkpoint in checkpoints if checkpoint.ledger == ledger)
        yield Problem(
            kind=ProblemKind.WHOLE_LEDGER_GONE,
            message=f"ledger {ledger} is not in {folder}, though a checkpoint has {known} entries of it",
        )
    if not lines and not checkpoints and any((folder / "tenants").glob("*/*.json")):
        yield Problem(
            kind=ProblemKind.WHOLE_LEDGER_GONE,
            message=f"{folder} has counts by tenant, but no ledger that they belong to",
        )


def _sidecars(folder: Path, placed: Sequence[Placed]) -> Iterator[Problem]:
    for item in placed:
        sidecar = item.line.sidecar
        if sidecar is None:
            continue
        which = f"the counts by tenant of entry {item.entry}, run {sidecar.run}, slice {sidecar.slice}"
        try:
            data = read_private(sidecar_path(folder, sidecar.run, sidecar.slice))
        except StateError as error:
            kind, message = ProblemKind.SIDECAR_CHANGED, f"{which}, cannot be read: {error.message}"
        else:
            if data is not None and sha256(data) == sidecar.digest:
                continue
            kind = ProblemKind.SIDECAR_MISSING if data is None else ProblemKind.SIDECAR_CHANGED
            message = f"{which}, are {'missing' if data is None else 'not those that it vouches for'}"
        yield Problem(kind=kind, entry=item.entry, line=item.line.number, message=message)


def _unfinished(path: Path) -> Iterator[Problem]:
    size = unfinished_bytes(path)
    if size:
        yield Problem(
            kind=ProblemKind.UNFINISHED_LINE,
            message=f"{size} bytes of an unfinished line at the end; the next writer removes and notes them",
        )
