"""The blocks of a file, held small: a large log has thousands of them, and each is looked at once or twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from lapse.stores.jsonl.blocksums import Block, BlockSum


class BlockList:
    """Blocks in order, each packed into some hundred bytes; as objects one takes more than a thousand."""

    __slots__ = ("_packed",)

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._packed = [_encoder.encode(block) for block in blocks]

    def append(self, block: Block) -> None:
        """Put a block behind the others."""
        self._packed.append(_encoder.encode(block))

    def extend(self, others: BlockList) -> None:
        """Put further blocks behind these."""
        self._packed += others._packed

    def reversed(self) -> BlockList:
        """The same blocks, the last one first."""
        found = BlockList()
        found._packed = self._packed[::-1]
        return found

    @property
    def end(self) -> int:
        """Offset behind the last block; 0 if there is none."""
        return _decoder.decode(self._packed[-1]).sums.end if self._packed else 0

    def sums(self) -> Iterator[BlockSum]:
        """The blocks, without what one selection sees in them."""
        return (block.sums for block in self)

    def __iter__(self) -> Iterator[Block]:
        return map(_decoder.decode, self._packed)

    def __len__(self) -> int:
        return len(self._packed)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Block)
