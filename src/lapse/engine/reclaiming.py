"""Giving space back: tidying after a run, and rewriting when somebody says so. Nothing here removes a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from lapse import clock
from lapse.canonical import Json
from lapse.engine.blaming import blaming
from lapse.engine.checkpointing import check_anchor, checkpoint
from lapse.engine.session import Session
from lapse.errors import GuardError, LapseError
from lapse.model.bytesize import size_text
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Dataset
from lapse.model.reclaim import DatasetReclaim, Progress, Reclaim, ReclaimReport, Space
from lapse.ports import Reclaimable, Store
from lapse.registry import open_store
from lapse.stages.guarding import check_fingerprint
from lapse.stages.reclaiming import advice, refusal
from lapse.state.pins import Pins

_GROWTH = 1024 * 1024
"""Bytes by which files may grow during a run before the report names it: writers go on meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What tidying a dataset's store came to.

    Attributes:
        space: What its files hold now. None if the store cannot tell.
        warnings: What should be known about it.
    """

    space: Space | None = None
    warnings: tuple[str, ...] = ()


def allocated(store: Store) -> int | None:
    """Bytes of the store's files before a run, for `tidy`. None if the store cannot tell, now or ever."""
    if not isinstance(store, Reclaimable):
        return None
    try:
        return store.allocated()
    except LapseError:
        return None  # a run needs it for a remark only


def tidy(store: Store, *, dataset: str, before: int | None) -> Tidied:
    """Make the space of removed records usable again, after a run; what fails is a warning.

    Arguments:
        store: The dataset's, under its lease.
        dataset: Its name.
        before: What `allocated` said before the run.
    """
    if not isinstance(store, Reclaimable):
        return Tidied()
    try:
        remarks = store.tidy()
        space = store.space()
    except LapseError as error:
        return Tidied(warnings=(f"{dataset}: the store was not tidied: {error}",))
    growth = 0 if before is None else space.allocated - before
    grown = (f"its files have grown by {size_text(growth)} during the run",) if growth > _GROWTH else ()
    return Tidied(space=space, warnings=tuple(f"{dataset}: {remark}" for remark in (*remarks, *grown)))


def predict(session: Session, names: Sequence[str], *, told: int | None) -> ReclaimReport:
    """What rewriting the chosen datasets would give back, and what it needs. Stores are opened read-only.

    Arguments:
        session: The session.
        names: Datasets; empty means all.
        told: Bytes that the operator says are free on the stores' disks. None if he said nothing.
    """
    found = []
    for dataset in session.datasets(names):
        with blaming(dataset), _opened(dataset, read_only=True) as store:
            found.append(_predicted(dataset, store, told))
    return ReclaimReport(at=session.real_now, ran=False, datasets=tuple(found))


def reclaim(session: Session, names: Sequence[str], *, told: int | None) -> ReclaimReport:
    """Rewrite the chosen datasets, one after the other.

    Leases and refusals of all of them are settled before the first is touched; after that, one that fails leaves
    the others done.

    Arguments:
        session: The session.
        names: Datasets; empty means all.
        told: Bytes that the operator says are free on the stores' disks. None if he said nothing.

    Raises:
        LeaseError: Exit 4, nothing touched.
        GuardError: Exit 3, nothing touched: a disk that does not hold it, or may not; a store that is another one.
    """
    datasets = session.datasets(names)
    check_anchor(session)
    with ExitStack() as stack:
        stores = [stack.enter_context(_leased(dataset)) for dataset in datasets]
        for dataset, store in zip(datasets, stores, strict=True):
            _check(session, dataset, store, told)
        done = tuple(_rewritten(session, d, store, told) for d, store in zip(datasets, stores, strict=True))
    return ReclaimReport(at=session.real_now, ran=True, datasets=done, warnings=_record(session, done))


@contextmanager
def _opened(dataset: Dataset, *, read_only: bool) -> Iterator[Store]:
    store = open_store(dataset, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _leased(dataset: Dataset) -> Iterator[Store]:
    with _opened(dataset, read_only=False) as store, ExitStack() as stack:
        with blaming(dataset):
            stack.enter_context(store.lease())
        yield store


def _predicted(dataset: Dataset, store: Store, told: int | None) -> DatasetReclaim:
    if not isinstance(store, Reclaimable):
        return DatasetReclaim(dataset=dataset.name, outcome=Reclaim.NOT_OFFERED)
    found = store.prediction()
    if not found.returns:
        return DatasetReclaim(dataset=dataset.name, outcome=Reclaim.NOTHING, prediction=found)
    refused = refusal(found, told=told)
    return DatasetReclaim(dataset=dataset.name, outcome=Reclaim.PREDICTED, prediction=found, refusal=refused)


def _check(session: Session, dataset: Dataset, store: Store, told: int | None) -> None:
    with blaming(dataset):
        found = _predicted(dataset, store, told)
        pinned = Pins(session.folders.root).pinned(session.state_name(dataset.name))
        check_fingerprint(dataset, store.identity().fingerprint, pinned)
    if found.refusal is not None and found.prediction is not None:
        raise GuardError(
            f"{dataset.name}: {found.refusal}", hint=advice(found.prediction), origin=dataset.origin("store")
        )


def _rewritten(session: Session, dataset: Dataset, store: Store, told: int | None) -> DatasetReclaim:
    """Rewrite one dataset; it is asked again first, since the ones before it have changed the disk."""
    started, found = clock.monotonic(), DatasetReclaim(dataset=dataset.name, outcome=Reclaim.INCOMPLETE)
    try:
        found = _predicted(dataset, store, told)
        if not isinstance(store, Reclaimable) or found.prediction is None or found.outcome is not Reclaim.PREDICTED:
            return found
        if found.refusal is not None:
            raise GuardError(f"{dataset.name}: {found.refusal}", hint=advice(found.prediction))
        session.tell("reclaim.started", dataset=dataset.name, returns=found.prediction.returns)
        store.rewrite(lambda progress: _tell(session, dataset, progress))
    except LapseError as error:
        session.tell("dataset.failed", dataset=dataset.name, error=str(error))
        found = replace(found, outcome=Reclaim.INCOMPLETE, trouble=str(error), hint=error.hint)
    else:
        found = replace(found, outcome=Reclaim.REWRITTEN)
    return replace(found, after=allocated(store), seconds=clock.monotonic() - started)


def _tell(session: Session, dataset: Dataset, progress: Progress) -> None:
    session.tell(
        "reclaim.progress", dataset=dataset.name, phase=progress.phase, done=progress.done, total=progress.total
    )


def _record(session: Session, done: Sequence[DatasetReclaim]) -> tuple[str, ...]:
    """Note in the ledger which stores were written anew; returns warnings. It is done, so a failure is one, too."""
    rewritten = [each for each in done if each.outcome is Reclaim.REWRITTEN]
    if not rewritten:
        return ()
    grown = tuple(
        f"{each.dataset}: its files have grown by {size_text(-each.returned)}"
        for each in rewritten
        if each.returned < 0
    )
    try:
        for each in rewritten:
            session.writable_ledger.append(EntryKind.NOTE, _note(each), at=clock.real_now())
        return (*grown, *session.folders.prepare(), *checkpoint(session))
    except LapseError as error:
        return (*grown, f"the ledger does not say that this was done: {error}")


def _note(each: DatasetReclaim) -> dict[str, Json]:
    return {
        "note": f"{each.dataset} was written anew to give space back; no record was removed",
        "dataset": each.dataset,
        "allocated_before": None if each.prediction is None else each.prediction.space.allocated,
        "allocated_after": each.after,
    }
