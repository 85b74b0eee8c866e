"""What `Judge.counted` and `Judge.listed` ask the server in, columns out: no Python object is made for a row."""

# ruff: noqa: S608 - names are our own

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lapse.model.plan import Tally
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.sqlcore.columntallies import ColumnTallies
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.csvreading import CsvReader, Field
from lapse.stores.postgresql.encoding import COPY_OPTIONS


@dataclass(frozen=True, slots=True)
class Read:
    """An answer.

    Attributes:
        counts: The counts, or the rows as counts of one each.
        beside: What else was asked for, one array of integers for each.
    """

    counts: Columns
    beside: tuple[Any, ...]


class ColumnReader:
    """Reads answers whose counts belong together."""

    def __init__(self, connection: Connection, tallies: ColumnTallies, *, row_size: int) -> None:
        """Ask on *connection*; *tallies* number the tenants, and each row is taken to have *row_size* bytes."""
        self._connection = connection
        self._tallies = tallies
        self._row_size = row_size

    def counted(self, query: Fragment, beside: int) -> Read:
        """The answer to `Judge.counted` with so many columns *beside*."""
        code, tenant, *others = self._read(query, 6 + beside)
        records, oldest, newest, checksum = others[beside:]
        return self._found(others[:beside], code, tenant, _numbers(records), (oldest, newest), checksum)

    def listed(self, query: Fragment, beside: int) -> Read:
        """The answer to `Judge.listed` with so many columns *beside*."""
        code, tenant, *others = self._read(query, 4 + beside)
        time, part = others[beside:]
        return self._found(others[:beside], code, tenant, np.ones(len(code), np.int64), (time, time), part)

    def _found(
        self, beside: Sequence[Any], code: Any, tenant: Any, records: Any, ends: tuple[Any, Any], checksum: Any
    ) -> Read:
        oldest, newest = (_numbers(end.fill_null(none)) for end, none in zip(ends, NO_TIME, strict=True))
        counts = Columns(
            codes=_numbers(code),
            tenants=self._tenants(tenant),
            records=records,
            sizes=records * self._row_size,
            oldest=oldest,
            newest=newest,
            checksums=_numbers(checksum),
        )
        return Read(counts, tuple(map(_numbers, beside)))

    def _tenants(self, texts: Any) -> Any:
        coded = texts.dictionary_encode()
        numbers = self._tallies.numbers([*coded.dictionary.to_pylist(), None])
        return np.array(numbers, np.int64)[_numbers(coded.indices.fill_null(-1))]

    def _read(self, query: Fragment, columns: int) -> list[Any]:
        """The columns of a query; all are integers but the second one, the tenant."""
        kinds = [pa.string() if number == 1 else pa.int64() for number in range(columns)]
        fields = [Field(name="tenant" if kind == pa.string() else "count", arrow=kind) for kind in kinds]
        found = list(CsvReader(fields).read(self._connection.copy_out(query, COPY_OPTIONS)))
        return [
            pa.chunked_array([block.arrays[number] for block in found], kind).combine_chunks()
            for number, kind in enumerate(kinds)
        ]


def removed_tallies(connection: Connection, gone: Fragment, *, row_size: int) -> Sequence[Tally]:
    """The tallies of what a statement removes, ordered by code and tenant; nearly each row is a group of its own.

    Arguments:
        connection: The session.
        gone: What gives ``lapse_code``, ``lapse_tenant`` and ``lapse_instant`` of each row as the rows of ``gone``.
        row_size: Bytes of a row.
    """
    columns = "array_agg(lapse_code), array_agg(lapse_tenant), array_agg(lapse_instant)"
    ((codes, tenants, instants),) = connection.query(gone + f"SELECT {columns} FROM gone")
    if codes is None:
        return ()
    tallies = ColumnTallies()
    return tallies.of_rows(codes, tallies.numbers(tenants), instants, row_size=row_size)


def _numbers(column: Any) -> Any:
    return column.to_numpy(zero_copy_only=False)
