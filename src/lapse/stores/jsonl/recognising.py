"""Blocks of a log file that were judged before, recognised by their bytes: those need not be judged again.

The index never decides alone: each block is read, and only if it is byte for byte what it was is it what it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import stringzilla as sz

from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import BlockSum
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.fileindex import begins_a_line
from lapse.stores.jsonl.parting import Parted, Run
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.summing import Sum
from lapse.stores.jsonl.trouble import translated

_MOST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A block that is remembered, all lines of which go or all of which stay.

    Attributes:
        block: The block.
        sums: Its lines added up, if they go; nothing if they stay.
    """

    block: BlockSum
    sums: Sequence[Sum]


class OneFate:
    """Those of some remembered blocks whose lines all go or all stay; each is told anew when it is asked for.

    Attributes:
        size: Their bytes.
        largest: Bytes of the largest of them.
    """

    def __init__(self, blocks: BlockList, timeline: Timeline, *, going: AbstractSet[int]) -> None:
        """Tell which they are; *going* are the outcomes of lines that go."""
        self._blocks, self._timeline, self._going = blocks, timeline, going
        self.size = self.largest = 0
        for each in self:
            self.size += each.block.size
            self.largest = max(self.largest, each.block.size)

    def __iter__(self) -> Iterator[Known]:
        for block in self._blocks.sums():
            if block.size <= _MOST and (sums := _fate(block, self._timeline, self._going)) is not None:
                yield Known(block, sums)


def recognised(descriptor: int, extent: Extent, known: OneFate, *, lasting: bool) -> Iterator[Parted]:
    """Those of some blocks of an open plain file that are as they were, in order; each goes or stays as a whole.

    Arguments:
        descriptor: The file, open for reading.
        extent: Its judged beginning.
        known: The blocks.
        lasting: Whether their data stays valid. If not, all are read into the same memory.

    Raises:
        StoreError: If it cannot be read.
    """
    room = memoryview(bytearray(0 if lasting else known.largest))
    for block, sums in ((each.block, each.sums) for each in known):
        with translated("read it", extent.path):
            data = (
                os.pread(descriptor, block.size, block.start)
                if lasting
                else room[: os.preadv(descriptor, [room[: block.size]], block.start)]
            )
            is_same = sz.hash(data) == block.hashed and begins_a_line(descriptor, block.start)
        if is_same and block.end <= extent.size:
            going = [Run(0, block.size, block.lines)] if sums else ()
            yield Parted(block.start, data, going, sums)


def _fate(block: BlockSum, timeline: Timeline, going: AbstractSet[int]) -> Sequence[Sum] | None:
    """The lines of a block if all of them go, nothing if all stay; None if that differs, or cannot be told."""
    sums = None if block.hashed is None else block.sums(timeline)
    if sums is None:
        return None
    gone = [item for item in sums if item.code in going]
    return gone if len(gone) in (0, len(sums)) else None
