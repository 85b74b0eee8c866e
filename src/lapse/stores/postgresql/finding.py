"""Looking records up, by key or by value, each with what is decided about it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.plan import merge
from lapse.model.policy import Dataset
from lapse.ports import Found, Matched
from lapse.sqlcore.fields import field_path, shown_fields
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import compile_match
from lapse.stores.postgresql.catalog import INTEGERS, Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import column, escaped


def find(connection: Connection, judge: Judge, *, key: str) -> Iterator[Found]:
    """The rows that *key* names: by the dataset's key column, else the primary key, else the place."""
    yield from _found(connection, judge, where=named(judge.table, judge.selection.dataset, key))


def search(connection: Connection, judge: Judge, *, match: Match, limit: int) -> Matched:
    """The rows that *match* matches: counted by outcome, and the first *limit* of them in the order of their key."""
    table = judge.table
    for field in match.fields:
        table.column(field_path(field).column)  # raises where the table has none
    where = compile_match(match, judge.dialect)
    order = ", ".join(column(name) for name in key_columns(table, judge.selection.dataset)) or "r.ctid"
    return Matched(
        tallies=judge.tallies(connection, where, size="0", from_=f"{escaped(table.sql)} AS r", checksums=False),
        first=tuple(_found(connection, judge, where=where, ending=f" ORDER BY {order} LIMIT {limit}")),
    )


def together(found: Sequence[Matched], *, limit: int) -> Matched:
    """What was found in several tables, one after the other."""
    return Matched(
        tallies=merge(tally for each in found for tally in each.tallies),
        first=tuple(row for each in found for row in each.first)[:limit],
    )


def named(table: Table, dataset: Dataset, key: str) -> Fragment:
    """The condition that *key* names a row ``r``."""
    return _named(table, key_columns(table, dataset), key)


def _found(connection: Connection, judge: Judge, *, where: Fragment, ending: str = "") -> Iterator[Found]:
    table, selection = judge.table, judge.selection
    fields = shown_fields(selection, lambda name: table.find(name) is not None)
    key = Fragment(_text(key_columns(table, selection.dataset)))
    shown = joined(", ", [judge.code, Fragment(judge.instant), key, *(_shown(judge, field) for field in fields)])
    found = connection.query("SELECT " + shown + f" FROM {escaped(table.sql)} AS r WHERE " + where + ending)
    for code, instant, name, *values in found:
        yield Found(
            key=str(name),
            code=int(code),
            instant=None if instant is None else Nanos(int(instant)),
            values=dict(zip(fields, values, strict=True)),
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
