"""The lapsed lines of a log file out, in blocks; the kept ones between them into a working file beside it.

A plain file is read no further than its last lapsed line, as far as that is known, and what stays behind that line is
not copied: whether it is depends on the commit. A compressed file is written anew while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lapse.canonical import Digest
from lapse.model.selection import Destination
from lapse.ports import LineBlock
from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.codec import Encoding, Head, blocks, encoding_of
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.disk import blanks_at_head
from lapse.stores.jsonl.inplace import BLANK
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.parting import Parted, Parting
from lapse.stores.jsonl.recognising import OneFate, recognised
from lapse.stores.jsonl.rereading import Digested, Reading
from lapse.stores.jsonl.rewriting import Rewrite
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.trouble import translated


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
        self,
        descriptor: int,
        extent: Extent,
        judge: Judge,
        destination: Destination,
        *,
        working: Path,
        known: BlockList | None = None,
    ) -> None:
        """Nothing is read yet but the first bytes.

        Arguments:
            descriptor: The file, open for reading.
            extent: Its judged beginning.
            judge: What decides.
            destination: Where the lapsed lines go.
            working: Where the kept ones are written to.
            known: What is remembered of the file's blocks. None: nothing.
        """
        selection = judge.selection
        self._descriptor = descriptor
        self._extent = extent
        self._judge = judge
        self._going = frozenset(selection.lapsed_codes(destination))
        self._table = selection.lapsed_codes(destination).mask()
        self._path = working
        self._known = known
        with translated("read it", extent.path):
            self.encoding = encoding_of(descriptor)
        self._head: Head | None = None
        self._reading: Reading | None = None
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
        self, *, expected: int, limit: int | None, digested: Digested, most: int | None = None, wanted: bool = True
    ) -> Iterator[LineBlock]:
        """The lapsed lines, in order.

        Arguments:
            expected: Bytes of lapsed lines that are known to be there: once they were found, a plain file is not read
                on. 0 if nothing is known.
            limit: Bytes after which a plain file is not read on, as long as no line stays. None reads on.
            digested: What is digested, for `is_there`; a compressed file as a whole, or not at all.
            most: Lapsed lines to take at most; what comes behind them stays. None takes all.
            wanted: Whether somebody looks at the lines. If not, they are counted only, and the blocks hold no data.
        """
        if digested is not Digested.NOTHING:
            self._reading = Reading(self._begin, digested) if self.plain else None
            self._head = None if self.plain else Head(self._descriptor, self._extent.size)
        for block in self._blocks(most, lasting=wanted):
            if self._reading is not None:
                self._reading.take(block)
            if self.partial:  # a compressed file, which is written anew to its end
                self._keep(block, block.end)
                continue
            found = self._sort(block, wanted=wanted)
            if found is not None:
                yield found
            self.partial = most is not None and self.records >= most
            self.limited = limit is not None and self.size >= limit and self._copied == block.end and not self.kept
            if self.plain and (self.partial or self.limited or 0 < expected <= self.size):
                break
        if self.working is not None:
            self.working.end_content()
        self.done = True

    def _blocks(self, most: int | None, *, lasting: bool) -> Iterator[Parted]:
        """The blocks of the file, their data *lasting* or not; those that are recognised are not judged."""
        descriptor, extent, head, start = self._descriptor, self._extent, self._head, self._begin
        known = self._known if self.plain and most is None else None
        one_fate = OneFate(known or BlockList(), Timeline(self._judge), going=self._going)
        judges = Judges(self._judge, size=extent.size - one_fate.size)
        parting = Parting(judges, self._going, self._table)
        for block in recognised(descriptor, extent, one_fate, lasting=lasting):
            if start < block.start:
                yield from parting.parted(descriptor, replace(extent, size=block.start), start=start, head=head)
            yield block
            start = block.end
        yield from parting.parted(descriptor, extent, start=start, head=head, most=most)

    @property
    def goes_whole(self) -> bool:
        """Whether all lines that were read so far go, and only who archives them digests them."""
        return self._reading is not None and self._reading.goes_whole

    def is_there(self, head: Digest) -> bool:
        """Whether what was judged by is still there, all of a compressed file; without digests it counts as changed.

        Arguments:
            head: The digest of the archived lines for as long as `goes_whole` was true.

        Raises:
            StoreError: If it cannot be read.
        """
        if self._reading is not None:
            return self._reading.is_there(self._descriptor, self._extent.path, head)
        if self._head is None:
            return False
        return self._head.digest() == Head(self._descriptor, self._extent.size).digest()

    def new_file(self) -> Rewrite:
        """The working file; made if there is none yet.

        Raises:
            StoreError: If it cannot be made.
        """
        if self.working is None:
            self.working = Rewrite(self._path, self.encoding)
        return self.working

    def _sort(self, block: Parted, *, wanted: bool) -> LineBlock | None:
        """Part a block: its lapsed lines are given back, the others kept."""
        for run in block.going:
            self._keep(block, block.start + run.start)
            self._copied = self.end = block.start + run.end
        if not self.plain:
            self._keep(block, block.end)
        if not block.going:
            return None
        self.counts.add_sums(block.sums)
        if block.more is not None:
            self.counts.add_packed(block.more)
        records = sum(run.records for run in block.going)
        self.records += records
        self.size += sum(run.end - run.start for run in block.going)
        gone = [block.data[run.start : run.end] for run in block.going] if wanted else ()
        return LineBlock(b"".join(gone), records)

    def _keep(self, block: Parted, upto: int) -> None:
        """Put what stays before offset *upto* of the content into the working file."""
        if upto <= self._copied:
            return
        new = self.new_file()
        if self._copied < block.start:
            new.copy(self._descriptor, self._copied, block.start)
            self.kept += block.start - self._copied
            self._copied = block.start
        new.keep(bytes(block.data[self._copied - block.start : upto - block.start]))
        self.kept += upto - self._copied
        self._copied = upto
