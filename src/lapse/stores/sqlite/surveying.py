"""One pass over a table: counts by outcome and tenant, and how many lapsed rows each stretch of it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lapse.model.plan import Tally
from lapse.model.selection import Selection
from lapse.sqlcore.fragments import Fragment
from lapse.stores.sqlite.counting import RowCounts
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.failures import UndecodableTextError
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.slicing import Cell

if TYPE_CHECKING:
    from lapse.stores.sqlite.columncounts import ColumnCounts

_CELL = 5_000
_LARGEST_CELL = 50_000
_CELLS = 20_000  # remembered at most, about


class Surveyor:
    """Counts a table in stretches, so that no read transaction stays open for long."""

    def __init__(
        self,
        database: Database,
        walk: KeyWalk,
        judge: Judge,
        selection: Selection,
        *,
        row_size: int,
        remembering: bool = False,
    ) -> None:
        """Nothing is counted yet.

        Arguments:
            database: The file.
            walk: The rows of the table in key order.
            judge: What decides about them.
            selection: The rules.
            row_size: Bytes that each row is taken to have.
            remembering: Whether slices follow, so that lapsed rows that were judged one by one are remembered.
        """
        self._database = database
        self._walk = walk
        self._counts = _counts(judge, selection, row_size, remembering=remembering)

    def cells(self, end: Key | None) -> Iterator[Cell]:
        """Every row up to *end*, counted stretch by stretch."""
        for keys in stretches(self._walk, end):
            query = self._counts.query(keys)
            with self._database.reading():
                rows = self._rows(query)
                version = self._database.version()
            yield self._counts.cell(keys, rows, version)

    def tallies(self) -> tuple[Tally, ...]:
        """All rows that were counted, by outcome and tenant."""
        return self._counts.tallies()

    def _rows(self, query: Fragment) -> list[Any]:
        """Its rows, in tenants of which U+FFFD stands for bytes that are no UTF-8; there are hardly ever any."""
        try:
            return self._database.rows(query.sql, query.values)
        except UndecodableTextError:
            with self._database.replacing_invalid_text():
                return self._database.rows(query.sql, query.values)


def _counts(judge: Judge, selection: Selection, row_size: int, *, remembering: bool) -> RowCounts | ColumnCounts:
    if not judge.looks_up:
        return RowCounts(judge, selection.ending, row_size)
    # numpy takes memory that others need not spend.
    from lapse.stores.sqlite.columncounts import ColumnCounts

    return ColumnCounts(judge, selection.ending, row_size, remembering=remembering)


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
