"""After the commit: what the journal says is done, forward only, by the run itself or by the next one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

from lapse import clock
from lapse.canonical import Digest
from lapse.errors import StoreError
from lapse.stores.jsonl.codec import BLOCK, Encoding, encoding_of
from lapse.stores.jsonl.disk import exchange, inode_of, open_log, sync_folder, write_all
from lapse.stores.jsonl.fragments import blank_out, fragment
from lapse.stores.jsonl.names import Kind, is_reserved
from lapse.stores.jsonl.quiet import Writers, is_awaited, write_lease
from lapse.stores.jsonl.redo import LateLines, Redo, publish
from lapse.stores.jsonl.writers import look_at

PATIENCE = 5.0
"""Seconds that a commit waits for writers of the old file to close it; the next run goes on."""

_PAUSE = 0.02
_SEARCHED = 64 * 1024 * 1024


def is_in_place(folder: Path, redo: Redo) -> bool:
    """Whether the log is replaced or removed already, so that only late lines may be left."""
    temporary = inode_of(redo.path(folder, Kind.TEMPORARY))
    if temporary is not None:
        return temporary == redo.inode
    return find_inode(folder, redo.log, redo.inode) is None


def is_thrown_away(folder: Path, redo: Redo) -> bool:
    """Whether somebody has removed or replaced the log before it could be: it has no name left but Lapse's own."""
    if find_inode(folder, redo.log, redo.inode) is not None:
        return False
    aside = redo.path(folder, Kind.ASIDE)
    return inode_of(aside) == redo.inode and aside.lstat().st_nlink == 1


def forget(folder: Path, redo: Redo) -> None:
    """Let go of a log that was thrown away, and of its new file; what stands under its name is left alone.

    OSErrors are the caller's.
    """
    for kind in (Kind.TEMPORARY, Kind.ASIDE):
        redo.path(folder, kind).unlink(missing_ok=True)
    sync_folder(folder)


def put_in_place(folder: Path, redo: Redo) -> None:
    """Replace or remove the log. OSErrors are the caller's.

    Raises:
        StoreError: If the log was moved out of its folder, or the new file is not what was written.
    """
    temporary = redo.path(folder, Kind.TEMPORARY)
    if not is_in_place(folder, redo):
        log = find_inode(folder, redo.log, redo.inode)
        if log is None:
            raise StoreError(
                f"{folder / redo.log}: an interrupted removal cannot go on, the file is not in its folder",
                hint=f"Move it back. If it is gone for good, remove {temporary} and"
                f" {redo.path(folder, Kind.ASIDE)}, which hold what stays of it and the whole of it.",
            )
        if redo.replacement is None:
            _remove(log, temporary, redo)
        else:
            _replace(log, temporary, redo)
        sync_folder(folder)
    if inode_of(temporary) == redo.inode:
        temporary.unlink()
        sync_folder(folder)


def check_replacement(folder: Path, redo: Redo) -> None:
    """See that the new file is still what was written before the commit.

    Raises:
        StoreError: If it is not.
    """
    path = redo.path(folder, Kind.TEMPORARY)
    if redo.replacement is None:
        return
    if inode_of(path) is None:
        raise StoreError(
            f"{path} is gone: an interrupted removal cannot go on",
            hint="Nothing was touched, and the log is still whole. Look who removed the working file.",
        )
    with os.fdopen(open_log(path), "rb") as file:
        digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
    if digest != redo.replacement.digest:
        raise StoreError(
            f"{path} is not what was written before the commit: digest {digest[:12]},"
            f" the journal says {redo.replacement.digest[:12]}",
            hint="Nothing was touched. The log is still whole: look who changed the working file.",
        )


def _replace(log: Path, temporary: Path, redo: Redo) -> None:
    """Put the new file where the old one is; if the log was rotated at this very moment, nothing is lost."""
    if not exchange(temporary, log):
        temporary.rename(log)
    elif inode_of(temporary) != redo.inode:
        exchange(temporary, log)
        raise StoreError(f"{log} was replaced during the commit", hint="Run again: it goes on from here.")


def _remove(log: Path, temporary: Path, redo: Redo) -> None:
    log.rename(temporary)
    if inode_of(temporary) != redo.inode:
        temporary.rename(log)
        raise StoreError(f"{log} was replaced during the commit", hint="Run again: it goes on from here.")


def find_inode(folder: Path, name: str, inode: int) -> Path | None:
    """The log's path by its inode: under its own name, or the one that a rotation gave it since."""
    path = folder / name
    if inode_of(path) == inode:
        return path
    with os.scandir(folder) as entries:
        found = (e.name for e in entries if e.inode() == inode and not is_reserved(e.name))
        return next((folder / other for other in found), None)


def drain(folder: Path, redo: Redo, *, patience: float) -> bool:
    """Move what was written to the old file since the commit into the new one, then let the old one go.

    A writer that had the old file opened at the moment of the commit still writes to it. OSErrors are the
    caller's; running it again goes on where it stopped.

    Arguments:
        folder: Folder of the log.
        redo: Its journal.
        patience: Seconds to wait for such writers.

    Returns:
        Whether nothing is left. False while somebody still has the old file open for writing.
    """
    aside = redo.path(folder, Kind.ASIDE)
    if inode_of(aside) is None:
        return True
    old = open_log(aside, redo.inode)
    try:
        deadline = clock.monotonic() + patience
        while redo.late is not None and _is_left(folder, redo, old) and _is_overwritten(folder, redo):
            if clock.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        redo = settle_late(folder, redo, old)
        while not _drained(folder, redo := move_late(folder, redo, old), old):
            if clock.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        # One that was between finding the file and opening it has had its chance now; look once more.
        move_late(folder, redo, old)
        return True
    finally:
        os.close(old)


def _drained(folder: Path, redo: Redo, old: int) -> bool:
    """Take the old file's name away if nobody writes to it and all it holds is in the new one."""
    aside = redo.path(folder, Kind.ASIDE)
    with write_lease(old, aside) as writers:
        if writers is Writers.SOME or os.fstat(old).st_size > redo.consumed:
            return False
        if writers is Writers.NONE and is_awaited(old):
            return False
        aside.unlink()
        sync_folder(folder)
    return True


def move_late(folder: Path, redo: Redo, old: int, new: int | None = None) -> Redo:
    """Move what is there now: whole lines while somebody writes, everything once nobody does.

    Nothing is moved while somebody writes to the new file without appending, who would write over it.

    Arguments:
        folder: Folder of the log.
        redo: Its journal.
        old: The old file.
        new: The new file, open for appending by who has a write lease on it. None opens it.
    """
    while True:
        with write_lease(old, redo.path(folder, Kind.ASIDE)) as writers:
            chunk = _late_chunk(old, redo.consumed, cut=writers is Writers.SOME)
        if not chunk or (new is None and _is_overwritten(folder, redo)):
            return redo
        end = redo.consumed + len(chunk)
        redo = replace(redo, late=LateLines(start=redo.consumed, end=end, at=_size_of_log(folder, redo)))
        publish(folder, redo)
        redo = _append_late(folder, redo, chunk, new)


def _is_overwritten(folder: Path, redo: Redo) -> bool:
    """Whether somebody is seen who writes to the new file elsewhere than at its end."""
    try:
        return bool(look_at(_new_path(folder, redo)).elsewhere)
    except FileNotFoundError:
        return False


def _late_chunk(old: int, start: int, *, cut: bool) -> bytes:
    """The next late bytes: whole lines, or what there is if more than a block of one line or not *cut*."""
    chunk = os.pread(old, BLOCK, start)
    full = len(chunk) == BLOCK
    if encoding_of(old) is not Encoding.PLAIN:
        return b"" if cut and not full else chunk
    whole = chunk[: chunk.rfind(b"\n") + 1]
    return whole or (chunk if full else b"") if cut or full else chunk


def _append_late(folder: Path, redo: Redo, data: bytes, new: int | None = None) -> Redo:
    """Append the last bytes of the announced range to the new file. The journal has announced it."""
    assert redo.late is not None  # noqa: S101 - the caller has just set it
    target = _open_new(folder, redo) if new is None else os.dup(new)
    try:
        write_all(target, data)
        os.fsync(target)
    finally:
        os.close(target)
    return replace(redo, consumed=redo.late.end, late=None)


def settle_late(folder: Path, redo: Redo, old: int, new: int | None = None) -> Redo:
    """Find out how much of an announced move was done when it was interrupted, and do the rest.

    Bytes of other writers may stand before and after ours. A line of which only the beginning was written
    is written again as a whole, unless that beginning is the end of the file; blanks take the place of one that stands
    before somebody else's line. For the arguments see `move_late`.
    """
    if redo.late is None:
        return redo
    chunk, since = _of_late(folder, redo, old, new)
    done = _written(chunk, since)
    if done == len(chunk):
        return replace(redo, consumed=redo.late.end, late=None)
    place = fragment(chunk, done, since, redo.late.at) if encoding_of(old) is Encoding.PLAIN else None
    if place is not None:
        _clear(folder, redo, place, new)
    return _append_late(folder, redo, chunk[done:], new)


def _of_late(folder: Path, redo: Redo, old: int, new: int | None = None) -> tuple[bytes, bytes]:
    """The bytes of an announced move, and what stands in the new file where they are to be or later."""
    late = redo.late
    assert late is not None  # noqa: S101 - the callers have seen it
    chunk = os.pread(old, late.end - late.start, late.start)
    size = len(chunk) + _SEARCHED
    return chunk, _read_new(folder, redo, late.at, size) if new is None else os.pread(new, size, late.at)


def _is_left(folder: Path, redo: Redo, old: int) -> bool:
    """Whether something of an announced move is not in the new file yet."""
    chunk, since = _of_late(folder, redo, old)
    return _written(chunk, since) < len(chunk)


def _clear(folder: Path, redo: Redo, place: range, new: int | None) -> None:
    target = _open_new(folder, redo) if new is None else os.dup(new)
    try:
        blank_out(target, place)
    finally:
        os.close(target)


def _written(chunk: bytes, since: bytes) -> int:
    """How many bytes of *chunk* stand in *since*: whole lines from its beginning, and an unfinished last one."""
    if chunk in since:
        return len(chunk)
    ends = [0, *(found.end() for found in re.finditer(rb"\n", chunk))]
    # Whatever begins with more of the chunk also begins with less of it.
    lines = bisect_left(ends, True, key=lambda end: chunk[:end] not in since) - 1
    unfinished = since[since.rfind(b"\n") + 1 :]
    return ends[lines] + (len(unfinished) if chunk.startswith(unfinished, ends[lines]) else 0)


def _new_path(folder: Path, redo: Redo) -> Path:
    found = None if redo.replacement is None else find_inode(folder, redo.log, redo.replacement.inode)
    return found or folder / redo.log


def _size_of_log(folder: Path, redo: Redo) -> int:
    with contextlib.suppress(FileNotFoundError):
        return _new_path(folder, redo).lstat().st_size
    return 0


def _read_new(folder: Path, redo: Redo, start: int, size: int) -> bytes:
    try:
        descriptor = open_log(_new_path(folder, redo))
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, size, start)
    finally:
        os.close(descriptor)


def _open_new(folder: Path, redo: Redo) -> int:
    """The new file, for appending; made anew with the log's owner and mode if the log was removed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    path = _new_path(folder, redo)
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o600)
        with contextlib.suppress(PermissionError):  # without the right to give files away, it is ours
            os.fchown(descriptor, redo.uid, redo.gid)
        os.fchmod(descriptor, redo.mode)
        sync_folder(folder)
        return descriptor
