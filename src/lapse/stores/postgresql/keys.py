"""Rows of many keys: the condition that a row ``r`` is named by one of them."""

from __future__ import annotations

import re

from lapse.model.selection import RECORD_KEY
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.postgresql.catalog import INTEGERS, Table
from lapse.stores.postgresql.naming import column

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")


def key_columns(table: Table, field: str) -> tuple[str, ...]:
    """The columns that name a row: *field*, or those of the primary key; none where only its place names a row."""
    return table.key if field == RECORD_KEY else (table.column(field).name,)


def named(table: Table, field: str, keys: tuple[str, ...]) -> Fragment:
    """Whether a row has one of *keys*; true of all where only their places name rows.

    The server looks up the rows of a subquery by their hashes, so that very many keys cost a row no more than one does.
    The elements of an array it does not, where rows are counted by the outcome.
    """
    names = key_columns(table, field)
    if not names:
        return Fragment("TRUE")
    if len(names) == 1 and table.column(names[0]).base in INTEGERS:
        numbers = [int(key) for key in keys if _WHOLE.fullmatch(key) and MIN_INT64 <= int(key) <= MAX_INT64]
        return Fragment(f"({column(names[0])}::bigint IN (SELECT unnest(%s::bigint[])))", (numbers,))
    text = f"concat_ws(',', {', '.join(f'{column(name)}::text' for name in names)})"
    known = [key.encode() for key in keys if not any("\ud800" <= char <= "\udfff" for char in key)]
    return Fragment(f"(convert_to({text}, 'UTF8') IN (SELECT unnest(%s::bytea[])))", (known,))
