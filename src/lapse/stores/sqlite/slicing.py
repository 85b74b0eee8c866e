"""Cutting: counted stretches of a table in, ranges of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lapse.stores.sqlite.ranges import Key, KeyRange
from lapse.stores.sqlite.surveying import Cell

Limit = Callable[[], int]
"""How many lapsed rows the next range may have; may change as slices are committed."""

Split = Callable[[KeyRange, int], Key | None]
"""The key of lapsed row number n of a range, from 1. None if it has fewer."""

_WIDEST = 200
"""Stretches in one range at most, so that reading it stays short however few rows lapsed."""


def cut(cells: Iterable[Cell], codes: tuple[int, ...], *, limit: Limit, split: Split) -> Iterator[KeyRange]:
    """Ranges that together have every lapsed row of *cells* once.

    Arguments:
        cells: Stretches in key order.
        codes: The codes that count.
        limit: The most lapsed rows of a range, asked before each.
        split: Finds where to cut a stretch that alone has more.
    """
    pending: KeyRange | None = None
    have = width = 0
    for cell in cells:
        count = cell.count(codes)
        width += 1
        if count == 0:
            continue  # a gap may lie within a range, but none begins or ends with it
        if pending is not None and (have + count > limit() or width > _WIDEST):
            yield pending
            pending = None
        if pending is None:
            have = width = 0
        rest = cell.keys
        while count > (allowed := limit()) and (at := split(rest, allowed)) is not None:
            yield KeyRange(rest.after, at)
            rest, count = KeyRange(at, rest.until), count - allowed
        if count > 0:
            pending = rest if pending is None else KeyRange(pending.after, rest.until)
            have += count
    if pending is not None:
        yield pending


class Pace:
    """How many rows a commit may remove, learnt from how long the write lock was held."""

    target = 0.12
    """Seconds the write lock should be held."""

    _first = 10_000
    _least = 2_000

    def __init__(self) -> None:
        self._rows = self._first

    def learn(self, rows: int, seconds: float) -> None:
        """Take note of a commit that removed *rows* in *seconds*. Growth is cautious, shrinking is not."""
        if rows < self._least:
            return
        wanted = int(rows * self.target / max(seconds, 0.001))
        self._rows = max(self._least, min(wanted, self._rows * 2))

    def limit(self, most: int) -> int:
        """Rows for the next slice, *most* at the utmost."""
        return max(1, min(most, self._rows))
