"""Looking records up, by the text of their key or by value, with what becomes of them."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.policy import Dataset
from lapse.ports import Found, Matched
from lapse.sqlcore.fields import field_path, shown_fields
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import compile_match
from lapse.stores.mysql.catalog import INTEGERS, Table, TableColumn
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.judging import Judge


def find(connection: Connection, judge: Judge, *, key: str) -> Iterator[Found]:
    """The rows whose key column, else whose row key, has the text *key*; parts of a key stand between commas."""
    if key_columns(judge.table, judge.selection.dataset):
        yield from _found(connection, judge, where=named(judge.table, judge.selection.dataset, key))


def search(connection: Connection, judge: Judge, *, match: Match, limit: int) -> Matched:
    """The rows that *match* matches: counted by outcome, and the first *limit* of them in the order of their key."""
    table = judge.table
    for field in match.fields:
        table.column(field_path(field).column)  # raises where the table has none
    where = compile_match(match, judge.dialect)
    order = ", ".join(column.sql for column in key_columns(table, judge.selection.dataset))
    ending = f" ORDER BY {order} LIMIT {limit}" if order else f" LIMIT {limit}"
    return Matched(
        tallies=judge.tallies(connection, where),
        first=tuple(_found(connection, judge, where=where, ending=ending)),
    )


def key_columns(table: Table, dataset: Dataset) -> tuple[TableColumn, ...]:
    """The columns that name a row; none where it has no name."""
    return table.key if dataset.key is None else (table.column(dataset.key),)


def named(table: Table, dataset: Dataset, key: str) -> Fragment:
    """The condition that *key* names a row."""
    columns = key_columns(table, dataset)
    same = f"{_name_sql(columns)} = UNHEX(%s)"
    return _narrowed(columns, key) + same + Fragment("", (key.encode(errors="surrogatepass").hex(),))


def _name_sql(columns: Sequence[TableColumn]) -> str:
    return "CONCAT_WS(',', " + ", ".join([_bytes(column) for column in columns] or ["''"]) + ")"


def _found(connection: Connection, judge: Judge, *, where: Fragment, ending: str = "") -> Iterator[Found]:
    table, selection = judge.table, judge.selection
    names = shown_fields(selection, lambda name: table.find(name) is not None, reads_json=table.reads_json)
    key = _name_sql(key_columns(table, selection.dataset))
    fields = [_shown(judge, field) for field in names]
    shown = joined(", ", ["CAST(" + field + " AS BINARY)" for field in fields])
    found = connection.query(
        "SELECT " + judge.code + f", {judge.instant}, {key}, " + shown + f" FROM {table.sql} WHERE " + where + ending
    )
    for code, instant, text, *values in found:
        yield Found(
            key=_text(text) or "",
            code=int(code),
            instant=None if instant is None else Nanos(int(instant)),
            values=dict(zip(names, map(_text, values), strict=True)),
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
