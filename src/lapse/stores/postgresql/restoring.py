"""Putting records back: what is there already is compared, what is missing is written, nothing is overwritten.

Rows are staged in a temporary table: what travelled as it is in the type that holds it, what travelled as text in its
own type, or as that text where the table's type is another. They are equal to a row that is there if all their texts
are, as output functions write them: no equality of a type or a collation comes in. What was written is looked for again
before the commit, so that no trigger, and no column whose type has changed, alters a record unnoticed.

Columns that the table got since then take their defaults, as they would have in rows that had stayed. Columns that the
server computes are not written.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapse.errors import StoreError, StoreMissingError, UnsupportedError
from lapse.model.manifest import Column
from lapse.ports import LineBlock, Part, RestoreCount
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql import csvwriting
from lapse.stores.postgresql.catalog import Table, TableColumn, find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.encoding import GENERATED, arrow_of

_INCOMING = 'pg_temp."lapse_incoming"'
_MISSING = 'pg_temp."lapse_missing"'
_FORMAT_ARGUMENTS = 50
_DECIMAL = re.compile(r"decimal(?:128|256)\(([0-9]+), ([0-9]+)\)")
_TIMESTAMP = re.compile(r"timestamp\[(?:s|ms|us)(, tz=.*)?\]")
_TYPES = {
    "null": "text", "bool": "boolean", "int8": "smallint", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "uint8": "smallint", "uint16": "integer", "uint32": "bigint", "uint64": "numeric(20,0)",
    "float": "real", "double": "double precision", "string": "text", "large_string": "text",
    "binary": "bytea", "large_binary": "bytea", "date32[day]": "date", "time64[us]": "time",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column of the archive, and the table's that takes it."""

    archived: Column
    target: TableColumn

    @property
    def name(self) -> str:
        return quote(self.target.name)

    @property
    def staged(self) -> str:
        """The type it is staged in: of what travelled as text the type's own, which alone is sure to read it."""
        if self.archived.encoding == "native":
            return _staged(self.archived)
        return self.target.type if self.target.type == _declared(self.archived) else "text"

    @property
    def value(self) -> str:
        """What is written, made from row ``i``."""
        return f"CAST(i.{self.name} AS {self.target.type})"


def restore(connection: Connection, table_name: str, part: Part) -> RestoreCount:
    """Write the rows of *part* that are not there, all of them or none; the table is made where it is missing.

    Without a primary key a row is known by its content, and how often it is there counts.

    Raises:
        StoreError: If a row of the same primary key but other content is there, or a value does not fit.
        StoreMissingError: If the table lacks a column.
        UnsupportedError: If these are lines, it is no table, or a type is of another store.
    """
    with connection.transaction():
        table = _table(connection, table_name, part)
        pairs = tuple(_pairs(table, part))
        incoming = _stage(connection, pairs, part)
        restored = _merge(connection, _Rows(table, pairs))
    return RestoreCount(restored=restored, present=incoming - restored)


def _table(connection: Connection, name: str, part: Part) -> Table:
    try:
        table = find_table(connection, name)
    except StoreMissingError:
        table = _create(connection, name, part)
    if table.kind not in "rp":
        raise UnsupportedError(f"{name} is no table", hint="Nothing was restored. Restore into a table.")
    return table


def _create(connection: Connection, name: str, part: Part) -> Table:
    # Each type ends its line, so that one which ends in a comment hides nothing.
    definitions = ",\n".join(f"{quote(column.name)} {_creatable(connection, column)}" for column in part.columns)
    connection.run(f"CREATE TABLE {_place(connection, name)} (\n{definitions}\n)")
    table = find_table(connection, name)
    for column, archived in zip(table.columns, part.columns, strict=True):
        if archived.encoding == "native" and str(arrow_of(column)) != archived.arrow:
            # A word that means another type elsewhere: SQLite's INTEGER has eight bytes.
            change = f"TYPE {_staged(archived)} USING NULL"
            connection.run(f"ALTER TABLE {table.sql} ALTER COLUMN {quote(column.name)} {change}")
    return find_table(connection, name)


def _place(connection: Connection, name: str) -> str:
    schema, _, table = name.partition(".")
    if table and connection.value("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)):
        return f"{quote(schema)}.{quote(table)}"
    return quote(name)


def _declared(column: Column) -> str:
    return column.declared.removesuffix(GENERATED)


def _creatable(connection: Connection, column: Column) -> str:
    declared = _declared(column)
    if _is_type(connection, declared):
        return declared
    if column.encoding == "native":
        return _staged(column)
    raise StoreError(
        f"there is no type {declared} in the database, which column {column.name} needs",
        hint="Nothing was restored. Create the type as it was, or the table as it should be, then restore again.",
    )


def _is_type(connection: Connection, declared: str) -> bool:
    """Whether the server reads all of *declared* as one type that it has."""
    try:
        with connection.attempt():
            return connection.value("SELECT to_regtype(%s) IS NOT NULL", (declared,)) is True
    except StoreError:
        return False


def _staged(column: Column) -> str:
    """The type that holds what the archive holds."""
    decimal = _DECIMAL.fullmatch(column.arrow)
    if decimal is not None:
        return f"numeric({decimal[1]},{decimal[2]})"
    timestamp = _TIMESTAMP.fullmatch(column.arrow)
    if timestamp is not None:
        return "timestamptz" if timestamp[1] else "timestamp"
    try:
        return _TYPES[column.arrow]
    except KeyError:
        raise UnsupportedError(
            f"column {column.name} is {column.arrow}, which PostgreSQL cannot hold exactly",
            hint="Nothing was restored. Restore the records into the kind of store they came from.",
        ) from None


def _pairs(table: Table, part: Part) -> Iterator[_Pair]:
    for archived in part.columns:
        if archived.declared.endswith(GENERATED) and table.find(archived.name) is None:
            continue
        target = table.column(archived.name)
        if not target.generated:
            yield _Pair(archived, target)


def _stage(connection: Connection, pairs: Sequence[_Pair], part: Part) -> int:
    columns = ", ".join(f"{pair.name} {pair.staged}" for pair in pairs)
    connection.run(f"CREATE TEMP TABLE lapse_incoming ({columns}) ON COMMIT DROP")
    staged = connection.copy_in(f"COPY {_INCOMING} FROM STDIN ({csvwriting.OPTIONS})", _chunks(pairs, part))
    connection.run(f"ANALYZE {_INCOMING}")
    return staged


def _chunks(pairs: Sequence[_Pair], part: Part) -> Iterator[bytes]:
    names = [pair.archived.name for pair in pairs]
    for batch in part.batches:
        if isinstance(batch, LineBlock):
            raise UnsupportedError("lines cannot be restored into a table", hint="Restore them into a file.")
        yield csvwriting.csv_of(batch, names, part.odd_column)


def _merge(connection: Connection, rows: _Rows) -> int:
    """Write what is missing; returns how many rows."""
    if rows.keyed:
        _refuse_overwriting(connection, rows)
    restored = connection.run(
        f"CREATE TEMP TABLE lapse_missing ON COMMIT DROP AS SELECT i.* FROM {_INCOMING} AS i WHERE {rows.missing()}"
    )
    names = ", ".join(pair.name for pair in rows.pairs)
    values = ", ".join(pair.value for pair in rows.pairs)
    connection.run(
        f"INSERT INTO {rows.table.sql} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {_MISSING} AS i"
    )
    altered = connection.value(f"SELECT count(*) FROM {_INCOMING} AS i WHERE {rows.lacking()}")
    if altered:
        raise StoreError(
            f"{rows.table.shown}: {altered} rows would not be there as they were archived",
            hint="Nothing was restored. Look for triggers, and for columns whose type has changed since.",
        )
    return restored


def _refuse_overwriting(connection: Connection, rows: _Rows) -> None:
    key = ", ".join(f"i.{quote(name)}::text" for name in rows.table.key)
    found = connection.value(
        f"SELECT concat_ws(',', {key}) FROM {_INCOMING} AS i JOIN {rows.table.sql} AS t "
        f"ON {rows.same_key()} WHERE NOT {rows.same_content()} LIMIT 1"
    )
    if found is not None:
        raise StoreError(
            f"{rows.table.shown}: the row with key {found} is there with other content",
            hint="Nothing was restored. Compare the two, and remove or rename one of them first.",
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Conditions on staged rows ``i`` and the table's rows ``t``."""

    table: Table
    pairs: tuple[_Pair, ...]

    @property
    def keyed(self) -> bool:
        """Whether the archive holds the table's key."""
        return bool(self.table.key) and set(self.table.key) <= {pair.target.name for pair in self.pairs}

    def same_key(self) -> str:
        """Whether ``i`` and ``t`` have the same primary key."""
        values = {pair.target.name: pair for pair in self.pairs}
        return " AND ".join(f"t.{values[name].name} = {values[name].value}" for name in self.table.key)

    def same_content(self) -> str:
        """Whether every column of ``i`` and ``t`` reads the same."""
        return f"{self._content('i')} = {self._content('t')}"

    def missing(self) -> str:
        """Whether ``i`` has to be written."""
        if not self.keyed:
            return f"i.ctid IN ({self._surplus()})"
        return f"NOT EXISTS (SELECT FROM {self.table.sql} AS t WHERE {self.same_key()})"

    def lacking(self) -> str:
        """Whether ``i`` is not there as it is."""
        if not self.keyed:
            return self.missing()
        return f"NOT EXISTS (SELECT FROM {self.table.sql} AS t WHERE {self.same_key()} AND {self.same_content()})"

    def _surplus(self) -> str:
        """Staged rows beyond those of the same content that are there."""
        content = self._content("t")
        return (
            "SELECT n.ctid FROM (SELECT i.ctid, x.c, row_number() OVER (PARTITION BY x.c) AS number "
            f"FROM {_INCOMING} AS i, LATERAL (SELECT {self._content('i')} AS c) AS x) AS n "
            f"LEFT JOIN (SELECT {content} AS c, count(*) AS number FROM {self.table.sql} AS t "
            f"WHERE {content} IN (SELECT {self._content('i')} FROM {_INCOMING} AS i) GROUP BY 1) AS p "
            "ON p.c = n.c WHERE n.number > coalesce(p.number, 0)"
        )

    def _content(self, row: str) -> str:
        """All columns of a row as one text: each as its output function writes it, quoted, or NULL."""
        texts = [_text(pair, row) for pair in self.pairs]
        groups = [texts[start : start + _FORMAT_ARGUMENTS] for start in range(0, len(texts), _FORMAT_ARGUMENTS)]
        parts = [f"format('{' '.join(['%L'] * len(group))}', {', '.join(group)})" for group in groups]
        return f'({" || ".join(parts)}) COLLATE "C"'


def _text(pair: _Pair, row: str) -> str:
    value = f"{row}.{pair.name}"
    return f"{value}::text" if pair.target.base == "xml" else value
