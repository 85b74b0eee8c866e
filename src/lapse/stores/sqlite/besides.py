"""Side tables of a connection: in SQLite's own temporary database, which is no part of the file."""

# ruff: noqa: S608 - names are our own

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lapse.errors import StoreError
from lapse.sqlcore.sidetables import Cell, SideTable
from lapse.stores.sqlite.database import Database

_TYPES = {str: "TEXT", int: "INTEGER"}


class SideSession:
    """Where the side tables of a connection are; it may be for reading only."""

    text_collation = " COLLATE BINARY"
    least = "min"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places: dict[str, str | None] = {}

    def place(self, table: SideTable) -> str | None:
        """The name of *table*; made and filled where it is not there yet. None if SQLite has no room for it."""
        if table.name not in self._places:
            self._places[table.name] = self._made(table)
        return self._places[table.name]

    def _made(self, table: SideTable) -> str | None:
        name, columns, keys = f"temp.{table.name}", table.columns, ", ".join(table.keys)
        listed = ", ".join(f"{column} {_TYPES[kind]} NOT NULL" for column, kind in columns.items())
        try:
            with self._database.writing_beside():
                self._database.rows(f"CREATE TABLE {name} ({listed}, PRIMARY KEY ({keys})) WITHOUT ROWID")
                marks = ", ".join("?" * len(columns))
                self._database.change_many(f"INSERT INTO {name} VALUES ({marks})", _storable(table.rows))
        except StoreError:
            return None
        return name


def _storable(rows: Iterable[tuple[Cell, ...]]) -> Iterator[tuple[Cell, ...]]:
    """Those without a text that no text of a database can be."""
    for row in rows:
        if not any(isinstance(cell, str) and any("\ud800" <= char <= "\udfff" for char in cell) for cell in row):
            yield row
