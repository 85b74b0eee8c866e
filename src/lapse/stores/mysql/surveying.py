"""One pass over a table: counts by outcome and tenant, and how many lapsed rows each stretch of it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.model.plan import Tally
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.ranges import Key, KeyRange, KeyWalk
from lapse.stores.mysql.slicing import Cell, Lapsed

_CELL = 5_000
_LARGEST_CELL = 50_000
_CELLS = 20_000  # remembered at most, about


@dataclass(frozen=True, slots=True)
class Counted:
    """A cell with the tallies of all its rows."""

    cell: Cell
    tallies: tuple[Tally, ...]


class Surveyor:
    """Counts a table in stretches, so that no read view stays open for long and old row versions can go."""

    def __init__(self, connection: Connection, walk: KeyWalk, judge: Judge) -> None:
        self._connection = connection
        self._walk = walk
        self._judge = judge
        self._lapsed = frozenset(judge.selection.lapsed_codes())

    def count(self, end: Key | None) -> Iterator[Counted]:
        """Every row up to *end*, stretch by stretch."""
        for keys in self._stretches(end):
            tallies = self._judge.tallies(self._connection, self._walk.within(keys))
            yield Counted(self._cell(keys, tallies), tallies)

    def _cell(self, keys: KeyRange, tallies: tuple[Tally, ...]) -> Cell:
        lapsed: dict[int, Lapsed] = {}
        for tally in tallies:
            if tally.code in self._lapsed:
                have = lapsed.get(tally.code, Lapsed(rows=0, size=0))
                lapsed[tally.code] = Lapsed(rows=have.rows + tally.records, size=have.size + tally.size)
        return Cell(
            keys=keys,
            rows=sum(tally.records for tally in tallies),
            lapsed=lapsed,
            partition=self._judge.table.partition,
        )

    def _stretches(self, end: Key | None) -> Iterator[KeyRange]:
        """Ranges that grow with the table, so that a bounded number of them covers it."""
        if end is None:
            return
        after: Key | None = None
        rows, walked = _CELL, 0
        while True:
            until = self._walk.step(KeyRange(after, end), rows)
            yield KeyRange(after, end if until is None else until)
            if until is None or until == end:
                return
            after, walked = until, walked + rows
            rows = max(_CELL, min(_LARGEST_CELL, walked // (_CELLS // 10)))
