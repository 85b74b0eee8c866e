"""Planning: a store and a selection in, a plan with a reason for every group of records out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

from lapse.model.plan import DatasetPlan, Group, Tally, merge
from lapse.model.selection import Outcome, Selection, Verdict
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
        cutoffs=tuple(map(selection.rules.cutoff, range(len(selection.rules)))),
        groups=_groups(selection, tallies),
        segments=_segments(selection, tallies, budget),
        rules=selection.sources,
        clock=selection.dataset.time,
    )


def _groups(selection: Selection, tallies: Iterable[Tally]) -> tuple[Group, ...]:
    """The groups of *tallies*, which are ordered by their codes: by verdict, and then in the same order."""
    found: dict[Verdict, list[Group]] = {verdict: [] for verdict in _ORDER}
    outcome: Outcome | None = None
    for tally in tallies:
        if outcome is None or outcome.code != tally.code:
            outcome = selection.outcomes[tally.code]
        found[outcome.verdict].append(Group(outcome=outcome, tally=tally))
    return tuple(chain.from_iterable(found.values()))


def _segments(selection: Selection, tallies: Iterable[Tally], budget: Budget) -> int:
    """Full slices for each destination, times its archives; about, since slices are cut by the store."""
    going: dict[tuple[str, ...], list[Tally]] = defaultdict(list)
    for tally in tallies:
        ending = selection.ending(tally.code)
        if ending is not None:
            going[ending.destination.archives].append(tally)
    return sum(
        len(archives)
        * max(
            -(-sum(t.records for t in found) // budget.rows),
            -(-sum(t.size for t in found) // budget.size),
        )
        for archives, found in going.items()
    )
