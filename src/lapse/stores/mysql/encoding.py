"""How columns travel: the server writes each row as one line of CSV, and Arrow reads many lines at once.

No value becomes a Python object of its own. Times that Arrow cannot hold (``0000-00-00``, ``2026-02-31``) go
into the odd column, a MessagePack map of column names to texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lapse.errors import StoreError, UnsupportedError
from lapse.model.manifest import Column
from lapse.ports import RowBatch
from lapse.stores.mysql.catalog import BINARIES, TEXTS, Table, TableColumn

ODD_COLUMN = "_lapse_odd"
GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
    *("geometrycollection", "geomcollection"),
)
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
_UTF8 = ("utf8mb4", "utf8mb3", "utf8", "ascii")
"""Character sets whose bytes are UTF-8 already."""

_UNICODE = ("utf8mb4", "utf8mb3", "utf8", "latin1", "ascii")
"""Character sets of which every value goes to utf8mb4 and comes back."""
_AS_TEXT = ("time", "uuid", "inet4", "inet6")
_MOST_DIGITS = 38
_encode = msgspec.msgpack.Encoder().encode
_OPTIONS = {"strings_can_be_null": True, "quoted_strings_can_be_null": False, "null_values": [""], "check_utf8": True}


def arrow_type(column: TableColumn) -> Any:
    """The Arrow type of a column.

    Raises:
        UnsupportedError: If values of its type cannot be carried exactly.
    """
    kind = column.type
    if kind in _BITS:
        return getattr(pa, f"{'u' if column.unsigned else ''}int{_BITS[kind]}")()
    if kind == "decimal":
        precision, scale = column.digits
        return pa.decimal128(precision, scale) if precision <= _MOST_DIGITS else pa.string()
    if kind in BINARIES or kind in GEOMETRIES:
        return pa.binary()
    if kind in TEXTS or kind in _AS_TEXT:
        return pa.string()
    plain: dict[str, Any] = {
        "float": pa.float32(), "double": pa.float64(), "bit": pa.uint64(), "year": pa.int16(), "date": pa.date32(),
        "datetime": pa.timestamp("us"), "timestamp": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    if kind in plain:
        return plain[kind]
    raise UnsupportedError(
        f"column {column.name} is {column.full}, which Lapse cannot carry exactly",
        hint="Lapse removes nothing from a table with such a column.",
    )


def out(column: TableColumn, name: str) -> str:
    """The SQL of a column's text, NULL where it is NULL; *name* is its name in the statement."""
    kind = column.type
    if kind in ("float", "double"):
        return f"{name} * 1e0"  # a FLOAT by itself is written with six digits
    if kind == "bit" or "zerofill" in column.full:
        return f"({name} + 0)"
    if kind in _BITS or kind in ("decimal", "year", "date", "datetime", "timestamp"):
        return name
    if kind in TEXTS and column.charset not in ("binary", *_UTF8):
        return _quoted(f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
    if kind in _AS_TEXT:
        return _quoted(f"CAST(CAST({name} AS CHAR) AS BINARY)") if kind != "time" else name
    return _quoted(f"CAST({name} AS BINARY)")


def _quoted(text: str) -> str:
    return f"""CONCAT('"', REPLACE({text}, '"', '""'), '"')"""


def text_field(text: str) -> str:
    """A field of the line that holds a text made by an expression."""
    return _quoted(f"CAST({text} AS BINARY)")


def size_sql(table: Table) -> str:
    """Bytes of a row's content: exact for texts and blobs, about right for the rest."""
    long = [
        c.sql for c in table.columns if c.type in (*TEXTS, *BINARIES, *GEOMETRIES) and c.type not in ("enum", "set")
    ]
    fixed = 8 * (len(table.columns) - len(long))
    return " + ".join([str(fixed), *(f"COALESCE(LENGTH({name}), 0)" for name in long)])


def inexact(columns: Sequence[TableColumn]) -> str:
    """An expression that numbers, from 0, the first column whose text does not give its value back; NULL if all do.

    A character set may know letters that Unicode has twice, or not at all; and an ENUM may hold the empty text of
    an error, which nobody can write again.
    """
    cases = []
    for number, column in enumerate(columns):
        name = column.sql
        if column.type == "enum":
            cases.append(f"WHEN {name} + 0 = 0 THEN {number}")
        elif column.type in TEXTS and column.charset not in (None, "binary", *_UNICODE):
            back = f"CONVERT(CONVERT({name} USING utf8mb4) USING {column.charset})"
            cases.append(f"WHEN NOT CAST({back} AS BINARY) <=> CAST({name} AS BINARY) THEN {number}")
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


class Shape:
    """The columns of a table as they travel.

    Attributes:
        odd_column: Name of the odd column.
        schema: Arrow schema of the batches, the odd column last.
    """

    def __init__(self, table: Table, columns: Sequence[TableColumn] | None = None) -> None:
        self._name = table.name
        self._columns = table.columns if columns is None else tuple(columns)
        self._types = [arrow_type(column) for column in self._columns]
        self.odd_column = _unused(ODD_COLUMN, [column.name for column in table.columns])
        named = [(column.name, kind) for column, kind in zip(self._columns, self._types, strict=True)]
        self.schema = pa.schema([*named, (self.odd_column, pa.binary())])

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns as a segment names them, the odd one left out."""
        return tuple(
            Column(name=c.name, declared=c.declared, arrow=str(kind), encoding="native" if _is_native(c) else "text")
            for c, kind in zip(self._columns, self._types, strict=True)
        )

    @property
    def fields(self) -> list[str]:
        """The SQL of each field of a line: what does not survive, then the columns."""
        return [inexact(self._columns), *(out(column, column.sql) for column in self._columns)]

    def read(self, lines: Sequence[bytes], extra: Mapping[str, Any]) -> tuple[Any, RowBatch]:
        """Lines of CSV as Arrow: a table of the *extra* fields, which come first, and a batch of the columns.

        Raises:
            StoreError: If a value does not fit, with the column's name.
        """
        raw = {f"c{number}": _raw_type(kind) for number, kind in enumerate(self._types)}
        found = parsed(lines, {**extra, "inexact": pa.int32(), **raw}, self._name)
        self._check_exact(found.column("inexact"))
        odd: dict[int, dict[str, str]] = {}
        arrays = [
            self._column(column, kind, found.column(f"c{number}").combine_chunks(), odd)
            for number, (column, kind) in enumerate(zip(self._columns, self._types, strict=True))
        ]
        packed = [_encode(odd[row]) if row in odd else None for row in range(found.num_rows)] if odd else None
        arrays.append(pa.nulls(found.num_rows, pa.binary()) if packed is None else pa.array(packed, pa.binary()))
        return found.select(list(extra)), pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _check_exact(self, numbers: Any) -> None:
        if numbers.null_count == len(numbers):
            return
        column = self._columns[pc.min(numbers).as_py()]
        raise StoreError(
            f"{self._name}: a value of column {column.name} ({column.declared}) does not survive the way out and back",
            hint="Nothing was removed. Change the value or the column's type, or keep these records.",
        )

    def _column(self, column: TableColumn, kind: Any, cells: Any, odd: dict[int, dict[str, str]]) -> Any:
        if cells.type == kind:
            return cells
        try:
            if pa.types.is_temporal(kind):
                return _times(column, kind, cells, odd)
            return cells.cast(kind)
        except pa.ArrowException as error:
            raise StoreError(
                f"{self._name}: column {column.name} ({column.declared}) holds a value Arrow cannot: {error}",
                hint="Nothing was removed. Change the column's type, or keep these records.",
            ) from error


def parsed(lines: Sequence[bytes], types: Mapping[str, Any], table: str) -> Any:
    """Lines of CSV as an Arrow table: an empty field is NULL, ``""`` an empty text.

    Raises:
        StoreError: If a value does not fit its type.
    """
    data = b"\n".join(lines) + b"\n"
    try:
        return csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(column_names=list(types), use_threads=False, block_size=len(data) + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types=dict(types), **_OPTIONS),
        )
    except pa.ArrowException as error:
        raise StoreError(
            f"{table}: rows cannot be read: {str(error).partition('Row')[0][:200]}", hint="Nothing was removed."
        ) from error


def _raw_type(kind: Any) -> Any:
    """What the CSV reader makes of a column: times and decimals are read as text first."""
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return pa.string()
    return pa.float64() if pa.types.is_float32(kind) else kind


def _is_native(column: TableColumn) -> bool:
    if column.type == "decimal":
        return column.digits[0] <= _MOST_DIGITS
    return column.type not in _AS_TEXT


def _times(column: TableColumn, kind: Any, cells: Any, odd: dict[int, dict[str, str]]) -> Any:
    """Texts to times; the ones that are none go to *odd*."""
    try:
        found = _cast_time(cells, kind)
    except pa.ArrowInvalid:
        found = None
    # Arrow counts years from 0, as the server does; the calendar of everybody else begins with 1.
    if found is not None and not pc.any(pc.starts_with(cells, "0000")).as_py():
        return found
    texts = cells.to_pylist()
    for row, text in enumerate(texts):
        if text is not None and not _is_time(text):
            odd.setdefault(row, {})[column.name] = text
            texts[row] = None
    return _cast_time(pa.array(texts, pa.string()), kind)


def _cast_time(cells: Any, kind: Any) -> Any:
    if pa.types.is_date32(kind):
        return cells.cast(kind)
    return cells.cast(pa.timestamp("us")).cast(kind)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _unused(name: str, taken: Sequence[str]) -> str:
    lower = {other.lower() for other in taken}
    while name.lower() in lower:
        name += "_"
    return name
