"""What is remembered of a log file between runs: sums of its blocks, and how to tell that it is still that file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import msgspec

from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import Block, BlockSum
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.deciding import Timeline

SMALLEST = 256 * 1024
"""Bytes of a file from which on it is remembered; smaller ones are read each time."""

_ENDS = 4096
_LEAST, _MOST = 128 * 1024, 1024 * 1024
_BLOCKS, _MOST_BLOCKS = 1024, 4096


class FileSums(msgspec.Struct, array_like=True):
    """What is remembered of a file.

    Attributes:
        head: Digest of its first bytes.
        tail: Digest of the last bytes before `end`.
        end: Bytes of the file that the blocks were made of, from its beginning.
        mtime_ns: When a compressed file was changed last. None for a plain one, which may grow.
        packed: Sums of its content, in order; there may be gaps between them, and lines begin at each.
    """

    head: bytes
    tail: bytes
    end: int
    mtime_ns: int | None
    packed: list[msgspec.Raw]

    @property
    def blocks(self) -> Iterator[BlockSum]:
        """The sums, each made when it is asked for: a large file has thousands."""
        return map(_decoder.decode, self.packed)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(BlockSum)


def block_size(size: int) -> int:
    """Bytes of a block in a file of that *size*: so few that little is read for a cutoff, so many that they are few."""
    return max(min(max(size // _BLOCKS, _LEAST), _MOST), size // _MOST_BLOCKS)


def encode(sums: FileSums) -> bytes:
    """As it is kept."""
    return msgspec.msgpack.encode(sums)


def decode(data: bytes) -> FileSums | None:
    """What `encode` wrote. None if it makes no sense."""
    try:
        sums = msgspec.msgpack.decode(data, type=FileSums)
        blocks = chain((BlockSum(0, 0, 0, [], []),), sums.blocks)
        sound = all(one.end <= other.start and other.size > 0 for one, other in pairwise(blocks))
    except msgspec.MsgspecError:
        return None
    return sums if sound else None


def describe(descriptor: int, blocks: Iterable[BlockSum], *, end: int) -> FileSums:
    """What to remember of an open file, of the first *end* bytes of which the blocks were made. OSErrors are raised."""
    plain = encoding_of(descriptor) is Encoding.PLAIN
    return FileSums(
        head=_digest(descriptor, 0, min(_ENDS, end)),
        tail=_digest(descriptor, max(0, end - _ENDS), end),
        end=end,
        mtime_ns=None if plain else os.fstat(descriptor).st_mtime_ns,
        packed=[msgspec.Raw(_encoder.encode(block)) for block in _compacted(blocks, block_size(end))],
    )


def is_same(descriptor: int, sums: FileSums, *, size: int) -> bool:
    """Whether the open file of *size* bytes still begins as it did when it was looked at. OSErrors are raised."""
    if sums.mtime_ns is not None and (size, os.fstat(descriptor).st_mtime_ns) != (sums.end, sums.mtime_ns):
        return False
    return (
        size >= sums.end
        and _digest(descriptor, 0, min(_ENDS, sums.end)) == sums.head
        and _digest(descriptor, max(0, sums.end - _ENDS), sums.end) == sums.tail
    )


def left(blocks: BlockList, goal: int | None, timeline: Timeline, *, before: int, after: int) -> BlockList:
    """The blocks of a file from which the lines of one destination are gone, where they are now.

    They are found from the end, where nothing but whole lines was removed: what lies between blocks has all stayed.

    Arguments:
        blocks: The blocks as they were, in order.
        goal: The number of the destination. None if nothing in the blocks is gone.
        timeline: What tells the outcomes.
        before: Bytes that were judged.
        after: Bytes that are left of them.
    """
    found = BlockList()
    old, new = before, after
    for block in blocks.reversed():
        sizes = {number: size for number, size in block.sizes.items() if number != goal}
        new -= old - block.sums.end + sum(sizes.values())
        old = block.sums.start
        if new < 0:
            break
        if sizes:
            found.append(Block(msgspec.structs.replace(block.without(goal, timeline), start=new), sizes))
    return found.reversed()


def begins_a_line(descriptor: int, offset: int) -> bool:
    """Whether a line of an open plain file begins there. OSErrors are raised."""
    return not offset or os.pread(descriptor, 1, offset - 1) == b"\n"


def _compacted(blocks: Iterable[BlockSum], size: int) -> Iterator[BlockSum]:
    """The blocks, small ones that stand together put together."""
    waiting: BlockSum | None = None
    for block in blocks:
        if waiting is not None and waiting.end == block.start and waiting.size + block.size <= size:
            waiting = waiting.joined(block)
            continue
        if waiting is not None:
            yield waiting
        waiting = block
    if waiting is not None:
        yield waiting


def _digest(descriptor: int, start: int, end: int) -> bytes:
    return hashlib.sha256(os.pread(descriptor, end - start, start)).digest()[:16]
