"""A rewritten log's writers come to the new file: late lines first; who keeps the old file is told, and waited for."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lapse import clock
from lapse.errors import StoreError
from lapse.instant import SECOND
from lapse.model.policy import Reopen
from lapse.stores.jsonl.disk import inode_of, open_log
from lapse.stores.jsonl.guarding import Guard
from lapse.stores.jsonl.names import Kind
from lapse.stores.jsonl.quiet import Writers, write_lease
from lapse.stores.jsonl.redo import Redo
from lapse.stores.jsonl.reopening import reopen
from lapse.stores.jsonl.settling import drain, find_inode, move_late, put_in_place, settle_late
from lapse.stores.jsonl.writers import APPEND_ONLY, look_at

PATIENCE = 30.0
"""Seconds that writers get to open the new file."""

LEASED = 3.0
"""Seconds that whoever opens the new file waits at most."""

_STILL = 0.2
_GRACE = 0.01
_LIVELY = 10 * SECOND
_PAUSE = 0.002


def replace_and_follow(folder: Path, redo: Redo, settings: Reopen) -> None:
    """Put the new file in place, tell the writers, and move their late lines until they have let go of the old one.

    Until the late lines are moved, whoever opens the new file waits: lines stay in order, and a writer that does not
    append cannot write where they come to lie. OSErrors are the caller's.

    Raises:
        StoreError: If the writers could not be told, or still write to the old file. The next run goes on.
    """
    with ThreadPoolExecutor(1) as aside:
        with held(folder, redo) as new:
            put_in_place(folder, redo)
            old = redo.path(folder, Kind.ASIDE)
            # A command may wait for the writer, which waits for us.
            told = aside.submit(reopen, settings, folder / redo.log, old)
            redo = new.move_late()
        told.result()
    _finish(folder, redo)


@dataclass(frozen=True, slots=True)
class Held:
    """The new file of a log, which nobody else can open for now.

    Attributes:
        folder: Folder of the log.
        redo: Its journal.
        descriptor: The new file, open for reading and appending. None if somebody else has it open, or it is gone.
    """

    folder: Path
    redo: Redo
    descriptor: int | None

    def move_late(self) -> Redo:
        """Move late lines before anybody can write behind them. OSErrors are the caller's.

        Returns:
            The journal, as far as it has come; the rest is left to `drain`.
        """
        aside = self.redo.path(self.folder, Kind.ASIDE)
        if self.descriptor is None or inode_of(aside) is None:
            return self.redo
        old = open_log(aside, self.redo.inode)
        try:
            redo = settle_late(self.folder, self.redo, old, self.descriptor)
            return _move_while_they_wait(self.folder, redo, old, self.descriptor)
        finally:
            os.close(old)


@contextmanager
def held(folder: Path, redo: Redo) -> Iterator[Held]:
    """Let whoever opens the new file of a log wait until the block ends. OSErrors are the caller's."""
    path = _find_new(folder, redo)
    if path is None:
        yield Held(folder, redo, None)
        return
    new = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with Guard(new, path, promise=APPEND_ONLY) as guard:
            yield Held(folder, redo, new if guard.alone else None)
    finally:
        os.close(new)


def _find_new(folder: Path, redo: Redo) -> Path | None:
    """Path of the new file: that of the working file before it is in place. None if there is none."""
    if redo.replacement is None:
        return None
    temporary = redo.path(folder, Kind.TEMPORARY)
    inode = redo.replacement.inode
    if inode_of(temporary) == inode:
        return temporary
    return find_inode(folder, redo.log, inode)


def _finish(folder: Path, redo: Redo) -> None:
    """Move late lines until the old file is let go of.

    Raises:
        StoreError: If somebody still has it.
    """
    if drain(folder, redo, patience=PATIENCE):
        return
    log, aside = folder / redo.log, redo.path(folder, Kind.ASIDE)
    here, there = look_at(log), look_at(aside)
    if here.elsewhere:
        raise StoreError(
            f"{log}: the last lines that were written to the old file stay in {aside.name} for now: pid"
            f" {here.elsewhere[0]} writes to the new one without O_APPEND, and could write over them",
            hint="Stop the writer, then run again: the next run moves them. Better let it append.",
        )
    pids = ", ".join(map(str, (*there.appending, *there.elsewhere))) or "one that this user cannot see"
    raise StoreError(
        f"{log}: its writer (pid {pids}) was told to open it anew and has not done so for {PATIENCE:.0f} s;"
        f" it writes to {aside.name}",
        hint="Let it reopen the file, or stop it; the next run moves its lines.",
    )


def _move_while_they_wait(folder: Path, redo: Redo, old: int, new: int) -> Redo:
    """Move late lines until nobody writes to the old file, or who does waits for the new one and writes no more."""
    began = changed = clock.monotonic()
    # One that has found the old file by the log's name may be about to open it.
    grace = _GRACE if os.fstat(old).st_mtime_ns > clock.real_now() - _LIVELY else 0
    while (now := clock.monotonic()) - began < LEASED:
        before = redo.consumed
        redo = move_late(folder, redo, old, new)
        if redo.consumed > before:
            changed = clock.monotonic()
        if not _is_written(folder, redo, old):
            if now - began >= grace:
                return move_late(folder, redo, old, new)
        elif _is_awaited(new) and clock.monotonic() - changed >= _STILL:
            return redo
        time.sleep(_PAUSE)
    return redo


def _is_written(folder: Path, redo: Redo, old: int) -> bool:
    with write_lease(old, redo.path(folder, Kind.ASIDE)) as state:
        return state is Writers.SOME


def _is_awaited(new: int) -> bool:
    """Whether somebody waits to open the new file."""
    return fcntl.fcntl(new, fcntl.F_GETLEASE) != fcntl.F_WRLCK
