"""A commit in place drawn up before it is decided: what lies where, and how its phases will be told."""

from __future__ import annotations

import os

from lapse.stores.jsonl.codec import BLOCK
from lapse.stores.jsonl.disk import line_end, line_start
from lapse.stores.jsonl.inplace import BLANK, Heads, Layout, cut_of, digest_of_bytes, sector_digests


def lay_out(descriptor: int, *, end: int, kept: int, block: int, size: int) -> Layout:
    """Where blanks, mark and cut come to lie. OSErrors are the caller's.

    Until the blocks are cut off, the lines between mark and blanks are still there; they stay whole, so that whoever
    reads at that moment finds no half ones.

    Arguments:
        descriptor: The file.
        end: End of the last line that goes.
        kept: Bytes of lines before that which stay.
        block: Size of the blocks that can be cut off.
        size: Bytes of the file.
    """
    cut = cut_of(end - kept, block=block, size=size)
    mark, blanks = (block, cut) if cut else (0, 0)
    if cut and not kept:
        mark, blanks = line_end(descriptor, block, cut), line_start(descriptor, cut)
        mark, blanks = (mark, blanks) if mark <= blanks else (cut, cut)
    return Layout(end=end, kept=kept, block=block, cut=cut, mark=mark, blanks=blanks)


def draw_heads(descriptor: int, layout: Layout, *, judged: int, size: int, side: bytes) -> Heads:
    """How the file will look in each phase. OSErrors are the caller's.

    Arguments:
        descriptor: The file.
        layout: Where things will stand.
        judged: Bytes that were judged.
        size: Bytes of the file.
        side: The beginning of the kept lines that are moved, a block of it or all.
    """
    known = min(layout.block, size - layout.cut) if layout.cut else min(layout.block, judged)
    after = _future(descriptor, layout, side, known)
    tail = min(layout.block, judged - layout.end)
    return Heads(
        before=sector_digests(os.pread(descriptor, min(layout.block, judged), 0)),
        after=sector_digests(after),
        after_size=known,
        tail=digest_of_bytes(os.pread(descriptor, tail, judged - tail)),
        tail_size=tail,
    )


def _future(descriptor: int, layout: Layout, side: bytes, size: int) -> bytes:
    """The first *size* bytes of the file after the commit."""
    found = BLANK * (layout.dead - layout.cut) + side
    missing = size - len(found)
    if missing > 0:
        found += os.pread(descriptor, min(missing, BLOCK), layout.end)
    return found[:size]
