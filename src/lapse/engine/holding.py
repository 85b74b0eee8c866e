"""Legal holds, found again before anything is removed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lapse.canonical import canonical
from lapse.engine.remembered import RecordedHold, Remembered, remember
from lapse.engine.session import Session
from lapse.errors import HoldsError, LapseError
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Hold
from lapse.model.selection import Selection
from lapse.state import holdlock
from lapse.state.keyseal import make_secret, seal_of


class HoldsChangedError(LapseError):
    """The holds are no longer those that a slice was taken under. It is put back and taken again."""


def checked_holds(session: Session) -> tuple[Hold, ...]:
    """The holds, after every hold that the ledger knows was found again, covering no less than it did.

    Raises:
        HoldsError: If a recorded hold has vanished or was narrowed without a release, or holds cannot be read.
    """
    holds = session.holds()
    for error in hold_errors(session, holds):
        raise error
    return holds


def hold_errors(session: Session, holds: Sequence[Hold]) -> Iterator[HoldsError]:
    """What stops a run that finds *holds*: an error for each hold that the ledger knows and that is not as it was."""
    for recorded in lost_holds(session, holds, past=remember(session.ledger)):
        narrowed = any(hold.matter == recorded.matter for hold in holds)
        places = f"the policy and {session.holds_folder}"
        what = f"it covers less now in {places}" if narrowed else f"it is no longer in {places}"
        yield HoldsError(
            f"hold {recorded.matter} is in the ledger and was not released, but {what}",
            hint=f"Put it back as it was, or record its release with: {release_command(recorded.matter)}",
        )


def release_command(matter: str) -> str:
    """The command that ends a hold, as a shell takes it: a matter may have spaces and dashes."""
    return shlex.join(["lapse", "hold", "release", *(["--"] if matter.startswith("-") else []), matter])


def lost_holds(session: Session, holds: Sequence[Hold], *, past: Remembered) -> tuple[RecordedHold, ...]:
    """The holds recorded in *past* that none of *holds* stands for any more."""
    present = {hold.matter: hold for hold in holds}
    return tuple(
        recorded
        for recorded in open_holds(session, past)
        if recorded.matter not in present or not recorded.is_covered_by(facts_of(session, present[recorded.matter]))
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
        if not ended:
            record(session, hold, known=recorded.get(hold.matter))


def record(session: Session, hold: Hold, *, known: Any = None) -> None:
    """Enter *hold* into the ledger, unless the facts *known* there are its own.

    Keys are not entered, only how many there are and a seal, which tells whether they are still the same.
    """
    if hold.keys:
        make_secret(session.folders.keys)
    facts = facts_of(session, hold)
    if facts != known:
        session.writable_ledger.append(EntryKind.HOLD_ADDED, facts, at=session.real_now)


def facts_of(session: Session, hold: Hold) -> dict[str, Any]:
    """What the ledger says of *hold*."""
    facts: dict[str, Any] = json.loads(canonical({**hold.facts(), "scope": session.scope}))
    if hold.keys:
        facts["keys"] = {"count": len(set(hold.keys)), "seal": seal_of(session.folders.keys, hold.keys)}
    return facts


def holds_unchanged(session: Session) -> Callable[[Selection], AbstractContextManager[None]]:
    """The recheck of a run: it shares the lock on the holds, reads them again, and compares.

    The block runs under the lock, so a hold that is being added waits for the commit, and one that was
    added before is seen. Holds in a store are the business of its takes.
    """

    @contextmanager
    def unchanged(selection: Selection) -> Iterator[None]:
        with holdlock.shared(session.folders.root):
            if session.held(selection.dataset, session.holds(), selection.posted) != selection.holds:
                raise HoldsChangedError(f"{selection.dataset.name}: the holds have changed since the slice was taken")
            yield

    return unchanged
