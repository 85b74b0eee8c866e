"""How many bytes of lapsed lines a file holds, as a survey has counted them: once they were found, no more follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from lapse.stores.jsonl.redo import Journalled


def expected_bytes(sizes: Mapping[int, int], codes: AbstractSet[int]) -> int:
    """Bytes of the lines of some outcomes, of *sizes* by outcome. 0 if that is not known."""
    found = [size for code, size in sizes.items() if code in codes]
    return sum(found) if all(found) else 0


def removed_bytes(commits: Sequence[Journalled]) -> int:
    """Bytes of the lines that some commits have removed."""
    return sum(redo.disposal.size for redo in commits)
