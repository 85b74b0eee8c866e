"""Records looked up, by key or by value, with what becomes of them."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.policy import Dataset
from lapse.ports import Found, Matched
from lapse.sqlcore.fields import field_path, shown_fields
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import compile_match
from lapse.stores.duckdb.catalog import Table
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.judging import Judge


def find(connection: Connection, judge: Judge, *, key: str) -> Iterator[Found]:
    """The rows whose key column, else whose primary key, else whose position, has the text *key*."""
    name = _name_sql(judge.table, judge.selection.dataset, "rowid")
    return _found(connection, judge, where=Fragment(f"encode({name}) = ?", (key.encode(),)))


def search(connection: Connection, judge: Judge, *, match: Match, limit: int) -> Matched:
    """The rows that *match* matches: counted by outcome, and the first *limit* of them as they lie."""
    for field in match.fields:
        judge.table.column(field_path(field).column)  # raises where the table has none
    where = compile_match(match, judge.dialect)
    ending = f" ORDER BY lapse_row LIMIT {limit}"
    return Matched(
        tallies=judge.tallies(connection, where),
        first=tuple(_found(connection, judge, where=where, ending=ending)),
    )


def _found(connection: Connection, judge: Judge, *, where: Fragment, ending: str = "") -> Iterator[Found]:
    table, selection = judge.table, judge.selection
    names = shown_fields(selection, lambda column: table.find(column) is not None)
    name = _name_sql(table, selection.dataset, "lapse_row")
    fields = joined(", ", [Fragment(name), *(_shown(judge, field) for field in names)])
    found = connection.query("SELECT lapse_code, lapse_instant, " + fields + " FROM " + judge.rows(where) + ending)
    for code, instant, key, *values in found:
        yield Found(
            key=str(key),
            code=int(code),
            instant=None if instant is None else Nanos(int(instant)),
            values=dict(zip(names, values, strict=True)),
        )


def key_columns(table: Table, dataset: Dataset) -> tuple[str, ...]:
    """The columns that name a row; none where its position does."""
    return tuple(table.key) if dataset.key is None else (table.column(dataset.key).name,)


def _name_sql(table: Table, dataset: Dataset, position: str) -> str:
    names = [f"CAST({quote(name)} AS VARCHAR)" for name in key_columns(table, dataset)]
    return f"concat_ws(',', {', '.join(names)})" if names else f"CAST({position} AS VARCHAR)"


def _shown(judge: Judge, field: str) -> Fragment:
    path = field_path(field)
    if path.keys:
        return judge.dialect.text(field)
    return Fragment(f"CAST({quote(judge.table.column(path.column).name)} AS VARCHAR)")
