"""How the files of datasets grow: samples that runs leave, the figures that follow, and the policy's `warn at`."""

from __future__ import annotations

from lapse import clock
from lapse.engine.session import Session
from lapse.errors import StateError, StoreError
from lapse.model.bytesize import size_text
from lapse.model.growth import Footprint, Sample, bytes_a_day
from lapse.model.policy import Dataset
from lapse.model.status import Growth
from lapse.ports import Rotatable, Store
from lapse.registry import open_store, store_class
from lapse.state.growth_samples import GrowthSamples


def growth(session: Session, dataset: Dataset) -> Growth | None:
    """How a dataset's files grow. None if its store has none, or they cannot be looked at. Writes nothing."""
    if dataset.table is not None or not issubclass(store_class(dataset.store), Rotatable):
        return None  # the driver of a database is not even loaded
    try:
        store = open_store(dataset, read_only=True)
    except StoreError:
        return None
    try:
        found = footprint(store)
    finally:
        store.close()
    return None if found is None else figures(session, dataset, found)


def footprint(store: Store) -> Footprint | None:
    """How large the store's files are. None if it has none, or they cannot be looked at: that is said elsewhere."""
    if not isinstance(store, Rotatable):
        return None
    try:
        return store.footprint()
    except StoreError:
        return None


def figures(session: Session, dataset: Dataset, found: Footprint) -> Growth:
    """What a look at the files and the samples of earlier runs come to."""
    rate = _rate(session, dataset, found)
    return Growth(
        size=found.size,
        files=found.files,
        lines_a_day=None if rate is None or not found.line else rate / found.line,
        bytes_a_day=rate,
        days_to_full=None if not rate or found.free is None else found.free / rate,
        warn_at=dataset.warn_at,
    )


def _rate(session: Session, dataset: Dataset, found: Footprint) -> float | None:
    """Bytes a day by the samples, else by the times of the records in the newest file."""
    try:
        samples = GrowthSamples(session.folders.root).of(session.state_name(dataset.name))
    except StateError:
        samples = ()  # `remember_size` says so at the next run
    sampled = bytes_a_day(samples, size=found.size, at=session.real_now) if samples else None
    return found.rate if sampled is None else sampled


def remember_size(session: Session, dataset: Dataset, *, before: Footprint | None, after: Footprint) -> tuple[str, ...]:
    """Leave a sample for the next run; a warning if that fails, since nothing but `lapse status` needs it."""
    size = after.size if before is None else before.size
    try:
        GrowthSamples(session.folders.root).add(
            session.state_name(dataset.name), Sample(clock.real_now(), size, after.size)
        )
    except StateError as error:
        return (f"`lapse status` will not know how {dataset.name} grows: {error}",)
    return ()


def warnings(session: Session, dataset: Dataset, found: Growth) -> tuple[str, ...]:
    """What to say of a dataset that has come to its `warn at`; every hook is told, too."""
    if not found.over or found.warn_at is None:
        return ()
    session.tell("dataset.large", dataset=dataset.name, size=found.size, warn_at=found.warn_at)
    return (f"{dataset.name} has come to {size_text(found.size)}; the policy warns at {size_text(found.warn_at)}",)
