"""Rotation of logs: after a run has removed what lapsed from a dataset, or as a command of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from lapse import clock
from lapse.engine.blaming import blaming
from lapse.engine.growth import figures, footprint, remember_size, warnings
from lapse.engine.purging import Outcome
from lapse.engine.recovering import recover
from lapse.engine.session import Session
from lapse.errors import LapseError, UsageError
from lapse.model.growth import Footprint
from lapse.model.policy import Dataset
from lapse.model.report import Status, Trouble
from lapse.model.rotation import DatasetRotation, RotationReport, Step, Turn
from lapse.ports import Rotatable, Store
from lapse.registry import open_store

_EVENTS = {Step.ROTATED: "log.rotated", Step.PACKED: "log.compressed", Step.WAITING: "log.waiting"}


@dataclass(frozen=True, slots=True)
class Tended:
    """A dataset of a run whose files were looked after.

    Attributes:
        outcome: What came of it.
        warnings: What should be known about the files.
    """

    outcome: Outcome
    warnings: tuple[str, ...] = ()


def tend(session: Session, outcome: Outcome, *, before: Footprint | None, stopped: bool) -> Tended:
    """Rotate what is due after a dataset's removals, and see how its files grow.

    A dataset that is not complete is not rotated: what the next run settles stays where it is.

    Arguments:
        session: The session.
        outcome: What the run did to the dataset.
        before: How large the files were before the run. None if that is not known.
        stopped: Whether the run was asked to stop, so that nothing else is begun.
    """
    dataset, store, report = outcome.work.dataset, outcome.work.store, outcome.report
    if not isinstance(store, Rotatable):
        return Tended(outcome)
    if report.status is not Status.INCOMPLETE and not stopped:
        done = _rotated(session, dataset, store, force=False)
        report = replace(report, turns=done.turns)
        if done.trouble is not None:
            trouble = Trouble(message=done.trouble, hint=done.hint)
            report = replace(report, status=Status.INCOMPLETE, trouble=trouble)
        elif report.status is Status.NOTHING and any(turn.step is not Step.WAITING for turn in done.turns):
            report = replace(report, status=Status.DONE)
    after = footprint(store)
    if after is None:
        return Tended(replace(outcome, report=report))
    unsaved = remember_size(session, dataset, before=before, after=after)
    found = figures(session, dataset, after)
    report = replace(report, growth=found)
    return Tended(replace(outcome, report=report), (*unsaved, *warnings(session, dataset, found)))


def due(session: Session, dataset: Dataset, *, force: bool = False) -> tuple[Turn, ...]:
    """What a rotation would do to one dataset. Writes nothing.

    Raises:
        StoreError: If its files cannot be looked at.
    """
    if dataset.rotation is None:
        return ()
    with blaming(dataset):
        store = open_store(dataset, read_only=True)
        try:
            return tuple(store.due(session.now, force=force)) if isinstance(store, Rotatable) else ()
        finally:
            store.close()


def rotate(session: Session, names: Sequence[str], *, force: bool, dry: bool) -> RotationReport:
    """Rotate the logs of the chosen datasets that are due, or with *force* all that are not empty.

    Leases come before the first rotation; after that, a dataset that fails leaves the others done.

    Arguments:
        session: The session.
        names: Datasets; empty means all that have a rotation.
        force: Whether it matters that they are due.
        dry: Whether to say only what would be done.

    Raises:
        UsageError: If a dataset has no rotation, or none has.
        LeaseError: Exit 4, nothing touched.
    """
    datasets = _chosen(session, names)
    if dry:
        found = tuple(_foreseen(session, dataset, force=force) for dataset in datasets)
        return RotationReport(at=session.now, dry=True, datasets=found)
    with ExitStack() as stack:
        stores = [_leased(stack, dataset) for dataset in datasets]
        done = tuple(
            _settled_and_rotated(session, dataset, store, force=force)
            for dataset, store in zip(datasets, stores, strict=True)
        )
        unsaved = [
            warning
            for dataset, store, each in zip(datasets, stores, done, strict=True)
            for warning in _remembered(session, dataset, store, each)
        ]
    return RotationReport(at=session.now, dry=False, datasets=done, warnings=tuple(unsaved))


def _chosen(session: Session, names: Sequence[str]) -> tuple[Dataset, ...]:
    datasets = session.datasets(names)
    hint = "Say when with `rotate: {at: 1 GB}` or `rotate: {at: daily}` in the dataset."
    for dataset in datasets if names else ():
        if dataset.rotation is None:
            raise UsageError(f"{dataset.name} has no `rotate:`", hint=hint, origin=dataset.origin())
    found = tuple(dataset for dataset in datasets if dataset.rotation is not None)
    if not found:
        raise UsageError(f"no dataset in {session.policy.file} has a `rotate:`", hint=hint)
    return found


def _leased(stack: ExitStack, dataset: Dataset) -> Store:
    with blaming(dataset):
        store = open_store(dataset, read_only=False)
        stack.callback(store.close)
        stack.enter_context(store.lease())
        return store


def _foreseen(session: Session, dataset: Dataset, *, force: bool) -> DatasetRotation:
    try:
        return DatasetRotation(dataset=dataset.name, turns=due(session, dataset, force=force))
    except LapseError as error:
        return DatasetRotation(dataset=dataset.name, trouble=str(error), hint=error.hint)


def _settled_and_rotated(session: Session, dataset: Dataset, store: Store, *, force: bool) -> DatasetRotation:
    """Settle what an interrupted run left, which may be told by where its files are, then rotate."""
    started, before = clock.monotonic(), footprint(store)
    try:
        with blaming(dataset):
            recover(session, dataset, store)
    except LapseError as error:
        return DatasetRotation(dataset=dataset.name, before=before, trouble=str(error), hint=error.hint)
    done = _rotated(session, dataset, store, force=force)
    return replace(done, before=before, seconds=clock.monotonic() - started)


def _rotated(session: Session, dataset: Dataset, store: Store, *, force: bool) -> DatasetRotation:
    """Rotate, and tell every step; what fails is kept for the report."""
    turns: list[Turn] = []
    try:
        with blaming(dataset):
            assert isinstance(store, Rotatable)  # noqa: S101 - only such datasets have a rotation
            for turn in store.rotate(session.now, force=force):
                session.tell(_EVENTS[turn.step], dataset=dataset.name, log=turn.log, file=turn.file, size=turn.size)
                turns.append(turn)  # those before a failure count
    except LapseError as error:
        session.tell("rotation.failed", dataset=dataset.name, error=str(error))
        return DatasetRotation(dataset=dataset.name, turns=tuple(turns), trouble=str(error), hint=error.hint)
    return DatasetRotation(dataset=dataset.name, turns=tuple(turns))


def _remembered(session: Session, dataset: Dataset, store: Store, done: DatasetRotation) -> tuple[str, ...]:
    after = footprint(store)
    return () if after is None else remember_size(session, dataset, before=done.before, after=after)
