"""The beginning of a line that a killed run left in a log, right before the line of somebody who appended since.

A kill cuts a large write short where a page ends. What was written of a late line then stands in the new file, and
who appends next puts a line of its own behind it: two lines on one, neither of which can be read.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import msgspec

from lapse.stores.jsonl.disk import write_at
from lapse.stores.jsonl.inplace import BLANK

_PAGE = 4096


class _Text(Enum):
    """What some bytes are."""

    OBJECT = "a whole object"
    CUT = "the beginning of one"
    OTHER = "neither"


def fragment(chunk: bytes, done: int, since: bytes, at: int) -> range | None:
    """Where in the file such a beginning stands. None if none does for certain.

    It must follow on the whole lines that were written with it, be the same as the line that was to come, end where a
    page does, and have a line behind it. Nobody's line looks like that.

    Arguments:
        chunk: The late lines that were being written.
        done: How much of them is there, all whole lines.
        since: What stands in the file.
        at: Where in the file that begins.
    """
    if done and chunk[done - 1 : done] != b"\n":
        return None  # it is the end of the file, and is continued there
    late = chunk[done : chunk.find(b"\n", done) + 1 or len(chunk)]
    for end in range(-at % _PAGE, len(since), _PAGE):
        start = since.rfind(b"\n", 0, end) + 1
        same = 0 < end - start < len(late) and late.startswith(since[start:end])
        if same and since.endswith(chunk[:done], 0, start) and _stands_before_a_line(since, start, end):
            return range(at + start, at + end)
    return None


def _stands_before_a_line(since: bytes, start: int, end: int) -> bool:
    """Whether somebody else's line begins at *end*, in the middle of the one at *start*, and not a value inside it."""
    stop = since.find(b"\n", end)
    if stop >= 0:
        return _how(since[end:stop]) is _Text.OBJECT
    # It is still being written: a line that is merely not ended would look the same but for its beginning.
    return _how(since[end:]) is not _Text.OTHER and _how(since[start:]) is _Text.OTHER


def _how(text: bytes) -> _Text:
    try:
        return _Text.OBJECT if isinstance(msgspec.json.decode(text), dict) else _Text.OTHER
    except msgspec.DecodeError as error:
        is_cut = text.startswith(b"{") and "truncated" in str(error)
        return _Text.CUT if is_cut else _Text.OTHER
    except (UnicodeDecodeError, RecursionError):
        return _Text.OTHER


def blank_out(descriptor: int, place: range) -> None:
    """Put blanks in its place, which readers of JSON skip, whoever appends meanwhile. OSErrors are the caller's.

    Arguments:
        descriptor: The file, open for writing, be it for appending.
        place: Where it stands.
    """
    with _not_appending(descriptor):
        write_at(descriptor, BLANK * len(place), place.start)
    os.fsync(descriptor)


@contextmanager
def _not_appending(descriptor: int) -> Iterator[None]:
    """What is written to a place is written there, and not at the end."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_APPEND)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
