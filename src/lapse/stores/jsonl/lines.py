"""Blocks of bytes in, lines out. A line ends with ``\\n`` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

LONGEST = 8 * 1024 * 1024
"""Bytes of the longest line that is judged; longer ones pass in pieces, so that memory is bounded."""


class Shape(Enum):
    """What part of a line some bytes are."""

    WHOLE = "whole"
    TORN = "torn"
    LONG = "long"
    LONG_REST = "rest of a long line"


class Line(NamedTuple):
    """Bytes of one line.

    Attributes:
        data: The bytes, with the line end if they have one.
        shape: What part of the line they are: all of it; the last line, which has no end; the first piece
            of a line over `LONGEST`, or one of its further pieces.
    """

    data: bytes
    shape: Shape


def lines(blocks: Iterable[bytes]) -> Iterator[Line]:
    """Cut *blocks* into lines; put together, the pieces are the blocks again."""
    pending: list[bytes] = []
    size = 0
    long = False
    for block in blocks:
        start = 0
        while (end := block.find(b"\n", start) + 1) > 0:
            piece = block[start:end]
            start = end
            if pending:
                piece = b"".join([*pending, piece])
                pending.clear()
                size = 0
            yield Line(piece, _ended(piece, long))
            long = False
        if start < len(block):
            pending.append(block[start:])
            size += len(block) - start
        if size > LONGEST:
            yield Line(b"".join(pending), Shape.LONG_REST if long else Shape.LONG)
            pending.clear()
            size, long = 0, True
    if pending:
        yield Line(b"".join(pending), Shape.LONG_REST if long else Shape.TORN)


def _ended(piece: bytes, long: bool) -> Shape:
    if long:
        return Shape.LONG_REST
    return Shape.WHOLE if len(piece) <= LONGEST else Shape.LONG
