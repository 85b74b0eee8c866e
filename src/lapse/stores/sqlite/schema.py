"""What a table is made of: its kind, columns and key, as SQLite itself tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from lapse.errors import StoreMissingError, UnsupportedError
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.identifiers import nearest, quote
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.stores.sqlite.database import Database

_ROWID_NAMES = ("rowid", "_rowid_", "oid")


class Affinity(Enum):
    """What SQLite makes of a value stored in a column."""

    INTEGER = "integer"
    TEXT = "text"
    BLOB = "blob"
    REAL = "real"
    NUMERIC = "numeric"


def affinity_of(declared: str) -> Affinity:
    """The affinity of a declared type, by the rules of the SQLite documentation, in their order."""
    upper = declared.upper()
    if "INT" in upper:
        return Affinity.INTEGER
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return Affinity.TEXT
    if not upper or "BLOB" in upper:
        return Affinity.BLOB
    if any(word in upper for word in ("REAL", "FLOA", "DOUB")):
        return Affinity.REAL
    return Affinity.NUMERIC


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column that ``SELECT *`` shows.

    Attributes:
        name: As it was declared.
        declared: Declared type; empty if it has none.
        generated: Whether SQLite computes it.
        key: Position in the primary key, from 1. 0 if it is no part of it.
    """

    name: str
    declared: str
    generated: bool
    key: int

    @property
    def affinity(self) -> Affinity:
        """What SQLite makes of its values."""
        return affinity_of(self.declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """What names a row and orders the table.

    Attributes:
        columns: Column names, or one of the names of the rowid.
        integer: Whether it is one integer: the rowid, under whatever name.
        lasting: Whether it stays the same when the file is rebuilt.
    """

    columns: tuple[str, ...]
    integer: bool
    lasting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the main database.

    Attributes:
        name: As it was declared.
        kind: ``table``, ``view``, ``virtual`` or ``shadow``.
        columns: In order, hidden ones left out.
        key: What names a row. None for views and virtual tables, and where every name of the rowid is taken.
        with_rowid: Whether it has a rowid.
    """

    name: str
    kind: str
    columns: tuple[TableColumn, ...]
    key: RowKey | None
    with_rowid: bool

    @property
    def quoted(self) -> str:
        """The name for SQL."""
        return f"main.{quote(self.name)}"

    def find(self, name: str) -> TableColumn | None:
        """The column of that name; ASCII case does not matter, as in SQL."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)

    def column(self, name: str) -> TableColumn:
        """The column of that name.

        Raises:
            StoreMissingError: If there is none.
        """
        found = self.find(name)
        if found is None:
            raise StoreMissingError(
                f"table {self.name} has no column {name!r}", hint=nearest(name, (c.name for c in self.columns))
            )
        return found

    def row_key(self) -> RowKey:
        """The key.

        Raises:
            UnsupportedError: If no row of it can be named.
        """
        if self.key is None:
            raise UnsupportedError(f"{self.kind} {self.name} has no key that names a row", hint=_NO_KEY)
        return self.key

    def naming_key(self) -> RowKey:
        """What names a row for people: the primary key that was declared, else the key.

        Raises:
            UnsupportedError: If no row of it can be named.
        """
        key, primary = self.row_key(), _primary(self.columns)
        return RowKey(columns=primary, integer=False, lasting=True) if primary and not key.lasting else key

    def used(self, fields: tuple[str, ...]) -> tuple[TableColumn, ...]:
        """The columns behind a policy's fields, each once, in table order.

        Raises:
            StoreMissingError: If one is not there.
        """
        names = {self.column(field_path(field).column).name for field in fields}
        return tuple(column for column in self.columns if column.name in names)


_NO_KEY = "Lapse removes rows from ordinary tables only."


def load_table(database: Database, name: str) -> Table:
    """Read the definition of a table.

    Raises:
        StoreMissingError: If there is none of that name.
    """
    known = {row[1]: row for row in database.rows("PRAGMA main.table_list")}
    actual = next((own for own in known if own.lower() == name.lower()), None)
    if actual is None:
        names = [own for own in known if not own.startswith("sqlite_") and own != MARKER_TABLE]
        raise StoreMissingError(f"{database.shown} has no table {name!r}", hint=nearest(name, names))
    _, _, kind, _, without_rowid, _ = known[actual]
    columns = tuple(_columns(database, actual))
    key = _key(database, actual, columns, without_rowid=bool(without_rowid)) if kind == "table" else None
    return Table(name=actual, kind=kind, columns=columns, key=key, with_rowid=not without_rowid)


def tables(database: Database) -> list[Table]:
    """Every ordinary table, SQLite's own and Lapse's left out."""
    names = [row[1] for row in database.rows("PRAGMA main.table_list") if row[2] == "table"]
    own = [name for name in names if not name.startswith("sqlite_") and name != MARKER_TABLE]
    return [load_table(database, name) for name in sorted(own)]


def _columns(database: Database, table: str) -> Iterator[TableColumn]:
    for _, name, declared, _, _, key, hidden in database.rows("SELECT * FROM pragma_table_xinfo(?)", (table,)):
        if hidden != 1:
            # Generated columns carry their clause behind the type in some versions.
            plain = re.sub(r"\s*GENERATED ALWAYS.*", "", declared or "", flags=re.IGNORECASE)
            yield TableColumn(name=name, declared=plain, generated=hidden in (2, 3), key=key)


def _primary(columns: tuple[TableColumn, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in sorted(columns, key=lambda c: c.key) if column.key)


def _key(database: Database, table: str, columns: tuple[TableColumn, ...], *, without_rowid: bool) -> RowKey | None:
    primary = _primary(columns)
    if without_rowid:
        return RowKey(columns=primary, integer=False, lasting=True)
    # An INTEGER PRIMARY KEY is the rowid itself and has no index of its own.
    indexed = database.row("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (table,))
    if len(primary) == 1 and indexed is None:
        return RowKey(columns=primary, integer=True, lasting=True)
    taken = {column.name.lower() for column in columns}
    free = next((name for name in _ROWID_NAMES if name not in taken), None)
    return None if free is None else RowKey(columns=(free,), integer=True, lasting=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A foreign key that points at a table.

    Attributes:
        table: The table that has it.
        on_delete: What SQLite does to its rows, such as ``CASCADE``.
    """

    table: str
    on_delete: str


def dependents(database: Database, table: Table) -> list[Dependent]:
    """Foreign keys that point at *table*, its own included."""
    found = database.rows(
        "SELECT DISTINCT t.name, f.on_delete FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f "
        "WHERE t.schema = 'main' AND t.type = 'table' AND lower(f.\"table\") = lower(?)",
        (table.name,),
    )
    return [Dependent(table=name, on_delete=on_delete) for name, on_delete in found]


def delete_triggers(database: Database, table: Table) -> list[str]:
    """Names of the triggers that run when a row of *table* is removed."""
    found = database.rows(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?)", (table.name,)
    )
    return [name for name, sql in found if re.search(r"\bDELETE\s+ON\b", sql or "", re.IGNORECASE)]
