"""Recording: a committed disposal goes into the ledger, then its entry goes beside its segments."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lapse.canonical import canonical
from lapse.errors import TargetError
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
    """Put a disposal's signed entry beside each of its segments.

    Raises:
        TargetError: If it cannot be written, another entry lies there, or the segment is not where it was sealed:
            an archive that is away, or another one by the same name, is no place for an entry.
    """
    segments = sealed_segments(entry)
    if not segments:
        return
    line = canonical(entry.to_json())
    for segment in segments:
        target = targets.get(segment.archive)
        if target is None or not target.exists(segment.path):
            raise TargetError(
                f"archive {segment.archive} has no segment {segment.path}, which run {entry.body['run']} sealed there",
                hint="Nothing more was removed. Let the policy name the folder where it lies (is it mounted?) for one"
                " run, so that the segment gets its ledger entry.",
            )
        if not _stands_already(entry, segment.path, target):
            target.put(entry_path(segment.path), line)


def _stands_already(entry: LedgerEntry, path: str, target: ArchiveTarget) -> bool:
    """Whether a lost ledger's entry of the same disposal lies there: a ledger that took over leaves it."""
    beside = entry_path(path)
    if not target.exists(beside):
        return False
    with target.open(beside) as file:
        try:
            other = LedgerEntry.from_json(json.load(file))
        except (ValueError, TypeError, AttributeError):
            return False
    same = all(other.body.get(name) == entry.body[name] for name in ("run", "slice", "segments"))
    return same and other.ledger != entry.ledger
