"""What a kill inside of the kernel may leave: blocks are cut off, but the file is as long as it was.

XFS cuts blocks off in one step and makes the file shorter in the next, which a SIGKILL or a loss of power can prevent
(fs/xfs/xfs_file.c: `xfs_collapse_file_space`, then `xfs_falloc_setsize`, which gives up where a signal is fatal). Then
a gap follows on what is left: bytes that nobody wrote and that read as zeros, as many as were cut off. Who appends
goes on behind it, and that line could not be read for the zeros before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from lapse.stores.jsonl.codec import BLOCK
from lapse.stores.jsonl.disk import collapse, write_at
from lapse.stores.jsonl.inplace import BLANK


def find_gap(descriptor: int, start: int, *, cut: int, block: int) -> range | None:
    """Where such a gap is in a file. None if there is none. OSErrors are raised.

    Arguments:
        descriptor: The file.
        start: No gap begins before it.
        cut: Bytes that were cut off. Where a gap was being closed, some blocks of it are gone already.
        block: Size of the blocks that can be cut off.
    """
    found = _zeros(descriptor, start)
    return next((gap for gap in found if len(gap) <= cut and not (cut - len(gap)) % block), None)


def close_gap(descriptor: int, gap: range, *, block: int) -> None:
    """Cut its blocks off; blanks take the place of what is left, which readers of JSON skip before a line.

    Within a line that somebody has begun before it and ended behind it zeros are left: blanks could change its meaning.
    Doing it again goes on where it was interrupted. OSErrors are raised.
    """
    first, last = -(-gap.start // block) * block, gap.stop // block * block
    if last >= os.fstat(descriptor).st_size:
        last = max(first, last - block)  # the kernel refuses to cut up to the end of the file
    blank = _is_before_a_line(descriptor, gap.start)
    if blank:
        fill(descriptor, gap.start, first)
        fill(descriptor, last, gap.stop)
    if first < last and not collapse(descriptor, last - first, start=first) and blank:
        fill(descriptor, first, last)
    os.fsync(descriptor)


def _zeros(descriptor: int, start: int) -> Iterator[range]:
    """The stretches of zeros from *start* on."""
    begin: int | None = None
    while chunk := os.pread(descriptor, BLOCK, start):
        for found in re.finditer(rb"(\0+)|[^\0]+", chunk):
            if found[1] is not None:
                begin = start + found.start() if begin is None else begin
            elif begin is not None:
                yield range(begin, start + found.start())
                begin = None
        start += len(chunk)
    if begin is not None:
        yield range(begin, start)


def _is_before_a_line(descriptor: int, offset: int) -> bool:
    """Whether nothing but blanks stands on the line so far."""
    start = max(0, offset - BLOCK)
    before = os.pread(descriptor, offset - start, start)
    return not before[before.rfind(b"\n") + 1 :].strip(BLANK)


def fill(descriptor: int, start: int, end: int) -> None:
    """Put blanks from *start* to before *end*. OSErrors are raised."""
    while start < end:
        size = min(BLOCK, end - start)
        write_at(descriptor, BLANK * size, start)
        start += size
