"""What the catalogue says of a table: columns with their types, key, indexes, and why it may not be touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lapse.errors import StoreMissingError
from lapse.sqlcore.identifiers import nearest, quote
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.naming import column as column_sql
from lapse.stores.postgresql.naming import escaped

INTEGERS = ("smallint", "integer", "bigint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Where a table has a column from that is not its own: from the row that a foreign key of it leads to.

    Attributes:
        key: The table's own column, which is the foreign key.
        lender: The table that it points at.
        lender_key: The column of that table that it refers to, unique there.
        column: The column that is borrowed, as that table has it.
    """

    key: str
    lender: Table
    lender_key: str
    column: TableColumn

    @property
    def sql(self) -> str:
        """The value for a row ``r``, as it stands in a fragment; NULL where the key leads nowhere."""
        # As foreign keys do it: tables that inherit from the lender are none of its rows, partitions are.
        only = "" if self.lender.kind == "p" else "ONLY "
        tie = f"{column_sql(self.lender_key, 'p')} = {column_sql(self.key)}"
        return f"(SELECT {column_sql(self.column.name, 'p')} FROM {only}{escaped(self.lender.sql)} AS p WHERE {tie})"  # noqa: S608 - names are quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of a table, or one that it borrows.

    Attributes:
        name: Its name.
        type: Its type as ``format_type`` writes it, such as ``character varying(26)``.
        base: The type under its domains, without modifiers, such as ``character varying``; arrays end with ``[]``.
        kind: Kind of `base`: ``b`` base, ``c`` composite, ``e`` enum, ``r`` range, ``m`` multirange.
        generated: Whether the server computes it.
        required: Whether it is ``NOT NULL``.
        collation: Name of a collation that is not deterministic. None otherwise.
        loan: Where it is borrowed from. None for a column of the table's own.
    """

    name: str
    type: str
    base: str
    kind: str = "b"
    generated: bool = False
    required: bool = False
    collation: str | None = None
    loan: Loan | None = None

    @property
    def sql(self) -> str:
        """Its value in a row ``r``, as it stands in a fragment."""
        return column_sql(self.name) if self.loan is None else self.loan.sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that can be used.

    Attributes:
        name: Its name.
        columns: Its plain columns in order, up to the first expression.
        unique: Whether no two rows share them.
        partial: Whether it leaves rows out.
        method: Such as ``btree``.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool
    partial: bool
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, partitioned or not.

    Attributes:
        oid: Its number in the catalogue.
        schema: Its schema.
        name: Its name.
        kind: ``r`` table, ``p`` partitioned table, ``v`` view, ``m`` materialized view, ``f`` foreign table.
        persistence: ``p`` permanent, ``u`` unlogged, ``t`` temporary.
        columns: In order, dropped ones left out.
        key: Columns of its primary key; empty without one.
        indexes: Valid ones.
        visible: Whether the plain name finds it.
        borrowed: Columns of other tables that the policy names by a foreign key, as ``<own column>.<their column>``.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...]
    visible: bool
    borrowed: tuple[TableColumn, ...] = ()

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def shown(self) -> str:
        """Its name as a policy gives it: with the schema, unless the plain name finds it."""
        return self.name if self.visible else f"{self.schema}.{self.name}"

    @property
    def integer_key(self) -> str | None:
        """The one integer column that is its primary key. None if it has no such key."""
        if len(self.key) != 1:
            return None
        (name,) = self.key
        return name if self.column(name).base in INTEGERS else None

    def find(self, name: str) -> TableColumn | None:
        """The column of exactly that name, its own or a borrowed one. None if there is none."""
        return next((column for column in (*self.columns, *self.borrowed) if column.name == name), None)

    @property
    def loans(self) -> tuple[Loan, ...]:
        """Where the borrowed columns come from."""
        return tuple(column.loan for column in self.borrowed if column.loan is not None)

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

    def serving(self, column: str) -> Index | None:
        """An index that finds rows by a range of *column*. None if there is none."""
        return next(
            (i for i in self.indexes if i.method == "btree" and not i.partial and i.columns[:1] == (column,)), None
        )


def find_table(connection: Connection, name: str) -> Table:
    """The table *name* on the search path, or ``schema.table``.

    Raises:
        StoreMissingError: If there is no such table or view.
    """
    found = connection.rows(
        "SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, c.relpersistence, pg_table_is_visible(c.oid) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'pg_toast' "
        "AND (c.relname = %s AND pg_table_is_visible(c.oid) OR n.nspname || '.' || c.relname = %s) "
        "ORDER BY c.relname = %s DESC",
        (name, name, name),
    )
    if not found:
        raise StoreMissingError(f"there is no table {name!r} in the database", hint=nearest(name, _names(connection)))
    oid, schema, table, kind, persistence, visible = found[0]
    return Table(
        oid=oid,
        schema=schema,
        name=table,
        kind=_text(kind),
        persistence=_text(persistence),
        columns=_columns(connection, oid),
        key=_key(connection, oid),
        indexes=_indexes(connection, oid),
        visible=visible,
    )


def table_of(connection: Connection, oid: int) -> Table:
    """The table of that number."""
    schema, name = connection.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        (oid,),
    )[0]
    return find_table(connection, f"{schema}.{name}")


def _names(connection: Connection) -> Iterable[str]:
    found = connection.rows(
        "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') "
        "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname NOT LIKE 'lapse\\_%' LIMIT 500"
    )
    return [str(name) for (name,) in found]


def _columns(connection: Connection, oid: int) -> tuple[TableColumn, ...]:
    found = connection.rows(
        "WITH RECURSIVE bases AS ("
        "  SELECT t.oid AS typed, t.oid, t.typtype, t.typbasetype FROM pg_type t"
        "  WHERE t.oid IN (SELECT atttypid FROM pg_attribute WHERE attrelid = %s)"
        "  UNION ALL SELECT b.typed, t.oid, t.typtype, t.typbasetype FROM bases b"
        "  JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd') "
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(b.oid, NULL), b.typtype, "
        "a.attgenerated <> '', a.attnotnull, CASE WHEN NOT c.collisdeterministic THEN c.collname END "
        "FROM pg_attribute a JOIN bases b ON b.typed = a.atttypid AND b.typtype <> 'd' "
        "LEFT JOIN pg_collation c ON c.oid = a.attcollation "
        "WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        (oid, oid),
    )
    return tuple(
        TableColumn(
            name=name, type=kind, base=base, kind=_text(typtype), generated=generated, required=required,
            collation=collation,
        )
        for name, kind, base, typtype, generated, required, collation in found
    )  # fmt: skip


def _key(connection: Connection, oid: int) -> tuple[str, ...]:
    return next((index.columns for index in _indexes(connection, oid, "i.indisprimary")), ())


def _indexes(connection: Connection, oid: int, which: str = "TRUE") -> tuple[Index, ...]:
    found = connection.rows(
        "SELECT c.relname, i.indisunique, i.indpred IS NOT NULL, m.amname, "  # noqa: S608 - conditions made here
        "array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) "
        "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 "
        "WHERE k.place <= i.indnkeyatts ORDER BY k.place) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
        f"WHERE i.indrelid = %s AND i.indisvalid AND i.indisready AND {which} ORDER BY i.indisprimary DESC, c.relname",
        (oid,),
    )
    return tuple(
        Index(name=name, columns=_plain(columns), unique=unique, partial=partial, method=method)
        for name, unique, partial, method, columns in found
    )


def _plain(columns: Iterable[str | None]) -> tuple[str, ...]:
    plain: list[str] = []
    for name in columns:
        if name is None:
            break
        plain.append(name)
    return tuple(plain)


def _text(value: object) -> str:
    """PostgreSQL's one-byte ``"char"``, which the driver gives as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
