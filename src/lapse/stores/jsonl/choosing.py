"""How lapsed lines leave a file: in place, where the file and its file system allow it, or by a new file.

What is decided here is decided again right before each commit; the plan only says what it would be now.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapse.model.policy import Reopen
from lapse.stores.jsonl.inplace import cut_of

_WORTH_MOVING = 64 * 1024 * 1024
"""Bytes of kept lines at most that are moved within a file nobody writes to: whoever opens it waits meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a log file offers.

    Attributes:
        plain: Whether it is not compressed.
        block: Block size of a file system that can collapse it, in bytes. None if it cannot.
        rewrite: Whether the caller wants a new file in any case.
        reopen: How writers are told to open the file anew. None if they cannot be told.
    """

    plain: bool
    block: int | None
    rewrite: bool
    reopen: Reopen | None

    @property
    def obstacle(self) -> str | None:
        """Why lines are never removed in place here, whoever writes. None if they can be."""
        if not self.plain:
            return "a compressed file is written anew"
        if self.block is None:
            return "this file system cannot take blocks off the head of a file"
        return "a rewrite was asked for" if self.rewrite else None


def is_better_in_place(*, end: int, kept: int, size: int, block: int, lively: bool) -> bool:
    """Whether lines of a file that nobody writes to just now go better in place than by a new file.

    That is where fewer bytes are moved, or where a writer is likely to come back: it finds the file that it knows.

    Arguments:
        lively: Whether somebody has written to it lately.
        end: End of the last line that goes.
        kept: Bytes of lines before that which stay.
        size: Bytes of the file.
        block: Size of the blocks that can be cut off.
    """
    if cut_of(end - kept, block=block, size=size) == 0 or kept > _WORTH_MOVING:
        return False
    return end < size and (lively or 2 * kept + block < kept + size - end)
