"""A block of lines in, the outcome of each out, told of all at once: as `Judge` tells it, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import cast

import numpy as np
import stringzilla as sz

from lapse.instant import Nanos
from lapse.model.newest import Group as NewestGroup
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.stores.jsonl.bulkfields import BulkReader, Column, Lines, Plain
from lapse.stores.jsonl.bulkgroups import Numbering
from lapse.stores.jsonl.bulktimes import Mask, number_instants, text_instants
from lapse.stores.jsonl.bytescan import Ints, line_ends
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.judgement import member_of, sum_of
from lapse.stores.jsonl.judging import Judge, Judged, instant_of, plain_value
from lapse.stores.jsonl.lines import Line, Shape
from lapse.stores.jsonl.manysums import ManySums, Named, Sums
from lapse.stores.jsonl.summing import UNUSED, Sum

_LEAST, _MOST = -(2**63), 2**63 - 1
_REMEMBERED_TIMES = 4096
_MOST_LINES = 8192
_MANY = 1 << 15
"""Groups from which on sums stay in columns.

Who adds up columns loads numpy, which takes some 20 MB: as much as the sums of so many groups take one by one.
"""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was told of lines together.

    Attributes:
        known: The groups, some of which they are in.
        stretches: How many outcomes a group has; the last is that of lines in doubt for their line end alone.
        kinds: The number of each line's group times *stretches*, plus which of the outcomes it has. -1 for an odd
            line.
        codes: The outcome of each line.
        instants: The time of each line; 0 for an odd one.
    """

    known: Numbering
    stretches: int
    kinds: Ints
    codes: Ints
    instants: Ints


@dataclass(frozen=True, slots=True)
class _Odd:
    """A line that was judged by itself."""

    line: Line
    judged: Judged


class Together:
    """Lines that were judged together."""

    def __init__(
        self, judge: Judge, lines: Lines, decided: _Decided, odd: Mapping[int, _Odd], *, in_columns: bool
    ) -> None:
        """Lines, what was told of them together and of the *odd* ones; their sums stay *in_columns*, or do not."""
        self._in_columns = in_columns
        self._judge = judge
        self._lines = lines
        self._decided = decided
        self._odd = odd

    @property
    def data(self) -> bytes | memoryview:
        """The lines, byte for byte."""
        return self._lines.data

    @property
    def records(self) -> int:
        """How many lines they are."""
        return len(self._lines.ends)

    @property
    def ends(self) -> Sequence[int]:
        """Where each line ends."""
        return cast("Sequence[int]", self._lines.ends)

    @property
    def codes(self) -> Sequence[int]:
        """The outcome of each line."""
        return cast("Sequence[int]", self._decided.codes)

    def doubts(self) -> Iterator[tuple[int, Doubtful]]:
        """The lines that could not be judged."""
        kinds, last = self._decided.kinds, self._decided.stretches - 1
        for number in np.flatnonzero((kinds < 0) | (kinds % self._decided.stretches == last)).tolist():
            odd = self._odd.get(number)
            doubt = Doubtful.CRLF if odd is None else odd.judged.doubt
            if doubt is not None:
                yield number, doubt

    def members(self) -> Iterator[tuple[NewestGroup, Sequence[Nanos]]]:
        """The times of the lines of each group of which the newest stay; odd ones each by itself."""
        for odd in self._odd.values():
            yield from member_of(self._judge, odd.judged)
        decided = self._decided
        counted = (decided.kinds >= 0) & (decided.codes >= self._judge.selection.first_hold)
        places = np.maximum(decided.kinds // decided.stretches, 0)
        counted &= decided.known.table.newest[places] == 1
        order = np.flatnonzero(counted)
        order = order[np.argsort(places[order], kind="stable")]
        places, instants = places[order], decided.instants[order].tolist()
        starts = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(instants)]):
            group = decided.known.newest[places[start]]
            if group is not None:
                yield group, instants[start:end]

    def sums(self, first: int = 0, last: int | None = None) -> Sums:
        """The lines added up, by values and stretch of time; odd ones each by itself."""
        odd = (item for number, item in self._odd.items() if first <= number and (last is None or number < last))
        singles = [sum_of(self._judge, item.line, item.judged) for item in odd]
        decided = self._decided
        kinds, codes = decided.kinds[first:last], decided.codes[first:last]
        columns = [self._lengths[first:last], decided.instants[first:last], self._numbers[first:last]]
        starts = np.zeros(min(1, len(kinds)), np.int64)
        if len(kinds) and (kinds != kinds[0]).any():
            order = np.argsort(kinds, kind="stable")
            kinds, codes, columns = kinds[order], codes[order], [column[order] for column in columns]
            starts = np.flatnonzero(np.concatenate(([True], kinds[1:] != kinds[:-1])))
        records = np.diff(starts, append=len(kinds))
        if len(starts) and kinds[0] < 0:
            starts, records = starts[1:], records[1:]
        found = self._summed(singles, starts, records, (kinds, codes, *columns))
        return found if self._in_columns else list(found)

    def _summed(self, singles: Sequence[Sum], starts: Ints, records: Ints, lines: Sequence[Ints]) -> ManySums:
        """The sums of *lines*, in columns, of which those of one kind begin at each of *starts*."""
        kinds, codes, lengths, instants, numbers = lines
        known, places = self._decided.known, kinds[starts] // self._decided.stretches
        timed = kinds[starts] % self._decided.stretches != self._decided.stretches - 1
        columns = Columns(
            codes=codes[starts],
            tenants=known.table.tenants[places],
            records=records,
            sizes=np.add.reduceat(lengths, starts),
            oldest=np.where(timed, np.minimum.reduceat(instants, starts), NO_TIME[0]),
            newest=np.where(timed, np.maximum.reduceat(instants, starts), NO_TIME[1]),
            checksums=np.where(timed, np.add.reduceat(numbers, starts), 0),  # of 44 bits: a million of them have 64
        )
        return ManySums(singles, Named(columns, known.names), places, known.values)

    @cached_property
    def _lengths(self) -> Ints:
        return self._lines.ends - self._lines.starts

    @cached_property
    def _numbers(self) -> Ints:
        text, hashed = sz.Str(self._lines.data), sz.hash
        bounds = zip(self._lines.starts.tolist(), self._lines.ends.tolist(), strict=True)
        numbers = np.array([hashed(text[start:end]) for start, end in bounds], np.uint64) >> np.uint64(UNUSED)
        return numbers.view(np.int64)


class Bulk:
    """Judges many lines at once."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._dataset = judge.selection.dataset
        self._reader = BulkReader(judge.reader)
        self._timeline = Timeline(judge)
        self._known = Numbering(self._timeline)
        self._many = False
        self._courses_so_far: tuple[Ints, Ints] = np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64)
        self._edges = np.array([min(max(edge, _LEAST), _MOST) for edge in self._timeline.edges], np.int64)
        self._instant = lru_cache(maxsize=_REMEMBERED_TIMES)(self._exact_instant)

    def judge(self, data: bytes | memoryview) -> Iterator[Together]:
        """The whole lines in *data*, so many at a time that memory is bounded, and what becomes of them."""
        ends = line_ends(data)
        start = 0
        for first in range(0, len(ends), _MOST_LINES):
            chosen = ends[first : first + _MOST_LINES]
            end = int(chosen[-1])
            yield self._judged(data[start:end], chosen - start)  # the very same bytes, if that is all
            start = end

    def _judged(self, data: bytes | memoryview, ends: Ints) -> Together:
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        lines = Lines(data, starts, ends)
        plain = self._reader.read(lines)
        instants, read = self._instants(plain.columns[self._dataset.time])
        told = [self._told(name, plain.columns[name]) for name in self._judge.deciding]
        if self._known.full:
            self._known = Numbering(self._timeline)
        known = self._known
        places = known.places(told)
        self._many = self._many or known.table.size >= _MANY
        stretches, count = self._stretches(instants, known, places), self._timeline.places + 1
        if not self._dataset.crlf_allowed:
            doubtful = lines.ending_in_crlf()[slice(None) if plain.numbers is None else plain.numbers]
            stretches[doubtful], instants[doubtful] = count - 1, 0
        codes = self._outcomes(known, places, stretches)
        decided = _Decided(
            known=known,
            stretches=count,
            kinds=self._spread(lines, plain, read, places * count + stretches, -1),
            codes=self._spread(lines, plain, read, codes, 0),
            instants=self._spread(lines, plain, read, instants, 0),
        )
        odd = {number: self._singly(lines, number) for number in np.flatnonzero(decided.kinds < 0).tolist()}
        for number, line in odd.items():
            decided.codes[number] = line.judged.code
        return Together(self._judge, lines, decided, odd, in_columns=self._many)

    def _stretches(self, instants: Ints, known: Numbering, places: Ints | int) -> Ints:
        """Which of the outcomes of its group each line has."""
        cutoffs = known.table.cutoffs[places]
        found: Ints = 2 * np.searchsorted(self._edges, instants, side="right") + (instants >= cutoffs)
        if not self._timeline.keeps_newest:
            return found
        return np.where(instants >= known.table.since[places], found + self._timeline.places // 2, found)

    def _outcomes(self, known: Numbering, places: Ints | int, stretches: Ints) -> Ints:
        """The outcome of each line; in the last stretch it is that of what has no time that can be read."""
        codes, times = self._courses()
        chosen = known.table.courses[places]
        found: Ints = codes[chosen, stretches] + times[chosen, stretches] * known.table.bases[places]
        return found

    def _courses(self) -> tuple[Ints, Ints]:
        """The codes of each course, stretch by stretch, and how often the first code of the rule is added to each."""
        courses, shape = self._timeline.courses, (-1, self._timeline.places)
        if len(self._courses_so_far[0]) < len(courses):
            codes = np.array([course.codes for course in courses], np.int64).reshape(shape)
            times = np.array([course.times for course in courses], np.int64).reshape(shape)
            untimed = np.full(len(courses), self._timeline.untimed, np.int64)
            self._courses_so_far = np.column_stack((codes, untimed)), np.column_stack((times, np.zeros_like(untimed)))
        return self._courses_so_far

    @staticmethod
    def _spread(lines: Lines, plain: Plain, read: Mask, values: Ints, missing: int) -> Ints:
        """What is known of lines of which the time was read, among all lines."""
        if plain.numbers is None and read.all():
            return values
        spread = np.full(len(lines.ends), missing, np.int64)
        spread[read if plain.numbers is None else plain.numbers[read]] = values[read]
        return spread

    def _singly(self, lines: Lines, number: int) -> _Odd:
        line = Line(lines.line(number), Shape.WHOLE)
        return _Odd(line, self._judge.judge(line))

    def _told(self, name: str, column: Column) -> Column:
        """The values of a field as far as they decide."""
        if name not in self._judge.keyed and name not in self._judge.ranged:
            return column
        values = [self._judge.told(name, plain_value(value)) for value in column.values]
        return Column(values, frozenset(map(type, values)))

    def _instants(self, column: Column) -> tuple[Ints, Mask]:
        """The time of each plain line, and which were read and fit into 64 bits."""
        dataset = self._dataset
        instants, read = np.zeros(len(column.values), np.int64), np.zeros(len(column.values), np.bool_)
        if column.kinds == {str} and dataset.time_format.unit is None:
            naive = dataset.zone in (None, "UTC") and not dataset.zone_required
            instants, read = text_instants(column.values, naive=naive)
        elif len(column.kinds) == 1 and column.kinds <= {int, float} and dataset.time_format.unit is not None:
            instants, read = number_instants(column.values, next(iter(column.kinds)), dataset.time_format)
        for number in np.flatnonzero(~read).tolist():
            value = column.values[number]
            instant = self._instant(value) if isinstance(value, str) else None
            if instant is not None:
                instants[number], read[number] = instant, True
        return instants, read

    def _exact_instant(self, text: str) -> int | None:
        found = instant_of(text, self._dataset)
        return found if not isinstance(found, Doubtful) and _LEAST <= found <= _MOST else None
