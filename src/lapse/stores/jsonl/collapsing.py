"""A commit in place, step by step: what its journal says is done, forward only, by the run or by the next one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

from lapse import clock
from lapse.errors import StoreError
from lapse.stores.jsonl.codec import BLOCK
from lapse.stores.jsonl.disk import collapse, inode_of, open_log, sync_folder, write_at
from lapse.stores.jsonl.gaps import close_gap, fill, find_gap
from lapse.stores.jsonl.guarding import Guard
from lapse.stores.jsonl.inplace import BLANK, MARK, HeadState, InPlace, Phase, digest_of_bytes, sector_digests
from lapse.stores.jsonl.names import Kind
from lapse.stores.jsonl.redo import publish
from lapse.stores.jsonl.settling import find_inode

PATIENCE = 5.0
"""Seconds that a commit waits for somebody to close the file who writes without appending; the next run goes on."""

_PAUSE = 0.02
_LONG = 1024 * 1024


def settle_in_place(folder: Path, journal: InPlace, *, promise: str | None) -> InPlace:
    """Do what is left to do, with a descriptor of its own. OSErrors are the caller's.

    Raises:
        StoreError: If the file is not what the journal knows, or somebody writes to it who cannot be moved along.
    """
    path = find_inode(folder, journal.log, journal.inode)
    if path is None:
        raise StoreError(
            f"{folder / journal.log}: an interrupted removal cannot go on, the file is not in its folder",
            hint="Move it back, unpacked. If it is gone for good, move"
            f" {journal.path(folder, Kind.JOURNAL)} away. What was removed is in the archive.",
        )
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with Guard(descriptor, path, promise=promise) as guard:
            return roll_forward(folder, journal, descriptor, guard)
    finally:
        os.close(descriptor)


def roll_forward(folder: Path, journal: InPlace, descriptor: int, guard: Guard) -> InPlace:
    """Do what is left to do; every step may be done again. OSErrors are the caller's.

    Arguments:
        folder: Folder of the log.
        journal: The journal, as it lies beside the log.
        descriptor: The file, open for reading and writing, without ``O_APPEND``.
        guard: Who watches over it.

    Returns:
        The journal, done.

    Raises:
        StoreError: If the file is not what the journal knows, or somebody writes to it who cannot be moved along.
    """
    while journal.phase is not Phase.DONE:
        if journal.phase is Phase.WRITING:
            journal = _written(folder, journal, descriptor)
        else:
            journal = _collapsed(journal, descriptor, guard)
        publish(folder, journal)
    _clear(folder, journal)
    return journal


def _check(journal: InPlace, descriptor: int, *expected: HeadState) -> HeadState:
    """See that the file is one that the journal knows.

    Raises:
        StoreError: If it is not. Nothing was touched.
    """
    found = journal.tell(os.pread(descriptor, journal.layout.block, 0))
    shift = journal.layout.cut if found is HeadState.AFTER else 0
    if found not in expected or not _has_tail(journal, descriptor, shift):
        raise StoreError(
            f"{journal.log}: an interrupted removal cannot go on: it is neither what it was nor what it was to be",
            hint="Somebody else changed it since, or a disk lost a write. Nothing was touched now. What was removed is"
            f" in the archive; look at the file, then move {journal.path(Path(), Kind.JOURNAL)} away.",
        )
    return found


def _has_tail(journal: InPlace, descriptor: int, shift: int) -> bool:
    """Whether the last judged bytes that stay are where they belong."""
    size = journal.heads.tail_size
    return digest_of_bytes(os.pread(descriptor, size, journal.judged - size - shift)) == journal.heads.tail


def _written(folder: Path, journal: InPlace, descriptor: int) -> InPlace:
    """Move the kept lines, write the blanks before them, mark the head; then make it last."""
    _check(journal, descriptor, HeadState.WRITABLE, HeadState.MARKED)
    layout = journal.layout
    # What is written to the first block is written at once, so that a kill leaves it as it was or as it is to be.
    start = max(layout.blanks, layout.dead - layout.dead % layout.block)
    fill(descriptor, layout.blanks, start)
    _move(folder, journal, descriptor, start)
    if layout.cut:
        write_at(descriptor, MARK * layout.block, 0)
        fill(descriptor, layout.block, layout.mark)
    else:
        if layout.dead > _LONG:
            write_at(descriptor, b"\n", layout.dead - 1)  # a line of its own, so that the next one is not too long
        _restore_time(journal, descriptor)
    os.fsync(descriptor)
    return replace(journal, phase=Phase.COLLAPSING if layout.cut else Phase.DONE)


def _move(folder: Path, journal: InPlace, descriptor: int, start: int) -> None:
    """Write the last blanks from *start* on and the kept lines behind them."""
    waiting = BLANK * (journal.layout.dead - start)
    if journal.side is not None:
        with os.fdopen(open_log(journal.path(folder, Kind.TEMPORARY)), "rb", buffering=0) as side:
            while data := side.read(BLOCK - len(waiting)):
                write_at(descriptor, waiting + data, start)
                start, waiting = start + len(waiting) + len(data), b""
    write_at(descriptor, waiting, start)


def check_side(folder: Path, journal: InPlace) -> None:
    """See that the kept lines that are to be moved are still what was written before the commit.

    Raises:
        StoreError: If they are not.
    """
    if journal.side is None or journal.phase is not Phase.WRITING:
        return
    path = journal.path(folder, Kind.TEMPORARY)
    if inode_of(path) is None:
        raise StoreError(
            f"{path} is gone: an interrupted removal cannot go on",
            hint="Nothing was touched now. Look who removed the working file: it holds lines that stay.",
        )
    with os.fdopen(open_log(path), "rb") as file:
        size, digest = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    if (size, digest) != (journal.layout.kept, journal.side):
        raise StoreError(
            f"{path} is not what was written before the commit: digest {digest[:12]},"
            f" the journal says {journal.side[:12]}",
            hint="Nothing was touched now. Look who changed the working file: it holds lines that stay.",
        )


def _collapsed(journal: InPlace, descriptor: int, guard: Guard) -> InPlace:
    """Cut the marked blocks off, if that is not done yet; or go over to blanks, where it cannot be done after all."""
    if _check(journal, descriptor, HeadState.MARKED, HeadState.AFTER) is HeadState.MARKED:
        _await(journal, guard)
        if not collapse(descriptor, journal.layout.cut):
            return _without_collapse(journal)
        _check(journal, descriptor, HeadState.AFTER)
    else:
        _close_gap(journal, descriptor, guard)
    _restore_time(journal, descriptor)
    os.fsync(descriptor)
    return replace(journal, phase=Phase.DONE)


def _close_gap(journal: InPlace, descriptor: int, guard: Guard) -> None:
    """Where the blocks were cut off by a run that was killed just then, the file may be as long as before."""
    layout = journal.layout
    gap = find_gap(descriptor, journal.judged - layout.cut, cut=layout.cut, block=layout.block)
    if gap is not None:
        _await(journal, guard)
        close_gap(descriptor, gap, block=layout.block)


def _without_collapse(journal: InPlace) -> InPlace:
    """The same removal without cutting anything off: everything that goes becomes blanks."""
    block = journal.layout.block
    return replace(
        journal,
        phase=Phase.WRITING,
        layout=replace(journal.layout, cut=0, mark=0, blanks=0),
        heads=replace(
            journal.heads,
            before=sector_digests(MARK * block),
            after=sector_digests(BLANK * block),
            after_size=block,
        ),
    )


def _await(journal: InPlace, guard: Guard) -> None:
    """Wait until nobody writes to the file who would leave a hole.

    Raises:
        StoreError: If somebody still does. What goes is gone from the file; the blocks are cut off next time.
    """
    deadline = clock.monotonic() + PATIENCE
    while (trouble := guard.trouble()) is not None:
        if clock.monotonic() >= deadline:
            raise StoreError(
                f"{journal.log}: its first blocks cannot be cut off now: {trouble}",
                hint="Let the writer append, or stop it; then run again.",
            )
        time.sleep(_PAUSE)


def _restore_time(journal: InPlace, descriptor: int) -> None:
    """Give the file its modification time back, unless somebody has written to it since."""
    facts = os.fstat(descriptor)
    if facts.st_size == journal.size - journal.layout.cut:
        with contextlib.suppress(PermissionError):  # only its owner may; others leave the new time
            os.utime(descriptor, ns=(facts.st_atime_ns, journal.mtime_ns))


def _clear(folder: Path, journal: InPlace) -> None:
    side = journal.path(folder, Kind.TEMPORARY)
    if inode_of(side) is not None:
        side.unlink()
        sync_folder(folder)
