"""Recovery at the start of a run: settle what an interrupted one left, under the store's lease.

Markers in the store say what was committed; the journal says what may lie around. Committed slices get
their ledger entry, the others lose their orphan segments. Running again is the recovery procedure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.engine.remembered import remember
from lapse.engine.session import Session
from lapse.errors import LedgerUnknownError, TargetError
from lapse.model.disposal import Disposal
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Dataset
from lapse.ports import Pledging, Store, Witness
from lapse.stages.clearing import clear, is_committed_elsewhere
from lapse.stages.recording import put_entry, record
from lapse.stages.verifying import intact
from lapse.state.journal import Journal, finish, unsettled
from lapse.state.journal_record import JournalledSlice, ObjectKind, SliceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a recovery found in one store.

    Attributes:
        completed: Disposals that got their ledger entry only now.
        cleared: Slices whose orphan segments were removed.
        markers: Every marker of this ledger in the store; they can be pruned after the next checkpoint.
    """

    completed: tuple[Disposal, ...]
    cleared: int
    markers: tuple[Disposal, ...]


def recover(session: Session, dataset: Dataset, store: Store) -> Recovered:
    """Settle every open slice in *dataset*'s store, of whichever dataset it was. The caller holds the store's lease.

    Raises:
        LedgerUnknownError: If the store has markers, but there is no ledger here that could know them.
        VerificationError: If an interrupted file rewrite cannot go on, as its segment is damaged.
    """
    found = tuple(store.recover(lambda disposal: _is_intact(session, disposal)))
    mine = _ledgers(session)
    opened = {(piece.intent.run, piece.intent.slice): piece for piece in unsettled(session.folders.root)}
    here = [piece for piece in opened.values() if piece.intent.store == dataset.store_id]
    found += _kept_pledges(store, here)
    if not mine:
        _refuse_strangers(session, dataset, found, here)
    ours = tuple(marker for marker in found if marker.owner.ledger in mine)
    completed = tuple(disposal for disposal in ours if _complete(session, disposal, opened))
    # A marker of any ledger proves a commit; and of a stranger's slice nothing is known here.
    committed = {(disposal.owner.run, disposal.slice) for disposal in found}
    cleared = sum(
        _settle_uncommitted(session, store, piece)
        for piece in here
        if piece.intent.ledger in mine and (piece.intent.run, piece.intent.slice) not in committed
    )
    for run in {*(piece.intent.run for piece in here), *(disposal.owner.run for disposal in ours)}:
        finish(session.folders.root, run)
    for disposal in completed:
        session.tell("disposal.recovered", dataset=disposal.dataset, run=disposal.owner.run, records=disposal.records)
    return Recovered(completed=completed, cleared=cleared, markers=ours)


def _kept_pledges(store: Store, pieces: Iterable[JournalledSlice]) -> tuple[Disposal, ...]:
    """Disposals that left no marker, but whose store says that they were committed."""
    if not isinstance(store, Pledging):
        return ()
    return tuple(
        Disposal.from_json(piece.pledge["disposal"])
        for piece in pieces
        if piece.pledge is not None and store.outcome(piece.pledge)
    )


def _is_intact(session: Session, disposal: Disposal) -> bool:
    return all(
        segment.archive in session.targets and intact(segment, session.targets[segment.archive])
        for segment in disposal.segments
    )


def _ledgers(session: Session) -> frozenset[str]:
    """The ledger here and those that it took over; empty where there is none."""
    here = session.ledger.ledger_id
    return frozenset() if here is None else frozenset({here, *remember(session.ledger).adopted})


def _refuse_strangers(
    session: Session, dataset: Dataset, markers: Iterable[Disposal], opened: Iterable[JournalledSlice]
) -> None:
    """Where there is no ledger, refuse a store that has to do with one."""
    strangers = sorted({*(marker.owner.ledger for marker in markers), *(piece.intent.ledger for piece in opened)})
    if strangers:
        raise LedgerUnknownError(
            f"{dataset.name}: the store has disposals of ledger {strangers[0]}, but there is no ledger in"
            f" {session.folders.ledger}",
            hint="Put the ledger back, or point `ledger:` or LAPSE_STATE_DIR at it. If it is lost, begin a new one"
            " that takes over with: lapse ledger adopt",
        )


def _complete(session: Session, disposal: Disposal, opened: Collection[tuple[str, str]]) -> bool:
    """Enter a committed disposal into the ledger and commit its segments. True if it was not there yet."""
    known = session.ledger.has_disposal(disposal.owner.run, disposal.slice)
    if known and (disposal.owner.run, disposal.slice) not in opened:
        return False  # done already; its marker waits for a checkpoint
    record(
        disposal,
        ledger=session.writable_ledger,
        targets=session.targets,
        journal=Journal.open(session.folders.root, disposal.owner.run),
    )
    return not known


def _settle_uncommitted(session: Session, store: Store, piece: JournalledSlice) -> int:
    """Clear a slice that has no marker; unless the ledger has it, then its marker was pruned already."""
    run, name = piece.intent.run, piece.intent.slice
    journal = Journal.open(session.folders.root, run)
    entry = session.ledger.disposal_entry(run, name)
    if entry is not None:
        put_entry(entry, targets=session.targets)
        journal.settled(name)
        return 0
    try:
        doubt = _doubt(session, store, piece)
        if doubt is None:
            clear(piece, targets=session.targets)
    except TargetError as error:
        session.tell("segment.not_cleared", dataset=piece.intent.dataset, slice=name, error=str(error))
        return 0
    if doubt is not None:
        _keep(session, piece, doubt)
        journal.settled(name)
        return 0
    journal.rolled_back(name)
    return 1


def _doubt(session: Session, store: Store, piece: JournalledSlice) -> str | None:
    """Why a missing marker does not prove that a slice was not committed. None if it does."""
    if piece.state in (SliceState.COMMITTED, SliceState.LEDGERED):
        return "the store confirmed its commit, but the marker is gone"
    if is_committed_elsewhere(piece, targets=session.targets):
        return "another ledger has taken it over"
    if piece.pledge is not None and isinstance(store, Pledging) and store.outcome(piece.pledge) is None:
        return "the store no longer knows what became of its transaction"
    if piece.state is SliceState.BEGUN or piece.intent.place is None or not isinstance(store, Witness):
        return None
    return None if store.is_untouched(piece.intent.place) else "its place in the store is away or was changed"


def _keep(session: Session, piece: JournalledSlice, doubt: str) -> None:
    """Leave the segments of a slice where they are, prepared, and say so in the ledger.

    If its marker comes back, the disposal is completed by it as any other.
    """
    body: dict[str, Json] = {
        "note": f"segments were kept whose slice has no marker: {doubt}",
        "run": piece.intent.run,
        "slice": piece.intent.slice,
        "dataset": piece.intent.dataset,
        "kept": [item.path for item in piece.objects if item.kind is ObjectKind.SEGMENT and item.path is not None],
    }
    session.writable_ledger.append(EntryKind.NOTE, body, at=session.real_now)
    session.tell("segment.kept", dataset=piece.intent.dataset, slice=piece.intent.slice, reason=doubt)
