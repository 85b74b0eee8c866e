"""Recording: a committed disposal goes into the ledger, then its entry goes beside its segments."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.canonical import canonical
from lapse.model.disposal import Disposal, sealed_segments
from lapse.model.ledger_entry import LedgerEntry
from lapse.model.paths import entry_path
from lapse.ports import ArchiveTarget
from lapse.state.journal import Journal
from lapse.state.ledger import Ledger


def record(
    disposal: Disposal, *, ledger: Ledger, targets: Mapping[str, ArchiveTarget], journal: Journal
) -> LedgerEntry:
    """Enter *disposal* into the ledger once, and commit its segments by putting the entry beside them.

    *journal* is that of the disposal's own run.

    Safe to repeat: recovery calls it again for disposals that were interrupted here.

    Raises:
        StateError: If the ledger cannot be written.
        TargetError: If the entry cannot be put beside a segment; the next run repeats that.
    """
    entry = ledger.record(disposal)
    put_entry(entry, targets=targets)
    journal.settled(disposal.slice)
    return entry


def put_entry(entry: LedgerEntry, *, targets: Mapping[str, ArchiveTarget]) -> None:
    """Put a disposal's signed entry beside each of its segments whose archive is in the policy.

    Raises:
        TargetError: If it cannot be written, or another entry lies there.
    """
    line = canonical(entry.to_json())
    for segment in sealed_segments(entry):
        target = targets.get(segment.archive)
        if target is not None:
            target.put(entry_path(segment.path), line)
