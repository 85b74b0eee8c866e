"""Whether a table's rows lie in the order of their times, and if not, how their times are divided for counting."""

from __future__ import annotations

from dataclasses import dataclass

from lapse.instant import Nanos
from lapse.model.selection import Selection
from lapse.sqlcore.rules import MIN_INT64
from lapse.stores.postgresql.scene import Scene

_IN_ORDER = 0.9
"""Correlation of places and times, as the server's statistics have it, from which on rows lie in order."""

_DIVISIONS = 10_000
_ROWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """Divides times evenly.

    Attributes:
        first: Where it begins; all that is earlier belongs to the first division.
        width: Nanoseconds of one division.
        divisions: How many; all that is later belongs to the last one.
    """

    first: Nanos
    width: int
    divisions: int

    def number(self, instant: str) -> str:
        """SQL: the division of an instant, from 0."""
        return f"least({self.divisions - 1}, greatest(0, (({instant}) - ({self.first})) / {self.width}))"

    def begin(self, number: int) -> Nanos:
        """The first instant of a division."""
        return Nanos(self.first + number * self.width) if number else Nanos(MIN_INT64)


def is_served(scene: Scene, selection: Selection) -> bool:
    """Whether an index finds rows by their time, and the table has no partitions to choose from instead."""
    table = scene.table
    if table.kind != "r" or table.serving(table.column(scene.dataset.time).name) is None:
        return False
    return scene.judge(selection).between(Nanos(0), Nanos(1)) is not None


def ruler_for(scene: Scene, selection: Selection) -> Ruler | None:
    """A ruler for the times of what lapsed, where it lies scattered by the server's statistics. None elsewhere."""
    if not is_served(scene, selection) or _correlation(scene) >= _IN_ORDER:
        return None
    ends = selection.lapsed_codes().cutoffs
    earliest = scene.earliest(selection)
    if not ends or earliest is None:
        return None
    rows = sum(leaf.rows for leaf in scene.leaves)
    return ruler(earliest, max(ends), rows)


def ruler(first: Nanos, last: Nanos, rows: int) -> Ruler:
    """A ruler from *first* to *last* with some thousand of *rows* in each division."""
    divisions = max(1, min(_DIVISIONS, rows // _ROWS))
    return Ruler(first=first, width=max(1, (last - first) // divisions + 1), divisions=divisions)


def _correlation(scene: Scene) -> float:
    """How far the order of places is that of times, 0 to 1. 1 where the server has no statistics."""
    found = scene.connection.value(
        "SELECT abs(correlation) FROM pg_stats WHERE schemaname = %s AND tablename = %s AND attname = %s",
        (scene.table.schema, scene.table.name, scene.dataset.time),
    )
    return 1.0 if found is None else float(found)
