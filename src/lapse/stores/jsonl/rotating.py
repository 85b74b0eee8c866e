"""Rotation of logs: a log with lines in, an empty one in its place, its lines under another name.

A rename moves no line: a writer that has the log open goes on in the rotated file, and whoever opens the log
by its name finds the new one. So nothing is drained; the rotated file is compressed once nobody writes to it.
The lease of the store is held by the caller.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lapse import clock
from lapse.errors import ChangedError, StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.policy import Dataset
from lapse.model.rotation import Packing, Rotation, Step, Turn
from lapse.stores.jsonl import due
from lapse.stores.jsonl.disk import inode_of, open_log
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.quiet import Writers, write_lease
from lapse.stores.jsonl.recovering import Unfinished
from lapse.stores.jsonl.reopening import reopen
from lapse.stores.jsonl.rotation_journal import RotationJournal, Stage, close, publish, rotations, working_files
from lapse.stores.jsonl.rotation_names import Kind, names_at, stamp
from lapse.stores.jsonl.rotation_packing import is_hidden, pack, settle_packing
from lapse.stores.jsonl.rotation_placing import holder, settle_begun, swap
from lapse.stores.jsonl.trouble import translated
from lapse.stores.jsonl.writers import look

_UNSETTLED = "a removal from it is not finished, since its old file is still open for writing"
_LOOKS, _ENOUGH = 20, 2
"""How often it is looked for a moment at which nobody has a log open, and how many such moments are enough."""
_PAUSE = 0.05
"""Seconds between two looks at whether somebody has a file open for writing."""
_GRACE = 0.2
"""Seconds for one that was between finding the file by the log's name and opening it, until it is compressed."""
_PATIENCE = 5.0
"""Seconds in which a writer that was told to reopen its log is expected to have done so."""


def due_turns(logs: LogSet, dataset: Dataset, now: Nanos, *, force: bool) -> Iterator[Turn]:
    """What `rotate` would rotate. Writes nothing."""
    for file, why in _due(logs, dataset, now, force=force):
        yield _turn(Step.DUE, file.path, file.path, why)


def rotate(logs: LogSet, dataset: Dataset, now: Nanos, *, force: bool) -> Iterator[Turn]:
    """Finish what earlier rotations left to do, then rotate every log that is due.

    A log that cannot be rotated holds up no other.

    Arguments:
        logs: The log files.
        dataset: Their dataset; without a rotation only earlier ones are finished.
        now: Decides what is due, and stands in the names.
        force: Whether every log that is not empty is rotated.

    Raises:
        StoreError: At the end, of the first log that could not be rotated.
    """
    troubles: list[StoreError] = []
    recover_rotations(logs)
    removals = Unfinished(logs)
    for folder in sorted(logs.folders()):
        for journal in _of(logs, folder):
            yield from _tried(_go_on(folder, journal, dataset, removals), troubles)
    for file, why in _due(logs, dataset, now, force=force):
        yield from _tried(_rotate(logs, removals, file, dataset, now=now, why=why), troubles)
    if troubles:
        raise troubles[0]


def recover_rotations(logs: LogSet) -> None:
    """See that interrupted rotations leave all lines under names that the dataset sees.

    Raises:
        StoreError: If that cannot be done.
    """
    for folder in sorted(logs.folders()):
        for journal in _of(logs, folder):
            if journal.stage is Stage.BEGUN:
                settle_begun(folder, journal)
            elif is_hidden(folder, journal):
                settle_packing(folder, journal)
        _clear_drafts(logs, folder)


def unfinished(logs: LogSet) -> Iterator[str]:
    """Remarks on rotations that were interrupted where lines are not seen. Writes nothing."""
    for folder in sorted(logs.folders()):
        for journal in _of(logs, folder):
            if holder(folder, journal) is not None or is_hidden(folder, journal):
                yield f"{folder / journal.log}: its rotation was interrupted; until the next run, counts may be off"


def _of(logs: LogSet, folder: Path) -> list[RotationJournal]:
    return [journal for journal in rotations(folder) if logs.matches(journal.log)]


def _tried(turns: Iterator[Turn], troubles: list[StoreError]) -> Iterator[Turn]:
    try:
        yield from turns
    except StoreError as error:
        troubles.append(error)


def _due(logs: LogSet, dataset: Dataset, now: Nanos, *, force: bool) -> Iterator[tuple[LogFile, str]]:
    """The logs to rotate, each with why."""
    rotation = dataset.rotation
    if rotation is None:
        return
    for file in due.logs_in_use(logs.files()):
        why = due.reason(rotation, file, dataset, now)
        if force and file.size:
            why = why or "as asked"
        if why is not None:
            yield file, why


def _rotate(
    logs: LogSet, removals: Unfinished, file: LogFile, dataset: Dataset, *, now: Nanos, why: str
) -> Iterator[Turn]:
    """Rotate one log.

    Raises:
        StoreError: If it cannot be, or must not. No line is lost.
    """
    rotation = dataset.rotation
    assert rotation is not None  # noqa: S101 - it is due
    if removals.of(file.path, file.inode) is not None:
        yield _turn(Step.WAITING, file.path, file.path, _UNSETTLED)
        return
    _check(logs, file, dataset, rotation, now)
    folder, name = file.path.parent, file.path.name
    begun = RotationJournal(
        log=name,
        id=f"{stamp(now)}-{secrets.token_hex(4)}",
        stamp=stamp(now),
        inode=file.inode,
        packing=rotation.packing,
    )
    with translated("rotate it", file.path):
        try:
            publish(folder, begun)
            swap(folder, begun)
        except BaseException:
            settle_begun(folder, begun)
            raise
        journal = settle_begun(folder, begun)
    if journal is None:
        raise ChangedError(f"{file.path} was replaced while it was rotated", hint="Run again.")
    yield _turn(Step.ROTATED, file.path, folder / str(journal.rotated), why)
    yield from _go_on(folder, journal, dataset, removals)


def _go_on(folder: Path, journal: RotationJournal, dataset: Dataset, removals: Unfinished) -> Iterator[Turn]:
    """Tell the writers, then compress."""
    rotated = folder / str(journal.rotated)
    with translated("finish its rotation", rotated):
        just_told = journal.stage is Stage.PLACED
        if just_told:
            journal = _tell(folder, journal, dataset)
        if journal.packing is Packing.NONE:
            close(folder, journal)
            return
        if just_told:
            clock.sleep(_GRACE)
    if removals.of(rotated, journal.inode) is not None:
        yield _turn(Step.WAITING, folder / journal.log, rotated, _UNSETTLED)
        return
    turn = pack(folder, journal, promise=dataset.writers)
    if turn is not None:
        yield turn


def _check(logs: LogSet, file: LogFile, dataset: Dataset, rotation: Rotation, now: Nanos) -> None:
    """Refuse what would do no good.

    Raises:
        UnsupportedError: If the rotated file would not belong to the dataset.
        StoreError: If its last rotation is not over, or a writer would go on in the rotated file.
    """
    name = next(names_at(file.path.name, stamp(now)))
    for each in dict.fromkeys((name, name + rotation.packing.suffix)):
        if not logs.matches(each):
            raise UnsupportedError(
                f"{file.path} would be rotated to {each}, which is no file of this dataset: {logs.pattern}",
                hint=f"Its lines would never lapse there. Write `store: {fitting_glob(logs.pattern, file.path)}`.",
            )
    pending = (each for each in _of(logs, file.path.parent) if each.stage is not Stage.TOLD)
    if any(journal.log == file.path.name for journal in pending):
        raise StoreError(
            f"{file.path}: its last rotation is not finished",
            hint="Its writer could not be told to open the log anew: see what was said of that.",
        )
    if dataset.reopen is None:
        _check_followed(file.path, dataset)


def fitting_glob(pattern: str, log: Path) -> str:
    """A glob that matches a log, what it is rotated to, and what that is compressed to."""
    return str(Path(pattern).parent / f"{log.stem}*{log.suffix}*")


def _check_followed(path: Path, dataset: Dataset) -> None:
    """Refuse if a writer keeps the log open, and nobody would tell it that it was rotated.

    One that opens the log for each batch is found to have closed it, if one looks often enough.
    """
    with translated("see who writes to it", path):
        descriptor = open_log(path)
    try:
        seen = 0
        for _ in range(_LOOKS):
            with write_lease(descriptor, path) as writers:
                seen += writers is Writers.NONE or (writers is Writers.UNKNOWN and dataset.writers is not None)
            if seen == _ENOUGH:
                return
            clock.sleep(_PAUSE)
        sight = look(descriptor)
    finally:
        os.close(descriptor)
    if writers is Writers.UNKNOWN:
        raise UnsupportedError(
            f"{path}: this file system, or this user, cannot tell whether somebody keeps the file open",
            hint="Say with `reopen:` how its writer is told to open it anew, or run as the owner of the file.",
        )
    pids = ", ".join(map(str, (*sight.appending, *sight.elsewhere)))
    raise StoreError(
        f"{path} is kept open for writing (pid {pids or 'that this user cannot see'}): its writer would go on in the"
        " rotated file",
        hint="Say with `reopen:` how it is told to open the log anew, like `reopen: {signal: HUP, pid file: …}`.",
    )


def _clear_drafts(logs: LogSet, folder: Path) -> None:
    """Remove journals that were never published."""
    for name in working_files(folder):
        if name.kind is Kind.JOURNAL_DRAFT and logs.matches(name.log):
            with translated("remove a leftover", folder / str(name)):
                (folder / str(name)).unlink()


def _tell(folder: Path, journal: RotationJournal, dataset: Dataset) -> RotationJournal:
    """Tell the writers that keep the rotated file open, if it is known how, and wait until they let go of it."""
    rotated = folder / str(journal.rotated)
    if dataset.reopen is not None and _is_open(rotated):
        reopen(dataset.reopen, folder / journal.log, rotated)
        deadline = clock.monotonic() + _PATIENCE
        while _is_open(rotated) and clock.monotonic() < deadline:
            clock.sleep(_PAUSE)
    journal = replace(journal, stage=Stage.TOLD)
    publish(folder, journal)
    return journal


def _is_open(path: Path) -> bool:
    """Whether somebody may have a file open for writing; so too where that cannot be told."""
    if inode_of(path) is None:
        return False
    descriptor = open_log(path)
    try:
        with write_lease(descriptor, path) as writers:
            return writers is not Writers.NONE
    finally:
        os.close(descriptor)


def _turn(step: Step, log: Path, file: Path, why: str) -> Turn:
    with translated("look at it", file):
        return Turn(step=step, log=str(log), file=str(file), size=file.stat().st_size, why=why)
