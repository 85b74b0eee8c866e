"""Columns packed as MessagePack: every form of every type, at its borders, as an encoder of its own writes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest

from lapse.segments.packing import packed_rows

_BORDERS = sorted(
    {sign * 2**bits + off for bits in (0, 5, 7, 8, 15, 16, 31, 32, 63) for off in (-1, 0, 1) for sign in (1, -1)}
)
_LENGTHS = (0, 1, 31, 32, 255, 256, 65_535, 65_536)
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())


def _expected(columns: list[Any]) -> list[bytes]:
    return [msgspec.msgpack.encode(list(row)) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


def _borders(kind: Any) -> list[int]:
    signed = pa.types.is_signed_integer(kind)
    least, end = (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1)) if signed else (0, 2**kind.bit_width)
    return [number for number in _BORDERS if least <= number < end]


@pytest.mark.parametrize("kind", _INTEGERS, ids=str)
def test_a_number_takes_its_shortest_form_whatever_stands_beside_it(kind: Any) -> None:
    """The forms that a column needs are found from its extremes; so each border is tried with each other one."""
    borders = _borders(kind)
    for one in borders:
        for other in (*borders, None):
            column = pa.array([one, other, one], kind)
            assert packed_rows([column]).to_pylist() == _expected([column])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
def test_a_text_has_the_header_of_its_length_whatever_stands_beside_it(kind: Any) -> None:
    """Lengths of the column's own decide which headers are made; each is tried with each other one."""
    values = [(b"x" * length).decode() if "string" in str(kind) else b"x" * length for length in _LENGTHS]
    for one in values:
        for other in (*values, None):
            column = pa.array([one, other], kind)
            assert packed_rows([column]).to_pylist() == _expected([column])


def test_floats_are_written_in_eight_bytes() -> None:
    """Single precision is widened; signed zeros and infinities keep their sign."""
    values = [0.0, -0.0, 1.5, -2.25, float("inf"), float("-inf"), None, float("nan")]
    columns = [pa.array(values, pa.float64()), pa.array(values, pa.float32())]
    assert packed_rows(columns).to_pylist() == _expected(columns)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 300])
def test_the_array_says_how_many_cells_follow(width: int) -> None:
    """Up to fifteen columns fit the short header; what is the same in every row stands between what is not."""
    columns = [
        [
            pa.array([True, None, False]),
            pa.array(["", "", ""]),
            pa.nulls(3),
            pa.array([7, 7, 7]),
            pa.array([1, 2, None]),
        ][number % 5]
        for number in range(width)
    ]
    assert packed_rows(columns).to_pylist() == _expected(columns)


def test_rows_that_are_all_the_same_are_as_many_as_there_are() -> None:
    """Nothing but constants is still one record a row."""
    columns = [pa.array(["", ""]), pa.nulls(2), pa.array([5, 5])]
    assert packed_rows(columns).to_pylist() == _expected(columns)


def test_a_piece_of_a_column_is_packed_as_if_it_were_one_of_its_own() -> None:
    """Slices share buffers, and begin where their offset says."""
    columns = [
        pa.array([2**40, None, -5, 2**20, 3]),
        pa.array(["a", "b" * 300, None, "", "ö"]),
        pa.array([True, None, False, True, None]),
        pa.array([0.5, None, 1e300, float("nan"), 3.0]),
    ]
    for start in range(5):
        pieces = [column.slice(start, 2) for column in columns]
        assert packed_rows(pieces).to_pylist() == _expected(pieces)


def test_nothing_is_packed_of_nothing() -> None:
    """No columns, or no rows."""
    assert packed_rows([]).to_pylist() == []
    assert packed_rows([pa.array([], pa.int64()), pa.array([], pa.string())]).to_pylist() == []
