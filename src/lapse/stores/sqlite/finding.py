"""One record looked up by its key, with what becomes of it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.policy import Dataset
from lapse.ports import Found
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.functions import inside
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.schema import Table

_SEPARATOR = ","


def find(database: Database, table: Table, judge: Judge, *, dataset: Dataset, key: str) -> Iterator[Found]:
    """The rows whose `key` column, else primary key, is *key* as text; parts of a longer key stand between commas."""
    names = (table.column(dataset.key).name,) if dataset.key else table.row_key().columns
    texts = key.split(_SEPARATOR, len(names) - 1) if len(names) > 1 else [key]
    if len(texts) != len(names):
        return
    same = joined(" AND ", [_same(f"r.{quote(name)}", text) for name, text in zip(names, texts, strict=True)])
    width = len(table.row_key().columns)
    columns = ", ".join([*(f"k{n}" for n in range(width)), *(f"c{n}" for n in range(len(table.columns)))])
    query = f"SELECT code, t, {columns} FROM " + judge.judged(KeyRange(None, None), whole=True, extra=same)
    with database.replacing_invalid_text():
        rows = database.rows(query.sql, query.values)
    for code, instant, *cells in rows:
        yield Found(
            key=_SEPARATOR.join(map(str, cells[:width])),
            code=code,
            instant=None if instant is None else Nanos(instant),
            values={field: _value(table, cells[width:], field) for field in dataset.fields},
        )


def _value(table: Table, cells: Sequence[object], field: str) -> str | None:
    path = field_path(field)
    cell = cells[table.columns.index(table.column(path.column))]
    if not path.keys:
        return text_of(cell)
    return text_of(inside(cell, path.keys)) if isinstance(cell, str) else None


def _same(column: str, text: str) -> Fragment:
    """Whether a column has a text. The first comparison can use an index, the second is exact."""
    exact = f"CASE typeof({column}) WHEN 'text' THEN {column} WHEN 'integer' THEN CAST({column} AS TEXT) END"
    values: list[object] = [text]
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 20:
        number = int(text)
        values += [number] if MIN_INT64 <= number <= MAX_INT64 else []
    near = joined(" OR ", [Fragment(f"{column} = ?", (value,)) for value in values])
    return "(" + near + f") AND {exact} = ?" + Fragment("", (text,))
