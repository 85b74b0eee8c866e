"""Planning: a store and a selection in, a plan with a reason for every group of records out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lapse.model.plan import DatasetPlan, Group, Tally, merge
from lapse.model.selection import Selection, Verdict
from lapse.ports import Budget, Remarking, Store

_ORDER = (Verdict.LAPSED, Verdict.HELD, Verdict.DOUBTFUL, Verdict.UNMATCHED, Verdict.KEPT)


def plan_dataset(
    store: Store,
    selection: Selection,
    *,
    budget: Budget,
    mark: Mapping[str, tuple[int, ...]] | None = None,
) -> DatasetPlan:
    """Survey the store and say what would go, what would stay, and why. Writes nothing."""
    identity = store.identity()
    tallies = merge(store.survey(selection, mark))
    if isinstance(store, Remarking):
        identity = replace(identity, notes=(*identity.notes, *store.remarks(selection)))
    return DatasetPlan(
        dataset=selection.dataset.name,
        store=selection.dataset.shown,
        identity=identity,
        cutoffs=tuple(bound.cutoff for bound in selection.rules),
        groups=_groups(selection, tallies),
        segments=_segments(selection, tallies, budget),
    )


def _groups(selection: Selection, tallies: Iterable[Tally]) -> tuple[Group, ...]:
    groups = [Group(outcome=selection.outcomes[tally.code], tally=tally) for tally in tallies]
    return tuple(sorted(groups, key=lambda group: (_ORDER.index(group.outcome.verdict), group.outcome.code)))


def _segments(selection: Selection, tallies: Iterable[Tally], budget: Budget) -> int:
    """Full slices for each destination, times its archives; about, since slices are cut by the store."""
    going: dict[tuple[str, ...], list[Tally]] = defaultdict(list)
    for tally in tallies:
        destination = selection.outcomes[tally.code].destination
        if destination is not None:
            going[destination.archives].append(tally)
    return sum(
        len(archives)
        * max(
            -(-sum(t.records for t in found) // budget.rows),
            -(-sum(t.size for t in found) // budget.size),
        )
        for archives, found in going.items()
    )
