"""How many bytes of lapsed lines a file holds, as a survey has counted them: once they were found, no more follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from lapse.stores.jsonl.disk import blanks_at_head
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.lines import lines
from lapse.stores.jsonl.pieces import plain_blocks
from lapse.stores.jsonl.redo import Journalled
from lapse.stores.jsonl.scanning import Extent, opened
from lapse.stores.jsonl.trouble import translated


def expected_bytes(extent: Extent, judge: Judge, sizes: Mapping[int, int], codes: AbstractSet[int]) -> int:
    """Bytes of the lines of some outcomes. 0 if that is not known.

    Blanks at the head of a file, which an earlier removal has left, are no part of its first line.

    Arguments:
        extent: The file.
        judge: What has decided.
        sizes: Bytes of its lines by outcome, as surveyed.
        codes: The outcomes.

    Raises:
        StoreError: If the file cannot be read.
    """
    found = [size for code, size in sizes.items() if code in codes]
    if not all(found):
        return 0
    with opened(extent) as descriptor, translated("read it", extent.path):
        blanks = blanks_at_head(descriptor, extent.size)
        if blanks:
            first = next(lines(plain_blocks(descriptor, extent.path, 0, extent.size)))
            blanks = blanks if judge.judge(first).code in codes else 0
    return sum(found) - blanks


def removed_bytes(commits: Sequence[Journalled]) -> int:
    """Bytes of the lines that some commits have removed."""
    return sum(redo.disposal.size for redo in commits)
