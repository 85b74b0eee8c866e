"""How columns travel: as Arrow holds them exactly, else as PostgreSQL's text.

A type's output function must be the inverse of its input function ("User-Defined Types" in PostgreSQL's manual: else
there will be "severe problems when you need to dump your data into a file and then read it back in"), which is what
``pg_dump`` rests on. So the text of a value gives the value back, given the settings that `Connection` makes; no value
is cast back and compared. Two types need more: the output of ``xml`` leaves its declaration out, which the cast to
``text`` keeps; ``bytea`` is sent without its prefix, so that a whole column is decoded at once. As in a dump,
``regclass`` and its like travel as names, which must be there again, and ``xml`` inside an array or a composite loses
its declaration. The one text that the server does not read, that of the smallest ``interval``, is refused.

Values that the Arrow type cannot hold (infinite or far dates and times, ``24:00:00``, ``NaN`` among decimals) travel
as text in the odd column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lapse.instant import Nanos
from lapse.model.manifest import Column
from lapse.ports import RowBatch
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MIN_INT64, clamped
from lapse.stores.postgresql import csvreading
from lapse.stores.postgresql.catalog import TableColumn
from lapse.stores.postgresql.connection import Block
from lapse.stores.postgresql.csvreading import CsvReader, Field, with_odd

COPY_OPTIONS = f"FORMAT csv, NULL '{csvreading.NULL}'"
"""What COPY is asked for. It quotes whatever needs it, a text that reads like its NULL included."""

GENERATED = " GENERATED ALWAYS"
"""What the declared type of a column ends with that the server computes."""

_ODD_COLUMN = "_lapse_odd"
_NATIVE: dict[str, Any] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "oid": pa.uint32(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "character varying": pa.string(),
    "character": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_DATE = r"^\d{4}-\d\d-\d\d"
_CLOCK = r" \d\d:\d\d:\d\d(\.\d+)?"
_FITS = {
    "date": f"{_DATE}$",
    "time without time zone": r"^([01]\d|2[0-3]):",
    "timestamp without time zone": f"{_DATE}{_CLOCK}$",
    "timestamp with time zone": rf"{_DATE}{_CLOCK}\+00$",
}
"""What of a type's texts Arrow can hold: four-digit years, no ``BC``, no infinity."""

_ONE_WAY = {"interval": "-2562047788:00:54.775808"}
"""-2**63 microseconds: the server computes it and writes it, but its digits overflow while they are read."""

_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_DECIMAL_DIGITS = 38
_DECIMAL_FITS = r"^-?\d"
_FIXED = frozenset(_NATIVE) - {"text", "character varying", "character", "bpchar", "bytea"}
_MEASURED = frozenset(("text", "character varying", "character", "bpchar", "bytea"))
_CODE = Field(name="code", arrow=pa.int32())
_TENANT = Field(name="tenant", arrow=pa.string())
_INSTANT = Field(name="instant", arrow=pa.int64())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What is sent behind a row's columns of what was decided of it. The code always comes first.

    Attributes:
        tenant: Whether the tenant follows. Else no row has one.
        timestamp: The column whose timestamps are the record times. None: these are sent, last of all.
    """

    tenant: bool = True
    timestamp: str | None = None

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is sent."""
        return (_CODE, *((_TENANT,) if self.tenant else ()), *((_INSTANT,) if self.timestamp is None else ()))


@dataclass(frozen=True, slots=True)
class Decoded:
    """Some rows with what was decided of them.

    Attributes:
        rows: The shape's columns, the odd column last.
        codes: Their outcomes, int32.
        tenants: Strings; null without one.
        instants: Record times, nanoseconds clamped to int64; null without one.
    """

    rows: RowBatch
    codes: Any
    tenants: Any
    instants: Any


class Shape:
    """How the columns of one table travel.

    Attributes:
        select: Select list of what is yielded; percent signs are written twice.
        columns: As a segment names them.
        odd_column: Unused name for the binary column of cells that do not fit. None if no column can have any.
        size: Expression for the bytes of a row's content: exact for texts and bytes, as stored for other values of
            variable length, 8 for the rest; percent signs are written twice.
    """

    def __init__(self, columns: Sequence[TableColumn], *, alias: str = "r") -> None:
        self.fields = tuple(_field(column) for column in columns)
        self.names = tuple(column.name for column in columns)
        self.columns = tuple(_named(column, each) for column, each in zip(columns, self.fields, strict=True))
        doubtful = any(each.fits is not None for each in self.fields)
        self.odd_column = _unused(_ODD_COLUMN, self.names) if doubtful else None
        self.select = _doubled(", ".join(_out(column, alias) for column in columns))
        self.size = _doubled(_size(columns, alias))

    def is_timestamp(self, name: str) -> bool:
        """Whether a column of that name travels as a timestamp."""
        return any(each.name == name and pa.types.is_timestamp(each.arrow) for each in self.fields)


def read(sent: Iterator[Block], shape: Shape, decided: Decided = Decided()) -> Iterator[Decoded]:
    """The rows that COPY sends for a shape's columns followed by what was *decided*; bounded batches.

    What *sent* raises comes out as it is.

    Raises:
        StoreError: If a value cannot be read; with the column's name.
    """
    width = len(shape.fields)
    for decoded in CsvReader((*shape.fields, *decided.fields)).read(sent):
        rows = with_odd(decoded, shape.names, shape.odd_column)
        code, *found = decoded.arrays[width:]
        tenants = found.pop(0) if decided.tenant else pa.nulls(rows.num_rows, pa.string())
        instants = found[0] if decided.timestamp is None else _nanos(rows.column(decided.timestamp))
        yield Decoded(rows, code, tenants, instants)


def _nanos(timestamps: Any) -> Any:
    """Timestamps of lapsed rows as nanoseconds, clamped; one that Arrow cannot hold is before Christ."""
    micros = pc.fill_null(timestamps.view(pa.int64()), pa.scalar(MIN_INT64 // 1000, pa.int64()))
    try:
        return pc.multiply_checked(micros, pa.scalar(1000, pa.int64()))
    except pa.ArrowInvalid:  # centuries away
        return pa.array([clamped(Nanos(moment * 1000)) for moment in micros.to_pylist()], pa.int64())


def read_plain(sent: Iterator[Block], shape: Shape) -> Iterator[RowBatch]:
    """The rows that COPY sends for just a shape's columns; else as `read`."""
    for decoded in CsvReader(shape.fields).read(sent):
        yield with_odd(decoded, shape.names, shape.odd_column)


def arrow_of(column: TableColumn) -> Any:
    """The Arrow type that holds a column's values as they are. None: they travel as text."""
    decimal = _DECIMAL.fullmatch(column.type)
    if decimal is not None and int(decimal[2]) <= int(decimal[1]) <= _DECIMAL_DIGITS:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _NATIVE.get(column.base) if column.kind == "b" else None


def _field(column: TableColumn) -> Field:
    arrow = arrow_of(column)
    if arrow is None:
        return Field(name=column.name, arrow=pa.string(), one_way=_ONE_WAY.get(column.base))
    fits = _DECIMAL_FITS if pa.types.is_decimal(arrow) else _FITS.get(column.base)
    return Field(name=column.name, arrow=arrow, fits=fits, hexadecimal=column.base == "bytea")


def _named(column: TableColumn, each: Field) -> Column:
    return Column(
        name=column.name,
        declared=column.type + (GENERATED if column.generated else ""),
        arrow=str(each.arrow),
        encoding="text" if arrow_of(column) is None else "native",
    )


def _out(column: TableColumn, alias: str) -> str:
    name = quote(column.name)
    value = f"{alias}.{name}"
    if column.base == "bytea":
        value = f"encode({value}, 'hex')"
    elif column.base == "xml":
        value = f"{value}::text"
    return f"{value} AS {name}"


def _size(columns: Sequence[TableColumn], alias: str) -> str:
    parts = [str(8 * sum(column.base in _FIXED for column in columns))]
    for column in columns:
        value = f"{alias}.{quote(column.name)}"
        if column.base in _MEASURED:
            parts.append(f"coalesce(octet_length({value}), 0)")
        elif column.base not in _FIXED:
            # Asking for the length of the text would make the server read and write out every value.
            parts.append(f"coalesce(pg_column_size({value}), 0)")
    return " + ".join(parts)


def _doubled(sql: str) -> str:
    return sql.replace("%", "%%")


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
