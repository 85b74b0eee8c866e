"""Many byte strings in, the SHA-256 of each out: hashed in one call, because most of them are short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import stringzilla

CHUNK = 4096
"""How many are hashed at once at most; what that needs besides them is about 200 bytes each."""

_PIECE = 256 * 1024


def digests(entries: Any, prefix: bytes = b"") -> list[bytes]:
    """SHA-256 over *prefix* and the entry, for each of *entries*: a list of bytes, or what the functions below yield.

    Other threads can work meanwhile.
    """
    if not len(entries):
        return []
    lanes = stringzilla.Sha256s(len(entries))
    if prefix:
        lanes.update([prefix] * len(entries))
    found: list[bytes] = lanes.update(entries).digest()
    return found


def array_chunks(array: Any) -> Iterator[Any]:
    """The binaries of an Arrow array, none of them null, in chunks that may be hashed at once."""
    entries = array.to_pylist() if array.offset else stringzilla.Strs(array)  # which would overlook the offset
    for start in range(0, len(entries), CHUNK):
        yield entries[start : min(start + CHUNK, len(entries))]


def line_chunks(data: bytes) -> Iterator[Any]:
    """The lines in *data*, none of them copied, in chunks that may be hashed at once; only a line feed ends a line."""
    view, start = memoryview(data), 0
    while start < len(data):
        end = _line_end(data, start)
        lines = stringzilla.split(view[start:end], b"\n", keepseparator=True)
        count = len(lines) - (data[end - 1 : end] == b"\n")  # behind the last line end it finds an empty line
        for first in range(0, count, CHUNK):
            yield lines[first : min(first + CHUNK, count)]
        start = end


def _line_end(data: bytes, start: int) -> int:
    """Where a line ends, not much more than a piece behind *start* if that can be."""
    return data.rfind(b"\n", start, start + _PIECE) + 1 or data.find(b"\n", start + _PIECE) + 1 or len(data)
