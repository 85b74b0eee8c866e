"""Records looked up, by key or by value, with what becomes of them."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.instant import Nanos
from lapse.model.match import Match, text_of
from lapse.model.plan import Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Selection
from lapse.ports import Found, Matched
from lapse.sqlcore.fields import field_path, shown_fields
from lapse.sqlcore.fragments import Fragment, joined, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64, compile_match
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.functions import inside
from lapse.stores.sqlite.judging import Judge, SqliteDialect
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.schema import Table

_SEPARATOR = ","
_ALL = KeyRange(None, None)


def find(database: Database, table: Table, judge: Judge, *, selection: Selection, key: str) -> Iterator[Found]:
    """The rows whose `key` column, else primary key, is *key* as text; parts of a longer key stand between commas."""
    names = key_columns(table, selection.dataset)
    texts = key.split(_SEPARATOR, len(names) - 1) if len(names) > 1 else [key]
    if len(texts) != len(names):
        return
    same = joined(" AND ", [_same(f"r.{quote(name)}", text) for name, text in zip(names, texts, strict=True)])
    yield from _found(database, table, judge, selection=selection, where=same)


def key_columns(table: Table, dataset: Dataset) -> tuple[str, ...]:
    """The columns that name a row."""
    return (table.column(dataset.key).name,) if dataset.key else table.row_key().columns


def search(
    database: Database, table: Table, judge: Judge, *, selection: Selection, match: Match, limit: int
) -> Matched:
    """The rows that *match* matches: counted by outcome, and the first *limit* of them in key order."""
    where = _matching(table, match)
    counted = "SELECT code, count(*), min(t), max(t) FROM " + judge.judged(_ALL, extra=where) + " GROUP BY code"
    tallies = tuple(
        Tally(
            code=code,
            tenant=None,
            records=records,
            size=0,
            oldest=None if oldest is None else Nanos(oldest),
            newest=None if newest is None else Nanos(newest),
        )
        for code, records, oldest, newest in database.rows(counted.sql, counted.values)
    )
    return Matched(
        tallies=tallies,
        first=tuple(_found(database, table, judge, selection=selection, where=where, limit=limit)),
    )


def _found(
    database: Database, table: Table, judge: Judge, *, selection: Selection, where: Fragment, limit: int = -1
) -> Iterator[Found]:
    width = len(table.row_key().columns)
    columns = ", ".join([*(f"k{n}" for n in range(width)), *(f"c{n}" for n in range(len(table.columns)))])
    query = f"SELECT code, t, {columns} FROM " + judge.judged(_ALL, whole=True, extra=where) + f" LIMIT {limit}"
    fields = shown_fields(selection, lambda column: table.find(column) is not None)
    with database.replacing_invalid_text():
        rows = database.rows(query.sql, query.values)
    for code, instant, *cells in rows:
        yield Found(
            key=_SEPARATOR.join(map(str, cells[:width])),
            code=code,
            instant=None if instant is None else Nanos(instant),
            values={field: _value(table, cells[width:], field) for field in fields},
        )


def _value(table: Table, cells: list[object], field: str) -> str | None:
    path = field_path(field)
    cell = cells[table.columns.index(table.column(path.column))]
    if not path.keys:
        return text_of(cell)
    return text_of(inside(cell, path.keys)) if isinstance(cell, str) else None


def _matching(table: Table, match: Match) -> Fragment:
    """The condition that *match* matches a row ``r``; the fields are named once, since some are costly to read."""
    if not match.conditions:
        return Fragment("TRUE")
    fields = [_field(table, field) + f" AS f{number}" for number, field in enumerate(match.fields)]
    condition = compile_match(match, SqliteDialect(match.fields))
    return "EXISTS (SELECT 1 FROM (SELECT " + joined(", ", fields) + ") WHERE " + condition + ")"


def _field(table: Table, field: str) -> Fragment:
    path = field_path(field)
    column = f"r.{quote(table.column(path.column).name)}"
    if not path.keys:
        return Fragment(column)
    keys = placeholders(path.keys)
    return f"CASE typeof({column}) WHEN 'text' THEN lapse_json(CAST({column} AS BLOB), " + keys + ") END"


def _same(column: str, text: str) -> Fragment:
    """Whether a column has a text. The first comparison can use an index, the second is exact."""
    exact = f"CASE typeof({column}) WHEN 'text' THEN {column} WHEN 'integer' THEN CAST({column} AS TEXT) END"
    values: list[object] = [text]
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 20:
        number = int(text)
        values += [number] if MIN_INT64 <= number <= MAX_INT64 else []
    near = joined(" OR ", [Fragment(f"{column} = ?", (value,)) for value in values])
    return "(" + near + f") AND {exact} = ?" + Fragment("", (text,))
