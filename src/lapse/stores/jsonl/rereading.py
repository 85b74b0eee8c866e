"""What was read of a plain log: digested while it is read, so that it can be seen later whether it is still there."""

from __future__ import annotations

import hashlib
import os
from enum import Enum
from pathlib import Path

from lapse.canonical import Digest
from lapse.segments.content import pieces_digest
from lapse.stores.jsonl.inplace import BLANK
from lapse.stores.jsonl.parting import Parted
from lapse.stores.jsonl.pieces import plain_blocks
from lapse.stores.jsonl.trouble import translated


class Digested(Enum):
    """What of a log is digested by who reads it."""

    NOTHING = "nothing"
    ALL = "all"
    FROM_FIRST_THAT_STAYS = "from the first line that stays"
    """Whoever archives the lines before it digests them."""


class Reading:
    """The beginning of a plain file: blanks, lines that all go, and from the first one that stays on all others."""

    def __init__(self, blanks: int, digested: Digested) -> None:
        """Nothing is read yet but *blanks*."""
        self._blanks = blanks
        self._begin = self._end = blanks
        self._rest = None if digested is Digested.FROM_FIRST_THAT_STAYS else hashlib.sha256()

    @property
    def goes_whole(self) -> bool:
        """Whether all lines so far go, and are digested elsewhere."""
        return self._rest is None

    def take(self, block: Parted) -> None:
        """Take in the next lines."""
        goes = len(block.going) == 1 and block.going[0].end - block.going[0].start == len(block.data)
        self._end += len(block.data)
        if self._rest is None and goes:
            self._begin = self._end
            return
        if self._rest is None:
            self._rest = hashlib.sha256()
        self._rest.update(block.data)

    def is_there(self, descriptor: int, path: Path, head: Digest) -> bool:
        """Whether all of it still stands in the open file; *head* is the digest of the lines at the head that all go.

        Raises:
            StoreError: If it cannot be read.
        """
        with translated("read it", path):
            blanks = os.pread(descriptor, self._blanks, 0)
        return (
            blanks == BLANK * self._blanks
            and pieces_digest(plain_blocks(descriptor, path, self._blanks, self._begin)) == head
            and pieces_digest(plain_blocks(descriptor, path, self._begin, self._end)) == self._digest()
        )

    def _digest(self) -> Digest:
        return pieces_digest(()) if self._rest is None else Digest(self._rest.hexdigest())
