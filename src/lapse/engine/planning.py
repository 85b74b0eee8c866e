"""What a run would do: look at every chosen store, read-only, and say so with reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lapse.engine.blaming import blaming
from lapse.engine.boards import selected
from lapse.engine.filing import check_files
from lapse.engine.holding import checked_holds
from lapse.engine.ramping import ramp_of, with_ramp
from lapse.engine.remembered import Remembered, remember
from lapse.engine.session import Session
from lapse.errors import GuardError, UsageError
from lapse.instant import rfc3339_second
from lapse.model.plan import DatasetPlan, Plan
from lapse.model.policy import Dataset, Hold
from lapse.model.sealed_plan import SealedDataset, SealedPlan, lapsed_groups, seal_plan
from lapse.model.selection import SKEW
from lapse.ports import Budget
from lapse.stages.guarding import check_fingerprint, over_limits
from lapse.stages.planning import plan_dataset
from lapse.state.files import write_durably
from lapse.state.pins import Pins


def plan(session: Session, names: Sequence[str] = ()) -> Plan:
    """Plan the named datasets, or all. Writes nothing, anywhere.

    Raises:
        LapseError: If a store cannot be read; the place in the policy is added.
        GuardError: If a store is not the one the policy was written for.
    """
    holds, past = checked_holds(session), remember(session.ledger)
    return Plan(
        now=session.now,
        policy_digest=session.policy.digest,
        datasets=tuple(_plan_one(session, dataset, holds, past=past) for dataset in session.datasets(names)),
    )


def _plan_one(session: Session, dataset: Dataset, holds: Sequence[Hold], *, past: Remembered) -> DatasetPlan:
    session.tell("dataset.planning", dataset=dataset.name)
    check_files(session, dataset)
    with blaming(dataset), session.reading(dataset) as store:
        selection = selected(session, dataset, store, holds)
        planned = plan_dataset(store, selection, budget=Budget())
    guards = session.policy.guards_of(dataset)
    ramp = ramp_of(selection, planned, guards, past)
    over = over_limits(planned, guards, past.refreshed_of(dataset.name))
    planned = replace(with_ramp(planned, selection, ramp), over=over)
    check_fingerprint(
        dataset, planned.identity.fingerprint, Pins(session.folders.root).pinned(session.state_name(dataset.name))
    )
    return planned


def write_sealed(session: Session, made: Plan, file: Path) -> SealedPlan:
    """Seal *made* into *file*, mode 0600; an existing file is replaced.

    Raises:
        UsageError: If a dataset has no high-water mark to seal; says which and why. Also if *file* can be none.
    """
    if not file.name or file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file} cannot become the plan's file", hint="Name a file in a folder that is there.")
    try:
        sealed = seal_plan(made, session.real_now)
    except ValueError as error:
        raise UsageError(
            f"this plan cannot be sealed: {error}", hint="Run without --plan, or plan the other datasets by name."
        ) from error
    write_durably(file, json.dumps(sealed.to_json(), indent=2).encode() + b"\n")
    return sealed


def read_sealed(session: Session, file: Path) -> tuple[Session, SealedPlan]:
    """Read a sealed plan, and the session that follows it: its ``now`` decides again.

    Raises:
        UsageError: If the file is missing or is no plan.
        GuardError: If it was edited, the policy is another one now, or it was made by a clock that ran ahead.
    """
    hint = "Make one with: lapse plan -o FILE"
    try:
        facts = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{file}: there is no such plan", hint=hint) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as a plan: {error}", hint=hint) from error
    if not isinstance(facts, dict):
        raise UsageError(f"{file} is no plan that `lapse plan -o` wrote", hint=hint)
    try:
        sealed = SealedPlan.from_json(facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GuardError(f"{file}: {error}", hint=hint) from error
    if sealed.policy != session.policy.digest:
        raise GuardError(
            f"{file} was made for another policy ({sealed.policy[:12]}, now {session.policy.digest[:12]})",
            hint="The policy has changed since. Make a new plan and look at it.",
        )
    if max(sealed.now, sealed.real_now) > session.real_now + SKEW:
        raise GuardError(
            f"{file} was made at {rfc3339_second(sealed.real_now)} and decides at {rfc3339_second(sealed.now)},"
            f" but the clock says {rfc3339_second(session.real_now)}",
            hint="A clock is or was wrong. Set it right, then make a new plan.",
        )
    return replace(session, now=sealed.now, planned_at=sealed.real_now), sealed


def check_drift(planned: DatasetPlan, sealed: SealedDataset) -> None:
    """Refuse to follow a sealed plan where the store has drifted from it below the mark.

    Arguments:
        planned: A fresh plan, surveyed below the sealed mark.
        sealed: What was sealed.

    Raises:
        GuardError: If the store is another one, or fewer, more or other records would go.
    """
    hint = "Make a new plan, look at it, and run that."
    if planned.identity.fingerprint.text != sealed.fingerprint:
        raise GuardError(
            f"{sealed.name}: planned on {sealed.fingerprint}, but the store is {planned.identity.fingerprint.text}",
            hint=hint,
        )
    found = lapsed_groups(planned)
    if found == sealed.groups:
        return
    was, now = sum(g.records for g in sealed.groups), sum(g.records for g in found)
    what = f"{now:,} records would go where {was:,} were planned" if was != now else "other records would go"
    raise GuardError(f"{sealed.name}: the store has drifted from the plan: {what}", hint=hint)
