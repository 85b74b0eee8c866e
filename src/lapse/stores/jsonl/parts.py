"""What was found in a file, or in a part of it: few values, whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import BlockSum
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.judgement import Judgement
from lapse.stores.jsonl.manysums import Sums
from lapse.stores.jsonl.scanning import Counts, Doubts, Extent
from lapse.stores.jsonl.sizing import Goals, Sizes, add_sizes
from lapse.stores.jsonl.summing import Sum

_NOTHING: Sizes = {}


@dataclass(slots=True)
class FilePart:
    """What was found in a file, or in a part of it.

    Attributes:
        file: The how-manieth file of the survey it is, from 0.
        begin: Where in the content of the file it begins.
        lines: How many lines begin in it.
        sizes: Where its lines go, with the bytes of these lines; 0 where they were not counted.
        doubts: Lines that could not be judged: how many, and the first of them, from 0, by kind.
        blocks: Sums of its blocks, in order, as far as they are to be remembered.
    """

    file: int
    begin: int
    lines: int = 0
    sizes: dict[int, int] = field(default_factory=dict)
    doubts: dict[Doubtful, tuple[int, int]] = field(default_factory=dict)
    blocks: BlockList = field(default_factory=BlockList)

    def add(self, judgement: Judgement, sums: Iterable[Sums], goals: Goals, counts: Counts) -> None:
        """Take in the next lines, with their sums, some at a time."""
        for some in sums:
            counts.add_sums(some)
            add_sizes(self.sizes, some, goals)
        for number, kind in judgement.doubts():
            self.doubt(kind, self.lines + number)
        self.lines += judgement.records

    def add_block(self, block: BlockSum, sums: Sequence[Sum], goals: Goals, counts: Counts) -> None:
        """Take in the next lines, of which the sums are remembered."""
        counts.add_sums(sums)
        add_sizes(self.sizes, sums, goals)
        for name, count, first in block.doubts:
            self.doubt(Doubtful[name], self.lines + first, count=count)
        self.lines += block.lines

    def doubt(self, kind: Doubtful, line: int, *, count: int = 1) -> None:
        """Count lines that could not be judged, the first of which is that one."""
        before, first = self.doubts.get(kind, (0, line))
        self.doubts[kind] = (before + count, first)


def share(parts: Iterable[FilePart]) -> None:
    """Let complete parts have what is equal in them in common: of very many files each has little of its own then."""
    sizes: dict[tuple[tuple[int, int], ...], dict[int, int]] = {}
    doubts: dict[Doubtful, tuple[int, int]] = {}
    blocks = BlockList()
    for part in parts:
        part.sizes = sizes.setdefault(tuple(part.sizes.items()), part.sizes)
        part.doubts, part.blocks = part.doubts or doubts, part.blocks or blocks


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in some files.

    Attributes:
        counts: Every line, by outcome and tenant.
        doubts: Lines that could not be judged.
        sizes: For each file, in order, where its lines go, with the bytes of these lines; 0 where they were not
            counted.
    """

    counts: Counts
    doubts: Doubts
    sizes: tuple[Sizes, ...]


def put_together(extents: Sequence[Extent], counts: Counts, parts: Iterable[FilePart]) -> Survey:
    """A survey from the parts of its files."""
    doubts = Doubts()
    sizes: list[Sizes] = [_NOTHING] * len(extents)
    ordered = sorted(parts, key=lambda part: (part.file, part.begin))
    for file, found in groupby(ordered, key=lambda part: part.file):
        lines = 0
        for part in found:
            sizes[file] = _added(sizes[file], part.sizes)
            for kind, (count, first) in part.doubts.items():
                doubts.add(kind, extents[file].path, lines + first + 1, count=count)
            lines += part.lines
    return Survey(counts, doubts, tuple(sizes))


def _added(one: Sizes, other: Sizes) -> Sizes:
    if not one:
        return other
    return {goal: one.get(goal, 0) + other.get(goal, 0) for goal in {**one, **other}}
