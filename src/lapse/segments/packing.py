"""Columns to the bytes of their rows: MessagePack, put together a column at a time instead of a cell at a time.

The forms and their order are those of the MessagePack specification; docs/format.md says which type is what.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NIL = b"\xc0"
_FALSE, _TRUE = b"\xc2", b"\xc3"
_FLOAT = b"\xcb"
_WORD = 8
_TABLE = 256
_LARGEST = 2**30
"""Bytes of a batch up to which 32-bit offsets do for its rows: headers make them no more than twice as long."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How whole numbers up to a limit are written: a tag, then big-endian bytes.

    Attributes:
        most: The greatest number, inclusive.
        tag: First byte. Empty where the number itself is one.
        width: Bytes of the number.
        added: What is added to it, which makes it a tag of its own.
    """

    most: int
    tag: bytes
    width: int
    added: int = 0


# Ascending, so that the first whose limit is not exceeded is the one.
_INTEGERS = (
    _Form(-(2**31) - 1, b"\xd3", 8),
    _Form(-(2**15) - 1, b"\xd2", 4),
    _Form(-(2**7) - 1, b"\xd1", 2),
    _Form(-(2**5) - 1, b"\xd0", 1),
    _Form(2**7 - 1, b"", 1),
    _Form(2**8 - 1, b"\xcc", 1),
    _Form(2**16 - 1, b"\xcd", 2),
    _Form(2**32 - 1, b"\xce", 4),
    _Form(2**64 - 1, b"\xcf", 8),
)
_TEXTS = (
    _Form(2**5 - 1, b"", 1, added=0xA0),
    _Form(2**8 - 1, b"\xd9", 1),
    _Form(2**16 - 1, b"\xda", 2),
    _Form(2**32 - 1, b"\xdb", 4),
)
_BYTES = (_Form(2**8 - 1, b"\xc4", 1), _Form(2**16 - 1, b"\xc5", 2), _Form(2**32 - 1, b"\xc6", 4))
_ARRAYS = (_Form(2**4 - 1, b"", 1, added=0x90), _Form(2**16 - 1, b"\xdc", 2), _Form(2**32 - 1, b"\xdd", 4))


def packed_rows(columns: Sequence[Any]) -> Any:
    """Each row as the MessagePack array of its cells: an Arrow array of binaries that is no slice of another.

    Arguments:
        columns: Arrow arrays of the same length: null, boolean, integers, floats, valid texts or binaries.
    """
    if not columns or not len(columns[0]):
        return pa.array([], pa.binary())
    rows = len(columns[0])
    kind = pa.large_binary() if sum(column.nbytes for column in columns) > _LARGEST else pa.binary()
    parts = [_written(len(columns), _ARRAYS), *chain.from_iterable(map(_cells, columns))]
    joined = [pa.scalar(part, kind) if isinstance(part, bytes) else part.cast(kind) for part in _merged(parts)]
    packed = pc.binary_join_element_wise(*joined, pa.scalar(b"", kind))
    return pa.repeat(packed, rows) if isinstance(packed, pa.Scalar) else packed


def _merged(parts: Sequence[Any]) -> Iterator[Any]:
    """The *parts* with neighbours that are the same in every row made one: each part costs time in each row."""
    for constant, run in groupby(parts, key=lambda part: isinstance(part, bytes)):
        if constant:
            yield b"".join(run)
        else:
            yield from run


def _cells(column: Any) -> list[Any]:
    """What makes the column's cells one after the other: arrays, and bytes that are the same in every row."""
    kind = column.type
    if column.null_count == len(column):
        return [_NIL]
    if pa.types.is_boolean(kind):
        return [_or_nil(pc.if_else(column, _binary(_TRUE), _binary(_FALSE)))]
    if pa.types.is_integer(kind):
        return [_or_nil(_numbers(column, _INTEGERS))]
    if pa.types.is_floating(kind):
        return [_or_nil(_joined(_FLOAT, _big_endian(column.cast(pa.float64()))))]
    forms = _TEXTS if pa.types.is_string(kind) or pa.types.is_large_string(kind) else _BYTES
    large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    content = column.cast(pa.large_binary() if large else pa.binary())
    lengths = pc.binary_length(content)
    headers = _or_nil(_numbers(lengths, forms))
    return [headers, _or(content, b"")] if (pc.max(lengths).as_py() or 0) > 0 else [headers]


def _or_nil(cells: Any) -> Any:
    return cells if isinstance(cells, bytes) else _or(cells, _NIL)


def _or(cells: Any, other: bytes) -> Any:
    return cells if cells.null_count == 0 else pc.fill_null(cells, pa.scalar(other, cells.type))


def _numbers(numbers: Any, forms: tuple[_Form, ...]) -> Any:
    """Whole numbers in the first of the *forms* that holds them; null stays null. Bytes if all are the same one."""
    extent = pc.min_max(numbers)
    least, most = extent["min"].as_py(), extent["max"].as_py()
    if 0 <= least == most and numbers.null_count == 0:
        return _written(least, forms)
    if least >= 0 and most < _TABLE:
        return pc.take(_table(forms), numbers, boundscheck=False)
    words = _big_endian(numbers.cast(pa.uint64() if most >= 2**63 else pa.int64()))
    cases, written = [], []
    for form in forms:
        if form.most < least:
            continue
        written.append(_in_form(numbers, words, form))
        if form.most >= most:
            break
        cases.append(pc.less_equal(numbers, pa.scalar(form.most, numbers.type)))
    return written[0] if not cases else pc.case_when(pc.make_struct(*cases), *written)


def _in_form(numbers: Any, words: Any, form: _Form) -> Any:
    """All of *numbers* in one form, which need not hold each; *words* are their eight bytes."""
    if form.added:
        words = _big_endian(pc.add(numbers, pa.scalar(form.added, numbers.type)).cast(pa.int64()))
    return _joined(form.tag, pc.binary_slice(words, _WORD - form.width, _WORD))


def _joined(tag: bytes, content: Any) -> Any:
    return pc.binary_join_element_wise(_binary(tag), content, _binary(b"")) if tag else content


def _binary(value: bytes) -> Any:
    """A scalar. To find out its type by itself would cost Arrow a fifth of a millisecond each time."""
    return pa.scalar(value, pa.binary())


def _big_endian(words: Any) -> Any:
    """The eight bytes of each value, the first of them the most significant; null stays null."""
    valid, data = words.buffers()
    swapped = array("Q")
    swapped.frombytes(memoryview(data)[words.offset * _WORD : (words.offset + len(words)) * _WORD])
    swapped.byteswap()
    cells = pa.Array.from_buffers(pa.binary(_WORD), len(words), [None, pa.py_buffer(swapped)]).cast(pa.binary())
    return cells if valid is None else pc.if_else(words.is_valid(), cells, pa.scalar(None, pa.binary()))


def _written(number: int, forms: tuple[_Form, ...]) -> bytes:
    """One number from 0 on in the first of the *forms* that holds it."""
    form = next(form for form in forms if number <= form.most)
    return form.tag + (number + form.added).to_bytes(form.width, "big")


@cache
def _table(forms: tuple[_Form, ...]) -> Any:
    """The small numbers, written: what nearly every length and many a number is."""
    return pa.array([_written(number, forms) for number in range(_TABLE)], pa.binary())
