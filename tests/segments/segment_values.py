"""Arrow columns of every type that a segment may hold, for properties; and cuts of a batch."""

from __future__ import annotations

from decimal import Context, Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

EXACT = Context(prec=100)
INT64 = st.integers(-(2**63), 2**63 - 1)

CELLS: dict[Any, st.SearchStrategy[Any]] = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): INT64,
    pa.uint8(): st.integers(0, 2**8 - 1),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=40),
    pa.large_string(): st.text(max_size=40),
    pa.binary(): st.binary(max_size=40),
    pa.large_binary(): st.binary(max_size=40),
    pa.timestamp("ms"): INT64,
    pa.timestamp("us"): INT64,
    pa.timestamp("ns", "UTC"): INT64,
    pa.timestamp("us", "Europe/Paris"): INT64,
    pa.date32(): st.integers(-(2**31), 2**31 - 1),
    pa.time64("us"): st.integers(0, 86_399_999_999),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    pa.duration("us"): INT64,
    pa.duration("ns"): INT64,
    pa.decimal128(38, 0): st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal),
    pa.decimal128(38, 12): st.integers(-(10**18), 10**18).map(lambda n: EXACT.scaleb(n, -12)),
    pa.decimal256(60, 2): st.integers(-(10**30), 10**30).map(lambda n: EXACT.scaleb(n, -2)),
}


def column(kind: Any, cells: list[Any]) -> Any:
    """An array of *kind*; times are given as integers."""
    if pa.types.is_date32(kind):
        return pa.array(cells, pa.int32()).cast(kind)
    if pa.types.is_temporal(kind):
        return pa.array(cells, pa.int64()).cast(kind)
    return pa.array(cells, kind)


@st.composite
def batches(draw: st.DrawFn, max_columns: int = 5, max_rows: int = 12) -> Any:
    """A record batch of a few columns, some with nulls."""
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=max_columns))
    rows = draw(st.integers(0, max_rows))
    columns = []
    for kind in kinds:
        cell = CELLS[kind]
        cells = cell if draw(st.booleans()) else st.none() | cell
        columns.append(column(kind, draw(st.lists(cells, min_size=rows, max_size=rows))))
    return pa.RecordBatch.from_arrays(columns, names=[f"c{number}" for number in range(len(kinds))])


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """Offsets and lengths that cut *length* records into pieces."""
    points = sorted({0, length, *draw(st.lists(st.integers(0, length), max_size=4))})
    return [(begin, end - begin) for begin, end in pairwise(points)]
