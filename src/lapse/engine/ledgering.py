"""The ledger, for people: its entries, whether it is sound, and taking over from one that is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lapse.engine.checkpointing import checkpoint
from lapse.engine.session import Session
from lapse.errors import LapseError, TargetError, UsageError, VerificationError
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.ports import ArchiveTarget
from lapse.registry import open_store
from lapse.state.checkpoints import Checkpoint, ledger_ids, published
from lapse.state.journal import unsettled
from lapse.state.keys import public_keys
from lapse.state.ledger_check import LedgerCheck, verify_ledger
from lapse.state.ledger_problem import Problem, ProblemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerVerdict:
    """What `lapse ledger verify` found.

    Attributes:
        check: The ledger against itself and against every checkpoint.
        checkpoints: By archive, how many checkpoints of this ledger were read; None if it is out of reach.
    """

    check: LedgerCheck
    checkpoints: Mapping[str, int | None]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the ledger."""
        return self.check.ok

    @property
    def anchored(self) -> bool:
        """Whether a cut tail could be seen at all."""
        return any(self.checkpoints.values())


def entries(session: Session) -> Iterator[LedgerEntry]:
    """Every entry, oldest first."""
    return session.ledger.entries()


def verify(session: Session) -> LedgerVerdict:
    """Check the ledger against itself, its sidecars, and the checkpoints in every archive. Writes nothing."""
    found: list[Checkpoint] = []
    spoilt: list[Problem] = []
    counts: dict[str, int | None] = {}
    for name, target in session.targets.items():
        try:
            read = [item for ledger in _ledgers(session, target) for item in published(target, ledger)]
        except TargetError:
            counts[name] = None
            continue
        here = [item for item in read if isinstance(item, Checkpoint)]
        counts[name] = len(here)
        found += here
        spoilt += (_spoilt(name, item) for item in read if isinstance(item, VerificationError))
    keys = public_keys(session.folders.keys)
    check = verify_ledger(session.folders.ledger, checkpoints=found, public_keys=keys)
    return LedgerVerdict(check=replace(check, problems=(*check.problems, *spoilt)), checkpoints=counts)


def _spoilt(archive: str, error: VerificationError) -> Problem:
    return Problem(kind=ProblemKind.CHECKPOINT_MISMATCH, message=f"archive {archive}: {error.message}")


def _ledgers(session: Session, target: ArchiveTarget) -> list[str]:
    """The ledger whose checkpoints count; every one in the archive where there is none here, or a damaged one."""
    try:
        here = session.ledger.ledger_id
    except LapseError:
        here = None  # the last line is damaged: every checkpoint may be needed to say how
    return sorted(ledger_ids(target)) if here is None else [here]


def adopt(session: Session) -> tuple[str, ...]:
    """Begin a ledger that may complete what lost ones left open in the stores and archives.

    Returns:
        Ids of the ledgers that were taken over.

    Raises:
        UsageError: If there is a ledger here, or nothing to take over.
    """
    if session.ledger.exists:
        raise UsageError(
            f"there is a ledger in {session.folders.ledger}",
            hint="Adopting is for when the ledger is lost. This one goes on by itself.",
        )
    lost = sorted({*_in_archives(session), *_in_stores(session), *_in_journals(session)})
    if not lost:
        raise UsageError("no store and no archive knows an earlier ledger", hint="A run begins a new one by itself.")
    for ledger in lost:
        body = {"note": "takes over from a ledger that is lost", "adopted": ledger}
        session.writable_ledger.append(EntryKind.NOTE, body, at=session.real_now)
    checkpoint(session)
    return tuple(lost)


def _in_archives(session: Session) -> Iterator[str]:
    for target in session.targets.values():
        yield from ledger_ids(target)


def _in_journals(session: Session) -> Iterator[str]:
    return (piece.intent.ledger for piece in unsettled(session.folders.root))


def _in_stores(session: Session) -> Iterator[str]:
    for dataset in session.policy.datasets.values():
        store = open_store(dataset, read_only=False)
        try:
            with store.lease():
                yield from (marker.owner.ledger for marker in store.recover(lambda _: False))
        finally:
            store.close()
