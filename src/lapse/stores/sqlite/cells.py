"""SQLite's loosely typed cells to Arrow and back, exactly.

Each column gets the one type that most of its cells have; a cell that does not fit goes into the odd column, a
MessagePack map of column names to values, and is null in its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from lapse.errors import StoreError
from lapse.model.manifest import Column
from lapse.ports import RowBatch
from lapse.stores.sqlite.schema import Affinity, Table

ODD_COLUMN = "_lapse_odd"
_ARROW: Mapping[type, Any] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
_BY_AFFINITY = {
    Affinity.INTEGER: int,
    Affinity.NUMERIC: int,
    Affinity.REAL: float,
    Affinity.TEXT: str,
    Affinity.BLOB: bytes,
}
_NOTHING = type(None)
_encode = msgspec.msgpack.Encoder().encode
Cells = Sequence[object]


class Shape:
    """The Arrow types of one part, decided by its first rows."""

    def __init__(self, table: Table, columns: Sequence[Cells]) -> None:
        self._names = [column.name for column in table.columns]
        self._types = [_main_type(cells, column.affinity) for column, cells in zip(table.columns, columns, strict=True)]
        self.odd_column = _unused(ODD_COLUMN, self._names)
        arrow = [_ARROW[kind] for kind in self._types]
        self.columns = tuple(
            Column(name=column.name, declared=column.declared, arrow=str(kind))
            for column, kind in zip(table.columns, arrow, strict=True)
        )
        self._schema = pa.schema([*zip(self._names, arrow, strict=True), (self.odd_column, pa.binary())])

    def batch(self, columns: Sequence[Cells]) -> RowBatch:
        """The cells of some rows, column by column, as one batch.

        Raises:
            StoreError: If a batch of them is too large for Arrow.
        """
        odd: dict[int, dict[str, object]] = {}
        try:
            arrays = [
                pa.array(self._fitting(number, cells, odd), type=_ARROW[self._types[number]])
                for number, cells in enumerate(columns)
            ]
            arrays.append(pa.array(_encoded(odd, len(columns[0])), pa.binary()))
            return pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        except (pa.ArrowException, TypeError) as error:
            # More than 2 GiB in one column of a batch.
            raise StoreError(f"rows are too large to archive together: {error}", hint="Keep these rows.") from error

    def _fitting(self, number: int, cells: Sequence[object], odd: dict[int, dict[str, object]]) -> Sequence[object]:
        """The cells of the column's own type; the others are moved to *odd*. pyarrow would convert them."""
        expected = self._types[number]
        if set(map(type, cells)) <= {expected, _NOTHING}:
            return cells
        fitting = list(cells)
        for row, value in enumerate(cells):
            if value is not None and type(value) is not expected:
                odd.setdefault(row, {})[self._names[number]] = value
                fitting[row] = None
        return fitting


def _encoded(odd: Mapping[int, Mapping[str, object]], rows: int) -> list[bytes | None]:
    return [_encode(odd[row]) if row in odd else None for row in range(rows)] if odd else [None] * rows


def _main_type(cells: Sequence[object], affinity: Affinity) -> type:
    counts = Counter(map(type, cells))
    found = {kind: counts[kind] for kind in _ARROW if counts[kind]}
    return max(found, key=lambda kind: found[kind]) if found else _BY_AFFINITY[affinity]


def _unused(name: str, taken: Sequence[str]) -> str:
    lower = {other.lower() for other in taken}
    while name.lower() in lower:
        name += "_"
    return name


def rows_of(batch: RowBatch, odd_column: str | None) -> Iterator[list[object]]:
    """The rows of a batch, odd cells back in their places, the odd column left out."""
    names = [name for name in batch.schema.names if name != odd_column]
    columns = [batch.column(name).to_pylist() for name in names]
    odd = batch.column(odd_column).to_pylist() if odd_column else [None] * batch.num_rows
    places = {name: place for place, name in enumerate(names)}
    for number, cells in enumerate(odd):
        row = [column[number] for column in columns]
        for name, value in (msgspec.msgpack.decode(cells) if cells else {}).items():
            row[places[name]] = value
        yield row
