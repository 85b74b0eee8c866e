"""The counts of a survey under very many rules: stretches are long, and what they hold is read in columns.

To join the rules to the rows takes time for each statement and next to none for each row. A stretch has several cells,
so that slices can be cut as finely as elsewhere.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.sqlcore.columntallies import ColumnTallies, ways
from lapse.stores.postgresql.columnreading import ColumnReader, Read
from lapse.stores.postgresql.places import Leaf, Stretch
from lapse.stores.postgresql.rowcounts import ROWS, Question, cell_of, source
from lapse.stores.postgresql.slicing import Cell

_LOOKS = 10
"""Rules that are joined in the time in which one row is looked up by itself, about."""


class ColumnCounts:
    """The counts of a survey so far.

    Attributes:
        most: Rows of a stretch, at most.
        cells: Every cell, in order.
        divisions: Lapsed rows by division and where they go.
    """

    most = 10 * ROWS

    def __init__(self, question: Question) -> None:
        """Nothing is counted yet."""
        self._question = question
        self._tallies = ColumnTallies()
        self._reader = ColumnReader(question.connection, self._tallies, row_size=question.row_size)
        self._grouped = True
        self._on_a_page: dict[int, float] = {}
        self.cells: list[Cell[Stretch]] = []
        self.divisions: Counter[tuple[int, Destination]] = Counter()

    def count(self, leaf: Leaf, stretch: Stretch) -> int:
        """Take a stretch in; returns its rows.

        Raises:
            BusyError: If the server did not answer in time; then nothing was taken in.
        """
        rows = self._likely_rows(leaf, stretch)
        cells = _cells(stretch, max(1, round(rows / ROWS)))
        found = self._found(leaf, stretch, cells, rows=rows)
        self._remember(cells, found)
        groups, total = self._tallies.add(found.counts), int(found.counts.records.sum())
        self._grouped = 2 * len(groups) <= total
        self._on_a_page[leaf.oid] = total / (stretch.last[0] - stretch.first[0])
        pa.default_memory_pool().release_unused()  # numpy's, too: else what is free in between adds up
        return total

    def _likely_rows(self, leaf: Leaf, stretch: Stretch) -> float:
        usual = self._on_a_page.get(leaf.oid, leaf.likely_rows / max(1, leaf.pages))
        return usual * (stretch.last[0] - stretch.first[0])

    def _found(self, leaf: Leaf, stretch: Stretch, cells: list[Stretch], *, rows: float) -> Read:
        """What the server says: by groups where these were few in the stretch before, else row by row."""
        question, judge, reader = self._question, self._question.judge, self._reader
        beside = [_number(cells), *([] if question.division is None else [question.division])]
        joined = judge.lookups is not None and rows * _LOOKS >= judge.lookups.rows
        ask, read = (judge.counted, reader.counted) if self._grouped else (judge.listed, reader.listed)
        query = ask(question.rows(stretch), beside, from_=source(leaf), joined=joined)
        return read(query, len(beside))

    def _remember(self, cells: list[Stretch], found: Read) -> None:
        """Where the lapsed rows lie."""
        (places, *divisions), records = found.beside, found.counts.records
        ending_of = self._question.judge.selection.ending
        lapsed_by, endings = ways(ending_of, found.counts.codes), ending_of.endings
        gone = lapsed_by >= 0
        rows = np.bincount(places, records, len(cells)).astype(np.int64)
        keys = places[gone] * len(endings) + lapsed_by[gone]
        lapsed = np.bincount(keys, records[gone], len(cells) * len(endings)).astype(np.int64)
        for cell, total, counts in zip(cells, rows.tolist(), lapsed.reshape(len(cells), -1).tolist(), strict=True):
            by_ending = {ending: count for ending, count in zip(endings, counts, strict=True) if count}
            self.cells.append(cell_of(cell, total, by_ending))
        for division in divisions:
            self._divide(division[gone], lapsed_by[gone], records[gone])

    def _divide(self, divisions: Any, lapsed_by: Any, records: Any) -> None:
        endings = self._question.judge.selection.ending.endings
        keys, places = np.unique(divisions * len(endings) + lapsed_by, return_inverse=True)
        for key, count in zip(keys.tolist(), np.bincount(places, records).tolist(), strict=True):
            division, way = divmod(key, len(endings))
            self.divisions[division, endings[way].destination] += int(count)

    def tallies(self) -> tuple[Tally, ...]:
        """All rows by outcome and tenant."""
        return self._tallies.merged()


def _cells(stretch: Stretch, count: int) -> list[Stretch]:
    """So many pieces of a stretch of whole pages, if it has so many pages."""
    (first, _), (last, _) = stretch.first, stretch.last
    borders = sorted({first + (last - first) * number // count for number in range(count + 1)})
    return [Stretch(stretch.leaf, (one, 0), (other, 0)) for one, other in pairwise(borders)]


def _number(cells: list[Stretch]) -> str:
    """The number of the cell in which a row ``r`` lies, from 0, as an expression."""
    if len(cells) == 1:
        return "0"
    borders = ", ".join(f"'({cell.first[0]},0)'" for cell in cells[1:])
    return f"width_bucket(r.ctid, ARRAY[{borders}]::tid[])"
