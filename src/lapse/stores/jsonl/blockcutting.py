"""Judged lines in, sums of blocks of them out, while a file is read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import Block, BlockBuilder
from lapse.stores.jsonl.judgement import Judgement
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.manysums import Sums
from lapse.stores.jsonl.sizing import Goals, add_sizes


class BlockCutter:
    """Cuts a file into blocks of whole lines; what has no line end is in none of them."""

    def __init__(self, start: int, size: int, goals: Goals) -> None:
        """Blocks of about *size* bytes, the first of which begins at offset *start*; *goals* tell where lines go."""
        self._size = size
        self._goals = goals
        self._builder = BlockBuilder(start)
        self._ended = True
        self._blocks = BlockList()
        self._sizes: dict[int, int] = {}

    def add(self, judgement: Judgement, shape: Shape) -> Iterator[Sums]:
        """Take in the next lines, and give back their sums, some at a time."""
        if shape in (Shape.TORN, Shape.LONG):
            self._close()  # what comes now may have no end
        self._ended = bytes(judgement.data[-1:]) == b"\n"
        doubts = list(judgement.doubts())
        first = start = 0
        while first < len(judgement.ends):
            last = self._upto(judgement.ends, start)
            end = int(judgement.ends[last - 1])
            sums = judgement.sums(first, last)
            self._builder.add(
                judgement.data[start:end],
                sums,
                [(number - first, kind) for number, kind in doubts if first <= number < last],
                lines=last - first if shape is Shape.WHOLE else judgement.records,
            )
            add_sizes(self._sizes, sums, self._goals)
            yield sums
            if self._ended and (self._builder.size >= self._size or shape is not Shape.WHOLE):
                self._close()
            first, start = last, end

    def blocks(self) -> BlockList:
        """The blocks of everything so far that has a line end."""
        if self._ended:
            self._close()
        return self._blocks

    def _upto(self, ends: Sequence[int], start: int) -> int:
        """The number of the line behind the one with which the block is full."""
        room = max(1, self._size - self._builder.size)
        return min(bisect_left(ends, start + room) + 1, len(ends))

    def _close(self) -> None:
        if self._builder.size:
            built = self._builder.built()
            self._blocks.append(Block(built, self._sizes))
            self._builder, self._sizes = BlockBuilder(built.end), {}
