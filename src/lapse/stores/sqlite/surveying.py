"""One pass over a table: counts by outcome and tenant, and how many lapsed rows each stretch of it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

from lapse.model.plan import Tally
from lapse.model.selection import Destination, Selection
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.tallying import Row, tally_of
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.failures import UndecodableTextError
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.slicing import Cell

_CELL = 5_000
_LARGEST_CELL = 50_000
_CELLS = 20_000  # remembered at most, about
_REMEMBERED = 8  # tallies of a cell
_RECORDS = itemgetter(2)  # of a row
_BY_CODE = itemgetter(0, 2)  # a row's code, and its records


@dataclass(frozen=True, slots=True)
class Counted:
    """A cell with the counts of all its rows."""

    cell: Cell
    rows: list[Row]


class Surveyor:
    """Counts a table in stretches, so that no read transaction stays open for long."""

    def __init__(self, database: Database, walk: KeyWalk, judge: Judge, selection: Selection) -> None:
        self._database = database
        self._walk = walk
        self._judge = judge
        self._ending = selection.ending

    def count(self, end: Key | None, row_size: int) -> Iterator[Counted]:
        """Every row up to *end*, stretch by stretch."""
        for keys in stretches(self._walk, end):
            query = self._judge.groups(keys, row_size)
            with self._database.reading():
                rows = self._rows(query)
                version = self._database.version()
            yield Counted(self._cell(keys, rows, version), rows)

    def _rows(self, query: Fragment) -> list[Row]:
        """Its rows, in tenants of which U+FFFD stands for bytes that are no UTF-8; there are hardly ever any."""
        try:
            return self._database.rows(query.sql, query.values)
        except UndecodableTextError:
            with self._database.replacing_invalid_text():
                return self._database.rows(query.sql, query.values)

    def _cell(self, keys: KeyRange, rows: list[Row], version: int) -> Cell:
        lapsed: Counter[Destination] = Counter()
        for ending, records in self._ending.sums(map(_BY_CODE, rows)).items():
            lapsed[ending.destination] += records
        return Cell(
            keys=keys,
            rows=sum(map(_RECORDS, rows)),
            lapsed=lapsed,
            tallies=self._remembered(rows),
            version=version,
        )

    def _remembered(self, rows: list[Row]) -> tuple[Tally, ...] | None:
        """Tallies of the lapsed ones. None if there are too many."""
        gone = list(islice((row for row in rows if self._ending(row[0]) is not None), _REMEMBERED + 1))
        return tuple(map(tally_of, gone)) if len(gone) <= _REMEMBERED else None


def stretches(walk: KeyWalk, end: Key | None) -> Iterator[KeyRange]:
    """Ranges that grow with the table, so that a bounded number of them covers it."""
    if end is None:
        return
    after: Key | None = None
    rows, walked = _CELL, 0
    while True:
        until = walk.step(KeyRange(after, end), rows)
        yield KeyRange(after, end if until is None else until)
        if until is None or until == end:
            return
        after, walked = until, walked + rows
        rows = max(_CELL, min(_LARGEST_CELL, walked // (_CELLS // 10)))
