"""Records back from the archive: all that are missing or none, and never over other content.

The rows are first put into a temporary table of the same columns, so that SQLite converts them exactly as the
table itself would, and are compared there.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from lapse.errors import StoreError, UnsupportedError
from lapse.model.manifest import Column
from lapse.ports import LineBlock, Part, RestoreCount
from lapse.sqlcore.identifiers import quote
from lapse.stores.sqlite.cells import rows_of
from lapse.stores.sqlite.database import INVALID_TEXT, Database
from lapse.stores.sqlite.schema import Table, load_table

_STAGE = "temp.lapse_restore"
_encode = msgspec.msgpack.Encoder().encode
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*(\( *[0-9]+ *(, *[0-9]+ *)?\))?")


def restore(database: Database, name: str, part: Part) -> RestoreCount:
    """Write the rows of *part* that table *name* lacks; the table is made where it is missing.

    Raises:
        StoreError: If a row of the same key has other content, or SQLite refuses one.
    """
    with database.writing():
        if database.row("SELECT 1 FROM main.sqlite_schema WHERE lower(name) = lower(?)", (name,)) is None:
            database.rows(f"CREATE TABLE main.{quote(name)} ({_definitions(part.columns)})")
        table = load_table(database, name)
        if table.kind != "table":
            raise UnsupportedError(f"{name} is a {table.kind}", hint="Restore into an ordinary table.")
        written = [column for column in part.columns if not table.column(column.name).generated]
        names = [table.column(column.name).name for column in written]
        _stage(database, table, part, names)
        count = _merge(database, table, names)
        database.rows(f"DROP TABLE {_STAGE}")
    return count


def _definitions(columns: Sequence[Column]) -> str:
    """Columns as they were declared; a type that SQLite could not read is left out, which converts nothing."""
    return ", ".join(f"{quote(c.name)} {c.declared if _TYPE.fullmatch(c.declared) else ''}".rstrip() for c in columns)


def _stage(database: Database, table: Table, part: Part, names: Sequence[str]) -> None:
    columns = ", ".join(map(quote, names))
    database.rows(f"CREATE TABLE {_STAGE} AS SELECT {columns} FROM {table.quoted} WHERE FALSE")
    for row in _rows(part, names):
        _insert(database, _STAGE, row)


def _insert(database: Database, table: str, row: Sequence[Any], columns: str = "") -> None:
    marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, Ext) else "?" for value in row)
    values = [value.data if isinstance(value, Ext) else value for value in row]
    database.rows(f"INSERT INTO {table}{columns} VALUES ({marks})", values)


def _rows(part: Part, names: Sequence[str]) -> Iterator[list[Any]]:
    archived = [column.name for column in part.columns]
    lower = {name.lower() for name in names}
    places = [place for place, name in enumerate(archived) if name.lower() in lower]
    for batch in part.batches:
        if isinstance(batch, LineBlock):
            raise UnsupportedError(
                "lines of a text log cannot go into a table", hint="Restore them into a folder of log files."
            )
        for row in rows_of(batch, part.odd_column):
            yield [_storable(row[place]) for place in places]


def _storable(value: object) -> object:
    """What SQLite can hold of a value that another store archived; its own types stay as they are."""
    match value:
        case None | int() | float() | str() | bytes():
            return value
        case Ext(code=code) if code == INVALID_TEXT:
            return value
        case datetime() | date() | time():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
        case Decimal() | timedelta():
            return str(value)
        case list() | dict():
            return json.dumps(value)
        case _:
            raise UnsupportedError(
                f"a value of type {type(value).__name__} cannot be stored in SQLite", hint="Restore into its own store."
            )


def _merge(database: Database, table: Table, names: Sequence[str]) -> RestoreCount:
    keys = [column.name for column in table.columns if column.key]
    if keys and set(keys) <= set(names) and not _has_null(database, keys):
        return _merge_by_key(database, table, names, keys)
    return _merge_by_content(database, table, names)


def _has_null(database: Database, keys: Sequence[str]) -> bool:
    nulls = " OR ".join(f"{quote(key)} IS NULL" for key in keys)
    return database.row(f"SELECT 1 FROM {_STAGE} WHERE {nulls}") is not None


def _merge_by_key(database: Database, table: Table, names: Sequence[str], keys: Sequence[str]) -> RestoreCount:
    matches = " AND ".join(f"t.{quote(key)} = s.{quote(key)}" for key in keys)
    equal = " AND ".join(
        f"typeof(t.{name}) = typeof(s.{name}) AND t.{name} IS s.{name} COLLATE BINARY" for name in map(quote, names)
    )
    other = database.row(
        f"SELECT count(*) FROM {_STAGE} AS s JOIN {table.quoted} AS t ON {matches} WHERE NOT ({equal})"
    )[0]
    if other:
        raise StoreError(
            f"table {table.name} has {other} of these records with other content",
            hint="Nothing was restored. Restore into another table and compare the two.",
        )
    total = database.row(f"SELECT count(*) FROM {_STAGE}")[0]
    columns = ", ".join(map(quote, names))
    restored = database.change(
        f"INSERT INTO {table.quoted} ({columns}) SELECT {columns} FROM {_STAGE} AS s "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table.quoted} AS t WHERE {matches})"
    )
    return RestoreCount(restored=restored, present=total - restored)


def _merge_by_content(database: Database, table: Table, names: Sequence[str]) -> RestoreCount:
    """Without a key equal rows count: as many are written as there are fewer than archived."""
    columns = ", ".join(map(quote, names))
    with database.marking_invalid_text():
        wanted = Counter(map(_encode, database.stream(f"SELECT {columns} FROM {_STAGE}")))
        missing = Counter(wanted)
        for row in database.stream(f"SELECT {columns} FROM {table.quoted}"):
            content = _encode(row)
            if missing.get(content):
                missing[content] -= 1
    for content, count in missing.items():
        row = msgspec.msgpack.decode(content)
        for _ in range(count):
            _insert(database, table.quoted, row, f" ({columns})")
    restored = missing.total()
    return RestoreCount(restored=restored, present=wanted.total() - restored)
