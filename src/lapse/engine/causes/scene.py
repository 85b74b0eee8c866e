"""Everything that causes are read from, looked at once; what cannot be read is kept as the error it gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lapse.engine.blaming import blaming
from lapse.engine.boards import posted_in, selected
from lapse.engine.checkpointing import check_anchor
from lapse.engine.filing import check_files
from lapse.engine.remembered import Remembered, remember
from lapse.engine.retuning import tuning
from lapse.engine.session import Session
from lapse.engine.status import pending_slices
from lapse.errors import BusyError, LapseError
from lapse.model.pace import Tuning
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold, together
from lapse.model.selection import Selection
from lapse.model.status import Past
from lapse.ports import Budget, Burden
from lapse.stages.guarding import check_clock
from lapse.stages.planning import plan_dataset
from lapse.state.pins import Pins
from lapse.state.runs import LastRuns
from lapse.state.working import working
from lapse.wrappers import ReadOnly

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is known of one dataset and its runs. An error stands where something could not be looked at.

    Attributes:
        session: The session.
        dataset: The dataset.
        holds: Every hold of this host.
        posted: Those that lie in the store.
        ledger: What the ledger says.
        clock: None if the clock is right.
        anchor: None if the ledger is as long as the archives remember.
        pinned: The fingerprint that was pinned. None if none was.
        past: What is remembered of its runs.
        pending: Open slices of runs that are gone.
        tuning: What the operator said about the pace.
        holder: Who has the lease. None if nobody has.
        burden: How others fare.
        plan: What a run would do. None if that was not asked for.
    """

    session: Session
    dataset: Dataset
    holds: tuple[Hold, ...] | LapseError
    posted: tuple[PostedHold, ...] | LapseError
    ledger: Remembered | LapseError
    clock: LapseError | None
    anchor: LapseError | None
    pinned: str | LapseError | None
    past: Past | LapseError
    pending: int | LapseError
    tuning: Tuning | LapseError
    holder: str | LapseError | None
    burden: Burden | LapseError
    plan: DatasetPlan | LapseError | None

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name

    @cached_property
    def every_hold(self) -> tuple[Hold, ...]:
        """The holds of this host and of the store, as far as they can be read."""
        holds = () if isinstance(self.holds, LapseError) else self.holds
        posted = () if isinstance(self.posted, LapseError) else self.posted
        return tuple(together(self.dataset, holds, posted))

    @cached_property
    def selection(self) -> Selection:
        """What decides, as far as the holds can be read."""
        holds = () if isinstance(self.holds, LapseError) else self.holds
        posted = () if isinstance(self.posted, LapseError) else self.posted
        return self.session.selection(self.dataset, holds, posted)

    @property
    def planned(self) -> DatasetPlan | None:
        """The plan, where there is one."""
        return self.plan if isinstance(self.plan, DatasetPlan) else None


def look(session: Session, dataset: Dataset, *, survey: bool) -> Scene:
    """Look at everything; with *survey* also at every record. Writes nothing and takes no lock."""
    holds, store = _tried(session.holds), _store(session, dataset)
    try:
        return Scene(
            session=session,
            dataset=dataset,
            holds=holds,
            posted=_of(store, posted_in),
            ledger=_tried(lambda: remember(session.ledger)),
            clock=_tried(lambda: check_clock(session.real_now, session.ledger.last_at())),
            anchor=_tried(lambda: check_anchor(session)),
            pinned=_tried(lambda: Pins(session.folders.root).pinned(session.state_name(dataset.name))),
            past=_tried(lambda: _past(session, dataset)),
            pending=_tried(lambda: _pending(session, dataset)),
            tuning=_tried(lambda: tuning(session)),
            holder=_of(store, lambda store: store.lease_holder()),
            burden=_of(store, _burden),
            plan=_of(store, lambda store: _planned(session, dataset, holds, store)) if survey else None,
        )
    finally:
        if isinstance(store, ReadOnly):
            store.close()


def _tried(work: Callable[[], T]) -> T | LapseError:
    try:
        return work()
    except LapseError as error:
        return error


def _store(session: Session, dataset: Dataset) -> ReadOnly | LapseError:
    return _tried(lambda: ReadOnly(session.opened(dataset, read_only=True)))


def _of(store: ReadOnly | LapseError, work: Callable[[ReadOnly], T]) -> T | LapseError:
    return store if isinstance(store, LapseError) else _tried(lambda: work(store))


def _burden(store: ReadOnly) -> Burden:
    """How others fare; a store that does not say so just now makes runs wait, as it does while they go on."""
    try:
        return store.burden()
    except BusyError as error:
        return Burden(wait=f"the store does not say how others fare: {error}", busy=True)


def _past(session: Session, dataset: Dataset) -> Past:
    return LastRuns(session.folders.root).all().get(session.state_name(dataset.name), Past())


def _pending(session: Session, dataset: Dataset) -> int:
    return pending_slices(session, working(session.folders.root)).get(dataset.name, 0)


def _planned(
    session: Session, dataset: Dataset, holds: tuple[Hold, ...] | LapseError, store: ReadOnly
) -> DatasetPlan | None:
    """The plan of a run; none where the holds cannot be read, since nobody knows then what it would keep."""
    if isinstance(holds, LapseError):
        return None
    with blaming(dataset):
        check_files(session, dataset)
        return plan_dataset(store, selected(session, dataset, store, holds), budget=Budget())
