"""The counts of a survey, as SQLite groups them: what is asked about each stretch, and the answers added up."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from operator import itemgetter

from lapse.model.bounds import EndingOf
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.tallying import Row, Running, tally_of
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.slicing import Cell

REMEMBERED = 8
"""Tallies of a cell, at most."""

_RECORDS = itemgetter(2)  # of a row
_BY_CODE = itemgetter(0, 2)  # a row's code, and its records


class RowCounts:
    """Each stretch is grouped by SQLite."""

    def __init__(self, judge: Judge, ending: EndingOf, row_size: int) -> None:
        """Nothing is counted yet."""
        self._judge = judge
        self._ending = ending
        self._row_size = row_size
        self._running = Running()

    def query(self, keys: KeyRange) -> Fragment:
        """What is asked about a stretch."""
        return self._judge.groups(keys, self._row_size)

    def cell(self, keys: KeyRange, rows: list[Row], version: int) -> Cell:
        """Take in the answer about a stretch of a file of that *version*."""
        self._running.add_rows(rows)
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
        gone = list(islice((row for row in rows if self._ending(row[0]) is not None), REMEMBERED + 1))
        return tuple(map(tally_of, gone)) if len(gone) <= REMEMBERED else None

    def tallies(self) -> tuple[Tally, ...]:
        """All of them."""
        return self._running.merged()
