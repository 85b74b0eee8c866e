"""One pass over a table: counts by outcome and tenant, and how many lapsed rows each stretch of it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.model.selection import Destination, Selection
from lapse.sqlcore.tallying import Row
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.slicing import Cell

_CELL = 5_000
_LARGEST_CELL = 50_000
_CELLS = 20_000  # remembered at most, about
_REMEMBERED = 8  # tallies of a cell


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
            query = self._judge.groups(keys)
            with self._database.reading(), self._database.replacing_invalid_text():
                groups = self._database.rows(query.sql, query.values)
                version = self._database.version()
            rows = [
                Row(code, tenant, records, records * row_size, oldest, newest, checksum)
                for code, tenant, records, oldest, newest, checksum in groups
            ]
            yield Counted(self._cell(keys, rows, version), rows)

    def _cell(self, keys: KeyRange, rows: list[Row], version: int) -> Cell:
        lapsed: dict[Destination, int] = {}
        gone: list[Row] = []
        for row in rows:
            ending = self._ending(row.code)
            if ending is not None:
                gone.append(row)
                lapsed[ending.destination] = lapsed.get(ending.destination, 0) + row.records
        return Cell(
            keys=keys,
            rows=sum(row.records for row in rows),
            lapsed=lapsed,
            tallies=tuple(row.tally() for row in gone) if len(gone) <= _REMEMBERED else None,
            version=version,
        )


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
