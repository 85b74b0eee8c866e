"""Checkpoints: the ledger's head, copied to every archive, so that a cut tail is seen."""

from __future__ import annotations

from lapse.engine.session import Session
from lapse.errors import GuardError, LapseError, LedgerUnknownError
from lapse.ports import ArchiveTarget
from lapse.state.checkpoints import Checkpoint, latest, ledger_ids, publish


def checkpoint(session: Session) -> tuple[str, ...]:
    """Copy the ledger's head to every archive of the policy.

    Returns:
        A warning for each archive that could not be reached; the next run repeats it.
    """
    head = session.writable_ledger.checkpoint()
    warnings: list[str] = []
    if head is None:
        return ()
    for name, target in session.targets.items():
        try:
            publish(head, target)
        except LapseError as error:
            warnings.append(f"archive {name} has no checkpoint of this run: {error}")
    return tuple(warnings)


def check_anchor(session: Session) -> None:
    """Refuse to go on with a ledger that is shorter than an archive remembers, or that is gone.

    Raises:
        LedgerUnknownError: If an archive knows ledgers and there is none here.
        GuardError: If the archive's newest checkpoint is ahead of the ledger: its tail was cut.
    """
    here = session.ledger.ledger_id
    for target in session.targets.values():
        if here is None:
            _refuse_strangers(session, target)
            continue
        newest = _latest(target, here)
        head = session.ledger.head()
        if newest is not None and (head is None or newest.n > head.n + 1):
            raise GuardError(
                f"the ledger has {0 if head is None else head.n + 1} entries, but its checkpoint in the archive"
                f" counts {newest.n}: the tail of the ledger was cut",
                hint="Look at `lapse ledger verify` and put the ledger back from a backup.",
            )


def _latest(target: ArchiveTarget, ledger_id: str) -> Checkpoint | None:
    try:
        return latest(target, ledger_id)
    except LapseError:
        return None  # out of reach: `verify` and `status` say so, and archiving will fail by itself


def _refuse_strangers(session: Session, target: ArchiveTarget) -> None:
    known = sorted(ledger_ids(target))
    if known:
        raise LedgerUnknownError(
            f"the archive has checkpoints of ledger {known[0]}, but there is no ledger in {session.folders.ledger}",
            hint="Put the ledger back, or point `ledger:` or LAPSE_STATE_DIR at it. If this is another"
            " installation that shares the archive, begin its own ledger with: lapse ledger adopt",
        )
