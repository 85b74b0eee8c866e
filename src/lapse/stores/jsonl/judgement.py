"""Lines judged one by one: the plain form of what `lapse.stores.jsonl.bulk` does for many lines at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from lapse.instant import Nanos
from lapse.model.newest import Group, group_of
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.judging import Judge, Judged
from lapse.stores.jsonl.lines import Line, Shape
from lapse.stores.jsonl.manysums import Sums
from lapse.stores.jsonl.summing import Sum, number_of


class Judgement(Protocol):
    """Lines with what becomes of them."""

    @property
    def data(self) -> bytes | memoryview:
        """The lines, byte for byte."""
        ...

    @property
    def records(self) -> int:
        """How many lines begin in it; further pieces of a long one do not count."""
        ...

    @property
    def ends(self) -> Sequence[int]:
        """Where each ends, ascending."""
        ...

    @property
    def codes(self) -> Sequence[int]:
        """The outcome of each."""
        ...

    def sums(self, first: int = 0, last: int | None = None) -> Sums:
        """The lines from number *first* to before *last* added up; None is the end."""
        ...

    def members(self) -> Iterator[tuple[Group, Sequence[Nanos]]]:
        """The times of the lines of each group of which the newest stay; a group may come several times."""
        ...

    def doubts(self) -> Iterator[tuple[int, Doubtful]]:
        """The number of each line that could not be judged, ascending, and why."""
        ...


class Singly:
    """Lines that were judged one by one."""

    def __init__(self, judge: Judge, data: bytes, lines: Sequence[Line]) -> None:
        self.data: bytes | memoryview = data
        self.records = sum(line.shape is not Shape.LONG_REST for line in lines)
        self._judge = judge
        self._lines = lines
        self._judged = [judge.judge(line) for line in lines]
        self.ends: Sequence[int] = list(_accumulated(lines))

    @property
    def codes(self) -> Sequence[int]:
        """The outcome of each."""
        return [judged.code for judged in self._judged]

    def sums(self, first: int = 0, last: int | None = None) -> Sequence[Sum]:
        """The lines added up, each by itself."""
        chosen = zip(self._lines[first:last], self._judged[first:last], strict=True)
        return [sum_of(self._judge, line, judged) for line, judged in chosen]

    def members(self) -> Iterator[tuple[Group, Sequence[Nanos]]]:
        """The times of the lines of each group of which the newest stay, each by itself."""
        for judged in self._judged:
            yield from member_of(self._judge, judged)

    def doubts(self) -> Iterator[tuple[int, Doubtful]]:
        """The lines that could not be judged; a long line counts by its first piece."""
        for number, (line, judged) in enumerate(zip(self._lines, self._judged, strict=True)):
            if judged.doubt is not None and line.shape is not Shape.LONG_REST:
                yield number, judged.doubt


def member_of(judge: Judge, judged: Judged) -> Iterator[tuple[Group, Sequence[Nanos]]]:
    """The group of which the newest stay that a line is in, with its time; nothing if it is in none."""
    group = group_of(judge.selection, judged.instant, judged.fields.get)
    if group is not None and judged.instant is not None:
        yield group, (judged.instant,)


def sum_of(judge: Judge, line: Line, judged: Judged) -> Sum:
    """One line, added up."""
    return Sum(
        code=judged.code,
        tenant=judge.tenant(judged),
        values=judge.values(judged),
        records=int(line.shape is not Shape.LONG_REST),
        size=len(line.data),
        oldest=judged.instant,
        newest=judged.instant,
        checksum=number_of(line.data, judged.instant),
    )


def _accumulated(lines: Sequence[Line]) -> Iterator[int]:
    end = 0
    for line in lines:
        end += len(line.data)
        yield end
