"""One pass over a table: counts by outcome and tenant, and how many lapsed rows each stretch of it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.selection import Destination, Selection
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
    """A cell with the tallies of all its rows."""

    cell: Cell
    tallies: list[Tally]


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
            tallies = [_tally(row, row_size) for row in groups]
            yield Counted(self._cell(keys, tallies, version), tallies)

    def _cell(self, keys: KeyRange, tallies: list[Tally], version: int) -> Cell:
        lapsed: dict[Destination, int] = {}
        gone: list[Tally] = []
        for tally in tallies:
            ending = self._ending(tally.code)
            if ending is not None:
                gone.append(tally)
                lapsed[ending.destination] = lapsed.get(ending.destination, 0) + tally.records
        return Cell(
            keys=keys,
            rows=sum(tally.records for tally in tallies),
            lapsed=lapsed,
            tallies=tuple(gone) if len(gone) <= _REMEMBERED else None,
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


def _tally(row: Any, row_size: int) -> Tally:
    code, tenant, records, oldest, newest, checksum = row
    return Tally(
        code=code,
        tenant=tenant,
        records=records,
        size=records * row_size,
        oldest=None if oldest is None else Nanos(oldest),
        newest=None if newest is None else Nanos(newest),
        checksum=checksum % CHECKSUM_MODULUS,
    )
