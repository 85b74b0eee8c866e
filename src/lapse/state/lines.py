"""Files of lines that only grow: whole lines appended durably, and what a killed writer left is cut off."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapse.state.files import fsync_folder, open_for_reading, translated, write_all
from lapse.state.locks import open_locked

_BLOCK = 64 * 1024


@contextmanager
def open_append(path: Path) -> Iterator[int]:
    """A locked descriptor for adding whole lines to *path*, made 0600 and durable where it is missing.

    Waits for whoever has the lock. The lock ends with the block.

    Raises:
        StateError: If it cannot be opened.
    """
    with translated("open", path):
        descriptor = open_locked(path, fcntl.LOCK_EX, flags=os.O_APPEND)
    try:
        with translated("open", path):
            if os.fstat(descriptor).st_size == 0:
                fsync_folder(path.parent)
        yield descriptor
    finally:
        os.close(descriptor)


def append_lines(descriptor: int, lines: bytes, *, path: Path) -> None:
    """Add *lines* at the end and make them last; if that fails the file is as long as before.

    Raises:
        StateError: If they cannot be written.
    """
    with translated("write", path):
        length = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, lines)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, length)
            raise


def cut_unfinished_line(descriptor: int, *, path: Path) -> int:
    """Remove what stands behind the last line end, which a writer that was killed has left.

    Returns:
        How many bytes were removed.

    Raises:
        StateError: If the file cannot be read or cut.
    """
    with translated("repair", path):
        length = os.fstat(descriptor).st_size
        end = _end_of_lines(descriptor)
        if end < length:
            os.ftruncate(descriptor, end)
        return length - end


def whole_lines(path: Path) -> Iterator[bytes]:
    """Every line of *path* that has its end, without it; none if there is no file.

    Raises:
        StateError: If it cannot be read.
    """
    with translated("read", path):
        try:
            descriptor = open_for_reading(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


def unfinished_bytes(path: Path) -> int:
    """How many bytes stand behind the last line end of *path*; 0 if there is no file.

    Raises:
        StateError: If it cannot be read.
    """
    with translated("read", path):
        try:
            descriptor = open_for_reading(path)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        try:
            return os.fstat(descriptor).st_size - _end_of_lines(descriptor)
        finally:
            os.close(descriptor)


def _end_of_lines(descriptor: int) -> int:
    """Offset behind the last line end; 0 if there is none. OSErrors are the caller's."""
    return _find_line_end(descriptor, before=os.fstat(descriptor).st_size)


def last_line(descriptor: int) -> bytes | None:
    """The last whole line without its end, read from the end of the file; None if there is none."""
    end = _end_of_lines(descriptor)
    if end == 0:
        return None
    begin = _find_line_end(descriptor, before=end - 1)
    return os.pread(descriptor, end - 1 - begin, begin)


def _find_line_end(descriptor: int, *, before: int) -> int:
    """Offset behind the last line end among the first *before* bytes; 0 if there is none."""
    position = before
    while position > 0:
        begin = max(0, position - _BLOCK)
        found = os.pread(descriptor, position - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        position = begin
    return 0
