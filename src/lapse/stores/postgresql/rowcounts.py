"""What a survey asks about each stretch, and its answers, counts by code and tenant, added up as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from lapse.model.bounds import Ending
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.tallying import Running
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf, Stretch, within
from lapse.stores.postgresql.rulers import Ruler
from lapse.stores.postgresql.slicing import Cell, Lapsed

ROWS = 5_000
"""Rows of a cell, about, so that a slice of few rows need not be cut out of one, which reads it twice."""

_RECORDS = itemgetter(2)  # of a row
_BY_CODE = itemgetter(0, 2)  # a row's code, and its records
_BY_DIVISION = itemgetter(0, 2, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about the rows of a stretch.

    Attributes:
        connection: The session.
        judge: What decides.
        row_size: Bytes of an average row.
        where: Rows that count at all: those below a high-water mark.
        ruler: Divides the times of lapsed rows that lie scattered. None where they do not.
    """

    connection: Connection
    judge: Judge
    row_size: int
    where: Fragment
    ruler: Ruler | None = None

    def rows(self, stretch: Stretch) -> Fragment:
        """The condition that a row ``r`` of the stretch's leaf is asked about."""
        return "(" + within(self.connection, stretch) + ") AND (" + self.where + ")"

    @property
    def division(self) -> str | None:
        """The division of a row's time, as an expression. None without a ruler."""
        return None if self.ruler is None else self.ruler.number(self.judge.instant)


def source(leaf: Leaf) -> str:
    """What gives the rows of a leaf the alias ``r``."""
    return f"{escaped(leaf.sql)} AS r"


def cell_of(stretch: Stretch, rows: int, lapsed: Mapping[Ending, int]) -> Cell[Stretch]:
    """What is remembered of a stretch of so many *rows*, of which so many lapsed in each way."""
    going = dict[Destination, Lapsed]()
    for ending, records in lapsed.items():
        if ending.cutoff is not None:
            found, goal = Lapsed(records, ending.cutoff), ending.destination
            going[goal] = going[goal] + found if goal in going else found
    return Cell(range=stretch, rows=rows, going=going)


class RowCounts:
    """The counts of a survey so far.

    Attributes:
        most: Rows of a stretch, at most.
        cells: Every stretch, in order.
        divisions: Lapsed rows by division and where they go.
    """

    most = ROWS

    def __init__(self, question: Question) -> None:
        """Nothing is counted yet."""
        self._question = question
        self._running = Running()
        self.cells: list[Cell[Stretch]] = []
        self.divisions: Counter[tuple[int, Destination]] = Counter()

    def count(self, leaf: Leaf, stretch: Stretch) -> int:
        """Take a stretch in; returns its rows.

        Raises:
            BusyError: If the server did not answer in time; then nothing was taken in.
        """
        question, bucket = self._question, self._question.division
        rows = question.judge.counts(
            question.connection,
            question.rows(stretch),
            bucket=bucket,
            size=str(question.row_size),
            from_=source(leaf),
        )
        if bucket is not None:
            self._divide(rows)
            rows = [row[:-1] for row in rows]
        records: int = sum(map(_RECORDS, rows))
        self.cells.append(cell_of(stretch, records, question.judge.selection.ending.sums(map(_BY_CODE, rows))))
        self._running.add_rows(rows)
        return records

    def _divide(self, rows: list[Any]) -> None:
        """Take in rows behind each of which stands its division."""
        ending_of = self._question.judge.selection.ending
        for code, records, division in map(_BY_DIVISION, rows):
            way = ending_of(code)
            if way is not None:
                self.divisions[division, way.destination] += records

    def tallies(self) -> tuple[Tally, ...]:
        """All rows by outcome and tenant."""
        return self._running.merged()
