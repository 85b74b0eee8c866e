"""Clearing: what a slice that was not committed left in its archives goes, by the paths in its own journal."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.errors import TargetError
from lapse.ports import ArchiveTarget
from lapse.state.journal_record import JournalledSlice


def clear(piece: JournalledSlice, *, targets: Mapping[str, ArchiveTarget]) -> None:
    """Remove every object that *piece* might have made, staged or published.

    The caller has proven that the slice was not committed. Nothing is ever removed by a listing: another
    host's live segment may stand there.

    Raises:
        TargetError: If an archive is out of reach, or no longer in the policy; then the slice stays open.
    """
    for item in reversed(piece.objects):
        target = targets.get(item.archive)
        if target is None:
            raise TargetError(
                f"archive {item.archive} is no longer in the policy, but may hold an orphan segment of run"
                f" {piece.intent.run}",
                hint="Put the archive back into the policy for one run, so that it can be cleared.",
            )
        if item.path is not None:
            target.remove(item.path)
        if item.staged is not None:
            target.discard(item.staged)
