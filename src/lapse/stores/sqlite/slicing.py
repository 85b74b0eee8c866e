"""Cutting: counted stretches of a table in, ranges of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lapse.model.plan import Tally, merge
from lapse.model.selection import Destination
from lapse.stores.sqlite.ranges import Key, KeyRange

if TYPE_CHECKING:
    from lapse.stores.sqlite.remembering import Remembered

Limit = Callable[[], int]
"""How many lapsed rows the next range may have; may change as slices are committed."""

Split = Callable[[KeyRange, int], Key | None]
"""The key of lapsed row number n of a range, from 1. None if it has fewer."""

_WIDEST = 200
"""Stretches in one range at most, so that reading it stays short however few rows lapsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A stretch of a table as it was counted.

    Attributes:
        keys: Where it lies.
        rows: All its rows.
        lapsed: Lapsed rows by where they go.
        tallies: Tallies of the lapsed rows. None if there were too many to remember.
        version: Version of the file it was counted in.
        remembered: The lapsed rows themselves, by where they go, as far as they are remembered.
    """

    keys: KeyRange
    rows: int
    lapsed: Mapping[Destination, int]
    tallies: tuple[Tally, ...] | None
    version: int
    remembered: Mapping[Destination, Remembered] = field(default_factory=dict, compare=False, repr=False)

    def count(self, goal: Destination) -> int:
        """Lapsed rows that go there."""
        return self.lapsed.get(goal, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a survey knows of the lapsed rows in a range; true as long as nobody writes.

    Attributes:
        rows: How many.
        covers: All rows in the range, lapsed or not.
        tallies: Their tallies.
        version: Version of the file it was counted in.
        keys: Their keys, ascending. Empty where they are all rows of the range.
    """

    rows: int
    covers: int
    tallies: Sequence[Tally]
    version: int
    keys: Sequence[int] = ()

    @property
    def is_all(self) -> bool:
        """Whether they are all rows of the range."""
        return self.rows == self.covers


@dataclass(frozen=True, slots=True)
class Cut:
    """A range for one slice, and what is known of it. None if it must be looked at."""

    keys: KeyRange
    known: Known | None


def cut(cells: Iterable[Cell], goal: Destination, *, limit: Limit, split: Split) -> Iterator[Cut]:
    """Ranges that together have every lapsed row of *cells* once.

    Arguments:
        cells: Stretches in key order.
        goal: Where the rows go that count.
        limit: The most lapsed rows of a range, asked before each.
        split: Finds where to cut a stretch that alone has more.
    """
    pending: list[Cell] = []
    have = 0
    for cell in cells:
        count = cell.count(goal)
        if pending and (have + count > limit() or len(pending) >= _WIDEST):
            yield _joined(pending, goal)
            pending, have = [], 0
        if count > limit():
            yield from _split(cell, count, limit=limit, split=split)
        elif count or pending:
            pending.append(cell)
            have += count
    if pending:
        yield _joined(pending, goal)


def _split(cell: Cell, count: int, *, limit: Limit, split: Split) -> Iterator[Cut]:
    rest = cell.keys
    while count > (allowed := limit()) and (at := split(rest, allowed)) is not None:
        yield Cut(KeyRange(rest.after, at), None)
        rest, count = KeyRange(at, rest.until), count - allowed
    if count > 0:
        yield Cut(rest, None)


def _joined(cells: list[Cell], goal: Destination) -> Cut:
    while not cells[-1].count(goal):
        cells.pop()
    return Cut(KeyRange(cells[0].keys.after, cells[-1].keys.until), _known(cells, goal))


def _known(cells: list[Cell], goal: Destination) -> Known | None:
    """What is known of a range of some cells. None if it must be looked at."""
    covers, versions = sum(cell.rows for cell in cells), {cell.version for cell in cells}
    if len(versions) > 1:
        return None
    (version,) = versions
    if all(cell.tallies is not None and cell.count(goal) == cell.rows for cell in cells):
        tallies = merge(tally for cell in cells for tally in cell.tallies or ())
        return Known(rows=covers, covers=covers, tallies=tallies, version=version)
    if all(goal in cell.remembered for cell in cells if cell.count(goal)):
        # numpy takes memory that others need not spend.
        from lapse.stores.sqlite.remembering import remembered_rows

        keys, counted = remembered_rows([cell.remembered[goal] for cell in cells if cell.count(goal)])
        return Known(rows=len(keys), covers=covers, tallies=counted, version=version, keys=keys)
    return None


class Pace:
    """How many rows a commit may remove, learnt from how long the write lock was held."""

    target = 0.17
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
