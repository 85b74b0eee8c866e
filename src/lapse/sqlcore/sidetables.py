"""Small tables of Lapse's own beside a table of records, in which each row is looked up by its texts.

What is different for very many texts stands in such a table and not in the statement: a statement stays short, and a
row costs one look however many there are. A side table is temporary: nobody else sees it, and it ends with the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Protocol

from lapse.sqlcore.fragments import Fragment, joined

Cell = str | int

_AT_ONCE = 1_000
"""Rows whose text is made at a time."""


@dataclass(frozen=True)
class SideTable:
    """What rows are looked up in.

    Attributes:
        keys: Type of each key column by its name: ``str`` for texts, which are compared to the byte, ``int`` for
            integers of 64 bits. No two rows have the same keys.
        values: Names of the other columns; integers of 64 bits.
        rows: Keys and values of each row, in the order of the columns. Nothing in them is NULL.
    """

    keys: Mapping[str, type[str] | type[int]]
    values: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]] = field(repr=False)

    @cached_property
    def name(self) -> str:
        """A name made of all that is in it: an equal table is not made twice in a session."""
        found = sha256(repr((list(self.keys), self.values)).encode())
        for first in range(0, len(self.rows), _AT_ONCE):
            found.update(repr(self.rows[first : first + _AT_ONCE]).encode())
        return f"lapse_{found.hexdigest()[:16]}"

    @property
    def columns(self) -> Mapping[str, type[str] | type[int]]:
        """The type of every column, in order."""
        return {**self.keys, **dict.fromkeys(self.values, int)}


class Session(Protocol):
    """A session of a database that may have side tables.

    Attributes:
        text_collation: What is written behind a text so that it is compared to the byte; may be empty.
        least: The function that gives the least of several numbers.
    """

    @property
    def text_collation(self) -> str: ...

    @property
    def least(self) -> str: ...

    def place(self, table: SideTable) -> str | None:
        """The name that *table* has in statements; it is made and filled where it is not there yet.

        A row whose text no text of the database can be is left out. None if the table cannot be made: then the
        statement has to do without. No transaction may be open, as whatever undoes that would undo the table.
        """
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """A side table that is there.

    Attributes:
        table: What it is.
        name: What it is called in statements.
        text_collation: As `Session.text_collation`.
    """

    table: SideTable
    name: str
    text_collation: str

    def look_up(self, value: str, keys: Sequence[Fragment]) -> Fragment:
        """The value of a column for *keys*, expressions in the order of the key columns. NULL if no row has them."""
        return f"(SELECT s.{value} FROM {self.name} AS s WHERE " + self._same("s", keys) + ")"  # noqa: S608 - ours

    def join(self, alias: str, keys: Sequence[Fragment]) -> Fragment:
        """What joins the table to rows that have *keys*; where it has none of these, its columns are NULL."""
        return f" LEFT JOIN {self.name} AS {alias} ON (" + self._same(alias, keys) + ")"

    def using(self, alias: str, keys: Sequence[Fragment]) -> tuple[Fragment, Fragment]:
        """The same for statements that join only rows that have some: what they use, and on what condition."""
        return Fragment(f" USING {self.name} AS {alias}"), "(" + self._same(alias, keys) + ")"

    def _same(self, alias: str, keys: Sequence[Fragment]) -> Fragment:
        same = [
            f"{alias}.{name} = (" + key + (f"){self.text_collation}" if kind is str else ")")
            for (name, kind), key in zip(self.table.keys.items(), keys, strict=True)
        ]
        return joined(" AND ", same)


def place(session: Session, table: SideTable) -> Placed | None:
    """*table* in *session*. None if it cannot be made there."""
    name = session.place(table)
    return None if name is None else Placed(table, name, session.text_collation)
