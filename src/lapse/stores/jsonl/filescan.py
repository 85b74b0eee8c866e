"""Files read one after the other, in bounded memory; the lines of small ones are judged together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lapse.stores.jsonl.blockcutting import BlockCutter
from lapse.stores.jsonl.codec import Encoding, Head, blocks, encoding_of, encoding_of_bytes
from lapse.stores.jsonl.disk import blanks_at_head
from lapse.stores.jsonl.fileindex import SMALLEST, block_size
from lapse.stores.jsonl.inplace import BLANK
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.parts import FilePart, share
from lapse.stores.jsonl.pieces import Piece, file_pieces, pieces
from lapse.stores.jsonl.scanning import Counts, Extent, opened
from lapse.stores.jsonl.sizing import Goals
from lapse.stores.jsonl.trouble import translated

if TYPE_CHECKING:
    from lapse.stores.jsonl.batching import Batch

_SMALL = 128 * 1024
_BATCH = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found in some files, or ranges of them.

    Attributes:
        counts: Their lines.
        parts: What was found in each, in the order in which they were read.
    """

    counts: Counts
    parts: list[FilePart]

    def join(self, other: Scanned) -> None:
        """Take over what was found in further ones; *other* is not to be used any more."""
        self.counts.merge(other.counts)
        self.parts.extend(other.parts)


class Scan:
    """A reading of files."""

    def __init__(self, judges: Judges, *, remembering: bool) -> None:
        """A reading of files that are judged by *judges*; with *remembering*, sums of their blocks are made as well."""
        self._judges = judges
        self._goals = judges.judge.selection.goals
        self._remembering = remembering
        self._counts = Counts()
        self._parts: list[FilePart] = []
        self._batch = _batch(judges, self._goals, self._counts)

    def read(self, file: int, extent: Extent, *, begin: int, end: int) -> None:
        """Read a file, or the whole lines from *begin* to before *end* of a plain one.

        Raises:
            StoreError: If it cannot be read.
        """
        part = FilePart(file, begin)
        self._parts.append(part)
        with opened(extent) as descriptor:
            if self._batch is not None and extent.size <= _SMALL and self._gathered(part, descriptor, extent):
                return
            with translated("read it", extent.path):
                begin = begin or blanks_at_head(descriptor, end)  # a removal in place left them: no part of a line
            self._read(part, descriptor, extent, range(begin, end))

    def ended(self) -> Scanned:
        """What was found in all of them."""
        if self._batch is not None:
            self._batch.flush()
        share(self._parts)
        self._counts.settle()
        return Scanned(self._counts, self._parts)

    def _read(self, part: FilePart, descriptor: int, extent: Extent, bounds: range) -> None:
        cutter = None
        if self._remembering and extent.size >= SMALLEST:
            cutter = BlockCutter(bounds.start, block_size(extent.size), self._goals)
        with pieces_of(descriptor, extent, bounds.start, bounds.stop) as found:
            for piece in found:
                self._take_in(part, piece, cutter)
        if cutter is not None:
            part.blocks = cutter.blocks()

    def _gathered(self, part: FilePart, descriptor: int, extent: Extent) -> bool:
        """Put a small file beside others. False if it is compressed, or holds no line to put there."""
        assert self._batch is not None  # noqa: S101 - the caller has seen it
        with translated("read it", extent.path):
            data = os.pread(descriptor, extent.size, 0).lstrip(BLANK)
        last = data.rfind(b"\n") + 1
        if not last or encoding_of_bytes(data[:4]) is not Encoding.PLAIN:
            return False
        self._batch.add(part, data[:last])
        if last < len(data):
            self._take_in(part, Piece(data[last:], Shape.TORN))
        if self._batch.size >= _BATCH:
            self._batch.flush()
        return True

    def _take_in(self, part: FilePart, piece: Piece, cutter: BlockCutter | None = None) -> None:
        for judgement in self._judges.judgements(piece):
            sums = (judgement.sums(),) if cutter is None else cutter.add(judgement, piece.shape)
            part.add(judgement, sums, self._goals, self._counts)


def _batch(judges: Judges, goals: Goals, counts: Counts) -> Batch | None:
    if judges.bulk is None:
        return None
    from lapse.stores.jsonl.batching import Batch

    return Batch(judges.bulk, goals, counts)


@contextmanager
def pieces_of(descriptor: int, extent: Extent, begin: int, end: int) -> Iterator[Iterator[Piece]]:
    """The pieces of an open file; each is valid until the next one is asked for."""
    with translated("read it", extent.path):
        encoding = encoding_of(descriptor)
    if encoding is Encoding.PLAIN:
        yield file_pieces(descriptor, extent.path, begin, end)
        return
    with blocks(Head(descriptor, extent.size), encoding, extent.path) as found:
        yield pieces(found)
