"""The write-ahead journal: a slice is on disk before its work starts, and each object before it exists.

One file a run. Every line is fsynced before the call returns. What is not settled when a process dies is
settled by the next run, under the store's lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lapse.canonical import Json
from lapse.errors import StateError
from lapse.state.files import make_private, remove_durably, safe_name, translated
from lapse.state.journal_record import (
    JournalledSlice,
    SegmentIntent,
    SliceIntent,
    SliceState,
    begin_line,
    objects_line,
    slices_of,
    state_line,
)
from lapse.state.lines import append_lines, cut_unfinished_line, open_append, whole_lines

_SUFFIX = ".jsonl"


class Journal:
    """The journal of one run: of the run itself, or of a dead one that is being settled."""

    def __init__(self, path: Path, slices: dict[str, JournalledSlice]) -> None:
        """A journal in *path* with the *slices* it has so far; use `open`."""
        self._path = path
        self._open = {name for name, known in slices.items() if not known.state.is_final}

    @classmethod
    def open(cls, root: Path, run: str) -> Journal:
        """The journal of *run* in the state folder *root*; its file is made with the first line.

        Raises:
            StateError: If it cannot be read.
        """
        path = _path(root, run)
        return cls(path, slices_of(whole_lines(path), path))

    def begin(self, intent: SliceIntent) -> None:
        """Say that the work on a slice is about to start.

        Raises:
            StateError: If it cannot be written: then the work must not start.
        """
        self._append(begin_line(intent))
        self._open.add(intent.slice)

    def segment(self, slice_name: str, *objects: SegmentIntent) -> None:
        """Say that *objects* are about to be made.

        Raises:
            StateError: If the slice is not under way, or this cannot be written: then they must not be made.
        """
        self._require_open(slice_name)
        self._append(objects_line(slice_name, objects))

    def committing(self, slice_name: str, pledge: Mapping[str, Json] | None = None) -> None:
        """Say that the commit is about to be tried: from now on its outcome is unknown until the store is asked.

        Arguments:
            slice_name: The slice.
            pledge: What the store can be asked with, where it leaves no marker.

        Raises:
            StateError: If the slice is not under way, or this cannot be written: then it must not be tried.
        """
        self._require_open(slice_name)
        self._append(state_line(slice_name, SliceState.COMMITTING, pledge))

    def committed(self, slice_name: str) -> None:
        """Say that the store has confirmed the commit.

        Raises:
            StateError: If the slice is not under way, or this cannot be written.
        """
        self._advance(slice_name, SliceState.COMMITTED)

    def ledgered(self, slice_name: str) -> None:
        """Say that the disposal is in the ledger.

        Raises:
            StateError: If the slice is not under way, or this cannot be written.
        """
        self._advance(slice_name, SliceState.LEDGERED)

    def settled(self, slice_name: str) -> None:
        """Say that nothing of the slice is left to do; does nothing if that is said already.

        Raises:
            StateError: If it cannot be written.
        """
        self._close(slice_name, SliceState.SETTLED)

    def rolled_back(self, slice_name: str) -> None:
        """Say that the store is as before and every object is cleared; does nothing if that is said already.

        Raises:
            StateError: If it cannot be written.
        """
        self._close(slice_name, SliceState.ROLLED_BACK)

    def slice(self, slice_name: str) -> JournalledSlice:
        """A slice as the file has it now.

        Raises:
            StateError: If the journal cannot be read, or the slice never began.
        """
        known = slices_of(whole_lines(self._path), self._path).get(slice_name)
        if known is None:
            raise StateError(f"{self._path}: slice {slice_name} never began", hint="Run again.")
        return known

    def _advance(self, slice_name: str, state: SliceState) -> None:
        self._require_open(slice_name)
        self._append(state_line(slice_name, state))

    def _close(self, slice_name: str, state: SliceState) -> None:
        if slice_name not in self._open:
            return
        self._append(state_line(slice_name, state))
        self._open.remove(slice_name)

    def _require_open(self, slice_name: str) -> None:
        if slice_name not in self._open:
            raise StateError(
                f"{self._path}: slice {slice_name} is not under way",
                hint="Nothing was done to it. Run again: the next run settles what this one left.",
            )

    def _append(self, line: bytes) -> None:
        # Opened anew for each line: another process may have finished the file while all in it was settled.
        make_private(self._path.parent)
        with open_append(self._path) as descriptor:
            cut_unfinished_line(descriptor, path=self._path)
            append_lines(descriptor, line, path=self._path)


def journalled_runs(root: Path) -> tuple[str, ...]:
    """Ids of the runs that have a journal, ascending. Nothing is made.

    Raises:
        StateError: If the folder cannot be read.
    """
    folder = root / "journal"
    with translated("read", folder):
        return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}")))


def unsettled(root: Path) -> tuple[JournalledSlice, ...]:
    """Every slice that is not settled, by run and slice, also those of runs that are still alive.

    Who settles one must hold its store's lease first, and read again then. Nothing is made.

    Raises:
        StateError: If a journal cannot be read.
    """
    found: list[JournalledSlice] = []
    for run in journalled_runs(root):
        path = _path(root, run)
        slices = slices_of(whole_lines(path), path)
        found += [slices[name] for name in sorted(slices) if not slices[name].state.is_final]
    return tuple(found)


def finish(root: Path, run: str) -> bool:
    """Remove the journal of *run*, durably, if every slice in it is settled or rolled back.

    Returns:
        Whether there is no journal of the run any more.

    Raises:
        StateError: If it cannot be read or removed.
    """
    path = _path(root, run)
    if not path.exists():
        return True
    with open_append(path):
        if any(not known.state.is_final for known in slices_of(whole_lines(path), path).values()):
            return False
        remove_durably(path)
        return True


def _path(root: Path, run: str) -> Path:
    return root / "journal" / f"{safe_name(run)}{_SUFFIX}"
