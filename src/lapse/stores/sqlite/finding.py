"""Records looked up, by key or by value, with what becomes of them."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice, pairwise

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
_MOST_WAYS = 50
"""Ways to divide a key into its parts that are looked up one by one, by their index."""


def find(database: Database, table: Table, judge: Judge, *, selection: Selection, key: str) -> Iterator[Found]:
    """The rows whose `key` column, else primary key, is *key* as text; parts of a longer key stand between commas."""
    where = _named([f"r.{quote(name)}" for name in key_columns(table, selection.dataset)], key)
    yield from _found(database, table, judge, selection=selection, where=where)


def key_columns(table: Table, dataset: Dataset) -> tuple[str, ...]:
    """The columns that name a row."""
    return (table.column(dataset.key).name,) if dataset.key else table.naming_key().columns


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
    own = [column.name for column in table.columns]
    named = [width + own.index(name) if name in own else 0 for name in key_columns(table, selection.dataset)]
    with database.replacing_invalid_text():
        rows = database.rows(query.sql, query.values)
    for code, instant, *cells in rows:
        yield Found(
            key=_SEPARATOR.join("" if cells[place] is None else str(cells[place]) for place in named),
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


def _named(columns: list[str], key: str) -> Fragment:
    """The condition that the columns' texts, with commas between, are *key*; a part may have commas in it."""
    pieces = key.split(_SEPARATOR)
    ways = list(islice(combinations(range(1, len(pieces)), len(columns) - 1), _MOST_WAYS + 1))
    if len(ways) > _MOST_WAYS:
        text = f" || '{_SEPARATOR}' || ".join(map(_exact, columns))
        return Fragment(f"({text}) = ?", (key,))
    return "(" + joined(" OR ", [_same_parts(columns, pieces, ends) for ends in ways] or [Fragment("FALSE")]) + ")"


def _same_parts(columns: list[str], pieces: list[str], ends: tuple[int, ...]) -> Fragment:
    bounds = pairwise((0, *ends, len(pieces)))
    texts = [_SEPARATOR.join(pieces[first:last]) for first, last in bounds]
    return "(" + joined(" AND ", [_same(*each) for each in zip(columns, texts, strict=True)]) + ")"


def _exact(column: str) -> str:
    return f"CASE typeof({column}) WHEN 'text' THEN {column} WHEN 'integer' THEN CAST({column} AS TEXT) END"


def _same(column: str, text: str) -> Fragment:
    """Whether a column has a text. The first comparison can use an index, the second is exact."""
    values: list[object] = [text]
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 20:
        number = int(text)
        values += [number] if MIN_INT64 <= number <= MAX_INT64 else []
    near = joined(" OR ", [Fragment(f"{column} = ?", (value,)) for value in values])
    return "(" + near + f") AND {_exact(column)} = ?" + Fragment("", (text,))
