"""The content digest: a second, slow implementation, and independence of how records are cut."""

from __future__ import annotations

import hashlib
import math
import struct
from decimal import Context
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_values import batches, column, cuts

from lapse.canonical import canonical
from lapse.errors import StoreError
from lapse.ports import LineBlock
from lapse.segments import ContentDigest


def naive_digest(batch: Any) -> str:
    """docs/format.md, "Content digest", cell by cell."""
    whole = hashlib.sha256(canonical([[field.name, str(field.type)] for field in batch.schema]))
    for cells in batch.columns:
        validity, fixed, variable = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        for cell in cells:
            validity.update(b"\x01" if cell.is_valid else b"\x00")
            value, rest = naive_value(cell)
            fixed.update(value)
            variable.update(rest)
        whole.update(validity.digest() + fixed.digest() + variable.digest())
    return whole.hexdigest()


def naive_value(cell: Any) -> tuple[bytes, bytes]:
    """The fixed-width bytes of a cell, and its variable ones."""
    kind = cell.type
    if pa.types.is_null(kind):
        return b"", b""
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        data = b"" if not cell.is_valid else cell.as_buffer().to_pybytes()
        return struct.pack("<Q", len(data)), data
    if pa.types.is_boolean(kind):
        return bytes([1 if cell.as_py() else 0]), b""
    width = kind.bit_width // 8
    if not cell.is_valid:
        return bytes(width), b""
    if pa.types.is_floating(kind):
        value = cell.as_py()
        return struct.pack("<f" if width == 4 else "<d", math.nan if value != value else value), b""
    if pa.types.is_decimal(kind):
        number = int(Context(prec=100).scaleb(cell.as_py(), kind.scale))
    elif pa.types.is_temporal(kind):
        number = cell.value
    else:
        number = cell.as_py()
    return number.to_bytes(width, "little", signed=number < 0), b""


def digest(*pieces: Any) -> str:
    """The digest of records that arrive in *pieces*."""
    content = ContentDigest()
    for piece in pieces:
        content.update(piece)
    return content.digest()


@given(batches(), st.data())
def test_the_digest_is_that_of_the_format_however_rows_are_cut(batch: Any, data: st.DataObject) -> None:
    """Slices with offsets, of any size, give the digest that the specification defines."""
    pieces = [batch.slice(begin, length) for begin, length in data.draw(cuts(batch.num_rows))]

    assert digest(batch, *[]) == naive_digest(batch)
    assert digest(*(pieces or [batch])) == naive_digest(batch)


def test_what_arrow_leaves_under_a_null_does_not_count() -> None:
    """The bytes in a null's place are not defined, so they do not reach the digest."""
    valid = pa.py_buffer(b"\x01")
    dirty = pa.Array.from_buffers(pa.int64(), 2, [valid, pa.py_buffer(struct.pack("<qq", 7, 666))])
    dirty_text = pa.Array.from_buffers(
        pa.string(), 2, [valid, pa.py_buffer(struct.pack("<iii", 0, 1, 5)), pa.py_buffer(b"ajunk")]
    )
    clean, clean_text = pa.array([7, None], pa.int64()), pa.array(["a", None])

    assert digest(pa.record_batch([dirty, dirty_text], ["n", "t"])) == digest(
        pa.record_batch([clean, clean_text], ["n", "t"])
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, None], [1, 0]),
        (["", None], [None, ""]),
        (["ab", "c"], ["a", "bc"]),
        ([0.0], [-0.0]),
        ([b"a"], ["a"]),
        ([1], [1.0]),
        ([True, False], [False, True]),
    ],
)
def test_records_that_differ_have_other_digests(one: list[Any], other: list[Any]) -> None:
    """Null and zero, where text ends, the sign of zero, and the type are all content."""
    batches = [pa.record_batch([pa.array(cells)], ["x"]) for cells in (one, other)]

    assert digest(batches[0]) != digest(batches[1])


def test_column_names_and_order_are_content() -> None:
    """A segment whose columns were swapped is another segment."""
    a, b = pa.array([1]), pa.array([2])

    assert len({digest(pa.record_batch([a, b], names)) for names in (["a", "b"], ["b", "a"])}) == 2


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"") + b"\n"), min_size=1), st.data())
def test_lines_are_digested_as_their_bytes(lines: list[bytes], data: st.DataObject) -> None:
    """The digest of lines is what sha256sum says of them, however they are cut."""
    content = ContentDigest()
    for begin, length in data.draw(cuts(len(lines))):
        content.update(LineBlock(b"".join(lines[begin : begin + length]), length))

    everything = b"".join(lines)
    assert content.digest() == hashlib.sha256(everything).hexdigest()
    assert (content.records, content.raw_size) == (len(lines), len(everything))


def test_the_raw_size_of_rows_is_that_of_their_values() -> None:
    """Eight bytes an int64, the bytes of a text, nothing for validity."""
    content = ContentDigest()
    content.update(pa.record_batch([pa.array([1, None]), pa.array(["abc", ""])], ["n", "t"]))

    assert (content.records, content.raw_size) == (2, 2 * 8 + 3)


def test_columns_that_change_within_a_part_are_refused() -> None:
    """A table that was altered between two batches is an error, not another digest."""
    content = ContentDigest()
    content.update(pa.record_batch([pa.array([1])], ["n"]))

    with pytest.raises(StoreError, match="columns changed"):
        content.update(pa.record_batch([pa.array(["1"])], ["n"]))


def test_lines_and_rows_do_not_mix() -> None:
    """A part holds lines or rows."""
    content = ContentDigest()
    content.update(LineBlock(b"a\n", 1))

    with pytest.raises(StoreError, match="rows follow lines"):
        content.update(pa.record_batch([pa.array([1])], ["n"]))


def test_a_million_cells_take_little_time() -> None:
    """The digest works on buffers: a wide batch of 50,000 rows is done in well under a second."""
    import time

    cells = column(pa.int64(), list(range(50_000)))
    batch = pa.record_batch([cells] * 20, [f"c{n}" for n in range(20)])
    begun = time.process_time()

    digest(batch)

    assert time.process_time() - begun < 0.5
