"""Checkpoints: the ledger's head, copied to every archive, so that a cut tail is seen."""

from __future__ import annotations

from itertools import islice

from lapse.engine.session import Session
from lapse.errors import GuardError, LapseError, LedgerUnknownError, TargetError
from lapse.ports import ArchiveTarget
from lapse.state.checkpoints import Checkpoint, latest, ledger_ids, publish
from lapse.state.ledger import Ledger


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
        GuardError: If the archive's newest checkpoint is ahead of the ledger or names another entry: its tail was
            cut, or it was rewritten.
        VerificationError: If that checkpoint is unreadable: it may have been spoilt to hide this.
    """
    here = session.ledger.ledger_id
    for target in session.targets.values():
        if here is None:
            _refuse_strangers(session, target)
            continue
        newest = _latest(target, here)
        if newest is not None:
            _check_against(session.ledger, newest)


def _check_against(ledger: Ledger, newest: Checkpoint) -> None:
    hint = "Look at `lapse ledger verify` and put the ledger back from a backup."
    head = ledger.head()
    if head is None or newest.n > head.n + 1:
        raise GuardError(
            f"the ledger has {0 if head is None else head.n + 1} entries, but its checkpoint in the archive"
            f" counts {newest.n}: the tail of the ledger was cut",
            hint=hint,
        )
    same = next(islice(ledger.entries(), newest.n - 1, None), None)
    if same is None or same.hash != newest.hash:
        raise GuardError(
            f"entry {newest.n - 1} of the ledger is not the one that its checkpoint in the archive names:"
            " the ledger was rewritten, or its tail was cut and has grown again",
            hint=hint,
        )


def _latest(target: ArchiveTarget, ledger_id: str) -> Checkpoint | None:
    try:
        return latest(target, ledger_id)
    except TargetError:
        return None  # out of reach: `verify` and `status` say so, and archiving will fail by itself


def _refuse_strangers(session: Session, target: ArchiveTarget) -> None:
    known = sorted(ledger_ids(target))
    if known:
        raise LedgerUnknownError(
            f"the archive has checkpoints of ledger {known[0]}, but there is no ledger in {session.folders.ledger}",
            hint="Put the ledger back, or point `ledger:` or LAPSE_STATE_DIR at it. If this is another"
            " installation that shares the archive, begin its own ledger with: lapse ledger adopt",
        )
