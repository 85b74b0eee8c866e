"""Cutting: counted ranges in, ranges of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Generic[R]):
    """A range as it was counted.

    Attributes:
        range: Where it lies.
        rows: All its rows.
        counts: Lapsed rows by code.
    """

    range: R
    rows: int
    counts: Mapping[int, int]

    def count(self, codes: Iterable[int]) -> int:
        """Rows with one of *codes*."""
        return sum(self.counts.get(code, 0) for code in codes)

    def without(self, codes: tuple[int, ...]) -> Cell[R]:
        """The same after those rows were removed."""
        left = {code: count for code, count in self.counts.items() if code not in codes}
        return Cell(range=self.range, rows=self.rows - self.count(codes), counts=left)


def cut(
    cells: Iterable[Cell[R]], codes: tuple[int, ...], *, limit: Limit, split: Callable[[R, int, int], Iterable[R]]
) -> Iterator[R]:
    """Ranges that together have every lapsed row of *cells* once, in their order.

    Arguments:
        cells: In order.
        codes: The codes that count.
        limit: The most lapsed rows of a range, asked before each.
        split: Cuts a range that alone has more: the range, how many lapsed rows it has, how many a piece may have.
    """
    pending: list[Cell[R]] = []
    have = rows = 0
    for cell in cells:
        count = cell.count(codes)
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
