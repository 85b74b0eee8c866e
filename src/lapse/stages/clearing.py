"""Clearing: what a slice that was not committed left in its archives goes, by the paths in its own journal."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.errors import TargetError
from lapse.model.paths import entry_path
from lapse.ports import ArchiveTarget
from lapse.state.journal_record import JournalledSlice, ObjectKind


def clear(piece: JournalledSlice, *, targets: Mapping[str, ArchiveTarget]) -> None:
    """Remove every object that *piece* might have made, staged or published.

    The caller has proven that the slice was not committed. Nothing is ever removed by a listing: another
    host's live segment may stand there.

    Raises:
        TargetError: If an archive is out of reach, or no longer in the policy; then the slice stays open.
    """
    for item in reversed(piece.objects):
        target = _target(piece, item.archive, targets)
        if item.path is not None:
            target.remove(item.path)
        if item.staged is not None:
            target.discard(item.staged)


def is_committed_elsewhere(piece: JournalledSlice, *, targets: Mapping[str, ArchiveTarget]) -> bool:
    """Whether an entry lies beside a segment of *piece*: then a ledger that took over has recorded its disposal.

    Raises:
        TargetError: If an archive is out of reach, or no longer in the policy.
    """
    return any(
        item.path is not None and _target(piece, item.archive, targets).exists(entry_path(item.path))
        for item in piece.objects
        if item.kind is ObjectKind.SEGMENT
    )


def _target(piece: JournalledSlice, archive: str, targets: Mapping[str, ArchiveTarget]) -> ArchiveTarget:
    target = targets.get(archive)
    if target is None:
        raise TargetError(
            f"archive {archive} is no longer in the policy, but may hold an orphan segment of run {piece.intent.run}",
            hint="Put the archive back into the policy for one run, so that it can be cleared.",
        )
    return target
