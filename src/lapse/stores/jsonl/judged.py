"""A log file in, blocks of lines with the outcome of each out; memory is bounded by a block, or a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lapse.stores.jsonl.codec import Encoding, Head, blocks, encoding_of
from lapse.stores.jsonl.judgement import Judgement, Singly
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.lines import Line, Shape, lines
from lapse.stores.jsonl.numpyloading import one_thread
from lapse.stores.jsonl.pieces import Piece, file_pieces, pieces
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.trouble import translated

if TYPE_CHECKING:
    from lapse.stores.jsonl.bulk import Bulk

_WORTH_IT = 8 * 1024 * 1024
_MOST_AT_ONCE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JudgedBlock:
    """Lines of a file, in order, each with its outcome.

    All are whole, except a last line without a line end and the pieces of one that is too long: those are
    doubtful, so that their outcome is never one of a lapsed line.

    Attributes:
        start: Offset of the first byte in the content of the file.
        data: The lines, byte for byte.
        judgement: What becomes of them.
    """

    start: int
    data: bytes
    judgement: Judgement

    @property
    def records(self) -> int:
        """How many lines begin here; further pieces of a long one do not count."""
        return self.judgement.records

    @property
    def ends(self) -> Sequence[int]:
        """Where each line ends in `data`, ascending; the last is the length of `data`."""
        return self.judgement.ends

    @property
    def codes(self) -> Sequence[int]:
        """The outcome of each line."""
        return self.judgement.codes

    def tally(self, counts: Counts, codes: AbstractSet[int] | None = None, *, last: int | None = None) -> None:
        """Count the lines before number *last* with one of these outcomes; None counts all, to the end."""
        sums = self.judgement.sums(0, last)
        counts.add_sums(sums if codes is None else [item for item in sums if item.code in codes])


class Judges:
    """Judges pieces of files; many lines at once where that is worth it."""

    def __init__(self, judge: Judge, *, size: int) -> None:
        """A judge for files of about *size* bytes together."""
        self.judge = judge
        self._size = size
        self._judged = 0

    @property
    def bulk(self) -> Bulk | None:
        """What judges many lines at once. None where that is not worth it, or cannot be done."""
        if max(self._size, self._judged) < _WORTH_IT or not self.judge.reader.plain:
            return None
        return self._bulk

    @cached_property
    def _bulk(self) -> Bulk:
        with one_thread():
            from lapse.stores.jsonl.bulk import Bulk  # numpy takes longer to load than a small file to read

        return Bulk(self.judge)

    def judgements(self, piece: Piece) -> Iterator[Judgement]:
        """What becomes of the lines of a piece."""
        self._judged += len(piece.data)
        if piece.shape is Shape.WHOLE and len(piece.data) <= _MOST_AT_ONCE and self.bulk is not None:
            yield from self.bulk.judge(piece.data)
            return
        data = bytes(piece.data)
        yield Singly(self.judge, data, list(_lines(data, piece.shape)))


def _lines(data: bytes, shape: Shape) -> Iterator[Line]:
    if shape is Shape.WHOLE and data.find(b"\n") < len(data) - 1:
        yield from lines([data])
    else:
        yield Line(data, shape)


def judged_blocks(
    descriptor: int, extent: Extent, judges: Judges, *, start: int = 0, head: Head | None = None
) -> Iterator[JudgedBlock]:
    """Judge the lines of an open file.

    Arguments:
        descriptor: The file, open for reading.
        extent: Which part of it.
        judges: What decides.
        start: Offset in the content where a line begins; the lines before it are left out.
        head: A compressed file as it is read. None reads it without a digest.

    Raises:
        StoreError: If it cannot be read.
    """
    with _pieces(descriptor, extent, start=start, head=head) as found:
        for piece in found:
            for judgement in judges.judgements(piece):
                yield JudgedBlock(start, bytes(judgement.data), judgement)
                start += len(judgement.data)


@contextmanager
def _pieces(descriptor: int, extent: Extent, *, start: int, head: Head | None) -> Iterator[Iterator[Piece]]:
    """The pieces of an open file from offset *start* of its content on."""
    with translated("read it", extent.path):
        encoding = encoding_of(descriptor)
    if encoding is Encoding.PLAIN:
        yield _lasting(file_pieces(descriptor, extent.path, start, extent.size))
        return
    stream = Head(descriptor, extent.size) if head is None else head
    with blocks(stream, encoding, extent.path) as found:
        yield pieces(_from(found, start))


def _lasting(found: Iterator[Piece]) -> Iterator[Piece]:
    """The same pieces, each of which stays valid."""
    return (Piece(bytes(piece.data), piece.shape) for piece in found)


def _from(found: Iterator[bytes], start: int) -> Iterator[bytes]:
    for block in found:
        if start < len(block):
            yield block[start:]
        start = max(0, start - len(block))
