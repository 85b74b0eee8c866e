"""Legal holds: added, released and listed; and found again before anything is removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lapse import policyfile
from lapse.canonical import Json, canonical
from lapse.engine.checkpointing import check_anchor
from lapse.engine.remembered import RecordedHold, Remembered, remember
from lapse.engine.session import Session
from lapse.errors import HoldsError, LapseError, UsageError
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Hold
from lapse.model.selection import Selection
from lapse.state import holdlock

_PATIENCE = 60.0
"""Seconds that `hold add` waits for a slice to commit."""


class HoldsChangedError(LapseError):
    """The holds are no longer those that a slice was taken under. It is put back and taken again."""


def checked_holds(session: Session) -> tuple[Hold, ...]:
    """The holds, after every hold that the ledger knows was found again, covering no less than it did.

    Raises:
        HoldsError: If a recorded hold has vanished or was narrowed without a release, or holds cannot be read.
    """
    holds = session.holds()
    for recorded in lost_holds(session, holds, past=remember(session.ledger)):
        narrowed = any(hold.matter == recorded.matter for hold in holds)
        what = "it covers less there now" if narrowed else "it is not there"
        raise HoldsError(
            f"hold {recorded.matter} is in the ledger and was not released, but look into the policy and"
            f" {session.holds_folder}: {what}",
            hint=f"Put it back as it was, or record its release with: lapse hold release {recorded.matter}",
        )
    return holds


def lost_holds(session: Session, holds: Sequence[Hold], *, past: Remembered) -> tuple[RecordedHold, ...]:
    """The holds recorded in *past* that none of *holds* stands for any more."""
    present = {hold.matter: hold for hold in holds}
    return tuple(
        recorded
        for recorded in open_holds(session, past)
        if recorded.matter not in present or not recorded.is_covered_by(present[recorded.matter])
    )


def open_holds(session: Session, past: Remembered) -> tuple[RecordedHold, ...]:
    """The holds that the ledger, as read in *past*, knows as neither released nor ended, of this policy.

    A ledger can serve several policies. A hold of another policy whose file is gone counts as one of this
    policy: the file was moved, and a hold does not end by that.
    """
    return tuple(
        hold
        for hold in past.holds.values()
        if (hold.until is None or session.real_now < hold.until)
        and (hold.scope == session.scope or not Path(hold.scope).exists())
    )


def record_new_holds(session: Session, holds: Sequence[Hold]) -> None:
    """Enter holds that were written or changed by hand into the ledger, so that nothing happens to them unseen."""
    recorded = {hold.matter: hold.facts for hold in open_holds(session, remember(session.ledger))}
    for hold in holds:
        ended = hold.until is not None and hold.until <= session.real_now
        if not ended and recorded.get(hold.matter) != json.loads(canonical(_facts(session, hold))):
            session.writable_ledger.append(EntryKind.HOLD_ADDED, _facts(session, hold), at=session.real_now)


def _facts(session: Session, hold: Hold) -> dict[str, Json]:
    return {**hold.facts(), "scope": session.scope}


def add_hold(session: Session, hold: Hold) -> None:
    """Write a hold file and its ledger entry. Once it returns, no run removes what it covers.

    Raises:
        UsageError: If the matter is held already, or the dataset is unknown.
        GuardError: If the ledger is lost or was cut; no run goes on then, either.
        HoldsError: If a run does not finish its slice in time.
    """
    if hold.dataset is not None:
        session.datasets([hold.dataset])
    if any(other.matter == hold.matter for other in session.holds()):
        raise UsageError(
            f"there is a hold {hold.matter} already", hint="See `lapse hold list`, or choose another matter."
        )
    check_anchor(session)
    session.folders.prepare()
    with holdlock.exclusive(session.folders.root, seconds=_PATIENCE):
        policyfile.write_hold(session.holds_folder, hold)
        session.writable_ledger.append(EntryKind.HOLD_ADDED, _facts(session, hold), at=session.real_now)


def release_hold(session: Session, matter: str) -> None:
    """Remove a hold file and record the release.

    Raises:
        UsageError: If there is no such hold, or the policy itself still has it.
    """
    if any(hold.matter == matter for hold in session.policy.holds):
        raise UsageError(
            f"hold {matter} is written in {session.policy.file}",
            hint="Take it out of the policy first, then run this again to record the release.",
        )
    in_folder = any(hold.matter == matter for hold in session.holds())
    recorded = [hold for hold in open_holds(session, remember(session.ledger)) if hold.matter == matter]
    if not in_folder and not recorded:
        raise UsageError(f"there is no hold {matter}", hint="See `lapse hold list`.")
    check_anchor(session)
    session.folders.prepare()
    with holdlock.exclusive(session.folders.root, seconds=_PATIENCE):
        for scope in {session.scope, *(hold.scope for hold in recorded)}:
            body = {"matter": matter, "scope": scope}
            session.writable_ledger.append(EntryKind.HOLD_RELEASED, body, at=session.real_now)
        if in_folder:
            policyfile.remove_hold(session.holds_folder, matter)


def holds_unchanged(session: Session) -> Callable[[Selection], AbstractContextManager[None]]:
    """The recheck of a run: it shares the lock on the holds, reads them again, and compares.

    The block runs under the lock, so a hold that is being added waits for the commit, and one that was
    added before is seen.
    """

    @contextmanager
    def unchanged(selection: Selection) -> Iterator[None]:
        with holdlock.shared(session.folders.root):
            if session.selection(selection.dataset, session.holds()).holds != selection.holds:
                raise HoldsChangedError(f"{selection.dataset.name}: the holds have changed since the slice was taken")
            yield

    return unchanged
