"""The survey: every row judged and counted once, stretch by stretch.

A stretch is a transaction of its own and takes a fraction of a second, whatever the table's size: no snapshot is held
that would keep dead rows from being cleared away, and a statement timeout of the role is no hindrance. A row that is
changed meanwhile may be counted twice or not at all. What is remembered of each stretch lets slices be cut without
reading the table again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lapse import clock
from lapse.errors import BusyError
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.ports import Breaks
from lapse.stores.postgresql.columncounts import ColumnCounts
from lapse.stores.postgresql.places import Leaf, Stretch
from lapse.stores.postgresql.rowcounts import ROWS, Question, RowCounts
from lapse.stores.postgresql.rulers import Ruler
from lapse.stores.postgresql.slicing import Cell

_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was counted.

    Attributes:
        tallies: All rows by outcome and tenant.
        cells: Every stretch in order; those that were taken since lose their counts.
        ruler: What divided the times of the lapsed rows. None if nothing did.
        divisions: Lapsed rows by division and where they go.
    """

    tallies: tuple[Tally, ...]
    cells: list[Cell[Stretch]]
    ruler: Ruler | None
    divisions: Mapping[tuple[int, Destination], int]

    def rows_of(self, leaf: int) -> int:
        """All rows that were counted in a partition."""
        return sum(cell.rows for cell in self.cells if cell.range.leaf == leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyor:
    """Counts the rows of a table.

    Attributes:
        question: What is asked about the rows of each stretch.
        leaves: The tables that hold the rows.
        breaks: Lets others through between two stretches.
    """

    question: Question
    leaves: tuple[Leaf, ...]
    breaks: Breaks

    def count(self) -> Survey:
        """All rows by outcome and tenant, and where the lapsed ones lie."""
        question = self.question
        counts = RowCounts(question) if question.judge.lookups is None else ColumnCounts(question)
        for leaf in self.leaves:
            self._count(leaf, counts)
        return Survey(
            tallies=counts.tallies(), cells=counts.cells, ruler=question.ruler, divisions=counts.divisions
        )  # fmt: skip

    def _count(self, leaf: Leaf, counts: RowCounts | ColumnCounts) -> None:
        """Each stretch; the next one is as long as the last ones allow."""
        pages, first = max(1, ROWS * leaf.pages // leaf.likely_rows), 0
        while first < leaf.pages:
            last = min(first + pages, leaf.pages)
            began = clock.monotonic()
            try:
                records = counts.count(leaf, Stretch(leaf.oid, (first, 0), (last, 0)))
            except BusyError:
                if pages == 1:
                    raise
                pages = max(1, pages // 2)
                continue
            seconds = clock.monotonic() - began
            self.breaks.rest(seconds)
            wished = min(2.0, _SECONDS / max(seconds, 0.001), counts.most / max(records, 1))
            pages, first = max(1, int((last - first) * wished)), last
