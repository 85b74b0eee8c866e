"""Legal holds, added, released and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass

from lapse import policyfile
from lapse.canonical import Json
from lapse.engine.blaming import blaming
from lapse.engine.boards import Unreached, post, read_all, withdraw
from lapse.engine.checkpointing import check_anchor
from lapse.engine.holding import open_holds, record
from lapse.engine.remembered import remember
from lapse.engine.session import Session
from lapse.errors import HoldsError, UsageError
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Hold
from lapse.model.posted import PostedHold, posted
from lapse.ports import Naming
from lapse.state import holdlock
from lapse.state.journal import unsettled
from lapse.state.journal_record import SliceState

_PATIENCE = 60.0
"""Seconds that `hold add` waits for a slice to commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A hold, and where it is in force.

    Attributes:
        hold: The hold.
        posted: Datasets in whose stores it lies for the runs of every host.
        missing: Datasets in whose stores it could lie, and does not.
        here: Whether it is one of this host, and not only found in a store.
    """

    hold: Hold
    posted: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    here: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What is to be known of a hold that was added.

    Attributes:
        unreached: Stores that it is not in; empty unless the runs of this host are the only ones.
        unfinished: Datasets in which a run was killed in the middle of a commit: what that had decided goes all the
            same, when the next run finishes it.
    """

    unreached: tuple[Unreached, ...] = ()
    unfinished: tuple[str, ...] = ()


def add_hold(session: Session, hold: Hold, *, here_only: bool = False) -> Added:
    """Write a hold file and its ledger entry, and put it into the stores: from then on, no run removes what it covers.

    Adding the very same hold again does what is missing of that.

    Arguments:
        session: The session.
        hold: The hold.
        here_only: Whether the runs of this host are the only ones: then it need not be in the stores.

    Raises:
        UsageError: If the matter is held already, the dataset is unknown, or its records have no keys.
        GuardError: If the ledger is lost or was cut; no run goes on then, either.
        HoldsError: If a run does not finish its slice in time; or if a store could not be reached, while the runs of
            this host respect the hold already.
    """
    _check(session, hold)
    check_anchor(session)
    session.folders.prepare()
    with holdlock.exclusive(session.folders.root, seconds=_PATIENCE):
        there = {other.matter: other for other in session.holds()}.get(hold.matter)
        if there is None:
            policyfile.write_hold(session.holds_folder, hold)
        elif there.facts() != hold.facts():
            raise UsageError(
                f"there is a hold {hold.matter} already", hint="See `lapse hold list`, or choose another matter."
            )
        known = {each.matter: each.facts for each in open_holds(session, remember(session.ledger))}
        record(session, hold, known=known.get(hold.matter))
        unfinished = _unfinished(session, hold)
    unreached = post(session, hold)
    if unreached and not here_only:
        raise HoldsError(
            f"hold {hold.matter} is in force for runs of this host, but other hosts do not see it:"
            f" {'; '.join(map(str, unreached))}",
            hint="Mend that and run the same command again. If no other host runs on it, say --here-only.",
        )
    return Added(unreached=unreached, unfinished=unfinished)


def _unfinished(session: Session, hold: Hold) -> tuple[str, ...]:
    """Text logs that *hold* is about with a commit that was begun and not ended; by the caller's lock no run is in one.

    Databases have undone or completed theirs by themselves.
    """
    begun = {
        (piece.intent.dataset, piece.intent.store)
        for piece in unsettled(session.folders.root)
        if piece.state is SliceState.COMMITTING
    }
    chosen = session.datasets([] if hold.dataset is None else [hold.dataset])
    return tuple(
        dataset.name for dataset in chosen if dataset.table is None and (dataset.name, dataset.store_id) in begun
    )


def _check(session: Session, hold: Hold) -> None:
    if hold.dataset is None:
        return
    (dataset,) = session.datasets([hold.dataset])
    if not hold.keys:
        return
    with blaming(dataset), closing(session.opened(dataset, read_only=True)) as store:
        reason = store.unnamed() if isinstance(store, Naming) else None
    if reason is not None:
        raise UsageError(
            f"records of dataset {dataset.name} cannot be held by key: {reason}",
            hint="Name the field that has their keys, by `key:` on the dataset, or hold them by other fields.",
        )


def release_hold(session: Session, matter: str, *, here_only: bool = False) -> tuple[Unreached, ...]:
    """Take a hold out of the stores, remove its file, and record the release.

    Arguments:
        session: The session.
        matter: Its case reference.
        here_only: Whether it may stay in stores that cannot be reached.

    Returns:
        Stores that it may still be in; empty unless *here_only*.

    Raises:
        UsageError: If there is no such hold, or the policy itself still has it.
        HoldsError: If a store could not be reached; then the hold is still in force.
    """
    if any(hold.matter == matter for hold in session.policy.holds):
        raise UsageError(
            f"hold {matter} is written in {session.policy.file}",
            hint="Take it out of the policy first, then run this again to record the release.",
        )
    here = next((hold for hold in session.holds() if hold.matter == matter), None)
    recorded = [hold for hold in open_holds(session, remember(session.ledger)) if hold.matter == matter]
    if here is None and not recorded and not _lies_somewhere(session, matter):
        raise UsageError(f"there is no hold {matter}", hint="See `lapse hold list`.")
    check_anchor(session)
    session.folders.prepare()
    unreached = withdraw(session, matter, None if here is None else here.dataset)
    if unreached and not here_only:
        raise HoldsError(
            f"hold {matter} is still in force: {'; '.join(map(str, unreached))}",
            hint="Mend that and run the same command again. If the store is gone for good, say --here-only.",
        )
    with holdlock.exclusive(session.folders.root, seconds=_PATIENCE):
        for scope in sorted({session.scope, *(hold.scope for hold in recorded)}):
            body: dict[str, Json] = {"matter": matter, "scope": scope}
            session.writable_ledger.append(EntryKind.HOLD_RELEASED, body, at=session.real_now)
        if here is not None:
            policyfile.remove_hold(session.holds_folder, matter)
    return unreached


def _lies_somewhere(session: Session, matter: str) -> bool:
    found, _ = read_all(session)
    return any(each.hold.matter == matter for holds in found.values() for each in holds)


def list_holds(session: Session) -> tuple[tuple[Listed, ...], tuple[Unreached, ...]]:
    """Every hold of this host and of the stores of its policy, and the stores whose holds could not be read.

    Raises:
        HoldsError: If the hold files cannot be read.
    """
    found, unreached = read_all(session)
    own = session.holds()
    ids = {name: {each.id for each in holds} for name, holds in found.items()}
    known: dict[str, set[str]] = {name: set() for name in found}
    listed = []
    for hold in own:
        mine = {name: posted(hold, session.policy.datasets[name]).id for name in found if hold.dataset in (None, name)}
        for name, digest in mine.items():
            known[name].add(digest)
        listed.append(
            Listed(
                hold=hold,
                posted=tuple(name for name, digest in mine.items() if digest in ids[name]),
                missing=tuple(name for name, digest in mine.items() if digest not in ids[name]),
            )
        )
    return (*listed, *_strangers(session, found, known)), unreached


def _strangers(
    session: Session, found: Mapping[str, Sequence[PostedHold]], known: Mapping[str, AbstractSet[str]]
) -> Sequence[Listed]:
    """Holds that other hosts have put into stores."""
    return [
        Listed(hold=each.within(session.policy.datasets[name]), posted=(name,), here=False)
        for name, holds in found.items()
        for each in holds
        if each.id not in known[name]
    ]
