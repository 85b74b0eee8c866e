"""A selection as a function of time: for records with the same fields, their outcome between any two cutoffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.stores.jsonl.judging import Judge, Values

_MOST_GROUPS = 1 << 15


@dataclass(frozen=True, slots=True)
class Group:
    """Records with the same values of the fields that decide.

    Attributes:
        values: Those values, as `Judge.values` tells them.
        tenant: The tenant they are counted under.
        codes: Their outcome before the first of the edges, from each to the next, and from the last on.
    """

    values: Values
    tenant: str | None
    codes: tuple[int, ...]


class Timeline:
    """Outcomes by time. `Selection.decide` is asked once for each stretch in which its answer cannot change."""

    def __init__(self, judge: Judge) -> None:
        selection = judge.selection
        edges = {selection.doubt_after + 1, selection.dataset.doubt_before}
        edges |= {edge for hold in selection.holds for edge in (hold.records_from, hold.records_before)}
        edges |= {bound.cutoff for bound in (*selection.rules, *selection.floors)}
        self.edges: Sequence[int] = sorted(edge for edge in edges if edge is not None)
        """Instants at which an outcome can change, ascending; never empty."""
        self.untimed = selection.decide(None, lambda _: None)
        """The outcome of what has no time that can be read."""
        self._selection = selection
        self._names = judge.deciding
        self._time = selection.dataset.time
        self._has_tenant = selection.dataset.tenant is not None
        self._groups: dict[tuple[object, ...], Group] = {}

    def group(self, values: Values) -> Group:
        """The group of these values."""
        key = (*map(type, values), *values)
        found = self._groups.get(key)
        if found is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._groups.clear()
            found = self._groups[key] = self._decided(values)
        return found

    def _decided(self, values: Values) -> Group:
        # The time itself is required of a record at most, and these have one.
        fields: dict[str, object] = {self._time: (), **dict(zip(self._names, values, strict=True))}
        stretches = (self.edges[0] - 1, *self.edges)
        return Group(
            values=values,
            tenant=text_of(values[0]) if self._has_tenant else None,
            codes=tuple(self._selection.decide(Nanos(instant), fields.get) for instant in stretches),
        )
