"""Looking up records by their key, each with what is decided about it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.instant import Nanos
from lapse.model.policy import Dataset
from lapse.ports import Found
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.postgresql.catalog import INTEGERS, Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import column, escaped


def find(connection: Connection, judge: Judge, *, dataset: Dataset, key: str) -> Iterator[Found]:
    """The rows that *key* names: by the dataset's key column, else the primary key, else the place."""
    names = key_columns(judge.table, dataset)
    fields = [_shown(judge, field) for field in dataset.fields]
    found = connection.query(
        "SELECT "
        + joined(", ", [judge.code, Fragment(judge.instant), Fragment(_text(names)), *fields])
        + f" FROM {escaped(judge.table.sql)} AS r WHERE "
        + _named(judge.table, names, key)
    )
    for code, instant, name, *values in found:
        yield Found(
            key=str(name),
            code=int(code),
            instant=None if instant is None else Nanos(int(instant)),
            values=dict(zip(dataset.fields, values, strict=True)),
        )


def key_columns(table: Table, dataset: Dataset) -> tuple[str, ...]:
    """The columns that name a row; none where only its place does."""
    return table.key if dataset.key is None else (table.column(dataset.key).name,)


def _text(names: tuple[str, ...]) -> str:
    parts = [f"{column(name)}::text" for name in names]
    return f"concat_ws(',', {', '.join(parts)})" if parts else "r.ctid::text"


def _named(table: Table, names: tuple[str, ...], key: str) -> Fragment:
    """The condition; one integer column is compared as such, for its index."""
    if len(names) == 1 and table.column(names[0]).base in INTEGERS:
        digits = key.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 18 or str(int(key)) != key:
            return Fragment("FALSE")
        return Fragment(f"{column(names[0])} = %s::bigint", (int(key),))
    return Fragment(f"convert_to({_text(names)}, 'UTF8') = %s", (key.encode(),))


def _shown(judge: Judge, field: str) -> Fragment:
    path = field_path(field)
    if path.keys:
        return judge.dialect.text(field)
    return Fragment(f"{judge.table.column(path.column).sql}::text")
