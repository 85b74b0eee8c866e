"""What the catalogue says of a table: its columns with their types, its key, and why it may not be touched."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapse.errors import StoreMissingError
from lapse.sqlcore.identifiers import nearest, quote
from lapse.stores.duckdb.connection import Connection

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
INTEGERS = (*_SIGNED, *_UNSIGNED, "HUGEINT", "UHUGEINT", "BIGNUM")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type as DuckDB writes it, such as ``DECIMAL(18,3)``.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        schema: Its schema.
        name: Its name.
        columns: In order, generated ones left out.
        key: Columns of its primary key; empty without one.
        refusal: Why nothing may be removed. None if it may.
    """

    schema: str
    name: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]
    refusal: str | None

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def shown(self) -> str:
        """Its name as a policy gives it: with the schema, unless that is ``main``."""
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    @property
    def integer_key(self) -> str | None:
        """The one integer column that is its primary key. None if it has no such key."""
        if len(self.key) != 1:
            return None
        (name,) = self.key
        return name if self.column(name).type in (*_SIGNED, *_UNSIGNED) else None

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


def tables(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of every table of the file, Lapse's own left out."""
    return [
        (str(schema), str(name))
        for schema, name in connection.rows(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary "
            "AND database_name = current_database() AND table_name NOT LIKE 'lapse\\_%' ESCAPE '\\' ORDER BY ALL"
        )
    ]


def find_table(connection: Connection, name: str) -> Table:
    """The table *name*, or ``schema.table``.

    Raises:
        StoreMissingError: If there is no such table or view.
    """
    found = _named(connection, "duckdb_tables()", "table_name", name)
    if found is not None:
        schema, table = found
        return Table(
            schema=schema,
            name=table,
            columns=_columns(connection, schema, table),
            key=_key(connection, schema, table),
            refusal=_refusal(connection, schema, table),
        )
    viewed = _named(connection, "duckdb_views()", "view_name", name)
    if viewed is not None:
        schema, view = viewed
        columns = _columns(connection, schema, view)
        return Table(schema=schema, name=view, columns=columns, key=(), refusal=f"{name} is a view, not a table")
    known = [table for _, table in tables(connection)]
    raise StoreMissingError(f"there is no table {name!r} in the file", hint=nearest(name, known))


def _named(connection: Connection, catalog: str, column: str, name: str) -> tuple[str, str] | None:
    schema, _, table = name.partition(".")
    rows = connection.rows(
        f"SELECT schema_name, {column} FROM {catalog} "
        f"WHERE database_name = current_database() AND NOT internal AND NOT temporary "
        f"AND ((schema_name = 'main' AND encode({column}) = encode(?)) "
        f"OR (encode(schema_name) = encode(?) AND encode({column}) = encode(?))) ORDER BY schema_name = 'main' DESC",
        (name, schema, table),
    )
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def _columns(connection: Connection, schema: str, table: str) -> tuple[TableColumn, ...]:
    rows = connection.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() "
        "AND schema_name = ? AND table_name = ? ORDER BY column_index",
        (schema, table),
    )
    return tuple(TableColumn(str(name), str(kind)) for name, kind in rows)


def _key(connection: Connection, schema: str, table: str) -> tuple[str, ...]:
    rows = connection.rows(
        "SELECT constraint_column_names FROM duckdb_constraints() WHERE database_name = current_database() "
        "AND schema_name = ? AND table_name = ? AND constraint_type = 'PRIMARY KEY'",
        (schema, table),
    )
    return tuple(map(str, rows[0][0])) if rows else ()


def _refusal(connection: Connection, schema: str, table: str) -> str | None:
    children = connection.rows(
        "SELECT DISTINCT table_name FROM duckdb_constraints() WHERE database_name = current_database() "
        "AND schema_name = ? AND referenced_table = ? AND constraint_type = 'FOREIGN KEY' ORDER BY 1",
        (schema, table),
    )
    if children:
        return f"foreign keys of {', '.join(str(child) for (child,) in children)} point at {table}"
    hidden = _reserved(column.name for column in _columns(connection, schema, table))
    return None if hidden is None else f"{table} has a column named {hidden}, which Lapse needs for itself"


def _reserved(names: Iterable[str]) -> str | None:
    return next((name for name in names if name.lower() == "rowid" or name.lower().startswith("lapse_")), None)
