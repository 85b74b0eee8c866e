"""The survey: every row judged and counted once, stretch by stretch.

A stretch is a transaction of its own and takes a fraction of a second, whatever the table's size: no snapshot is held
that would keep dead rows from being cleared away, and a statement timeout of the role is no hindrance. A row that is
changed meanwhile may be counted twice or not at all. What is remembered of each stretch lets slices be cut without
reading the table again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from lapse import clock
from lapse.errors import BusyError
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.ports import Breaks
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.tallying import Row, Running
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf, Stretch, within
from lapse.stores.postgresql.rulers import Ruler
from lapse.stores.postgresql.slicing import Cell, Lapsed

_ROWS = 5_000  # so that a slice of few rows need not be cut out of one, which reads it twice
_SECONDS = 0.2


_RECORDS = itemgetter(2)  # of a row
_BY_CODE = itemgetter(0, 2)  # a row's code, and its records


@dataclass(frozen=True, slots=True)
class Found:
    """Counts of a stretch.

    Attributes:
        rows: By code and tenant, and by division of the ruler if there is one.
        divisions: The division of each. None without a ruler.
    """

    rows: list[Row]
    divisions: list[int] | None

    @property
    def records(self) -> int:
        """All rows of the table in the stretch."""
        return sum(map(_RECORDS, self.rows))


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
        connection: The session.
        judge: What decides.
        leaves: The tables that hold the rows.
        size: SQL expression of a row's bytes.
        where: Rows that count at all: those below a high-water mark.
        ruler: Divides the times of lapsed rows that lie scattered. None where they do not.
        breaks: Lets others through between two stretches.
    """

    connection: Connection
    judge: Judge
    leaves: tuple[Leaf, ...]
    size: str
    where: Fragment
    breaks: Breaks
    ruler: Ruler | None = None

    def count(self) -> Survey:
        """All rows by outcome and tenant, and where the lapsed ones lie."""
        running = Running()
        cells: list[Cell[Stretch]] = []
        divisions: Counter[tuple[int, Destination]] = Counter()
        for leaf in self.leaves:
            for stretch, found in self._stretches(leaf):
                cells.append(self._cell(stretch, found, divisions))
                running.add_rows(found.rows)
        return Survey(tallies=running.merged(), cells=cells, ruler=self.ruler, divisions=divisions)

    def _cell(self, stretch: Stretch, found: Found, divisions: Counter[tuple[int, Destination]]) -> Cell[Stretch]:
        """What is remembered of a stretch; its lapsed rows are added to *divisions*, too."""
        going, ending_of = dict[Destination, Lapsed](), self.judge.selection.ending
        for ending, records in ending_of.sums(map(_BY_CODE, found.rows)).items():
            if ending.cutoff is not None:
                lapsed, goal = Lapsed(records, ending.cutoff), ending.destination
                going[goal] = going[goal] + lapsed if goal in going else lapsed
        if found.divisions is not None:
            for (code, records), division in zip(map(_BY_CODE, found.rows), found.divisions, strict=True):
                way = ending_of(code)
                if way is not None:
                    divisions[division, way.destination] += records
        return Cell(range=stretch, rows=found.records, going=going)

    def _stretches(self, leaf: Leaf) -> Iterator[tuple[Stretch, Found]]:
        """Each stretch with its tallies; the next one is as long as the last ones allow."""
        pages, first = max(1, _ROWS * leaf.pages // max(leaf.rows, 60 * leaf.pages, 1)), 0
        while first < leaf.pages:
            last = min(first + pages, leaf.pages)
            stretch = Stretch(leaf.oid, (first, 0), (last, 0))
            began = clock.monotonic()
            try:
                found = self._tallies(leaf, stretch)
            except BusyError:
                if pages == 1:
                    raise
                pages = max(1, pages // 2)
                continue
            seconds = clock.monotonic() - began
            yield stretch, found
            self.breaks.rest(seconds)
            wished = min(2.0, _SECONDS / max(seconds, 0.001), _ROWS / max(found.records, 1))
            pages, first = max(1, int((last - first) * wished)), last

    def _tallies(self, leaf: Leaf, stretch: Stretch) -> Found:
        where = "(" + within(self.connection, stretch) + ") AND (" + self.where + ")"
        number = None if self.ruler is None else self.ruler.number(self.judge.instant)
        table = f"{escaped(leaf.sql)} AS r"
        counts = self.judge.counts(self.connection, where, bucket=number, size=self.size, from_=table)
        if number is None:
            return Found(counts, None)
        return Found([row[:-1] for row in counts], [row[-1] for row in counts])
