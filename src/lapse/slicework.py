"""The order of one slice: take, seal, verify, recheck the holds, commit, record. It stands only here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lapse.errors import BusyError, ChangedError, LapseError, ProofError, TargetError
from lapse.model.disposal import Disposal, Proof, Waiver
from lapse.model.selection import Selection
from lapse.ports import ArchiveTarget, Pledged, Slice, Store, Take, Witness
from lapse.stages.clearing import clear
from lapse.stages.recording import record
from lapse.stages.sealing import seal, staging_name
from lapse.stages.verifying import verify
from lapse.state.journal import Journal
from lapse.state.journal_record import ObjectKind, SegmentIntent, SliceIntent, SliceState
from lapse.state.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a slice needs besides its store.

    Attributes:
        targets: Every archive of the policy, by name.
        journal: The run's journal.
        ledger: The ledger.
        holds_unchanged: Locks the holds while its block runs, after it has seen that they are still those
            of a selection; raises HoldsChangedError if not.
    """

    targets: Mapping[str, ArchiveTarget]
    journal: Journal
    ledger: Ledger
    holds_unchanged: Callable[[Selection], AbstractContextManager[None]]


class UnrecordedError(LapseError):
    """Records that are gone from their store, while the record of it is not complete. The next run completes it.

    Attributes:
        disposal: What was removed.
    """

    def __init__(self, disposal: Disposal, reason: LapseError) -> None:
        super().__init__(
            f"{disposal.records:,} records are removed, but not yet recorded in full: {reason}",
            hint=f"{reason.hint or ''} The next run completes the record.".lstrip(),
        )
        self.disposal = disposal


def work(piece: Slice, store: Store, bench: Bench) -> Disposal | None:
    """Remove one slice, if and only if its archive stands.

    Returns:
        The disposal, recorded in the ledger. None if there was nothing to remove.

    Raises:
        LapseError: If a step failed. Unless it is CommitUnknownError, nothing of the slice was removed, or
            all of it was and the next run completes the record.
    """
    targets = {name: bench.targets[name] for name in piece.destination.archives}
    bench.journal.begin(_intent(piece, store))
    try:
        disposal = _take(piece, store, bench, targets)
    except (BusyError, ChangedError, ProofError):
        _put_back(piece, bench, targets)  # the store has said that nothing was removed
        raise
    except LapseError:
        # Once the commit was asked for, only the store's marker knows, and the next run asks it.
        if bench.journal.slice(piece.name).state is SliceState.BEGUN:
            _put_back(piece, bench, targets)
        raise
    if disposal is None:
        _put_back(piece, bench, targets)
        return None
    try:
        bench.journal.committed(piece.name)
        record(disposal, ledger=bench.ledger, targets=targets, journal=bench.journal)
    except LapseError as error:
        raise UnrecordedError(disposal, error) from error
    return disposal


def _take(piece: Slice, store: Store, bench: Bench, targets: Mapping[str, ArchiveTarget]) -> Disposal | None:
    with store.take(piece) as taken:
        proof = _prove(taken, piece, bench, targets)
        if proof is None:
            return None
        with bench.holds_unchanged(piece.selection):
            bench.journal.committing(piece.name, taken.pledge(proof) if isinstance(taken, Pledged) else None)
            disposal = taken.commit(proof)
    return disposal if disposal.records else None


def _prove(taken: Take, piece: Slice, bench: Bench, targets: Mapping[str, ArchiveTarget]) -> Proof | None:
    """A waiver, or segments read back from every archive. None if there is nothing to take."""
    if not targets:
        return Waiver(slice=piece.name)
    sealed = seal(taken, piece, targets=targets, journal=bench.journal)
    return None if sealed is None else verify(sealed.slice, sealed.manifests, targets=targets)


def _intent(piece: Slice, store: Store) -> SliceIntent:
    return SliceIntent(
        run=piece.facts.owner.run,
        slice=piece.name,
        dataset=piece.dataset.name,
        store=piece.dataset.store_id,
        ledger=piece.facts.owner.ledger,
        place=store.place_of(piece) if isinstance(store, Witness) else None,
        archives=piece.destination.archives,
        staged=tuple(
            SegmentIntent(archive=name, kind=ObjectKind.SEGMENT, staged=staging_name(piece, 0))
            for name in piece.destination.archives
        ),
    )


def _put_back(piece: Slice, bench: Bench, targets: Mapping[str, ArchiveTarget]) -> None:
    """Clear what a slice that was not committed left in its archives; the journal says what that is."""
    try:
        clear(bench.journal.slice(piece.name), targets=targets)
    except TargetError:
        return  # the journal keeps the slice open, and the next run clears it
    bench.journal.rolled_back(piece.name)
