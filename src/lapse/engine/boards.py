"""Holds in the stores themselves, where the runs of every host find them: read, put there, and taken away again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from lapse.engine.blaming import blaming
from lapse.engine.session import Session
from lapse.errors import LapseError
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold, posted
from lapse.model.selection import Selection
from lapse.ports import Board, Posted
from lapse.registry import store_class


@dataclass(frozen=True, slots=True)
class Unreached:
    """A store whose holds could not be read or changed.

    Attributes:
        dataset: The dataset in it.
        error: Why.
    """

    dataset: str
    error: LapseError

    def __str__(self) -> str:
        return f"dataset {self.dataset}: {self.error}"


def selected(session: Session, dataset: Dataset, store: object, holds: Sequence[Hold]) -> Selection:
    """What decides about *dataset*, under *holds* and under those that are found in its *store*.

    Raises:
        HoldsError: If those cannot be read.
    """
    return session.selection(dataset, holds, posted_in(store))


def posted_in(store: object) -> tuple[PostedHold, ...]:
    """The holds in an open store; none where it has no place for them."""
    return store.posted_holds() if isinstance(store, Posted) else ()


def shared_datasets(session: Session, name: str | None = None) -> tuple[Dataset, ...]:
    """The datasets whose stores have a place for holds: those of the name, or all."""
    chosen = session.datasets([] if name is None else [name])
    return tuple(dataset for dataset in chosen if issubclass(store_class(dataset.store), Board))


def read_all(session: Session) -> tuple[dict[str, tuple[PostedHold, ...]], tuple[Unreached, ...]]:
    """The holds in every store of the policy, by dataset, and the stores whose holds could not be read."""
    found: dict[str, tuple[PostedHold, ...]] = {}
    unreached: list[Unreached] = []
    for dataset in shared_datasets(session):
        try:
            with blaming(dataset), session.reading(dataset) as store:
                found[dataset.name] = posted_in(store)
        except LapseError as error:
            unreached.append(Unreached(dataset.name, error))
    return found, tuple(unreached)


def post(session: Session, hold: Hold) -> tuple[Unreached, ...]:
    """Put *hold* into every store that it concerns; returns those where that was not possible."""
    return tuple(
        _each(session, hold.dataset, lambda dataset, store: store.post_hold(posted(hold, dataset)))
    )  # fmt: skip


def withdraw(session: Session, matter: str, name: str | None) -> tuple[Unreached, ...]:
    """Take the holds of a matter out of the stores of the dataset, or of all; returns where that was not possible."""
    return tuple(_each(session, name, lambda _, store: store.withdraw_hold(matter)))


def post_missing(session: Session, dataset: Dataset, store: object, holds: Sequence[Hold]) -> tuple[PostedHold, ...]:
    """Put holds of this host into the open *store* that are not there, such as those that were written by hand.

    Where that is not possible hooks are told: the run itself respects them all the same. Returns what was put there.
    """
    if not isinstance(store, Board):
        return ()
    there, done = {each.id for each in store.posted_holds()}, []
    for hold in holds:
        ended = hold.until is not None and hold.until <= session.real_now
        if ended or hold.dataset not in (None, dataset.name) or posted(hold, dataset).id in there:
            continue
        try:
            store.post_hold(posted(hold, dataset))
        except LapseError as error:
            session.tell("hold.not_posted", dataset=dataset.name, matter=hold.matter, error=str(error))
        else:
            done.append(posted(hold, dataset))
    return tuple(done)


def _each(session: Session, name: str | None, work: Callable[[Dataset, Board], None]) -> Iterator[Unreached]:
    for dataset in shared_datasets(session, name):
        try:
            with blaming(dataset), closing(session.opened(dataset, read_only=False)) as store:
                if isinstance(store, Board):
                    work(dataset, store)
        except LapseError as error:
            yield Unreached(dataset.name, error)
