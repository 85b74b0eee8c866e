"""Ranges of record times: for tables whose lapsed rows lie scattered, where an index on the time finds them.

Such a table read in the order of its places would be read almost whole for what may be a small part of it.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lapse.instant import Nanos
from lapse.model.selection import Destination, Selection
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import MAX_INT64
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Stretch, within
from lapse.stores.postgresql.rulers import Ruler, is_served, ruler
from lapse.stores.postgresql.scene import Scene
from lapse.stores.postgresql.slicing import Cell, Lapsed
from lapse.stores.postgresql.surveying import Survey

_SCATTERED = 1.15
"""Rows read for each one removed, from which on the index is worth its way."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of record times.

    Attributes:
        first: First instant, inclusive.
        last: Last one, exclusive.
        place: Where its rows lie, for one of several ranges of equal times. None is everywhere.
    """

    first: Nanos
    last: Nanos
    place: Stretch | None = None

    def follows(self, other: Span) -> bool:
        """Whether it begins where *other* ends."""
        return self.first == other.last

    def up_to(self, other: Span) -> Span:
        """From its beginning to the end of *other*."""
        return Span(self.first, other.last)


def is_worth_it(scene: Scene, survey: Survey, selection: Selection, destination: Destination) -> bool:
    """Whether the rows that go to *destination* lie scattered, and an index finds them by their time."""
    read = [cell for cell in survey.cells if cell.count(destination)]
    going = sum(cell.count(destination) for cell in read)
    scattered = sum(cell.rows for cell in read) > _SCATTERED * going
    return going > 0 and scattered and is_served(scene, selection)


class TimeCutter:
    """Cuts a table by the times of its lapsed rows."""

    def __init__(self, scene: Scene, selection: Selection, destination: Destination) -> None:
        self._scene = scene
        self._judge = scene.judge(selection)
        self._goal = destination
        self._codes = selection.lapsed_codes(destination)
        self._leaf = escaped(scene.leaves[0].sql)

    def cells(self, survey: Survey) -> Iterator[Cell[Span]]:
        """Ranges of time with their lapsed rows, in order; counted now if the survey did not."""
        known, counts = survey.ruler, survey.divisions
        if known is None:
            known = self._ruler(survey)
            counts = self._count(survey, known)
        for number in range(known.divisions):
            rows = counts.get((number, self._goal), 0)
            last = known.begin(number + 1) if number + 1 < known.divisions else Nanos(MAX_INT64)
            yield Cell(range=Span(known.begin(number), last), rows=rows, going={self._goal: Lapsed(rows, last)})

    def _ruler(self, survey: Survey) -> Ruler:
        going = [tally for tally in survey.tallies if tally.code in self._codes]
        oldest = min(tally.oldest for tally in going if tally.oldest is not None)
        newest = max(tally.newest for tally in going if tally.newest is not None)
        return ruler(oldest, Nanos(newest + 1), sum(tally.records for tally in going))

    def _count(self, survey: Survey, known: Ruler) -> Mapping[tuple[int, Destination], int]:
        counts: Counter[tuple[int, Destination]] = Counter()
        for cell in survey.cells:
            if cell.count(self._goal):
                counts.update(self._counted(cell.range, known))
        return counts

    def _counted(self, stretch: Stretch, known: Ruler) -> dict[tuple[int, Destination], int]:
        where = "(" + within(self._scene.connection, stretch) + ") AND (" + self._judge.lapsed(self._codes) + ")"
        number = known.number(self._judge.instant)
        found = self._scene.connection.query(
            f"SELECT {number}, count(*) FROM {self._leaf} AS r WHERE " + where + " GROUP BY 1"
        )
        return {(int(number), self._goal): int(rows) for number, rows in found}

    def split(self, span: Span, count: int, limit: int) -> Iterator[Span]:
        """Pieces of even size. A time that more rows share than that is cut by their places."""
        size = -(-count // -(-count // limit))
        borders = self._borders(span, size)
        first = span.first
        for border, times in sorted(Counter(borders).items()):
            if border > first:
                yield Span(first, border)
            first = border
            if times > 1:
                first = Nanos(border + 1)
                yield from self._by_place(Span(border, first), times + 1)
        if first < span.last:
            yield Span(first, span.last)

    def _by_place(self, span: Span, pieces: int) -> Iterator[Span]:
        leaf = self._scene.leaves[0]
        pages = -(-leaf.pages // pieces)
        for page in range(0, leaf.pages, pages):
            yield Span(span.first, span.last, Stretch(leaf.oid, (page, 0), (page + pages, 0)))

    def _borders(self, span: Span, rows: int) -> list[Nanos]:
        where = condition(self._scene, self._judge.selection, span) + " AND (" + self._judge.lapsed(self._codes) + ")"
        found = self._scene.connection.query(
            f"SELECT instant FROM (SELECT {self._judge.instant} AS instant, row_number() OVER (ORDER BY "
            f"{self._judge.instant}) AS number FROM {self._leaf} AS r WHERE " + where + ") AS numbered "
            f"WHERE number > 1 AND number %% {rows} = {1 % rows} ORDER BY number"
        )
        return [Nanos(int(instant)) for (instant,) in found]

    def halves(self, span: Span) -> tuple[Span, ...]:
        """Two pieces of half the rows. Empty if there is one row at most."""
        where = condition(self._scene, self._judge.selection, span) + " AND (" + self._judge.lapsed(self._codes) + ")"
        ((rows,),) = self._scene.connection.query(f"SELECT count(*) FROM {self._leaf} AS r WHERE " + where)
        return tuple(self.split(span, rows, -(-rows // 2))) if rows > 1 else ()


def condition(scene: Scene, selection: Selection, span: Span) -> Fragment:
    """The condition that a row ``r`` lies in *span*; false where the column cannot be asked so any more."""
    found = scene.judge(selection).between(span.first, span.last)
    if found is None:
        return Fragment("FALSE")
    return (
        "(" + found + ")" if span.place is None else "(" + found + " AND " + within(scene.connection, span.place) + ")"
    )
