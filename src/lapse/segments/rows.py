"""Rows: which Arrow types a segment may hold, the bytes of each row, and the content digest of all of them."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lapse.canonical import Digest, canonical
from lapse.errors import StoreError
from lapse.ports import Batch, LineBlock
from lapse.segments.packing import packed_rows

_FLAT = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_timestamp,
    pa.types.is_date32,
    pa.types.is_time64,
    pa.types.is_duration,
    pa.types.is_decimal128,
    pa.types.is_decimal256,
)
_VARIABLE = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_LARGE = (pa.types.is_large_string, pa.types.is_large_binary)


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without metadata and with dictionaries decoded: the form that segments hold.

    Raises:
        StoreError: If a column's type may not stand in a segment.
    """
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    for name, column in zip(batch.schema.names, columns, strict=True):
        if not _is(column.type, _FLAT):
            raise StoreError(
                f"column {name} has type {column.type}, which a segment cannot hold exactly",
                hint="The store must hand it over as text.",
            )
    fields = [pa.field(name, column.type) for name, column in zip(batch.schema.names, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def row_bytes(batch: pa.RecordBatch) -> Any:
    """Each row as the MessagePack array of its cells, in column order, as `packed_rows` has them.

    Raises:
        StoreError: If a column's type may not stand in a segment, or a text is no UTF-8.
    """
    batch = plain(batch)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        _check_text(name, column)
    return packed_rows([_storable(column) for column in batch.columns])


def _check_text(name: str, column: Any) -> None:
    if not _is(column.type, (pa.types.is_string, pa.types.is_large_string)):
        return
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise StoreError(
            f"column {name} holds text that is no UTF-8: {error}", hint="The store must hand it over as binary."
        ) from error


def _storable(column: Any) -> Any:
    """Times as the integers they are stored as, decimals as text, NaN as one NaN."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_temporal(kind):
        return column.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    return _one_nan(column)


def _one_nan(column: Any) -> Any:
    """Not-a-number has many bit patterns and one meaning: take the quiet one without payload."""
    if not pa.types.is_floating(column.type) or not pc.any(pc.is_nan(column)).as_py():
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(float("nan"), column.type), column)


class RowContent:
    """The content digest of rows: three hashes a column, so that batch boundaries do not show."""

    def __init__(self, schema: Any) -> None:
        self.records = 0
        self.raw_size = 0
        self._schema = schema.remove_metadata()
        self._columns = [_ColumnContent() for _ in schema]
        self._types: list[list[str]] = [[field.name, str(_value_type(field.type))] for field in schema]

    def update(self, batch: Batch) -> None:
        """Digest the next rows.

        Raises:
            StoreError: If they are lines, or their columns differ from those of the rows before.
        """
        if isinstance(batch, LineBlock):
            raise StoreError("lines follow rows in one part", hint="A part holds either. Report this as a bug.")
        rows = plain(batch)
        types = [[field.name, str(field.type)] for field in rows.schema]
        if types != self._types:
            raise StoreError(
                f"columns changed within one part: {self._types} became {types}",
                hint="The table was altered during the run. Run again.",
            )
        self.records += rows.num_rows
        for content, column in zip(self._columns, rows.columns, strict=True):
            self.raw_size += content.update(column)

    def digest(self) -> Digest:
        """SHA-256 over the canonical JSON of names and types, then each column's three digests."""
        whole = hashlib.sha256(canonical(self._types))
        for column in self._columns:
            whole.update(column.digests())
        return Digest(whole.hexdigest())


class _ColumnContent:
    """The running hashes of one column: validity, fixed-width values or lengths, variable bytes."""

    def __init__(self) -> None:
        self._validity = hashlib.sha256()
        self._fixed = hashlib.sha256()
        self._variable = hashlib.sha256()

    def digests(self) -> bytes:
        """The three digests, one after the other."""
        return self._validity.digest() + self._fixed.digest() + self._variable.digest()

    def update(self, column: Any) -> int:
        """Digest the next cells; returns the bytes of their values."""
        if len(column) == 0:
            return 0
        self._validity.update(_validity(column))
        if pa.types.is_null(column.type):
            return 0
        if _is(column.type, _VARIABLE):
            return self._update_variable(_without_nulls(column))
        values = _fixed_width(_without_nulls(column))
        self._fixed.update(values)
        return len(values)

    def _update_variable(self, column: Any) -> int:
        lengths = pc.binary_length(column).cast(pa.uint64())
        self._fixed.update(_buffer(lengths, 8))
        data = _variable_bytes(column)
        self._variable.update(data)
        return len(data)


def _validity(column: Any) -> bytes | memoryview:
    """One byte a cell: 1 for a value, 0 for null."""
    if column.null_count == 0:
        return b"\x01" * len(column)
    return _buffer(column.is_valid().cast(pa.uint8()), 1)


def _without_nulls(column: Any) -> Any:
    """Nulls made zero or empty: what Arrow leaves in a null's place is not defined."""
    if column.null_count == 0:
        return column
    return column.fill_null(pa.scalar(_empty(column.type), column.type))


def _empty(kind: Any) -> str | bytes | bool | int:
    if _is(kind, (pa.types.is_string, pa.types.is_large_string)):
        return ""
    if _is(kind, (pa.types.is_binary, pa.types.is_large_binary)):
        return b""
    return False if pa.types.is_boolean(kind) else 0


def _fixed_width(column: Any) -> memoryview:
    """The values, little endian, without gaps; a boolean is one byte."""
    if pa.types.is_boolean(column.type):
        return _buffer(column.cast(pa.uint8()), 1)
    return _buffer(_one_nan(column), column.type.bit_width // 8)


def _buffer(column: Any, width: int) -> memoryview:
    values = memoryview(column.buffers()[1])
    return values[column.offset * width : (column.offset + len(column)) * width]


def _variable_bytes(column: Any) -> memoryview:
    """The bytes of all cells, one after the other."""
    _, ends, data = column.buffers()
    offsets = memoryview(ends).cast("q" if _is(column.type, _LARGE) else "i")
    if data is None:
        return memoryview(b"")
    return memoryview(data)[offsets[column.offset] : offsets[column.offset + len(column)]]


def _value_type(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is(kind: Any, tests: tuple[Any, ...]) -> bool:
    return any(test(kind) for test in tests)
