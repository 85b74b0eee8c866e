"""The survey: every row judged and counted once, stretch by stretch, in one snapshot.

A stretch takes a fraction of a second, whatever the table's size, so that a statement timeout of the role is no
hindrance; what is remembered of each lets slices be cut without reading the table again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lapse import clock
from lapse.errors import BusyError
from lapse.model.plan import Tally, merge
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf, Stretch, within

_ROWS = 10_000
_SECONDS = 0.2
_MERGE_AT = 5_000  # tallies, so that memory does not grow with the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A stretch as it was counted.

    Attributes:
        stretch: Where it lies.
        rows: All its rows.
        counts: Lapsed rows by code.
    """

    stretch: Stretch
    rows: int
    counts: Mapping[int, int]

    def count(self, codes: tuple[int, ...]) -> int:
        """Rows with one of *codes*."""
        return sum(self.counts.get(code, 0) for code in codes)

    def without(self, codes: tuple[int, ...]) -> Cell:
        """The same after those rows were removed."""
        left = {code: count for code, count in self.counts.items() if code not in codes}
        return Cell(stretch=self.stretch, rows=self.rows - self.count(codes), counts=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyor:
    """Counts the rows of a table.

    Attributes:
        connection: The session.
        judge: What decides.
        leaves: The tables that hold the rows.
        size: SQL expression of a row's bytes.
        where: Rows that count at all: those below a high-water mark.
    """

    connection: Connection
    judge: Judge
    leaves: tuple[Leaf, ...]
    size: str
    where: Fragment

    def count(self) -> tuple[tuple[Tally, ...], tuple[Cell, ...]]:
        """All rows by outcome and tenant, and the stretches in which rows lapsed or lie between such."""
        lapsed = frozenset(self.judge.selection.lapsed_codes())
        tallies: tuple[Tally, ...] = ()
        pending: list[Tally] = []
        cells: list[Cell] = []
        with self.connection.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY"):
            for leaf in self.leaves:
                for stretch, found in self._stretches(leaf):
                    cells.append(_cell(stretch, found, lapsed))
                    pending += found
                    if len(pending) >= _MERGE_AT:
                        tallies, pending = merge([*tallies, *pending]), []
        return merge([*tallies, *pending]), tuple(cells)

    def _stretches(self, leaf: Leaf) -> Iterator[tuple[Stretch, tuple[Tally, ...]]]:
        """Each stretch with its tallies; the next one is as long as the last ones allow."""
        pages, first = max(1, _ROWS * leaf.pages // max(leaf.rows, 60 * leaf.pages, 1)), 0
        while first < leaf.pages:
            last = min(first + pages, leaf.pages)
            stretch = Stretch(leaf.oid, (first, 0), (last, 0))
            began = clock.monotonic()
            try:
                with self.connection.attempt():
                    found = self._tallies(leaf, stretch)
            except BusyError:
                if pages == 1:
                    raise
                pages = max(1, pages // 2)
                continue
            yield stretch, found
            rows, seconds = sum(tally.records for tally in found), clock.monotonic() - began
            wished = min(2.0, _SECONDS / max(seconds, 0.001), _ROWS / max(rows, 1))
            pages, first = max(1, int((last - first) * wished)), last

    def _tallies(self, leaf: Leaf, stretch: Stretch) -> tuple[Tally, ...]:
        where = "(" + within(self.connection, stretch) + ") AND (" + self.where + ")"
        return self.judge.tallies(self.connection, where, size=self.size, from_=f"{escaped(leaf.sql)} AS r")


def _cell(stretch: Stretch, tallies: tuple[Tally, ...], lapsed: frozenset[int]) -> Cell:
    counts: Counter[int] = Counter()
    for tally in tallies:
        if tally.code in lapsed:
            counts[tally.code] += tally.records
    return Cell(stretch=stretch, rows=sum(tally.records for tally in tallies), counts=dict(counts))
