"""Rows of many keys: the condition that a row is named by one of them."""

from __future__ import annotations

from lapse.model.selection import RECORD_KEY
from lapse.sqlcore.fragments import Fragment, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.stores.duckdb.catalog import Table


def named(table: Table, field: str, keys: tuple[str, ...]) -> Fragment:
    """Whether a row has one of *keys*; true of all where only their positions name rows."""
    names = table.key if field == RECORD_KEY else (table.column(field).name,)
    if not names:
        return Fragment("TRUE")
    text = f"concat_ws(',', {', '.join(f'CAST({quote(name)} AS VARCHAR)' for name in names)})"
    marks = placeholders([key.encode(errors="surrogatepass") for key in keys])
    return f"coalesce(encode({text}) IN (" + marks + "), FALSE)"
