"""Blocks of bytes in, pieces of whole lines out, and what is no whole line by itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lapse.stores.jsonl import codec, lines
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.trouble import translated

_BLOCKS = 2
"""What is read at once into memory that is used again; more lines at a time cost less for each."""


class Piece(NamedTuple):
    """Bytes of a log that belong together.

    Attributes:
        data: The bytes; of a view it is said how long it stays valid.
        shape: `Shape.WHOLE` for one or more lines; else what part of a line it is, as `lines.lines` tells it.
    """

    data: bytes | memoryview
    shape: Shape


def pieces(blocks: Iterable[bytes]) -> Iterator[Piece]:
    """Cut *blocks* at line ends; put together, the pieces are the blocks again, their lines those of `lines.lines`.

    A line that begins in an earlier block is a piece of its own, so that a long one is held no more often than needed.
    """
    waiting: list[bytes] = []
    size = 0
    long = False
    for block in blocks:
        start = 0
        if waiting or long:
            start = block.find(b"\n") + 1 or len(block)
            waiting.append(block[:start])
            size += start
            ended = block[start - 1 : start] == b"\n"
            if long or size > lines.LONGEST:
                yield from _too_long(waiting, begun=long)
                size, long = 0, not ended
            elif ended:
                yield Piece(_taken(waiting), Shape.WHOLE)
                size = 0
        last = block.rfind(b"\n", start) + 1
        if last:
            yield from _ended(block[start:last])
            start = last
        if start < len(block):
            waiting.append(block[start:])
            size += len(block) - start
            if size > lines.LONGEST:
                yield from _too_long(waiting, begun=False)
                size, long = 0, True
    if waiting:
        yield Piece(_taken(waiting), Shape.TORN)


def _taken(waiting: list[bytes]) -> bytes:
    data = b"".join(waiting)
    waiting.clear()
    return data


def _too_long(waiting: list[bytes], *, begun: bool) -> Iterator[Piece]:
    """What waits as pieces of a line that is too long, and may have *begun* before."""
    for number, data in enumerate(waiting):
        yield Piece(data, Shape.LONG_REST if begun or number else Shape.LONG)
    waiting.clear()


def file_pieces(descriptor: int, path: Path, start: int, end: int) -> Iterator[Piece]:
    """The pieces of a plain file from *start*, where a line begins, to before *end*, or to where it ends by now.

    Those of whole lines are views that are valid until the next one is asked for: all are read into the same memory.

    Raises:
        StoreError: If it cannot be read.
    """
    room = bytearray(_BLOCKS * codec.BLOCK)
    view = memoryview(room)
    kept = 0
    while start + kept < end and len(room) <= lines.LONGEST:
        with translated("read it", path):
            got = os.preadv(descriptor, [view[kept : kept + end - start - kept]], start + kept)
        last = room.rfind(b"\n", kept, kept + got) + 1
        if not last:
            break  # a line that is longer than a block, or the last one
        yield Piece(view[:last], Shape.WHOLE)
        start, kept = start + last, kept + got - last
        room[:kept] = room[last : last + kept]
    yield from pieces(plain_blocks(descriptor, path, start, end))


def plain_blocks(descriptor: int, path: Path, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a file from *start* to before *end*, or to where it ends by now.

    Raises:
        StoreError: If it cannot be read.
    """
    while start < end:
        with translated("read it", path):
            block = os.pread(descriptor, min(codec.BLOCK, end - start), start)
        if not block:
            return
        yield block
        start += len(block)


def _ended(data: bytes) -> Iterator[Piece]:
    """Whole lines, those that are too long apart."""
    start = begin = 0
    while len(data) - start > lines.LONGEST and begin < len(data):
        end = data.index(b"\n", begin) + 1
        if end - begin > lines.LONGEST:
            if begin > start:
                yield Piece(data[start:begin], Shape.WHOLE)
            yield Piece(data[begin:end], Shape.LONG)
            start = end
        begin = end
    if start < len(data):
        yield Piece(data[start:], Shape.WHOLE)
