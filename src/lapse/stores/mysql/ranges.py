"""Ranges of row keys: how a table is walked, and what a slice remembers of its piece.

A key's values travel as texts that the server wrote and reads back to the same: numbers and times in decimal,
texts as the hexadecimal of their own character set.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.mysql.catalog import BINARIES, INTEGERS, Table, TableColumn
from lapse.stores.mysql.connection import Connection

Key = tuple[str, ...]
"""The values of the key columns, as text."""

Bound = str | int | None
_HEX = ("char", "varchar", *BINARIES)
_PLAIN = (*INTEGERS, "decimal", "year")


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
    def of(cls, after: Bound, until: Bound) -> KeyRange:
        """Read back what `bounds` wrote."""
        return cls(_unpacked(after), _unpacked(until))


def _packed(key: Key | None) -> Bound:
    return None if key is None else msgspec.json.encode(key).decode()


def _unpacked(bound: Bound) -> Key | None:
    return None if bound is None else msgspec.json.decode(str(bound), type=tuple[str, ...])


class KeyWalk:
    """A table in the order of its key, or of other columns, never from the beginning twice."""

    def __init__(self, connection: Connection, table: Table, columns: tuple[TableColumn, ...] | None = None) -> None:
        self._connection = connection
        self._table = table
        self._columns = table.key if columns is None else columns
        self._values = ", ".join(_written(column) for column in self._columns)
        self._order = ", ".join(column.sql for column in self._columns)
        self._backwards = ", ".join(f"{column.sql} DESC" for column in self._columns)

    def within(self, keys: KeyRange) -> Fragment:
        """The condition that a row lies in *keys*, written so that the key's index serves it."""
        conditions = []
        if keys.after is not None:
            conditions.append(self._beyond(keys.after, ">", ">"))
        if keys.until is not None:
            conditions.append(self._beyond(keys.until, "<", "<="))
        return joined(" AND ", conditions) if conditions else Fragment("TRUE")

    def _beyond(self, key: Key, strict: str, last: str) -> Fragment:
        """``a > x OR a = x AND b > y`` and so on, with the plain bound of the first column before it."""
        columns = self._columns
        ways = []
        for number, column in enumerate(columns):
            operator = last if number == len(columns) - 1 else strict
            equal = [f"{c.sql} = " + _bound(c, value) for c, value in zip(columns[:number], key, strict=False)]
            ways.append(joined(" AND ", [*equal, f"{column.sql} {operator} " + _bound(column, key[number])]))
        if len(ways) == 1:
            return ways[0]
        first = f"{columns[0].sql} {strict}= " + _bound(columns[0], key[0])
        return first + " AND (" + joined(" OR ", ["(" + way + ")" for way in ways]) + ")"

    def last(self, where: Fragment | None = None) -> Key | None:
        """The highest key, of the rows that *where* admits. None if there is no row."""
        condition = Fragment("TRUE") if where is None else where
        return self._one(
            f"SELECT {self._values} FROM {self._table.sql} WHERE " + condition + f" ORDER BY {self._backwards} LIMIT 1"
        )

    def step(self, keys: KeyRange, rows: int, where: Fragment | None = None) -> Key | None:
        """The key of row number *rows* of a range, from 1, of those that *where* admits. None if it has fewer."""
        condition = self.within(keys) if where is None else self.within(keys) + " AND " + where
        return self._one(
            f"SELECT {self._values} FROM {self._table.sql} WHERE "
            + condition
            + f" ORDER BY {self._order} LIMIT 1 OFFSET {rows - 1}"
        )

    def count(self, keys: KeyRange, where: Fragment) -> int:
        """How many rows of a range *where* admits."""
        query = f"SELECT COUNT(*) FROM {self._table.sql} WHERE " + self.within(keys) + " AND " + where
        ((rows,),) = self._connection.query(query)
        return int(rows)

    def _one(self, query: Fragment) -> Key | None:
        found = self._connection.query(query)
        return tuple(map(_text, found[0])) if found else None


def _written(column: TableColumn) -> str:
    """The SQL of a key's value as text."""
    return f"HEX(CAST({column.sql} AS BINARY))" if column.type in _HEX else f"CAST({column.sql} AS CHAR)"


def _bound(column: TableColumn, value: str) -> Fragment:
    """A value of a key column in a comparison, of the column's own type and collation."""
    if column.type in _PLAIN:
        return (
            Fragment("%s", (int(value),))
            if value.lstrip("-").isdecimal()
            else Fragment("CAST(%s AS DECIMAL(65, 30))", (value,))
        )
    if column.type not in _HEX:
        return Fragment("%s", (value,))
    if column.charset is None:
        return Fragment("UNHEX(%s)", (value,))
    return Fragment(f"CONVERT(UNHEX(%s) USING {column.charset}) COLLATE {column.collation}", (value,))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
