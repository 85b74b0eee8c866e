"""Parquet segments: rows with their exact Arrow types, zstd, a row group for each batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lapse.errors import StoreError, VerificationError
from lapse.ports import Batch, LineBlock, Part
from lapse.segments.disk import create, give_up, target_error
from lapse.segments.rows import plain

_SAMPLE = 2000
"""Rows that are looked at to choose encodings."""

_BYTES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


class ParquetWriter:
    """Writes one part to a file; closing it makes the file last."""

    def __init__(self, path: Path, part: Part) -> None:
        odd = [] if part.odd_column is None else [part.odd_column]
        self._names = [*(column.name for column in part.columns), *odd]
        self._table = part.table
        self._path = path
        self._writer: Any = None
        self._file = create(path)

    def __enter__(self) -> ParquetWriter:
        return self

    def write(self, batch: Batch) -> None:
        """Append rows.

        Raises:
            StoreError: If they do not fit the part's columns, or a type cannot stand in a segment.
            TargetError: If the file cannot be written.
        """
        rows = self._fitting(batch)
        try:
            if self._writer is None:
                self._writer = _writer(self._file, rows)
            if rows.num_rows:
                self._writer.write_batch(rows, row_group_size=rows.num_rows)
        except pa.ArrowException as error:
            raise StoreError(f"{self._table}: a batch cannot be written as Parquet: {error}") from error
        except OSError as error:
            raise target_error(f"write {self._path}", error) from error

    def _fitting(self, batch: Batch) -> pa.RecordBatch:
        if isinstance(batch, LineBlock):
            raise StoreError(f"{self._table}: lines cannot go into a Parquet segment")
        if batch.schema.names != self._names:
            raise StoreError(
                f"{self._table}: a batch has columns {batch.schema.names}, its part has {self._names}",
                hint="The table was altered during the run. Run again.",
            )
        return plain(batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            give_up(self._file)

    def _finish(self) -> None:
        if self._writer is None:
            raise StoreError(f"{self._table}: a Parquet segment needs at least one batch")
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise target_error(f"write {self._path}", error) from error


def _writer(file: BinaryIO, first: pa.RecordBatch) -> Any:
    encodings = _encodings(first.slice(0, _SAMPLE))
    repeating = [field.name for field in first.schema if field.name not in encodings]
    return pq.ParquetWriter(
        file,
        first.schema,
        version="2.6",
        compression="zstd",
        use_dictionary=repeating,
        column_encoding=encodings,
        # Of texts that repeat, extremes cost much and say little: they are in nearly every group.
        write_statistics=[
            field.name for field in first.schema if field.name in encodings or not _holds_bytes(field.type)
        ],
    )


def _encodings(sample: pa.RecordBatch) -> dict[str, str]:
    """Delta encodings for columns whose values hardly repeat; a dictionary is smaller for the others."""
    return {
        name: encoding
        for name, column in zip(sample.schema.names, sample.columns, strict=True)
        if (encoding := _delta_encoding(column.type)) is not None and pc.count_distinct(column).as_py() > _SAMPLE // 2
    }


def _delta_encoding(kind: Any) -> str | None:
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return "DELTA_BINARY_PACKED"
    if _holds_bytes(kind):
        return "DELTA_LENGTH_BYTE_ARRAY"
    return None


def _holds_bytes(kind: Any) -> bool:
    return any(test(kind) for test in _BYTES)


def read(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    """The rows of a segment, a row group at a time.

    Raises:
        VerificationError: If the file is no Parquet or is damaged.
    """
    try:
        source = pq.ParquetFile(file)
        for group in range(source.num_row_groups):
            # One thread: what is gained by more is small, and others are to have the other processors.
            for batch in source.read_row_group(group, use_threads=False).to_batches():
                yield plain(batch)
    except (pa.ArrowException, OSError) as error:
        raise VerificationError(f"segment cannot be read as Parquet: {error}") from error
