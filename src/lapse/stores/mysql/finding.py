"""Looking one record up: rows by the text of their key, with what becomes of them."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.instant import Nanos
from lapse.model.policy import Dataset
from lapse.ports import Found
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.mysql.catalog import INTEGERS, TableColumn
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.judging import Judge


def find(connection: Connection, judge: Judge, *, dataset: Dataset, key: str) -> Iterator[Found]:
    """The rows whose key column, else whose row key, has the text *key*; parts of a key stand between commas."""
    table = judge.table
    columns = table.key if dataset.key is None else (table.column(dataset.key),)
    if not columns:
        return
    name = "CONCAT_WS(',', " + ", ".join(_bytes(column) for column in columns) + ")"
    fields = [_shown(judge, field) for field in dataset.fields]
    shown = joined(", ", ["CAST(" + field + " AS BINARY)" for field in fields])
    found = connection.query(
        "SELECT " + judge.code + f", {judge.instant}, {name}, " + shown + f" FROM {table.sql} WHERE "
        + _narrowed(columns, key) + f"{name} = UNHEX(%s)" + Fragment("", (key.encode(errors="surrogatepass").hex(),))
    )  # fmt: skip
    for code, instant, text, *values in found:
        yield Found(
            key=_text(text) or "",
            code=int(code),
            instant=None if instant is None else Nanos(int(instant)),
            values=dict(zip(dataset.fields, map(_text, values), strict=True)),
        )


def _narrowed(columns: tuple[TableColumn, ...], key: str) -> Fragment:
    """A condition that an index serves, where the key is one whole number."""
    if len(columns) == 1 and columns[0].type in INTEGERS and key.lstrip("-").isdecimal() and key.isascii():
        return Fragment(f"{columns[0].sql} = %s AND ", (int(key),))
    return Fragment("")


def _bytes(column: TableColumn) -> str:
    text = f"CONVERT({column.sql} USING utf8mb4)" if column.charset not in (None, "binary") else column.sql
    return f"CAST({text} AS BINARY)"


def _shown(judge: Judge, field: str) -> Fragment:
    path = field_path(field)
    if path.keys:
        return judge.dialect.text(field)
    column = judge.table.column(path.column)
    return Fragment(_bytes(column))


def _text(value: object) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else None if value is None else str(value)
