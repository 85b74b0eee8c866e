"""The canonical bytes of each record, and the Merkle leaves made of them (docs/format.md, "Records")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lapse.ports import Batch, LineBlock, RowBatch
from lapse.segments.hashing import array_chunks, digests, line_chunks
from lapse.segments.merkle import LEAF


def record_bytes(batch: Batch) -> list[bytes]:
    """The canonical bytes of each record, in order.

    Raises:
        StoreError: If a column's type may not stand in a segment.
    """
    if isinstance(batch, LineBlock):
        return split_lines(batch.data)
    from lapse.segments.rows import row_bytes

    rows: list[bytes] = row_bytes(batch).to_pylist()
    return rows


def leaf_hashes(batch: Batch, salt: bytes) -> Iterator[list[bytes]]:
    """The Merkle leaf of each record: SHA-256 over 0x00, the segment's salt and the record's bytes.

    They come in lists of bounded length: leaves of short records are larger than these.

    Raises:
        StoreError: If a column's type may not stand in a segment.
    """
    for entries in line_chunks(batch.data) if isinstance(batch, LineBlock) else _row_chunks(batch):
        yield digests(entries, LEAF + salt)


def _row_chunks(batch: RowBatch) -> Iterator[Any]:
    from lapse.segments.rows import row_bytes

    return array_chunks(row_bytes(batch))


def split_lines(data: bytes) -> list[bytes]:
    """The lines of *data*, each with its line feed; only a line feed ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
