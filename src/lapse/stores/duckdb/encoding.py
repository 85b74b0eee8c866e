"""How columns travel: as Arrow holds them exactly, else as DuckDB's text, which must cast back to the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lapse.errors import StoreError
from lapse.model.manifest import Column
from lapse.sqlcore.identifiers import quote
from lapse.stores.duckdb.catalog import TableColumn

NATIVE = frozenset(
    (
        "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
        "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME", "TIME_NS",
        "TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
    )
)  # fmt: skip
"""Types whose every value, infinities included, goes through Arrow and Parquet unchanged. Seconds
(``TIMESTAMP_S``) do not: Parquet has no such unit. HUGEINT would lose its 39th digit."""

_DECIMAL = re.compile(r"DECIMAL\([0-9]+,[0-9]+\)")


def is_native(kind: str) -> bool:
    """Whether a type travels as it is."""
    return kind in NATIVE or _DECIMAL.fullmatch(kind) is not None


def yielded(columns: Sequence[TableColumn]) -> str:
    """The select list of what a take yields."""
    return ", ".join(_out(column) for column in columns)


def _out(column: TableColumn) -> str:
    name = quote(column.name)
    return name if is_native(column.type) else f"CAST({name} AS VARCHAR) AS {name}"


def inexact(columns: Sequence[TableColumn]) -> str:
    """An expression that numbers, from 0, the first column whose text does not give its value back; NULL if all do.

    Equality alone would not do: 30 days equal a month, and 0.0 equals -0.0. NULL travels as NULL.
    """
    cases = []
    for number, column in enumerate(columns):
        if is_native(column.type):
            continue
        name = quote(column.name)
        text = f"CAST({name} AS VARCHAR)"
        back = f"TRY_CAST({text} AS {column.type})"
        cases.append(
            f"WHEN {name} IS NOT NULL AND "
            f"({back} IS DISTINCT FROM {name} OR CAST({back} AS VARCHAR) IS DISTINCT FROM {text}) THEN {number}"
        )
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def check_exact(numbers: Any, columns: Sequence[TableColumn], table: str) -> None:
    """See that no row of a batch has a column that `inexact` names.

    Raises:
        StoreError: With the column's name.
    """
    if len(numbers) == numbers.null_count:
        return
    column = columns[next(number for number in numbers.to_pylist() if number is not None)]
    raise StoreError(
        f"{table}: a value of column {column.name} ({column.type}) does not survive the way to text and back",
        hint="Nothing was removed. Change the column's type, or keep these records.",
    )


def manifest_columns(columns: Sequence[TableColumn], schema: Any) -> tuple[Column, ...]:
    """The columns as a segment names them; *schema* is that of the batches."""
    return tuple(
        Column(
            name=column.name,
            declared=column.type,
            arrow=str(field.type),
            encoding="native" if is_native(column.type) else "text",
        )
        for column, field in zip(columns, schema, strict=True)
    )


def size_sql(columns: Sequence[TableColumn]) -> str:
    """Bytes of a row's content: exact for texts and blobs, about right for the rest."""
    fixed = 8 * sum(column.type not in ("VARCHAR", "BLOB", "JSON") for column in columns)
    parts = [str(fixed)]
    for column in columns:
        if column.type in ("VARCHAR", "JSON"):
            parts.append(f"coalesce(strlen({quote(column.name)}), 0)")
        elif column.type == "BLOB":
            parts.append(f"coalesce(octet_length({quote(column.name)}), 0)")
    return " + ".join(parts)
