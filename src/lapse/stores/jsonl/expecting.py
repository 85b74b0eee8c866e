"""What of a file has lapsed, as a survey has counted it: once these bytes were found, no more follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lapse.model.selection import Destination, Selection
from lapse.stores.jsonl.redo import Journalled, Redo
from lapse.stores.jsonl.sizing import Sizes


def expectations(selection: Selection, sizes: Sizes) -> Iterator[tuple[Destination, int]]:
    """The destinations that some line of a file has lapsed for, with the bytes of these lines; 0 if not known."""
    for goal, destination in enumerate(selection.destinations(), 1):
        if goal in sizes:
            yield destination, sizes[goal]


def is_gone_for_good(log: Path, commits: Sequence[Journalled]) -> bool:
    """Whether the only commit to a log has removed it, and is finished: nothing can ask after its lines any more."""
    if len(commits) != 1 or not isinstance(commits[0], Redo) or commits[0].replacement is not None:
        return False
    return not commits[0].pending(log.parent)


def removed_bytes(commits: Sequence[Journalled]) -> int:
    """Bytes of the lines that some commits have removed."""
    return sum(redo.disposal.size for redo in commits)
