"""A telephony database in a SQLite file: what the drop-in asks of PostgreSQL, without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.stores.sqlite import STORE as SQLITE

ZONE = "Europe/Paris"


class TelephonyStore(SQLITE):
    """A SQLite store that says what it has, and lends out transactions."""

    @classmethod
    def describe(cls, address: str, *, tables: Sequence[str], small: Sequence[SmallTable] = ()) -> DatabaseFacts:
        """The declared types of the columns, and the rows of small tables."""
        with closing(sqlite3.connect(_file(address))) as connection:
            columns = {table: _columns(connection, table) for table in tables}
            rows = {table.name: _rows(connection, table) for table in small if _columns(connection, table.name)}
        return DatabaseFacts(time_zone=ZONE, tables={t: c for t, c in columns.items() if c}, rows=rows)

    @classmethod
    @contextmanager
    def transaction(cls, address: str) -> Iterator[sqlite3.Connection]:
        """A connection whose transaction ends with the block."""
        with closing(sqlite3.connect(_file(address))) as connection, connection:
            yield connection


def _file(address: str) -> str:
    return address.removeprefix("sqlite:///")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    found = connection.execute(f"PRAGMA table_info({table})")
    return {name: kind.lower() for _, name, kind, *_ in found}


def _rows(connection: sqlite3.Connection, table: SmallTable) -> tuple[Mapping[str, str | None], ...]:
    names = ", ".join(table.columns)
    found: list[Any] = connection.execute(f"SELECT {names} FROM {table.name}").fetchall()
    return tuple(
        {name: None if value is None else str(value) for name, value in zip(table.columns, row, strict=True)}
        for row in found
    )


STORE = TelephonyStore
