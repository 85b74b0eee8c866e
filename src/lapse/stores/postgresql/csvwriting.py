"""Arrow batches in, CSV for COPY out: every value quoted, in the words that PostgreSQL reads it by; NULL is nothing."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lapse.errors import UnsupportedError
from lapse.ports import RowBatch

OPTIONS = "FORMAT csv, NULL ''"
"""How COPY has to read it."""

_WRITE = csv.WriteOptions(include_header=False, quoting_style="all_valid")


def csv_of(batch: RowBatch, names: Sequence[str], odd_column: str | None) -> bytes:
    """The columns *names* of a batch, odd cells in their places.

    Raises:
        UnsupportedError: If an odd cell is not text, which those of PostgreSQL are.
    """
    odd = _odd_cells(batch, odd_column)
    texts = [_with_odd(_texts(batch.column(name)), odd.get(name, {})) for name in names]
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.RecordBatch.from_arrays(texts, names=list(map(str, range(len(names))))), sink, _WRITE)
    return bytes(sink.getvalue())


def _texts(column: Any) -> Any:
    kind = column.type
    if pa.types.is_large_binary(kind):
        column = column.cast(pa.binary())
    if pa.types.is_binary(column.type):
        return _hexed(column)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # The session's time zone is UTC, so that the text needs none.
        column = column.cast(pa.timestamp(kind.unit))
    return column.cast(pa.large_string())


def _hexed(column: Any) -> Any:
    """Bytes to ``\\x`` and digits, all cells at once."""
    _, ends, data = column.buffers()
    offsets = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, ends], offset=column.offset).cast(pa.int64())
    first, last = offsets[0].as_py(), offsets[len(column)].as_py()
    digits = b"" if data is None else binascii.hexlify(memoryview(data)[first:last])
    doubled = pc.multiply(pc.subtract(offsets, first), 2)
    texts = pa.Array.from_buffers(
        pa.large_string(), len(column), [None, doubled.buffers()[1], pa.py_buffer(digits)]
    )  # fmt: skip
    prefix = pc.if_else(column.is_valid(), pa.scalar("\\x", pa.large_string()), pa.scalar(None, pa.large_string()))
    return pc.binary_join_element_wise(prefix, texts, pa.scalar("", pa.large_string()))


def _odd_cells(batch: RowBatch, odd_column: str | None) -> dict[str, dict[int, str]]:
    """The odd cells by column and row."""
    found: dict[str, dict[int, str]] = {}
    if odd_column is None or batch.column(odd_column).null_count == batch.num_rows:
        return found
    for row, cells in enumerate(batch.column(odd_column).to_pylist()):
        for name, value in (msgspec.msgpack.decode(cells) if cells else {}).items():
            if not isinstance(value, str):
                raise UnsupportedError(
                    f"column {name} has a cell that does not fit its type, which PostgreSQL cannot hold",
                    hint="Nothing was restored. Restore the records into the kind of store they came from.",
                )
            found.setdefault(name, {})[row] = value
    return found


def _with_odd(texts: Any, odd: dict[int, str]) -> Any:
    if not odd:
        return texts
    return pc.coalesce(texts, pa.array([odd.get(row) for row in range(len(texts))], pa.large_string()))
