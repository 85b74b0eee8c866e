"""What is remembered of a block of lines: enough to count it without reading it, as long as no cutoff is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import stringzilla as sz

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.judging import Values
from lapse.stores.jsonl.manysums import ManySums, Sums
from lapse.stores.jsonl.summing import Sum

_MOST_GROUPS = 256
_FITS = 2**63


class GroupSum(msgspec.Struct, array_like=True):
    """The lines of a block with the same values of the fields that decide.

    Attributes:
        values: Those values; an empty list stands for what equals nothing.
        records: How many lines.
        size: Their bytes.
        oldest: Earliest time. None if they have none that can be read.
        newest: Latest time.
        checksum: Sum of their numbers, modulo `CHECKSUM_MODULUS`.
    """

    values: list[str | int | bool | list[None] | None]
    records: int
    size: int
    oldest: int | None
    newest: int | None
    checksum: int


class BlockSum(msgspec.Struct, array_like=True):
    """Whole lines that follow on each other.

    Attributes:
        start: Offset of the first in the content of the file.
        size: Bytes.
        lines: How many there are; 0 if only their bytes are known.
        groups: All of them, by their values. None if there are too many different ones, or only their bytes are known.
        doubts: Lines that could not be judged: the name of the kind, how many, and the first of them, from 0.
        hashed: The hash of all their bytes, by which they are recognised. None if they were not read as one block.
    """

    start: int
    size: int
    lines: int
    groups: list[GroupSum] | None
    doubts: list[tuple[str, int, int]]
    hashed: int | None = None

    @property
    def end(self) -> int:
        """Offset behind the last line."""
        return self.start + self.size

    def sums(self, timeline: Timeline) -> list[Sum] | None:
        """The lines by outcome. None if that takes a look at them: there are too many, or a cutoff is among them."""
        if self.groups is None:
            return None
        found = [_sum(group, timeline) for group in self.groups]
        known = [item for item in found if item is not None]
        return known if len(known) == len(found) else None

    def joined(self, other: BlockSum) -> BlockSum:
        """This block with the one behind it."""
        builder = BlockBuilder(self.start)
        for block in (self, other):
            builder.join(block)
        return builder.built()


def values_of(group: GroupSum) -> Values:
    """The values that the lines of a group have in common, as `Judge.values` tells them."""
    return tuple(() if isinstance(value, list) else value for value in group.values)


def _sum(group: GroupSum, timeline: Timeline) -> Sum | None:
    values = values_of(group)
    found = timeline.group(values)
    if group.oldest is None or group.newest is None:
        return Sum(timeline.untimed, found.tenant, values, group.records, group.size, None, None, 0)
    codes = timeline.codes(found, group.oldest, group.newest)
    if len(codes) > 1:
        return None
    oldest, newest = Nanos(group.oldest), Nanos(group.newest)
    return Sum(next(iter(codes)), found.tenant, values, group.records, group.size, oldest, newest, group.checksum)


class Block(msgspec.Struct, array_like=True, frozen=True):
    """A block as one selection sees it.

    Attributes:
        sums: The block.
        sizes: Bytes of its lines by where they go.
    """

    sums: BlockSum
    sizes: Mapping[int, int]

    def without(self, goal: int | None, timeline: Timeline) -> BlockSum:
        """What is left of it without the lines that go there; still where it was.

        Where it cannot be told which lines these are, it is only said how many bytes they have: without its place
        nobody would know where the blocks in front of it are now.
        """
        gone = 0 if goal is None else self.sizes.get(goal, 0)
        if not gone:
            return self.sums
        groups, known = self.sums.groups, self.sums.sums(timeline)
        if groups is None or known is None or self.sums.doubts:
            return BlockSum(self.sums.start, self.sums.size - gone, 0, None, [])
        left = [group for group, found in zip(groups, known, strict=True) if timeline.goals[found.code] != goal]
        records = sum(group.records for group in left)
        return BlockSum(self.sums.start, self.sums.size - gone, records, left, [])


class BlockBuilder:
    """Adds lines up, as they come, into a block."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.size = 0
        self._lines = 0
        self._groups: dict[tuple[object, ...], GroupSum] | None = {}
        self._doubts: dict[str, tuple[int, int]] = {}
        self._hasher: sz.Hasher | None = sz.Hasher()

    def add(self, data: bytes | memoryview, sums: Sums, doubts: Iterable[tuple[int, Doubtful]], *, lines: int) -> None:
        """Take in the next lines."""
        if self._hasher is not None:
            self._hasher.update(data)
        if isinstance(sums, ManySums) and sums.distinct > _MOST_GROUPS:
            self._groups = None
        if self._groups is not None:
            for item in sums:
                self._merge(_remembered(item))
        for number, kind in doubts:
            self._doubt(kind.name, 1, self._lines + number)
        self.size += len(data)
        self._lines += lines

    def join(self, block: BlockSum) -> None:
        """Take in the next lines, added up."""
        self._hasher = None
        for group in block.groups if block.groups is not None else (None,):
            self._merge(group)
        for kind, count, first in block.doubts:
            self._doubt(kind, count, self._lines + first)
        self.size += block.size
        self._lines += block.lines

    def built(self) -> BlockSum:
        """The block."""
        groups = None if self._groups is None else list(self._groups.values())
        doubts = [(kind, count, first) for kind, (count, first) in self._doubts.items()]
        hashed = None if self._hasher is None else self._hasher.digest()
        return BlockSum(self._start, self.size, self._lines, groups, doubts, hashed)

    def _merge(self, group: GroupSum | None) -> None:
        """Add a group to those that are there; None is one that cannot be remembered."""
        if self._groups is None or group is None:
            self._groups = None
            return
        key = (group.oldest is None, *map(_key, group.values))
        found = self._groups.get(key)
        if found is None:
            self._groups[key] = msgspec.structs.replace(group)
        else:
            _add(found, group)
        if len(self._groups) > _MOST_GROUPS:
            self._groups = None

    def _doubt(self, kind: str, count: int, first: int) -> None:
        before, earliest = self._doubts.get(kind, (0, first))
        self._doubts[kind] = (before + count, earliest)


def _remembered(item: Sum) -> GroupSum | None:
    """The form in which a sum is remembered. None if it holds a number of more than 64 bits."""
    numbers = [number for number in (*item.values, item.oldest, item.newest) if isinstance(number, int)]
    if any(not -_FITS <= number < _FITS for number in numbers):
        return None
    return GroupSum(
        values=[[] if isinstance(value, tuple) else value for value in item.values],
        records=item.records,
        size=item.size,
        oldest=item.oldest,
        newest=item.newest,
        checksum=item.checksum % CHECKSUM_MODULUS,
    )


def _key(value: object) -> object:
    return () if isinstance(value, list) else (type(value), value)


def _add(found: GroupSum, more: GroupSum) -> None:
    found.records += more.records
    found.size += more.size
    found.checksum = (found.checksum + more.checksum) % CHECKSUM_MODULUS
    if found.oldest is not None and more.oldest is not None:
        found.oldest = min(found.oldest, more.oldest)
    if found.newest is not None and more.newest is not None:
        found.newest = max(found.newest, more.newest)
