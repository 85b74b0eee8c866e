"""What the catalogue says of a table: columns with their types, row key, indexes, engine and triggers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lapse.errors import StoreMissingError
from lapse.sqlcore import identifiers
from lapse.sqlcore.holdstable import HOLDS_TABLE
from lapse.sqlcore.identifiers import nearest
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.stores.mysql.connection import Connection

LEASE_TABLE = "lapse_leases"
"""Name of the table with the lease of a database; no dataset may use it."""

OWN = (MARKER_TABLE, LEASE_TABLE)
ASIDE = "lapse_aside_"
"""What the names of tables begin with that hold the rows of a partition while it is dropped."""

INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json")
BINARIES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_WALKED = (
    *(*INTEGERS, "binary", "varbinary", "char", "varchar", "decimal", "date", "datetime", "timestamp", "year"),
    *("uuid", "inet4", "inet6"),
)
"""Types of which a key's values can be written and compared again exactly."""
_DIGITS = re.compile(r"\((?P<first>[0-9]+)(,(?P<second>[0-9]+))?\)")


def is_own(name: str) -> bool:
    """Whether a table of that name is Lapse's own."""
    return name in (*OWN, HOLDS_TABLE) or name.startswith(ASIDE)


def quote(name: str) -> str:
    """*name* in a statement: the drivers take a percent sign for a placeholder."""
    return identifiers.quote(name).replace("%", "%%")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type without length, lower case, such as ``varchar``.
        full: Its type as the server writes it, such as ``varchar(20)`` or ``int(10) unsigned``.
        charset: Character set of a text. None for others.
        collation: Its collation. None for others.
        nullable: Whether it may be NULL.
        generated: Whether the server computes it.
    """

    name: str
    type: str
    full: str
    charset: str | None = None
    collation: str | None = None
    nullable: bool = True
    generated: bool = False

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return quote(self.name)

    @property
    def unsigned(self) -> bool:
        """Whether it holds no negative numbers."""
        return " unsigned" in self.full

    @property
    def digits(self) -> tuple[int, int]:
        """Precision and scale of a decimal."""
        found = _DIGITS.search(self.full)
        return (int(found["first"]), int(found["second"] or 0)) if found else (10, 0)

    @property
    def declared(self) -> str:
        """Everything that makes its type, as a definition would say it."""
        return self.full if self.charset is None else f"{self.full} CHARACTER SET {self.charset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index.

    Attributes:
        name: Its name.
        columns: Its columns in order.
        unique: Whether no two rows share them.
        whole: Whether it holds all columns in full, ascending: no prefixes.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger that a delete fires.

    Attributes:
        name: Its name.
        before: Whether it comes before the delete, and so can refuse it.
    """

    name: str
    before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view, or one partition of a table: then its rows are those in the partition.

    Attributes:
        database: Its database.
        name: Its name.
        kind: ``BASE TABLE``, ``VIEW``, ``SYSTEM VERSIONED``, …
        engine: Storage engine. None for a view.
        rows: Rows, as the server estimates.
        size: Bytes of data, as the server estimates.
        columns: In order, invisible ones among them.
        indexes: The primary key first.
        triggers: Those that a delete fires.
        key: Columns that name a row and by which it is walked: the primary key, else a unique one. Empty without.
        automatic: The column that counts up by itself. None without.
        home: Whether it lies in the address's own database.
        reads_json: Whether the server finds every key of a JSON text, whichever way it is written.
        partition: The partition. None for all of the table.
    """

    database: str
    name: str
    kind: str
    engine: str | None
    rows: int
    size: int
    columns: tuple[TableColumn, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[Trigger, ...]
    key: tuple[TableColumn, ...]
    automatic: str | None
    home: bool
    reads_json: bool
    partition: str | None = None

    @property
    def sql(self) -> str:
        """Its name in a statement that reads or removes rows."""
        chosen = "" if self.partition is None else f" PARTITION ({quote(self.partition)})"
        return f"{quote(self.database)}.{quote(self.name)}{chosen}"

    @property
    def place(self) -> tuple[str, str]:
        """Its database and name: no other table has both."""
        return self.database, self.name

    @property
    def shown(self) -> str:
        """Its name as a policy gives it: with the database, unless that is the address's own."""
        return self.name if self.home else f"{self.database}.{self.name}"

    def find(self, name: str) -> TableColumn | None:
        """The column of that name; case does not matter, as in SQL. None if there is none."""
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

    def serving(self, column: TableColumn) -> Index | None:
        """An index that finds rows by a range of *column*. None if there is none."""
        return next((index for index in self.indexes if index.whole and index.columns[0] == column.name), None)


def tables(connection: Connection) -> list[str]:
    """Every table of the database, Lapse's own left out."""
    found = connection.rows(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
        "AND TABLE_TYPE <> 'VIEW' ORDER BY TABLE_NAME"
    )
    return [str(name) for (name,) in found if not is_own(str(name))]


def find_table(connection: Connection, name: str) -> Table:
    """The table *name* of the connection's database, or ``database.table``.

    Raises:
        StoreMissingError: If there is no such table or view.
    """
    database, _, rest = name.partition(".")
    found = connection.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES "
        "WHERE (TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s) OR (TABLE_SCHEMA = %s AND TABLE_NAME = %s) "
        "ORDER BY TABLE_SCHEMA = DATABASE() DESC",
        (name, database, rest),
    )
    if not found:
        known = tables(connection)
        raise StoreMissingError(f"there is no table {name!r} in the database", hint=nearest(name, known))
    return table_of(connection, *map(str, found[0]))


def table_of(connection: Connection, schema: str, table: str) -> Table:
    """A table that is known to be there."""
    ((kind, engine, rows, size, home),) = connection.rows(
        "SELECT TABLE_TYPE, ENGINE, COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH, 0), TABLE_SCHEMA = DATABASE() "
        "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
        (schema, table),
    )
    columns, automatic = _columns(connection, schema, table)
    indexes = _indexes(connection, schema, table)
    return Table(
        database=schema,
        name=table,
        kind=str(kind),
        engine=None if engine is None else str(engine),
        rows=int(rows),
        size=int(size),
        columns=columns,
        indexes=indexes,
        triggers=_triggers(connection, schema, table),
        key=_key(columns, indexes),
        automatic=automatic,
        home=bool(home),
        # MariaDB compares keys as they are written, escapes and all, and takes the first of two equal ones.
        reads_json=not connection.is_mariadb,
    )


def _columns(connection: Connection, schema: str, table: str) -> tuple[tuple[TableColumn, ...], str | None]:
    rows = connection.rows(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, EXTRA, "
        "COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        (schema, table),
    )
    columns = tuple(
        TableColumn(
            name=str(name),
            type=str(kind).lower(),
            full=_text(full),
            charset=None if charset is None else str(charset),
            collation=None if collation is None else str(collation),
            nullable=nullable == "YES",
            generated=bool(_text(expression)),
        )
        for name, kind, full, charset, collation, nullable, _, expression in rows
    )
    automatic = next((str(row[0]) for row in rows if "auto_increment" in str(row[6]).lower()), None)
    return columns, automatic


def _indexes(connection: Connection, schema: str, table: str) -> tuple[Index, ...]:
    rows = connection.rows(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE "
        "FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
        "ORDER BY INDEX_NAME <> 'PRIMARY', NON_UNIQUE, INDEX_NAME, SEQ_IN_INDEX",
        (schema, table),
    )
    names = dict.fromkeys(str(row[0]) for row in rows)
    return tuple(_index(name, [row for row in rows if row[0] == name]) for name in names)


def _index(name: str, rows: list[tuple[object, ...]]) -> Index:
    return Index(
        name=name,
        columns=tuple(str(row[2]) for row in rows),
        unique=not rows[0][1],
        whole=all(row[3] is None and row[4] == "A" and row[5] == "BTREE" and row[2] is not None for row in rows),
    )


def _key(columns: Iterable[TableColumn], indexes: Iterable[Index]) -> tuple[TableColumn, ...]:
    """The columns of the first unique index that names every row and can be walked."""
    known = {column.name: column for column in columns}
    for index in indexes:
        found = tuple(known[name] for name in index.columns if name in known)
        if index.unique and index.whole and all(not c.nullable and c.type in _WALKED for c in found) and found:
            return found
    return ()


def _triggers(connection: Connection, schema: str, table: str) -> tuple[Trigger, ...]:
    rows = connection.rows(
        "SELECT TRIGGER_NAME, ACTION_TIMING FROM information_schema.TRIGGERS "
        "WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s AND EVENT_MANIPULATION = 'DELETE' ORDER BY 1",
        (schema, table),
    )
    return tuple(Trigger(name=str(name), before=timing == "BEFORE") for name, timing in rows)


def _text(value: object) -> str:
    """MySQL 8 gives some columns of its catalogue as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
