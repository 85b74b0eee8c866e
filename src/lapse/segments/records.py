"""The canonical bytes of each record, and the Merkle leaves made of them (docs/format.md, "Records")."""

from __future__ import annotations

from hashlib import sha256

from lapse.ports import Batch, LineBlock
from lapse.segments.merkle import LEAF


def record_bytes(batch: Batch) -> list[bytes]:
    """The canonical bytes of each record, in order.

    Raises:
        StoreError: If a column's type may not stand in a segment.
    """
    if isinstance(batch, LineBlock):
        return split_lines(batch.data)
    from lapse.segments.rows import row_bytes

    return row_bytes(batch)


def leaf_hashes(batch: Batch, salt: bytes) -> list[bytes]:
    """The Merkle leaf of each record: SHA-256 over 0x00, the segment's salt and the record's bytes."""
    prefix = LEAF + salt
    return [sha256(prefix + record).digest() for record in record_bytes(batch)]


def split_lines(data: bytes) -> list[bytes]:
    """The lines of *data*, each with its line feed; only a line feed ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
