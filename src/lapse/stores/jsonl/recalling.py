"""What is remembered of files in, what it still tells for certain out, and which of their bytes are to be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import Block, BlockSum
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.fileindex import SMALLEST, FileSums
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.parts import FilePart
from lapse.stores.jsonl.scanning import Counts, Extent, opened
from lapse.stores.jsonl.sizing import add_sizes
from lapse.stores.jsonl.summing import Sum


@dataclass(frozen=True, slots=True)
class Range:
    """A file, or some whole lines of one.

    Attributes:
        file: The how-manieth file of the survey it is.
        begin: Where its first line begins.
        end: Where its last line ends, or the file does.
    """

    file: int
    begin: int
    end: int


class Recall:
    """Some files, told apart into what is known of them and what must be read."""

    def __init__(self, timeline: Timeline, counts: Counts) -> None:
        """Nothing yet; what becomes known is added to *counts*."""
        self._timeline = timeline
        self._counts = counts
        self.known: list[FilePart] = []
        self.unread: list[Range] = []

    def add(self, file: int, extent: Extent, memory: Memory | None) -> None:
        """Take in a file.

        Raises:
            StoreError: If it cannot be read.
        """
        sums = None
        if memory is not None and extent.size >= SMALLEST:
            with opened(extent) as descriptor:
                sums = memory.sums_of(descriptor, extent)
        if sums is None:
            self.unread.append(Range(file, 0, extent.size))
        elif sums.mtime_ns is None:
            self._add_blocks(file, extent, sums)
        else:
            self._add_whole(file, extent, sums)

    def _add_whole(self, file: int, extent: Extent, sums: FileSums) -> None:
        """A compressed file is known as a whole, or not at all."""
        known = [(block, block.sums(self._timeline)) for block in sums.blocks]
        if any(found is None for _, found in known):
            self.unread.append(Range(file, 0, extent.size))
            return
        for block, found in known:
            self._count(file, block, found or [])

    def _add_blocks(self, file: int, extent: Extent, sums: FileSums) -> None:
        end = 0
        for block in sums.blocks:
            found = block.sums(self._timeline)
            if found is None:
                continue
            self._read(file, end, block.start)
            self._count(file, block, found)
            end = block.end
        self._read(file, end, extent.size)

    def _read(self, file: int, begin: int, end: int) -> None:
        if begin < end:
            self.unread.append(Range(file, begin, end))

    def _count(self, file: int, block: BlockSum, sums: Sequence[Sum]) -> None:
        if not (self.known and self.known[-1].file == file and self.known[-1].blocks.end == block.start):
            self.known.append(FilePart(file, block.start))
        part, goals, sizes = self.known[-1], self._timeline.goals, dict[int, int]()
        add_sizes(sizes, sums, goals)
        part.add_block(block, sums, goals, self._counts)
        part.blocks.append(Block(block, sizes))


def learn(memory: Memory, extents: Sequence[Extent], parts: Iterable[FilePart]) -> None:
    """Let *memory* remember files by their parts.

    Raises:
        StoreError: If one cannot be read.
    """
    ordered = sorted(parts, key=lambda part: (part.file, part.begin))
    for file, found in groupby(ordered, key=lambda part: part.file):
        whole = list(found)
        blocks = BlockList()
        for part in whole:
            blocks.extend(part.blocks)
        complete = sum(block.lines for block in blocks.sums()) == sum(part.lines for part in whole)
        if extents[file].size >= SMALLEST:
            memory.learn(extents[file], blocks, complete=complete)
