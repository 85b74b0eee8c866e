"""Admitting: a dataset is planned, and every guard looks at the plan before the first removal."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lapse.engine.blaming import blaming
from lapse.engine.outcomes import Seen
from lapse.engine.planning import check_drift
from lapse.engine.remembered import Remembered
from lapse.engine.session import Session
from lapse.errors import UnsupportedError
from lapse.model.guards import Guard, Over
from lapse.model.ledger_entry import EntryKind
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Dataset
from lapse.model.sealed_plan import SealedDataset
from lapse.model.selection import Selection, Verdict
from lapse.ports import Budget, Burdened, Store
from lapse.registry import store_class
from lapse.stages.guarding import check_fingerprint, check_limits
from lapse.stages.planning import plan_dataset
from lapse.state.pins import Pins


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A plan that every guard has looked at.

    Attributes:
        selection: What decided.
        plan: What would go.
        allowed: Guards that would have refused, but for the caller's word.
    """

    selection: Selection
    plan: DatasetPlan
    allowed: tuple[Over, ...]


def admitted(
    session: Session,
    store: Store,
    selection: Selection,
    sealed: SealedDataset | None,
    *,
    budget: Budget,
    allowed: Collection[Guard],
    past: Remembered,
    seen: Seen,
) -> Admitted:
    """Plan one dataset and let every guard look at it; what was found is noted in *seen* before they do.

    Arguments:
        session: Whose policy has the guards.
        store: The store.
        selection: What decides.
        sealed: The plan that is followed. None without one.
        budget: Size of a slice.
        allowed: Guards that the caller passes by, this once.
        past: What the ledger says.
        seen: Takes the plan.

    Raises:
        GuardError: If one refuses.
        UnsupportedError: If the store says it cannot do this safely.
    """
    dataset = selection.dataset
    session.tell("dataset.planning", dataset=dataset.name)
    check_pace(dataset)
    with blaming(dataset):
        planned = plan_dataset(store, selection, budget=budget, mark=sealed.mark if sealed else None)
    seen.plans[dataset.name] = planned
    session.tell(
        "dataset.planned", dataset=dataset.name, lapsed=planned.records(Verdict.LAPSED),
        held=planned.records(Verdict.HELD), doubtful=planned.records(Verdict.DOUBTFUL), records=planned.records(),
    )  # fmt: skip
    check_fingerprint(
        dataset, planned.identity.fingerprint, Pins(session.folders.root).pinned(session.state_name(dataset.name))
    )
    if sealed is not None:
        check_drift(planned, sealed)
    if planned.identity.refusal is not None and planned.records(Verdict.LAPSED):
        raise UnsupportedError(
            f"{dataset.name}: {planned.identity.refusal}",
            hint="Lapse removes nothing there.",
            origin=dataset.origin("table") or dataset.origin("store"),
        )
    guards = session.policy.guards_of(dataset)
    passed = check_limits(planned, guards, past.refreshed_of(dataset.name), allowed=allowed)
    return Admitted(selection=selection, plan=planned, allowed=passed)


def check_pace(dataset: Dataset) -> None:
    """Refuse to leave out what the policy asks for.

    Raises:
        UnsupportedError: If ``pause while`` has a query and the store cannot be asked.
    """
    is_log = dataset.table is None  # the policy's own `pace` is meant for its databases
    if dataset.pace.pause_while is not None and not is_log and not issubclass(store_class(dataset.store), Burdened):
        raise UnsupportedError(
            f"{dataset.name}: {dataset.shown} cannot be asked `pause while`",
            hint="Write `pause while: never` under the dataset's `pace`.",
            origin=dataset.origin("pace"),
        )


def record_allowed(session: Session, run: str, found: Iterable[Admitted], *, allowed: Collection[Guard]) -> None:
    """Enter into the ledger which guards would have refused *run*, but for the word of whoever started it."""
    for each in found:
        for over in each.allowed:
            if over.guard in allowed:
                body = {"note": "a guard was passed by", "guard": over.guard.value, "run": run, **over.figures}
                body["dataset"] = each.plan.dataset
                session.writable_ledger.append(EntryKind.NOTE, body, at=session.real_now)
