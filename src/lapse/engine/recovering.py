"""Recovery at the start of a run: settle what an interrupted one left, under the store's lease.

Markers in the store say what was committed; the journal says what may lie around. Committed slices get
their ledger entry, the others lose their orphan segments. Running again is the recovery procedure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapse.engine.remembered import remember
from lapse.engine.session import Session
from lapse.errors import LedgerUnknownError, TargetError
from lapse.model.disposal import Disposal
from lapse.model.policy import Dataset
from lapse.ports import Store
from lapse.stages.clearing import clear
from lapse.stages.recording import put_entry, record
from lapse.stages.verifying import intact
from lapse.state.journal import Journal, finish, unsettled
from lapse.state.journal_record import JournalledSlice


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
    ours = _of_this_ledger(session, dataset, found)
    completed = tuple(disposal for disposal in ours if _complete(session, disposal))
    committed = {(disposal.owner.run, disposal.slice) for disposal in ours}
    open_slices = [piece for piece in unsettled(session.folders.root) if piece.intent.store == dataset.store_id]
    cleared = sum(
        _settle_uncommitted(session, piece)
        for piece in open_slices
        if (piece.intent.run, piece.intent.slice) not in committed
    )
    for run in {piece.intent.run for piece in open_slices}:
        finish(session.folders.root, run)
    for disposal in completed:
        session.tell("disposal.recovered", dataset=disposal.dataset, run=disposal.owner.run, records=disposal.records)
    return Recovered(completed=completed, cleared=cleared, markers=ours)


def _is_intact(session: Session, disposal: Disposal) -> bool:
    return all(
        segment.archive in session.targets and intact(segment, session.targets[segment.archive])
        for segment in disposal.segments
    )


def _of_this_ledger(session: Session, dataset: Dataset, found: Iterable[Disposal]) -> tuple[Disposal, ...]:
    markers = tuple(found)
    here = session.ledger.ledger_id
    mine = {here} | remember(session.ledger).adopted
    strangers = sorted({marker.owner.ledger for marker in markers} - mine)
    if strangers and here is None:
        raise LedgerUnknownError(
            f"{dataset.name}: the store has disposals of ledger {strangers[0]}, but there is no ledger in"
            f" {session.folders.ledger}",
            hint="Put the ledger back, or point `ledger:` or LAPSE_STATE_DIR at it. If it is lost, begin a new one"
            " that takes over with: lapse ledger adopt",
        )
    return tuple(marker for marker in markers if marker.owner.ledger in mine)


def _complete(session: Session, disposal: Disposal) -> bool:
    """Enter a committed disposal into the ledger and commit its segments. True if it was not there yet."""
    known = session.ledger.has_disposal(disposal.owner.run, disposal.slice)
    record(
        disposal,
        ledger=session.writable_ledger,
        targets=session.targets,
        journal=Journal.open(session.folders.root, disposal.owner.run),
    )
    return not known


def _settle_uncommitted(session: Session, piece: JournalledSlice) -> int:
    """Clear a slice that has no marker; unless the ledger has it, then its marker was pruned already."""
    run, name = piece.intent.run, piece.intent.slice
    journal = Journal.open(session.folders.root, run)
    entry = session.ledger.disposal_entry(run, name)
    if entry is not None:
        put_entry(entry, targets=session.targets)
        journal.settled(name)
        return 0
    try:
        clear(piece, targets=session.targets)
    except TargetError as error:
        session.tell("segment.not_cleared", dataset=piece.intent.dataset, slice=name, error=str(error))
        return 0
    journal.rolled_back(name)
    return 1
