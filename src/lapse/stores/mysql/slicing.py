"""Cutting: counted stretches of a table in, ranges of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from lapse.stores.mysql.ranges import Key, KeyRange

Limit = Callable[[], int]
"""How many lapsed rows the next range may have; may change as slices are committed."""

Split = Callable[[KeyRange, int], Key | None]
"""The key of lapsed row number n of a range, from 1. None if it has fewer."""

_WIDEST = 200
"""Stretches in one range at most, so that reading it stays short however few rows lapsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed:
    """Lapsed rows of one code in a stretch.

    Attributes:
        rows: How many.
        size: Bytes of their content.
    """

    rows: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A stretch of a table as it was counted.

    Attributes:
        keys: Where it lies.
        rows: All its rows.
        lapsed: Lapsed rows by code.
        partition: The partition that it lies in, where the table was counted partition by partition. Else None.
    """

    keys: KeyRange
    rows: int
    lapsed: dict[int, Lapsed]
    partition: str | None = None

    def count(self, codes: Collection[int], most_size: int, most_rows: int) -> int:
        """Rows with one of *codes*, or as many as their bytes are worth, if they are heavy.

        A budget of so many rows and so many bytes is one of rows alone, in which a heavy row counts for several.
        """
        found = [self.lapsed[code] for code in self.lapsed if code in codes]
        rows, size = sum(each.rows for each in found), sum(each.size for each in found)
        return max(rows, -(-size * most_rows // most_size))

    def plain(self, codes: Collection[int]) -> int:
        """Rows with one of *codes*."""
        return sum(self.lapsed[code].rows for code in self.lapsed if code in codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a slice may hold at most.

    Attributes:
        rows: Rows.
        size: Bytes of content.
    """

    rows: int
    size: int


def cut(
    cells: Iterable[Cell], codes: Collection[int], *, weights: Weights, limit: Limit, split: Split
) -> Iterator[KeyRange]:
    """Ranges that together have every lapsed row of *cells* once.

    Arguments:
        cells: Stretches in key order.
        codes: The codes that count.
        weights: What a slice may hold at most.
        limit: The most lapsed rows of a range, asked before each.
        split: Finds where to cut a stretch that alone has more.
    """
    pending: list[Cell] = []
    have = 0
    for cell in cells:
        count = cell.count(codes, weights.size, weights.rows)
        if pending and (have + count > limit() or len(pending) >= _WIDEST):
            yield _joined(pending, codes)
            pending, have = [], 0
        if count > limit():
            yield from _split(cell, count, codes, limit=limit, split=split)
        elif count or pending:
            pending.append(cell)
            have += count
    if pending:
        yield _joined(pending, codes)


def _joined(cells: list[Cell], codes: Collection[int]) -> KeyRange:
    while not cells[-1].plain(codes):
        cells.pop()
    return KeyRange(cells[0].keys.after, cells[-1].keys.until)


def _split(cell: Cell, count: int, codes: Collection[int], *, limit: Limit, split: Split) -> Iterator[KeyRange]:
    rest, rows = cell.keys, cell.plain(codes)
    each = max(1, count // max(1, rows))  # what one row counts for
    while rows > (allowed := max(1, limit() // each)) and (at := split(rest, allowed)) is not None:
        yield KeyRange(rest.after, at)
        rest, rows = KeyRange(at, rest.until), rows - allowed
    if rows > 0:
        yield rest
