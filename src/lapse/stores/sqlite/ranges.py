"""Ranges of row keys: how a table is walked, and what a slice remembers of its piece."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from lapse.errors import UnsupportedError
from lapse.sqlcore.fragments import Fragment, joined, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.failures import UndecodableTextError
from lapse.stores.sqlite.schema import Table

Key = tuple[object, ...]
"""Values of the key columns."""

Bound = str | int | None


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Rows from one key to another.

    Attributes:
        after: Key before the first, exclusive. None begins at the first row.
        until: Last key, inclusive. None has no end.
    """

    after: Key | None
    until: Key | None

    def bounds(self) -> tuple[Bound, Bound]:
        """The range as a slice carries it."""
        return _packed(self.after), _packed(self.until)

    @classmethod
    def of(cls, bounds: tuple[Bound, Bound]) -> KeyRange:
        """Read back what `bounds` wrote."""
        return cls(_unpacked(bounds[0]), _unpacked(bounds[1]))


def _packed(key: Key | None) -> Bound:
    if key is None or (len(key) == 1 and isinstance(key[0], int)):
        return None if key is None else key[0]  # type: ignore[return-value]
    return msgspec.msgpack.encode(key).hex()


def _unpacked(bound: Bound) -> Key | None:
    if isinstance(bound, str):
        return msgspec.msgpack.decode(bytes.fromhex(bound), type=tuple)
    return None if bound is None else (bound,)


class KeyWalk:
    """A table in the order of its key, never from the beginning twice."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table.quoted
        self._name = table.name
        names = [f"r.{quote(name)}" for name in table.row_key().columns]
        self.columns = ", ".join(names)
        self.key_list = ", ".join(quote(name) for name in table.row_key().columns)
        self.order = self.columns
        self.backwards = ", ".join(f"{name} DESC" for name in names)
        self._row = names[0] if len(names) == 1 else f"({self.columns})"

    def within(self, keys: KeyRange) -> Fragment:
        """The condition that a row ``r`` lies in *keys*."""
        conditions = [
            f"{self._row} {operator} " + self._values(key)
            for operator, key in ((">", keys.after), ("<=", keys.until))
            if key is not None
        ]
        return joined(" AND ", conditions) if conditions else Fragment("TRUE")

    def _values(self, key: Key) -> Fragment:
        bound = placeholders(key)
        return bound if len(key) == 1 else "(" + bound + ")"

    def last(self) -> Key | None:
        """The highest key. None if there is no row."""
        return self._one(f"SELECT {self.columns} FROM {self._table} AS r ORDER BY {self.backwards} LIMIT 1", ())

    def step(self, keys: KeyRange, rows: int) -> Key | None:
        """The key of row number *rows* of a range, from 1. None if it has fewer."""
        where = self.within(keys)
        return self._one(
            f"SELECT {self.columns} FROM {self._table} AS r WHERE {where.sql} "
            f"ORDER BY {self.order} LIMIT 1 OFFSET {rows - 1}",
            where.values,
        )

    def count(self, keys: KeyRange) -> int:
        """How many rows a range has."""
        where = self.within(keys)
        sql = f"SELECT count(*) FROM {self._table} AS r WHERE {where.sql}"
        return int(self._database.row(sql, where.values)[0])

    def _one(self, sql: str, values: tuple[object, ...]) -> Key | None:
        try:
            found = self._database.row(sql, values)
        except UndecodableTextError as error:
            raise UnsupportedError(
                f"a key of table {self._name} holds text that is no UTF-8",
                hint="Lapse cannot page through such a table. Repair the key first.",
            ) from error
        return None if found is None else tuple(found)
