"""The rename that a rotation is: the log's lines get another name, an empty file gets the log's.

No line is moved, and none is ever without a name: under a working name only as long as the journal says so.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from lapse.errors import ChangedError
from lapse.stores.jsonl.disk import create, dress, exchange, inode_of, open_log, rename_new, sync_folder
from lapse.stores.jsonl.rotation_journal import RotationJournal, Stage, publish
from lapse.stores.jsonl.rotation_names import Kind, names_at, parse_rotated, stamp
from lapse.stores.jsonl.settling import find_inode
from lapse.stores.jsonl.trouble import translated


def swap(folder: Path, journal: RotationJournal) -> None:
    """Put an empty file in the place of the log, whose lines are under a working name then. OSErrors are the caller's.

    Raises:
        ChangedError: If another file stands there by now.
    """
    log, fresh, aside = (folder / journal.log, *(journal.path(folder, kind) for kind in (Kind.FRESH, Kind.ASIDE)))
    _make_fresh(fresh, log, journal.inode)
    if exchange(fresh, log):
        if inode_of(fresh) != journal.inode:
            exchange(fresh, log)
            raise ChangedError(f"{log} was replaced while it was rotated", hint="Run again.")
    else:
        # The name is away for a moment. A writer that makes it anew then is right: its file stays.
        log.rename(aside)
        if inode_of(aside) != journal.inode:
            rename_new(aside, log)
            raise ChangedError(f"{log} was replaced while it was rotated", hint="Run again.")
        rename_new(fresh, log)
    sync_folder(folder)


def _make_fresh(path: Path, log: Path, inode: int) -> None:
    """Make an empty file with the owner, mode and attributes of the log, and the time of now."""
    model = open_log(log, inode)
    try:
        descriptor = create(path)
        try:
            dress(descriptor, model)
            os.utime(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(model)


def holder(folder: Path, journal: RotationJournal) -> Path | None:
    """The working name under which the lines stand. None if they stand under none."""
    if journal.rotated is not None:
        return None
    paths = (journal.path(folder, kind) for kind in (Kind.FRESH, Kind.ASIDE))
    return next((path for path in paths if inode_of(path) == journal.inode), None)


def settle_begun(folder: Path, journal: RotationJournal) -> RotationJournal | None:
    """Finish a rotation that was begun, or undo it if nothing was done yet. None if it is undone.

    Raises:
        StoreError: If that cannot be done.
    """
    log = folder / journal.log
    with translated("finish its rotation", log):
        if holder(folder, journal) is not None:
            return _name(folder, journal)
        found = find_inode(folder, journal.log, journal.inode)
        if found is not None and _is_ours(found, journal):
            return _placed(folder, journal, found.name)
        _clear(folder, journal)  # nothing was done yet, or others have taken the file away
        return None


def _is_ours(found: Path, journal: RotationJournal) -> bool:
    """Whether a file has its name from this rotation."""
    name = parse_rotated(found.name)
    return name is not None and (name.log, stamp(name.at)) == (journal.log, journal.stamp)


def _name(folder: Path, journal: RotationJournal) -> RotationJournal:
    """Give the lines the name of a rotated file that nothing has."""
    working = holder(folder, journal)
    assert working is not None  # noqa: S101 - the caller has seen it
    suffix = journal.packing.suffix
    free = (n for n in names_at(journal.log, journal.stamp) if not suffix or inode_of(folder / f"{n}{suffix}") is None)
    return _placed(folder, journal, next(name for name in free if rename_new(working, folder / name)))


def _placed(folder: Path, journal: RotationJournal, name: str) -> RotationJournal:
    """Note that the lines have their name; where the log's own is still away, the empty file gets it."""
    fresh = journal.path(folder, Kind.FRESH)
    if inode_of(fresh) is not None and not rename_new(fresh, folder / journal.log):
        fresh.unlink()
    sync_folder(folder)
    journal = replace(journal, stage=Stage.PLACED, rotated=name)
    publish(folder, journal)
    return journal


def _clear(folder: Path, journal: RotationJournal) -> None:
    """Undo what was prepared; the log is as it was."""
    fresh = journal.path(folder, Kind.FRESH)
    if inode_of(folder / journal.log) is None and inode_of(fresh) is not None:
        rename_new(fresh, folder / journal.log)
    for kind in (Kind.FRESH, Kind.JOURNAL_DRAFT, Kind.JOURNAL):
        journal.path(folder, kind).unlink(missing_ok=True)
    sync_folder(folder)
