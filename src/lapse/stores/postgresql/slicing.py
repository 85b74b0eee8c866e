"""Cutting: counted ranges in, ranges of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from lapse.instant import Nanos
from lapse.model.selection import Destination

Limit = Callable[[], int]
"""How many lapsed rows the next range may have; may change as slices are committed."""

_WIDEST = 20
"""How many times its limit of rows a range may have in all, so that reading it stays short however few lapsed."""


class Range(Protocol):
    """A range of a table, be it of places or of times."""

    def follows(self, other: Self) -> bool:
        """Whether it begins where *other* ends."""
        ...

    def up_to(self, other: Self) -> Self:
        """From its beginning to the end of *other*, which comes later."""
        ...


R = TypeVar("R", bound=Range)


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Lapsed rows of a range that go the same way.

    Attributes:
        rows: How many.
        cutoff: The earliest of the cutoffs before which they lapsed.
    """

    rows: int
    cutoff: Nanos

    def __add__(self, other: Lapsed) -> Lapsed:
        return Lapsed(self.rows + other.rows, min(self.cutoff, other.cutoff))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Generic[R]):
    """A range as it was counted.

    Attributes:
        range: Where it lies.
        rows: All its rows.
        going: Lapsed rows by where they go.
    """

    range: R
    rows: int
    going: Mapping[Destination, Lapsed]

    def count(self, goal: Destination | None = None) -> int:
        """Lapsed rows that go there; None counts all."""
        return sum(found.rows for where, found in self.going.items() if goal is None or where == goal)

    def without(self, goal: Destination) -> Cell[R]:
        """The same after those rows were removed."""
        left = {where: found for where, found in self.going.items() if where != goal}
        return Cell(range=self.range, rows=self.rows - self.count(goal), going=left)


def cut(
    cells: Iterable[Cell[R]], goal: Destination, *, limit: Limit, split: Callable[[R, int, int], Iterable[R]]
) -> Iterator[R]:
    """Ranges that together have every lapsed row of *cells* once, in their order.

    Arguments:
        cells: In order.
        goal: Where the rows go that count.
        limit: The most lapsed rows of a range, asked before each.
        split: Cuts a range that alone has more: the range, how many lapsed rows it has, how many a piece may have.
    """
    pending: list[Cell[R]] = []
    have = rows = 0
    for cell in cells:
        count = cell.count(goal)
        full = have + count > limit() or rows + cell.rows > _WIDEST * max(limit(), 100)
        # What nothing lapsed in is not read.
        if pending and (full or not cell.range.follows(pending[-1].range)):
            yield pending[0].range.up_to(pending[-1].range)
            pending, have, rows = [], 0, 0
        if count > limit():
            yield from split(cell.range, count, limit())
        elif count:
            pending.append(cell)
            have, rows = have + count, rows + cell.rows
    if pending:
        yield pending[0].range.up_to(pending[-1].range)
