"""A run: leases, recovery and guards of all chosen datasets, then slice after slice, then the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from lapse import clock
from lapse.engine.admitting import Admitted, admitted, record_allowed
from lapse.engine.blaming import blaming
from lapse.engine.boards import post_missing, selected
from lapse.engine.checkpointing import check_anchor, checkpoint
from lapse.engine.filing import check_files
from lapse.engine.growth import footprint
from lapse.engine.holding import checked_holds, holds_unchanged, record_new_holds
from lapse.engine.limits import STOP_FILE, Allowance, Limits
from lapse.engine.outcomes import Seen, remember_report, remembered_failure
from lapse.engine.planning import read_sealed
from lapse.engine.purging import Manners, Outcome, Work, purge
from lapse.engine.ramping import ramp_of, with_ramp
from lapse.engine.reclaiming import Tidied, allocated, tidy
from lapse.engine.recovering import Recovered, recover
from lapse.engine.remembered import Remembered, remember
from lapse.engine.retuning import pace_warnings, tuning
from lapse.engine.rotating import due, tend
from lapse.engine.session import Session, run_id
from lapse.errors import GuardError, LapseError
from lapse.instant import rfc3339
from lapse.model.disposal import Facts, Owner
from lapse.model.guards import Guard
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Dataset, Hold
from lapse.model.ramp import RuleDigests
from lapse.model.report import DatasetReport, RunReport, Status, Trouble
from lapse.model.sealed_plan import SealedDataset
from lapse.model.selection import Selection, Verdict
from lapse.ports import Budget, Store
from lapse.slicework import Bench
from lapse.stages.guarding import check_clock
from lapse.state.journal import Journal, finish
from lapse.state.pins import Pins
from lapse.state.working import at_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller asks of a run.

    Attributes:
        names: Datasets; empty means all.
        allow_empty: Whether a dataset may be emptied, as a matter of course.
        allowed: Guards that are passed by, this once; the ledger says so.
        plan_file: A sealed plan to follow. None plans anew.
        budget: Size of a slice.
        limits: How much the run may do.
        stopping: Asked between slices and while the run waits; True ends it, incomplete.
        tidy: Whether the store makes freed space usable again afterwards, as PostgreSQL does by ``VACUUM``.
    """

    names: tuple[str, ...] = ()
    allow_empty: bool = False
    allowed: frozenset[Guard] = frozenset()
    plan_file: Path | None = None
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    stopping: Callable[[], bool] = lambda: False
    tidy: bool = True


def dry_run(session: Session, wishes: Wishes) -> RunReport:
    """Everything a run checks, and nothing it does: stores are opened read-only, no file is written.

    Raises:
        LapseError: As `run`.
    """
    session, sealed = _follow(session, wishes)
    started = clock.monotonic()
    check_clock(session.real_now, session.ledger.last_at())
    holds = checked_holds(session)
    check_anchor(session)
    past = remember(session.ledger)
    reports = []
    for dataset in _chosen(session, _names(wishes, sealed)):
        with blaming(dataset), session.reading(dataset) as store:
            selection = selected(session, dataset, store, holds)
            planned = _admitted(session, store, selection, wishes, sealed, past, Seen()).plan
        ramp = ramp_of(selection, planned, session.policy.guards_of(dataset), past)
        planned = with_ramp(planned, selection, ramp)
        going = planned.records(Verdict.LAPSED)
        status = Status.DONE if going else Status.NOTHING
        turns = due(session, dataset)
        reports.append(DatasetReport(dataset=dataset.name, status=status, remaining=going, turns=turns, plan=planned))
    return RunReport(
        run=run_id(session.real_now), now=session.now, dry=True, datasets=tuple(reports),
        seconds=clock.monotonic() - started,
    )  # fmt: skip


def run(session: Session, wishes: Wishes) -> RunReport:
    """Remove what has lapsed from the chosen datasets.

    Everything that can refuse a run comes before the first removal; after it, a dataset that fails
    leaves the others done.

    Raises:
        PolicyError, UsageError: Exit 2, nothing touched.
        GuardError: Exit 3, nothing removed.
        LeaseError: Exit 4, nothing touched.
    """
    name = run_id(session.real_now)
    with remembered_failure(session, name) as seen:
        seen.datasets = tuple(each for each in session.datasets(()) if not wishes.names or each.name in wishes.names)
        report = _run(session, wishes, name, seen)
    session.tell(
        "run.ended", run=name, exit=int(report.exit_code), records=report.records, remaining=report.remaining,
        seconds=round(report.seconds, 3), ended=report.ended,
    )  # fmt: skip
    return report


def _run(session: Session, wishes: Wishes, name: str, seen: Seen) -> RunReport:
    session, sealed = _follow(session, wishes)
    started = clock.monotonic()
    check_clock(session.real_now, session.ledger.last_at())
    datasets = seen.datasets = _chosen(session, _names(wishes, sealed))
    session.tell("run.started", run=name, datasets=", ".join(each.name for each in datasets))
    with ExitStack() as stack:
        stores = [_leased(stack, session, dataset) for dataset in datasets]
        stack.enter_context(at_work(session.folders.root, name))
        holds = checked_holds(session)
        check_anchor(session)
        recovered = [_recovered(session, dataset, store) for dataset, store in zip(datasets, stores, strict=True)]
        past = remember(session.ledger)
        planned = [
            _admitted(session, store, selected(session, dataset, store, holds), wishes, sealed, past, seen)
            for dataset, store in zip(datasets, stores, strict=True)
        ]
        works = [
            _work(
                session, store, _shared(session, store, found, holds), settled, sealed.get(found.plan.dataset),
                run=name, past=past,
            )
            for store, found, settled in zip(stores, planned, recovered, strict=True)
        ]  # fmt: skip
        _begin_record(session, name, holds, works)
        record_allowed(session, name, planned, allowed=wishes.allowed)
        bench = Bench(
            targets=session.targets,
            journal=Journal.open(session.folders.root, name),
            ledger=session.writable_ledger,
            holds_unchanged=holds_unchanged(session),
        )
        names = (f"{number:06d}" for number in count(1))  # unique in the run: ledger and markers go by them
        allowance = Allowance(
            wishes.limits, stop_file=session.folders.root / STOP_FILE, stopping=wishes.stopping, started=started
        )
        manners = Manners(budget=wishes.budget, allowance=allowance, tuning=lambda: tuning(session))
        before, sizes = [allocated(store) for store in stores], [footprint(store) for store in stores]
        outcomes = [purge(session, item, bench, names=names, manners=manners) for item in works]
        tended = [
            tend(session, outcome, before=size, stopped=wishes.stopping())
            for outcome, size in zip(outcomes, sizes, strict=True)
        ]
        outcomes = [each.outcome for each in tended]
        report = _end_record(session, name, outcomes, clock.monotonic() - started)
        if wishes.tidy and allowance.pressing() is None:
            report = _tidied(report, outcomes, before)
        of_files = [warning for each in tended for warning in each.warnings]
        return replace(report, warnings=(*report.warnings, *of_files, *allowance.left_behind()))


def _tidied(report: RunReport, outcomes: Sequence[Outcome], before: Sequence[int | None]) -> RunReport:
    """Make the space of what was removed usable again. The record is complete by now, so that nothing waits for it."""
    found = [
        tidy(outcome.work.store, dataset=outcome.work.dataset.name, before=size) if outcome.report.slices else Tidied()
        for outcome, size in zip(outcomes, before, strict=True)
    ]
    datasets = tuple(replace(one, space=done.space) for one, done in zip(report.datasets, found, strict=True))
    warnings = (*report.warnings, *(warning for done in found for warning in done.warnings))
    return replace(report, datasets=datasets, warnings=warnings)


def _follow(session: Session, wishes: Wishes) -> tuple[Session, dict[str, SealedDataset]]:
    if wishes.plan_file is None:
        return session, {}
    session, sealed = read_sealed(session, wishes.plan_file)
    return session, {dataset.name: dataset for dataset in sealed.datasets}


def _names(wishes: Wishes, sealed: dict[str, SealedDataset]) -> Sequence[str]:
    if not sealed:
        return wishes.names
    for name in wishes.names:
        if name not in sealed:
            raise GuardError(f"{name} is not in the plan", hint=f"The plan has: {', '.join(sealed)}.")
    return wishes.names or tuple(sealed)


def _chosen(session: Session, names: Sequence[str]) -> tuple[Dataset, ...]:
    """The datasets of those names, none of which asks for what its store cannot do."""
    datasets = session.datasets(names)
    for dataset in datasets:
        check_files(session, dataset)
    return datasets


def _leased(stack: ExitStack, session: Session, dataset: Dataset) -> Store:
    """Open a store for writing under its lease; both end with *stack*."""
    with blaming(dataset):
        store = session.opened(dataset, read_only=False)
        stack.callback(store.close)
        stack.enter_context(store.lease())
        return store


def _recovered(session: Session, dataset: Dataset, store: Store) -> Recovered:
    with blaming(dataset):
        return recover(session, dataset, store)


def _admitted(
    session: Session,
    store: Store,
    selection: Selection,
    wishes: Wishes,
    sealed: Mapping[str, SealedDataset],
    past: Remembered,
    seen: Seen,
) -> Admitted:
    """Plan one dataset and let every guard look at it, but for those that *wishes* pass by."""
    return admitted(
        session, store, selection, sealed.get(selection.dataset.name),
        budget=wishes.budget, allowed=wishes.allowed | ({Guard.EMPTY} if wishes.allow_empty else set()),
        past=past, seen=seen,
    )  # fmt: skip


def _shared(session: Session, store: Store, planned: Admitted, holds: Sequence[Hold]) -> Admitted:
    """Let other hosts see the holds of this one, as far as they do not, before anything is removed."""
    with blaming(planned.selection.dataset):
        fresh = post_missing(session, planned.selection.dataset, store, holds)
    if not fresh:
        return planned  # the very same selection: what its store has made of very many rules stands
    return replace(planned, selection=replace(planned.selection, posted=(*planned.selection.posted, *fresh)))


def _work(
    session: Session,
    store: Store,
    planned: Admitted,
    recovered: Recovered,
    sealed: SealedDataset | None,
    *,
    run: str,
    past: Remembered,
) -> Work:
    selection, dataset = planned.selection, planned.selection.dataset
    ramp = ramp_of(selection, planned.plan, session.policy.guards_of(dataset), past)
    facts = Facts(
        owner=Owner(ledger=session.writable_ledger.begin(at=session.real_now), run=run),
        fingerprint=planned.plan.identity.fingerprint.text,
        policy=session.policy.digest,
        now=session.now,
        rules_digest=selection.rules_digest,
        rules=selection.rule_texts,
        cutoffs=selection.cutoff_texts,
        came_back=tuple(past.came_back.get(dataset.name, ())),
        rule_digests=RuleDigests(dataset.rules),
    )
    return Work(
        dataset=dataset, store=store, selection=selection, plan=with_ramp(planned.plan, selection, ramp), facts=facts,
        recovered=recovered, sealed=sealed, ramp=ramp,
    )  # fmt: skip


def _begin_record(session: Session, name: str, holds: Sequence[Hold], works: Sequence[Work]) -> None:
    """Pin what was seen for the first time, and enter new holds and a changed policy into the ledger."""
    record_new_holds(session, holds)
    pins = Pins(session.folders.root)
    for item in works:
        if item.dataset.expect is None and pins.pinned(session.state_name(item.dataset.name)) is None:
            pins.pin(session.state_name(item.dataset.name), item.facts.fingerprint)
    if remember(session.ledger).policy != session.policy.digest:
        body = {"run": name, "policy": session.policy.digest, "file": Path(session.policy.file).name}
        session.writable_ledger.append(EntryKind.POLICY, body, at=session.real_now)


def _end_record(session: Session, name: str, outcomes: Sequence[Outcome], seconds: float) -> RunReport:
    """Record the run; where that fails the report still says what was removed."""
    reports = tuple(outcome.report for outcome in outcomes)
    try:
        warnings = _record_run(session, name, outcomes, reports)
    except LapseError as error:
        reports, warnings = tuple(_unrecorded(report, error) for report in reports), []
    head = session.ledger.head()
    report = RunReport(
        run=name, now=session.now, dry=False, datasets=reports, warnings=tuple(warnings), seconds=seconds,
        ledger_entries=None if head is None else head.n + 1, head=None if head is None else head.hash,
    )  # fmt: skip
    return replace(report, warnings=(*report.warnings, *remember_report(session, report), *pace_warnings(session)))


def _record_run(
    session: Session, name: str, outcomes: Sequence[Outcome], reports: Sequence[DatasetReport]
) -> list[str]:
    """Enter the run, checkpoint the ledger into every archive, then prune the markers; returns warnings."""
    session.writable_ledger.append(
        EntryKind.RUN,
        {
            "run": name,
            "now": rfc3339(session.now),
            "policy": session.policy.digest,
            "datasets": {
                report.dataset: {
                    "status": report.status.value,
                    "records": report.records,
                    "rules_digest": outcome.work.facts.rules_digest,
                    **({} if outcome.climb is None else {"ramp": outcome.climb.facts()}),
                }
                for report, outcome in zip(reports, outcomes, strict=True)
            },
        },
        at=clock.real_now(),
    )
    failures = checkpoint(session)
    warnings = [*session.folders.prepare(), *failures, *([] if failures else _prune(outcomes))]
    finish(session.folders.root, name)
    return warnings


def _unrecorded(report: DatasetReport, error: LapseError) -> DatasetReport:
    if report.trouble is not None:
        return report
    trouble = Trouble(message=f"the record of this run is not complete: {error}", hint=error.hint)
    return replace(report, status=Status.INCOMPLETE, trouble=trouble)


def _prune(outcomes: Sequence[Outcome]) -> list[str]:
    """Remove the markers of everything that the ledger has and the checkpoint covers."""
    warnings = []
    for outcome in outcomes:
        try:
            outcome.pruning.prune()
        except LapseError as error:
            warnings.append(f"{outcome.report.dataset}: markers stay until the next run: {error}")
    return warnings
