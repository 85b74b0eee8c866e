"""Log files in, from when on the newest lines of each group stay out; what the index of the files tells is not read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

from lapse.instant import Nanos
from lapse.model.newest import Gathering, Group, Newest, rules_with_newest
from lapse.model.selection import Selection
from lapse.stores.jsonl.blocksums import BlockSum, GroupSum, values_of
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.disk import blanks_at_head
from lapse.stores.jsonl.fileindex import SMALLEST, FileSums
from lapse.stores.jsonl.filescan import pieces_of
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.recalling import Range
from lapse.stores.jsonl.scanning import Extent, opened
from lapse.stores.jsonl.surveying import tasks_of
from lapse.stores.jsonl.trouble import translated
from lapse.stores.jsonl.workers import processors, spread

MOST_TIMES = 500_000
"""Times of newest lines that are kept apart at once at most, about 200 MB: so many groups, times lines of each."""

_TASKS = 4
"""Pieces of work for each processor at most: a process holds what it found in each of its own until all are done."""


_Times = Mapping[Group, Sequence[Nanos]]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A block of lines that holds times which nobody remembers, of some groups.

    Attributes:
        place: Where it is.
        latest: The latest time it has, of each of those groups.
    """

    place: Range
    latest: Mapping[Group, Nanos]


@dataclass(slots=True)
class _Known:
    """What the index tells of the members in some blocks.

    Attributes:
        times: Times of members, with how many have each.
        pending: Blocks that may have to be read.
        unread: What has to be read, and was not counted at all.
    """

    times: list[tuple[Group, Nanos, int]] = field(default_factory=list)
    pending: list[_Pending] = field(default_factory=list)
    unread: list[Range] = field(default_factory=list)

    def add(self, other: _Known) -> None:
        """Take in what the index tells of further blocks."""
        self.times += other.times
        self.pending += other.pending
        self.unread += other.unread


def newest_of(extents: Sequence[Extent], selection: Selection, memory: Memory | None = None) -> Newest:
    """From when on the newest lines of each group stay, over all of some files.

    Arguments:
        extents: The files.
        selection: What decides.
        memory: What is remembered of the files. None reads everything.

    Raises:
        StoreError: If a file cannot be read, or no line has the field that tells groups apart.
        UnsupportedError: If there are more groups than can be told apart at once.
    """
    if not rules_with_newest(selection):
        return Newest()
    judge = Judge(selection)
    timeline = Timeline(judge)
    gathering = Gathering(selection, most=MOST_TIMES)
    recall = _Recall(timeline, gathering)
    for number, extent in enumerate(extents):
        recall.add(number, extent, memory)
    known = recall.known
    for group, instant, count in known.times:
        gathering.add_all(group, instant, count)
    _gather(gathering, known.unread, extents, judge)
    for pending in sorted(known.pending, key=lambda each: max(each.latest.values()), reverse=True):
        wanted = {group for group, latest in pending.latest.items() if not gathering.is_settled(group, latest)}
        if wanted:
            _gather(gathering, [pending.place], extents, judge, wanted)
    gathering.check_names()
    return gathering.newest()


class _Recall:
    """Some files, told apart into what is known of their members and what must be read."""

    def __init__(self, timeline: Timeline, gathering: Gathering) -> None:
        self.known = _Known()
        self._timeline = timeline
        self._gathering = gathering

    def add(self, number: int, extent: Extent, memory: Memory | None) -> None:
        """Take in a file.

        Raises:
            StoreError: If it cannot be read.
        """
        sums = None
        if memory is not None and extent.size >= SMALLEST:
            with opened(extent) as descriptor:
                sums = memory.sums_of(descriptor, extent)
        known = _Known()
        if sums is not None:
            self._add_blocks(known, number, extent, sums)
        if sums is None or (sums.mtime_ns is not None and (known.pending or known.unread)):
            # A compressed file is read as a whole, or not at all.
            known = _Known(unread=[Range(number, 0, extent.size)])
        self.known.add(known)

    def _add_blocks(self, known: _Known, number: int, extent: Extent, sums: FileSums) -> None:
        end = 0
        for block in sums.blocks:
            place = Range(number, block.start, block.end)
            if end < block.start:
                known.unread.append(Range(number, end, block.start))
            if not self._add_block(known, place, block):
                known.unread.append(place)
            end = block.end
        if sums.mtime_ns is None and end < extent.size:
            known.unread.append(Range(number, end, extent.size))

    def _add_block(self, known: _Known, place: Range, block: BlockSum) -> bool:
        """Take in what is remembered of a block. False if it has to be read."""
        members = self._members(block)
        if members is None:
            return False
        latest: dict[Group, Nanos] = {}
        for group, items in members.items():
            told = [self._told(group, item) for item in items]
            if None in told:
                latest[group] = Nanos(max(item.newest or 0 for item in items))
            else:
                pairs = zip(told, items, strict=True)
                known.times += [(group, each, item.records) for each, item in pairs if each is not None]
        if latest:
            known.pending.append(_Pending(place, latest))
        return True

    def _members(self, block: BlockSum) -> Mapping[Group, Sequence[GroupSum]] | None:
        """The lines of a block by the group of which the newest stay. None if that takes a look at them."""
        if block.groups is None:
            return None
        members = defaultdict[Group, list[GroupSum]](list)
        for item in block.groups:
            found = self._timeline.group(values_of(item))
            if found.newest is None or item.oldest is None or item.newest is None:
                continue
            codes = self._timeline.codes(found, item.oldest, item.newest)
            if min(codes) >= self._timeline.first_member:
                members[found.newest].append(item)
            elif max(codes) >= self._timeline.first_member:
                return None
        return members

    def _told(self, group: Group, item: GroupSum) -> Nanos | None:
        """The time that all lines of a group have, as far as it matters. None if that is not remembered."""
        if item.oldest is None or item.newest is None:
            return None
        cutoff = self._gathering.cutoff(group)
        if item.oldest >= cutoff:
            return cutoff
        return Nanos(item.oldest) if item.oldest == item.newest else None


def _gather(
    gathering: Gathering,
    ranges: Sequence[Range],
    extents: Sequence[Extent],
    judge: Judge,
    wanted: AbstractSet[Group] | None = None,
) -> None:
    """Read some ranges, in several processes where that is worth it; of the *wanted* groups, or of all."""
    size = sum(each.end - each.begin for each in ranges)
    judges = Judges(judge, size=size)
    workers, tasks = tasks_of(ranges, extents, most=_TASKS * processors())

    def work(number: int) -> list[_Times]:
        found = Gathering(judge.selection, most=MOST_TIMES)
        for each in tasks[number]:
            for group, instants in _members(judges, extents[each.file], each):
                if wanted is None or group in wanted:
                    found.add(group, instants)
        return [found.times]

    with closing(spread(len(tasks), work, join=_put_behind, workers=workers)) as found:  # it may be too many
        for times in chain.from_iterable(found):
            for group, instants in times.items():
                gathering.add(group, instants)


def _put_behind(found: list[_Times], more: list[_Times]) -> None:
    found += more  # they are few: see `_TASKS`


def _members(judges: Judges, extent: Extent, place: Range) -> Iterator[tuple[Group, Iterable[Nanos]]]:
    with opened(extent) as descriptor:
        with translated("read it", extent.path):
            begin = place.begin or blanks_at_head(descriptor, place.end)  # a removal in place left them
        with pieces_of(descriptor, extent, begin, place.end) as found:
            for piece in found:
                for judgement in judges.judgements(piece):
                    yield from judgement.members()
