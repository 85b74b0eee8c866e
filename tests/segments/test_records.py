"""Canonical record bytes: lines as they are, rows as MessagePack arrays."""

from __future__ import annotations

import struct
from decimal import Decimal
from hashlib import sha256
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_values import batches

from lapse.errors import StoreError
from lapse.ports import LineBlock
from lapse.segments import leaf_hashes, record_bytes


def naive_cell(value: Any) -> Any:
    """A cell as docs/format.md says it, from the Arrow scalar."""
    if not value.is_valid:
        return None
    if pa.types.is_decimal(value.type):
        return str(value.as_py())
    if pa.types.is_temporal(value.type):
        return value.value
    return value.as_py()


def same(one: Any, other: Any) -> bool:
    """Equal with type and sign; NaN equals NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack(">d", one) == struct.pack(">d", other) or (one != one and other != other)
    return type(one) is type(other) and bool(one == other)


@given(batches())
def test_a_row_is_the_messagepack_array_of_its_cells(batch: Any) -> None:
    """Each row decodes to its cells: integers for times, text for decimals, nil for null."""
    for number, record in enumerate(record_bytes(batch)):
        found = msgspec.msgpack.decode(record)
        wanted = [naive_cell(column[number]) for column in batch.columns]
        assert all(same(one, other) for one, other in zip(found, wanted, strict=True)), (found, wanted)


def test_the_bytes_of_a_row_are_pinned() -> None:
    """The encoding is part of the format: shortest integers, float64, text, binary, nil."""
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([1, 300], pa.int64()),
            pa.array([0.5, float("nan")], pa.float32()),
            pa.array(["é", None]),
            pa.array([b"\xff", b""]),
            pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            pa.array([1_700_000_000_000_000, -1], pa.timestamp("us", "UTC")),
            pa.array([True, False]),
        ],
        names=list("abcdefg"),
    )

    assert [record.hex() for record in record_bytes(batch)] == [
        "9701cb3fe0000000000000a2c3a9c401ffa4312e3530cf00060a24181e4000c3",
        "97cd012ccb7ff8000000000000c0c400c0ffc2",
    ]


def test_every_nan_is_the_same_nan() -> None:
    """The payload of a NaN does not survive every store, so it says nothing about a record."""
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_BEEF))[0]
    batches = [
        pa.RecordBatch.from_arrays([pa.array([value], pa.float64())], names=["x"]) for value in (odd_nan, float("nan"))
    ]

    assert record_bytes(batches[0]) == record_bytes(batches[1])


def test_dictionaries_are_decoded_first() -> None:
    """A dictionary is a way to store a column, not a value."""
    texts = pa.array(["a", None, "a"])
    plain, coded = (pa.RecordBatch.from_arrays([one], names=["x"]) for one in (texts, texts.dictionary_encode()))

    assert record_bytes(plain) == record_bytes(coded)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.float16(), pa.month_day_nano_interval()]
)
def test_a_type_that_cannot_be_held_is_refused_by_column(kind: Any) -> None:
    """Anything but a flat, exact type is an error that names the column."""
    batch = pa.RecordBatch.from_arrays([pa.nulls(1, kind)], names=["shape"])

    with pytest.raises(StoreError, match="column shape has type"):
        record_bytes(batch)


def test_text_that_is_no_utf_8_is_refused_by_column() -> None:
    """Text that lies about its encoding would not read back: it must come as binary."""
    lying = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())

    with pytest.raises(StoreError, match="column note holds text"):
        record_bytes(pa.RecordBatch.from_arrays([lying], names=["note"]))


@given(st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"\r"))), st.binary(max_size=3))
def test_only_a_line_feed_ends_a_line(lines: list[bytes], last: bytes) -> None:
    """Carriage returns, form feeds and NUL belong to the line; a last line may lack its end."""
    last = last.replace(b"\n", b"")
    ended = [line + b"\n" for line in lines]

    found = record_bytes(LineBlock(b"".join([*ended, last]), 0))

    assert found == ([*ended, last] if last else ended)


def test_a_leaf_covers_prefix_salt_and_record() -> None:
    """SHA-256(0x00 || salt || record), for each record."""
    salt = bytes(range(32))

    assert list(chain.from_iterable(leaf_hashes(LineBlock(b"a\nb", 2), salt))) == [
        sha256(b"\x00" + salt + b"a\n").digest(),
        sha256(b"\x00" + salt + b"b").digest(),
    ]
