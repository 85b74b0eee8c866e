"""Rows of many keys: the condition that a row is named by one of them."""

from __future__ import annotations

from lapse.model.selection import RECORD_KEY
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.catalog import Table, TableColumn


def key_columns(table: Table, field: str) -> tuple[TableColumn, ...]:
    """The columns that name a row: *field*, or those of the row key."""
    return table.key if field == RECORD_KEY else (table.column(field),)


def named(table: Table, field: str, keys: tuple[str, ...]) -> Fragment:
    """Whether a row has one of *keys*; true of all where nothing names rows.

    The keys are hexadecimal literals, which the server sorts once: very many cost a row no more than some do.
    """
    columns = key_columns(table, field)
    if not columns:
        return Fragment("TRUE")
    text = f"CONCAT_WS(',', {', '.join(map(_bytes, columns))})"
    # A lone surrogate cannot be stored in utf8mb4: its bytes equal nothing.
    literals = ", ".join(f"x'{key.encode(errors='surrogatepass').hex()}'" for key in keys)
    return Fragment(f"COALESCE({text} IN ({literals}), FALSE)")


def _bytes(column: TableColumn) -> str:
    text = f"CONVERT({column.sql} USING utf8mb4)" if column.charset not in (None, "binary") else column.sql
    return f"CAST({text} AS BINARY)"
