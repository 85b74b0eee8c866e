"""What of a file has lapsed, as a survey has counted it: once these bytes were found, no more follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from lapse.model.selection import Destination, Selection
from lapse.stores.jsonl.redo import Journalled, Redo


def destinations(selection: Selection, sizes: Mapping[int, int]) -> Iterator[Destination]:
    """The destinations that some line of a file has lapsed for, by the outcomes that its lines have."""
    for destination in selection.destinations():
        if not sizes.keys().isdisjoint(selection.lapsed_codes(destination)):
            yield destination


def expected_bytes(sizes: Mapping[int, int], codes: AbstractSet[int]) -> int:
    """Bytes of the lines of some outcomes, of *sizes* by outcome. 0 if that is not known."""
    found = [size for code, size in sizes.items() if code in codes]
    return sum(found) if all(found) else 0


def is_gone_for_good(log: Path, commits: Sequence[Journalled]) -> bool:
    """Whether the only commit to a log has removed it, and is finished: nothing can ask after its lines any more."""
    if len(commits) != 1 or not isinstance(commits[0], Redo) or commits[0].replacement is not None:
        return False
    return not commits[0].pending(log.parent)


def removed_bytes(commits: Sequence[Journalled]) -> int:
    """Bytes of the lines that some commits have removed."""
    return sum(redo.disposal.size for redo in commits)
