"""Lines of a take: what the server writes for each row, and the facts and rows that Arrow makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lapse.instant import Nanos
from lapse.model.plan import Tally
from lapse.ports import RowBatch
from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.mysql.encoding import Shape, parsed, text_field
from lapse.stores.mysql.judging import Judge

_FACTS = {"code": pa.int32(), "instant": pa.int64(), "tenant": pa.string(), "size": pa.int64()}


def line_of(judge: Judge, codes: Sequence[int], shape: Shape | None) -> Fragment:
    """The SQL of the line of a row with one of *codes*: its facts, then with a *shape* its columns."""
    code = Fragment(str(codes[0])) if len(codes) == 1 else judge.code
    tenant = Fragment("NULL") if judge.tenant is None else _field(judge.tenant)
    # What the columns hold need not be measured twice.
    facts = [code, Fragment(judge.instant), tenant, Fragment("NULL" if shape else judge.size)]
    fields = [Fragment(field) for field in shape.fields] if shape else []
    return _line([*facts, *fields])


def plain_line(shape: Shape) -> Fragment:
    """The SQL of a row's line with its columns alone."""
    return _line([Fragment(field) for field in shape.fields])


def _line(fields: Sequence[Fragment]) -> Fragment:
    """One line of CSV, to the byte: an empty field is NULL, ``""`` an empty text."""
    padded = ["COALESCE(" + field + ", '')" for field in fields]
    return "CONCAT(CAST('' AS BINARY), " + joined(", ',', ", padded) + ")"


def _field(text: Fragment) -> Fragment:
    return Fragment(text_field(text.sql), text.values)


def read_lines(lines: Sequence[bytes], shape: Shape | None, table: str) -> tuple[Any, RowBatch | None]:
    """The facts of lines, as an Arrow table, and their rows. None without a *shape*."""
    if shape is None:
        return parsed(lines, _FACTS, table), None
    return shape.read(lines, _FACTS)


def read_plain(lines: Sequence[bytes], shape: Shape) -> RowBatch:
    """The rows of lines that `plain_line` wrote."""
    return shape.read(lines, {})[1]


def counted(facts: Any, size: int) -> list[Tally]:
    """Tallies of rows by their facts.

    Arguments:
        facts: Their code, instant, tenant and size.
        size: Bytes of all of them together, shared out where the facts do not say.
    """
    groups = facts.group_by(["code", "tenant"]).aggregate(
        [("instant", "min"), ("instant", "max"), ("size", "sum"), ([], "count_all")]
    )
    total = max(1, facts.num_rows)
    return [
        Tally(
            code=row["code"],
            tenant=row["tenant"],
            records=row["count_all"],
            size=row["size_sum"] if row["size_sum"] is not None else size * row["count_all"] // total,
            oldest=Nanos(row["instant_min"]),
            newest=Nanos(row["instant_max"]),
        )
        for row in groups.to_pylist()
    ]
