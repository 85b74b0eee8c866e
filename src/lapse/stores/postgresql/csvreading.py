"""What COPY sends as CSV in, Arrow arrays out, a block at a time, without a Python object a cell."""

from __future__ import annotations

import binascii
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lapse.errors import StoreError
from lapse.ports import RowBatch
from lapse.stores.postgresql.connection import BLOCK_ROWS, BLOCK_SIZE, Block

NULL = "\\N"
"""How COPY writes NULL. A text that reads the same is quoted, and what is quoted is never NULL here."""

_PARSE = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
_PLACE = re.compile(r"column #([0-9]+)")
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of the CSV.

    Attributes:
        name: Its name in messages and in the odd column.
        arrow: Its Arrow type.
        fits: Regular expression of the texts that `arrow` can hold. None: all that can come.
        hexadecimal: Whether the texts are hexadecimal digits of bytes.
        one_way: What stands in texts that the server writes but does not read. None if there are none such.
    """

    name: str
    arrow: Any
    fits: str | None = None
    hexadecimal: bool = False
    one_way: str | None = None

    @property
    def parsed(self) -> Any:
        """The type that the CSV is read as. Digits need no check for UTF-8."""
        return pa.binary() if self.hexadecimal else self.arrow


@dataclass(frozen=True, slots=True)
class Decoded:
    """The cells of some rows.

    Attributes:
        arrays: One for each field.
        odd: Binary: the cells that do not fit, as a MessagePack map of names to texts. Null where all fit.
    """

    arrays: tuple[Any, ...]
    odd: Any


class CsvReader:
    """Reads blocks of rows with the same fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._doubtful = frozenset(number for number, each in enumerate(fields) if each.fits is not None)
        # Columns whose odd cells have shown up: they will again, and reading them as text at once is cheaper.
        self._as_text: frozenset[int] = frozenset()

    def read(self, sent: Iterator[Block]) -> Iterator[Decoded]:
        """The cells of all rows that were *sent*; small blocks are read together.

        Raises:
            StoreError: If the data is not what was asked for; no cell's content is in the message.
        """
        try:
            for block in _gathered(sent):
                yield self._decode(block)
        finally:
            # A traceback would keep the COPY open, and the session could not even roll back.
            if isinstance(sent, Generator):
                sent.close()

    def _decode(self, block: Block) -> Decoded:
        odd: dict[int, dict[str, str]] = {}
        columns = self._columns(block)
        arrays = tuple(self._array(number, column, odd) for number, column in enumerate(columns))
        cells = [_encode(odd[row]) if row in odd else None for row in range(block.rows)] if odd else None
        return Decoded(arrays, pa.nulls(block.rows, pa.binary()) if cells is None else pa.array(cells, pa.binary()))

    def _columns(self, block: Block) -> list[Any]:
        try:
            return self._parse(block, self._as_text)
        except pa.ArrowInvalid as error:
            if self._as_text == self._doubtful:
                raise self._refusal(error) from error
        try:
            columns = self._parse(block, self._doubtful)
        except pa.ArrowInvalid as error:
            raise self._refusal(error) from error
        self._as_text |= {number for number in self._doubtful if _misfits(columns[number], self._fields[number])}
        return columns

    def _parse(self, block: Block, as_text: frozenset[int]) -> list[Any]:
        names = [str(number) for number in range(len(self._fields))]
        types = [pa.string() if n in as_text else each.parsed for n, each in enumerate(self._fields)]
        table = csv.read_csv(
            pa.BufferReader(block.data),
            # One thread: the next block is read meanwhile, or others are to have the other processors.
            read_options=csv.ReadOptions(column_names=names, block_size=len(block.data) + 1, use_threads=False),
            parse_options=_PARSE,
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(names, types, strict=True)),
                null_values=[NULL],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        if table.num_rows != block.rows:
            raise StoreError(f"the server sent {block.rows} rows, which read as {table.num_rows}", hint=_REPORT)
        # One piece, since it was one block; to combine it would copy it.
        return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]

    def _array(self, number: int, column: Any, odd: dict[int, dict[str, str]]) -> Any:
        each = self._fields[number]
        if each.hexadecimal:
            return _unhexed(column)
        if each.one_way is not None and pc.any(pc.match_substring(column, each.one_way)).as_py():
            raise _unreadable(each, f"a value that the server cannot read back from {each.one_way!r}")
        if column.type == each.arrow:
            return column
        fits = pc.match_substring_regex(column, each.fits)
        for row in pc.indices_nonzero(pc.invert(fits)).to_pylist():
            odd.setdefault(row, {})[each.name] = column[row].as_py()
        try:
            return _cast(pc.if_else(fits, column, pa.scalar(None, pa.string())), each.arrow)
        except pa.ArrowInvalid as error:
            raise _unreadable(each, _no(each)) from error

    def _refusal(self, error: pa.ArrowInvalid) -> StoreError:
        """Arrow's message names the value; ours must not."""
        place = _PLACE.search(str(error))
        if place is None:
            return StoreError("what the server sent cannot be read as CSV", hint=_REPORT)
        found = self._fields[int(place[1])]
        return _unreadable(found, _no(found))


_REPORT = "Nothing was removed. Report this as a bug."


def _unreadable(each: Field, what: str) -> StoreError:
    hint = "Nothing was removed. Mend the value, or keep these records."
    return StoreError(f"column {each.name} holds {what}", hint=hint)


def _no(each: Field) -> str:
    return f"a value that cannot be read as {'UTF-8' if each.arrow == pa.string() else each.arrow}"


def _cast(texts: Any, kind: Any) -> Any:
    if not pa.types.is_time64(kind):
        return texts.cast(kind)
    # Arrow casts no text to a time of day; on the day that is zero a timestamp is one.
    day, blank = pa.scalar("1970-01-01", texts.type), pa.scalar(" ", texts.type)
    moments = pc.binary_join_element_wise(day, texts, blank).cast(pa.timestamp(kind.unit))
    return moments.view(pa.int64()).view(kind)


def _misfits(column: Any, each: Field) -> bool:
    return bool(pc.any(pc.invert(pc.match_substring_regex(column, each.fits))).as_py())


def _gathered(sent: Iterator[Block]) -> Iterator[Block]:
    """Blocks of a few megabytes, made of smaller ones."""
    pending: list[Block] = []
    rows = size = 0
    for block in sent:
        if pending and (rows + block.rows > BLOCK_ROWS or size + len(block.data) > BLOCK_SIZE):
            yield _joined(pending)
            pending, rows, size = [], 0, 0
        pending.append(block)
        rows, size = rows + block.rows, size + len(block.data)
    if pending:
        yield _joined(pending)


def _joined(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(b"".join(block.data for block in blocks), sum(block.rows for block in blocks))


def _unhexed(column: Any) -> Any:
    """Digits to bytes, all cells at once: they lie one after the other, two digits a byte."""
    valid, ends, digits = column.buffers()
    offsets = pa.Array.from_buffers(pa.int32(), column.offset + len(column) + 1, [None, ends])
    data = b"" if digits is None else binascii.unhexlify(memoryview(digits)[: offsets[-1].as_py()])
    halved = pc.shift_right(offsets, pa.scalar(1, pa.int32())).buffers()[1]
    buffers = [valid, halved, pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(column), buffers, column.null_count, column.offset)


def with_odd(decoded: Decoded, names: Sequence[str], odd_column: str | None) -> RowBatch:
    """The first columns of *decoded* as a batch named so, the odd column last if there is one."""
    arrays = list(decoded.arrays[: len(names)])
    if odd_column is None:
        return pa.RecordBatch.from_arrays(arrays, names=list(names))
    return pa.RecordBatch.from_arrays([*arrays, decoded.odd], names=[*names, odd_column])
