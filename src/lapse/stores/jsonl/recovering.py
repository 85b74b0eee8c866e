"""What lies beside the logs: commits to finish, leftovers to clear, markers to yield and to prune."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import StoreError, VerificationError
from lapse.model.disposal import Disposal
from lapse.model.policy import Dataset
from lapse.stores.jsonl.collapsing import check_side, settle_in_place
from lapse.stores.jsonl.disk import inode_of, open_log, sync_folder
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.following import held, replace_and_follow
from lapse.stores.jsonl.names import Kind, OwnName
from lapse.stores.jsonl.quiet import Writers
from lapse.stores.jsonl.redo import Journalled, Redo, journals, working_files
from lapse.stores.jsonl.settling import check_replacement, drain, forget, is_in_place, is_thrown_away, put_in_place
from lapse.stores.jsonl.trouble import translated
from lapse.stores.jsonl.writers import Standing, refusal, stand

_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Marker:
    """A commit of one log, and the folder where it lies.

    Attributes:
        folder: The folder.
        redo: The journal.
    """

    folder: Path
    redo: Journalled

    @property
    def log(self) -> Path:
        """Path of the log."""
        return self.folder / self.redo.log

    @property
    def pending(self) -> bool:
        """Whether the commit is not finished."""
        return self.redo.pending(self.folder)


def markers(logs: LogSet) -> list[Marker]:
    """Every commit of a log of the set, by folder, in the order of the slices.

    Raises:
        StoreError: If a journal cannot be read: nothing may be touched then.
    """
    return list(_each(logs))


def _each(logs: LogSet) -> Iterator[Marker]:
    for folder in logs.folders():
        yield from (Marker(folder, redo) for redo in journals(folder) if logs.matches(redo.log))


def settle(logs: LogSet, intact: Callable[[Disposal], bool], *, dataset: Dataset) -> list[Disposal]:
    """Finish interrupted commits, clear what was left before one, and return every marker's disposal.

    The caller holds the lease. Late lines of a writer that keeps an old file open stay where they are
    until it closes it; their journal stays too.

    Arguments:
        logs: The log files.
        intact: Whether the segments of a disposal can be read back.
        dataset: Whose log files they are: how it stands with their writers.

    Raises:
        VerificationError: If they cannot, and the log is not replaced yet. It is still whole.
        StoreError: If a commit cannot be finished.
    """
    found = markers(logs)
    for marker in found:
        if marker.pending:
            _finish(marker, intact, dataset)
    _clear_leftovers(logs, found)
    return [marker.redo.disposal for marker in found]


class Unfinished:
    """The commits to a set of logs that are not finished: what is left of them goes by where things stand in a file.

    They are listed once, when the first file is asked about; commits that are begun later are not among them.
    """

    def __init__(self, logs: LogSet) -> None:
        self._logs = logs
        self._found: list[Marker] | None = None

    def of(self, path: Path, inode: int) -> Marker | None:
        """The commit that has not finished with a file, whichever run made it. None if there is none.

        Raises:
            StoreError: If a journal cannot be read.
        """
        if self._found is None:
            self._found = [marker for marker in markers(self._logs) if marker.pending]
        named = (marker for marker in self._found if marker.folder == path.parent and _names(marker.redo, path, inode))
        return next((marker for marker in named if marker.pending), None)

    def check(self, path: Path, inode: int) -> None:
        """See that there is none.

        Raises:
            StoreError: If there is one.
        """
        marker = self.of(path, inode)
        if marker is not None:
            raise not_finished(path, marker.redo)


def not_finished(path: Path, redo: Journalled) -> StoreError:
    """The error for a file that an earlier commit has not finished with."""
    aside = redo.path(path.parent, Kind.ASIDE)
    late = f": the last lines of its old file wait in {aside.name}" if isinstance(redo, Redo) else ""
    return StoreError(
        f"{path}: a removal from it is not finished{late}. Nothing more was removed from it",
        hint="Stop its writer, or let it append, and open the file anew; then run again: the next run finishes it.",
    )


def _names(redo: Journalled, path: Path, inode: int) -> bool:
    """Whether a commit is about a file: by its name, or as the old or the new one under whatever name."""
    new = redo.replacement if isinstance(redo, Redo) else None
    return path.name == redo.log or inode == redo.inode or (new is not None and inode == new.inode)


def prune(logs: LogSet, disposals: Iterable[Disposal]) -> None:
    """Remove the markers of *disposals*; one whose commit is not finished stays.

    Raises:
        StoreError: If one cannot be removed.
    """
    named = {(d.owner.ledger, d.owner.run, d.slice) for d in disposals}
    folders = set()
    for marker in _each(logs):  # one at a time: a run may leave very many
        disposal = marker.redo.disposal
        if (disposal.owner.ledger, disposal.owner.run, disposal.slice) not in named or marker.pending:
            continue
        path = marker.redo.path(marker.folder, Kind.JOURNAL)
        with translated("remove the journal", path):
            path.unlink()
        folders.add(marker.folder)
    for folder in sorted(folders):
        with translated("update the folder", folder):
            sync_folder(folder)


def _finish(marker: Marker, intact: Callable[[Disposal], bool], dataset: Dataset) -> None:
    with translated("finish an interrupted removal", marker.log):
        if isinstance(marker.redo, Redo):
            _finish_anew(marker, marker.redo, intact, dataset)
            return
        _check_intact(marker, intact)
        check_side(marker.folder, marker.redo)
        settle_in_place(marker.folder, marker.redo, promise=dataset.writers)


def _finish_anew(marker: Marker, redo: Redo, intact: Callable[[Disposal], bool], dataset: Dataset) -> None:
    folder = marker.folder
    standing = _standing(marker, dataset)
    if not is_in_place(folder, redo):
        _check_intact(marker, intact)
        if standing.quiet and is_thrown_away(folder, redo):
            forget(folder, redo)
            return
        check_replacement(folder, redo)
    if not standing.quiet and dataset.reopen is not None and redo.replacement is not None:
        replace_and_follow(folder, redo, dataset.reopen)
        return
    if not standing.quiet and not is_in_place(folder, redo):
        raise refusal(standing, marker.log, why="a new file is to take its place")
    with held(folder, redo) as new:
        put_in_place(folder, redo)
        redo = new.move_late()
    drain(folder, redo, patience=_PATIENCE)


def _check_intact(marker: Marker, intact: Callable[[Disposal], bool]) -> None:
    if not intact(marker.redo.disposal):
        raise VerificationError(
            f"{marker.log}: a removal was interrupted, and its archived copy cannot be read back",
            hint="What the log still has of it was left there. Run `lapse archive verify` to see what is damaged.",
        )


def _standing(marker: Marker, dataset: Dataset) -> Standing:
    """How the old file stands with its writers: their lines would go where no reader looks."""
    aside = marker.redo.path(marker.folder, Kind.ASIDE)
    if inode_of(aside) is None:
        return Standing(state=Writers.NONE)
    descriptor = open_log(aside, marker.redo.inode)
    try:
        return stand(descriptor, marker.log, promise=dataset.writers)
    finally:
        os.close(descriptor)


def _clear_leftovers(logs: LogSet, found: Iterable[Marker]) -> None:
    """Remove working files of slices that were never committed; under the lease nobody else's can be there."""
    committed = {(marker.folder, marker.redo.log, marker.redo.slice) for marker in found}
    for folder in logs.folders():
        for own in working_files(folder):
            if own.kind is Kind.JOURNAL or not logs.matches(own.log):
                continue
            if own.kind is Kind.JOURNAL_DRAFT or (folder, own.log, own.slice) not in committed:
                _clear(folder, own)


def _clear(folder: Path, own: OwnName) -> None:
    path = folder / str(own)
    with translated("remove a leftover", path):
        if own.kind is Kind.ASIDE and path.lstat().st_nlink == 1:
            raise StoreError(
                f"{path} is the only name of a log file that Lapse was about to change",
                hint=f"{own.log} is gone from its folder. If it was not meant to go, rename this file back to it.",
            )
        path.unlink()
        sync_folder(folder)
