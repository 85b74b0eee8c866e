"""The lapsed lines of a log file out, in blocks; the kept ones between them into a working file beside it.

A plain file is read no further than its last lapsed line, as far as that is known, and what stays behind that line is
not copied: whether it is depends on the commit. A compressed file is written anew while it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lapse.canonical import Digest
from lapse.model.selection import Destination
from lapse.ports import LineBlock
from lapse.stores.jsonl.codec import Encoding, Head, blocks, encoding_of
from lapse.stores.jsonl.disk import blanks_at_head
from lapse.stores.jsonl.inplace import BLANK
from lapse.stores.jsonl.judged import JudgedBlock, judged_blocks
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.rewriting import Rewrite
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.trouble import translated

_GOING = re.compile(rb"\x01+")


class Lift:
    """Reads the judged beginning of a log file once.

    Attributes:
        encoding: How the file is compressed.
        counts: The lapsed lines, by outcome and tenant.
        end: Where the last lapsed line ends, in the content of the file.
        kept: Bytes of lines before that which stay, without blanks at the head of a plain file.
        stays: Whether any judged line stays. Valid once `done`.
        records: How many lapsed lines were found.
        limited: Whether it stopped for its size, so that more may have lapsed.
        partial: Whether it stopped for the number of lines, so that more may have lapsed.
        done: Whether everything was read.
    """

    def __init__(
        self, descriptor: int, extent: Extent, judge: Judge, destination: Destination, *, working: Path
    ) -> None:
        selection = judge.selection
        self._descriptor = descriptor
        self._extent = extent
        self._judge = judge
        self._going = frozenset(selection.lapsed_codes(destination))
        self._table = selection.lapsed_codes(destination).mask()
        self._path = working
        with translated("read it", extent.path):
            self.encoding = encoding_of(descriptor)
        self._head: Head | None = None
        self.working: Rewrite | None = None
        self.counts = Counts()
        self.end = 0
        self.kept = 0
        self.size = 0
        self.records = 0
        self.limited = False
        self.partial = False
        self.done = False
        self._begin = self._blanks()
        """Blanks at the head: an earlier removal left them, they are no part of the first line."""
        self._copied = self._begin
        """Where the next kept line begins that is not in the working file."""

    @property
    def plain(self) -> bool:
        """Whether the file is not compressed."""
        return self.encoding is Encoding.PLAIN

    @property
    def stays(self) -> bool:
        """Whether any judged line stays."""
        return self.kept > 0 or (self.plain and self.end < self._extent.size)

    def _blanks(self) -> int:
        if self.plain:
            with translated("read it", self._extent.path):
                return blanks_at_head(self._descriptor, self._extent.size)
        with blocks(Head(self._descriptor, self._extent.size), self.encoding, self._extent.path) as found:
            first = next(found, b"")
        return len(first) - len(first.lstrip(BLANK))

    def lapsed(
        self, *, expected: int, limit: int | None, digested: bool, most: int | None = None
    ) -> Iterator[LineBlock]:
        """The lapsed lines, in order.

        Arguments:
            expected: Bytes of lapsed lines that are known to be there: once they were found, a plain file is not read
                on. 0 if nothing is known.
            limit: Bytes after which a plain file is not read on, as long as no line stays. None reads on.
            digested: Whether what is read is digested, for `read`.
            most: Lapsed lines to take at most; what comes behind them stays. None takes all.
        """
        self._head = Head(self._descriptor, self._extent.size) if digested else None
        for block in judged_blocks(self._descriptor, self._extent, self._judge, start=self._begin, head=self._head):
            if self.partial:  # a compressed file, which is written anew to its end
                self._keep(block, block.start + len(block.data))
                continue
            found = self._sort(block, most)
            if found is not None:
                yield found
            self.partial = most is not None and self.records >= most
            if self.partial and self.plain:
                break
            if self.plain and 0 < expected <= self.size:
                break
            if (
                limit is not None
                and self.plain
                and self.size >= limit
                and self._copied == block.start + len(block.data)
            ):
                self.limited = not self.kept
                if self.limited:
                    break
        if self.working is not None:
            self.working.end_content()
        self.done = True

    def read(self) -> tuple[int, Digest] | None:
        """How many bytes were read to judge by, all of a compressed file, and their SHA-256. None if not digested."""
        if self._head is None:
            return None
        return self._head.so_far() if self.plain else (self._extent.size, self._head.digest())

    def new_file(self) -> Rewrite:
        """The working file; made if there is none yet.

        Raises:
            StoreError: If it cannot be made.
        """
        if self.working is None:
            self.working = Rewrite(self._path, self.encoding)
        return self.working

    def _sort(self, block: JudgedBlock, most: int | None) -> LineBlock | None:
        """Part a block: its lapsed lines, up to *most* in all, are given back, the others kept."""
        mask = self._mask(block.codes)
        if most is not None:
            mask = _up_to(mask, most - self.records)
        gone: list[bytes] = []
        records = 0
        for run in _GOING.finditer(mask):
            first, last = run.span()
            start, end = int(block.ends[first - 1]) if first else 0, int(block.ends[last - 1])
            self._keep(block, block.start + start)
            gone.append(block.data[start:end])
            records += last - first
            self.end = self._copied = block.start + end
        if not self.plain:
            self._keep(block, block.start + len(block.data))
        if not gone:
            return None
        block.tally(self.counts, self._going, last=len(mask))
        self.records += records
        found = LineBlock(b"".join(gone), records)
        self.size += len(found.data)
        return found

    def _mask(self, codes: Sequence[int]) -> bytes:
        """For each line, 1 if it goes and 0 if it stays."""
        if isinstance(codes, list):
            return bytes(map(self._table.__getitem__, codes))
        import numpy as np  # whoever judges many lines at once has loaded it

        return bytes(np.frombuffer(self._table, np.uint8)[np.asarray(codes)])

    def _keep(self, block: JudgedBlock, upto: int) -> None:
        """Put what stays before offset *upto* of the content into the working file."""
        if upto <= self._copied:
            return
        new = self.new_file()
        if self._copied < block.start:
            new.copy(self._descriptor, self._copied, block.start)
            self.kept += block.start - self._copied
            self._copied = block.start
        new.keep(block.data[self._copied - block.start : upto - block.start])
        self.kept += upto - self._copied
        self._copied = upto


def _up_to(mask: bytes, number: int) -> bytes:
    """The beginning of *mask* that ends with the 1 of that *number*, from 1; all of it if there are fewer."""
    end = 0
    for _ in range(number):
        end = mask.find(1, end) + 1
        if not end:
            return mask
    return mask[:end]
