"""Writers that keep the old file of a rewritten log are told to open the new one, and waited for."""

from __future__ import annotations

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lapse import clock
from lapse.errors import StoreError
from lapse.model.policy import Reopen
from lapse.stores.jsonl.disk import inode_of, open_log
from lapse.stores.jsonl.guarding import Guard
from lapse.stores.jsonl.names import Kind
from lapse.stores.jsonl.quiet import Writers, write_lease
from lapse.stores.jsonl.redo import Redo
from lapse.stores.jsonl.reopening import reopen
from lapse.stores.jsonl.settling import drain, find_inode, move_late, put_in_place
from lapse.stores.jsonl.writers import Sight, look

PATIENCE = 30.0
"""Seconds that writers get to open the new file."""

LEASED = 3.0
"""Seconds that whoever opens the new file waits at most."""

_STILL = 0.2
_PAUSE = 0.02


def replace_and_follow(folder: Path, redo: Redo, settings: Reopen) -> None:
    """Put the new file in place, tell the writers, and move their late lines until they have let go of the old one.

    Until the late lines are moved, whoever opens the new file waits: lines stay in order, and a writer that does not
    append cannot write where they come to lie. OSErrors are the caller's.

    Raises:
        StoreError: If the writers could not be told, or still write to the old file. The next run goes on.
    """
    if redo.late is None:
        redo = _replace_held(folder, redo, settings)
    else:
        put_in_place(folder, redo)
        reopen(settings)
    _finish(folder, redo)


def _replace_held(folder: Path, redo: Redo, settings: Reopen) -> Redo:
    new = _open_new(folder, redo)
    try:
        with ThreadPoolExecutor(1) as aside:
            with Guard(new, folder / redo.log, promise=None) as guard:
                put_in_place(folder, redo)
                told = aside.submit(reopen, settings)  # a command may wait for the writer, which waits for us
                if guard.alone:
                    redo = _move_while_they_wait(folder, redo, new)
            told.result()
    finally:
        os.close(new)
    return redo


def _open_new(folder: Path, redo: Redo) -> int:
    """The new file of a log, wherever it is by now, open for reading and appending.

    Raises:
        StoreError: If it is gone.
    """
    assert redo.replacement is not None  # noqa: S101 - a log that is removed has no writers to follow
    path = _find_new(folder, redo)
    if path is None:
        raise StoreError(f"{folder / redo.log}: its new file is gone", hint="Look who removed it; the log is whole.")
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _find_new(folder: Path, redo: Redo) -> Path | None:
    """Path of the new file: that of the working file before it is in place. None if it is gone."""
    assert redo.replacement is not None  # noqa: S101 - see `_open_new`
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
    here, there = _look(log), _look(aside)
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


def _look(path: Path) -> Sight:
    descriptor = open_log(path)
    try:
        return look(descriptor)
    finally:
        os.close(descriptor)


def _move_while_they_wait(folder: Path, redo: Redo, new: int) -> Redo:
    """Move late lines until nobody writes to the old file, or who does waits for the new one and writes no more."""
    old = open_log(redo.path(folder, Kind.ASIDE), redo.inode)
    try:
        deadline = clock.monotonic() + LEASED
        changed = clock.monotonic()
        while clock.monotonic() < deadline:
            before = redo.consumed
            redo = move_late(folder, redo, old, new)
            if redo.consumed > before:
                changed = clock.monotonic()
            if not _is_written(folder, redo, old):
                return move_late(folder, redo, old, new)
            if _is_awaited(new) and clock.monotonic() - changed >= _STILL:
                return redo
            time.sleep(_PAUSE)
        return redo
    finally:
        os.close(old)


def _is_written(folder: Path, redo: Redo, old: int) -> bool:
    with write_lease(old, redo.path(folder, Kind.ASIDE)) as state:
        return state is not Writers.NONE


def _is_awaited(new: int) -> bool:
    """Whether somebody waits to open the new file."""
    return fcntl.fcntl(new, fcntl.F_GETLEASE) != fcntl.F_WRLCK
