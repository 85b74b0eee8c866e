"""Putting records back: what is there already is compared, what is missing is written, nothing is overwritten.

The rows first go into a temporary table of the same columns and are read back from it: what the server would
make of a value is seen before anything is written where it counts.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from lapse.errors import StoreError, StoreMissingError, UnsupportedError
from lapse.model.manifest import Column
from lapse.model.policy import Dataset
from lapse.ports import LineBlock, Part, RestoreCount, RowBatch
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.catalog import BINARIES, TEXTS, Table, TableColumn, find_table, quote
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.encoding import GEOMETRIES, Shape, out
from lapse.stores.mysql.reading import plain_line, read_plain

_INCOMING = '"lapse_incoming"'
_PLACE = '"lapse_place"'
_ROWS = 500
_SIZE = 1_000_000
# A time that is none, or a number 0 for an AUTO_INCREMENT column, comes back as it was.
_MODE = "ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
_LENIENT = f"{_MODE},ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO"
_DECLARED = re.compile(r"[a-z0-9]+(\([^;]*\))?( unsigned| zerofill)*( CHARACTER SET [a-z0-9_]+)?")
_DECIMAL = re.compile(r"decimal(128|256)\(([0-9]+), ([0-9]+)\)")
_TYPES = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INT", "int64": "BIGINT",
    "uint8": "TINYINT UNSIGNED", "uint16": "SMALLINT UNSIGNED", "uint32": "INT UNSIGNED", "uint64": "BIGINT UNSIGNED",
    "float": "FLOAT", "double": "DOUBLE", "string": "LONGTEXT", "binary": "LONGBLOB", "date32[day]": "DATE",
    "time64[us]": "TIME(6)", "timestamp[us]": "DATETIME(6)", "timestamp[us, tz=UTC]": "DATETIME(6)",
}  # fmt: skip


def restore(connection: Connection, dataset: Dataset, part: Part) -> RestoreCount:
    """Write the rows of *part* that are not there, all of them or none; the table is made where it is missing.

    Raises:
        StoreError: If a row of the same key but other content is there, or a value does not come back the same.
    """
    table = _table(connection, dataset, part)
    columns = tuple(table.column(column.name) for column in part.columns if not table.column(column.name).generated)
    connection.run(f"SET SESSION sql_mode = '{_LENIENT}'")
    try:
        with connection.transaction("the restore"):
            incoming = _stage(connection, table, columns, part)
            restored = _merge(connection, table, columns)
        return RestoreCount(restored=restored, present=incoming - restored)
    finally:
        if connection.is_open:
            connection.run(f"DROP TEMPORARY TABLE IF EXISTS {_INCOMING}")
            connection.run(f"SET SESSION sql_mode = '{_MODE}'")


def _table(connection: Connection, dataset: Dataset, part: Part) -> Table:
    name = dataset.table or part.table
    try:
        table = find_table(connection, name)
    except StoreMissingError:
        if not part.columns:
            raise
        definitions = [f"{quote(column.name)} {_type(column)} NULL" for column in part.columns]
        connection.run(f"CREATE TABLE {quote(name)} ({', '.join(definitions)}) ENGINE=InnoDB")
        table = find_table(connection, name)
    if part.columns and table.kind != "BASE TABLE":
        raise UnsupportedError(f"{name} is a {table.kind.lower()}", hint="Restore into a table.")
    return table


def _type(column: Column) -> str:
    """What holds the column: its declared type, where that is one of this server's."""
    if _DECLARED.fullmatch(column.declared):
        return column.declared
    decimal = _DECIMAL.fullmatch(column.arrow)
    if decimal is not None:
        return f"DECIMAL({decimal[2]},{decimal[3]})"
    return _TYPES.get(column.arrow, "LONGTEXT")


# Staging


def _stage(connection: Connection, table: Table, columns: Sequence[TableColumn], part: Part) -> int:
    """Bring the rows into a temporary table, in order, and see that they came out as they went in."""
    names = ", ".join(column.sql for column in columns)
    connection.run(f"DROP TEMPORARY TABLE IF EXISTS {_INCOMING}")
    connection.run(
        f"CREATE TEMPORARY TABLE {_INCOMING} ({_PLACE} BIGINT NOT NULL PRIMARY KEY) ENGINE=InnoDB "
        f"AS SELECT 0 AS {_PLACE}, {names} FROM {table.sql} LIMIT 0"
    )
    shape, place = Shape(table, columns), 0
    for batch in part.batches:
        if isinstance(batch, LineBlock):
            raise UnsupportedError("lines cannot be restored into a table", hint="Restore them into a file.")
        wanted = _chosen(batch, columns, part, shape)
        _insert(connection, columns, _rows(wanted, shape.odd_column), place)
        _compare(connection, shape, wanted, place, table.name)
        place += batch.num_rows
    return place


def _chosen(batch: RowBatch, columns: Sequence[TableColumn], part: Part, shape: Shape) -> RowBatch:
    """The columns that are written, under the names and types of the table."""
    names = {column.name.lower(): column.name for column in part.columns}
    arrays = [batch.column(names[column.name.lower()]) for column in columns]
    odd = pa.nulls(batch.num_rows, pa.binary()) if part.odd_column is None else batch.column(part.odd_column)
    try:
        return pa.RecordBatch.from_arrays(
            [array.cast(field.type) for array, field in zip([*arrays, odd], shape.schema, strict=True)],
            schema=shape.schema,
        )
    except pa.ArrowException as error:
        raise StoreError(
            f"{part.table}: values do not fit the columns of the table: {str(error)[:200]}",
            hint="Nothing was restored. Restore into a table of the old definition.",
        ) from error


def _rows(batch: RowBatch, odd_column: str) -> Iterator[list[object]]:
    """The rows as values of Python, odd cells back in their places."""
    names = [name for name in batch.schema.names if name != odd_column]
    columns = [_cells(batch.column(name)) for name in names]
    places = {name: place for place, name in enumerate(names)}
    for number, packed in enumerate(batch.column(odd_column).to_pylist()):
        row = [column[number] for column in columns]
        for name, value in (msgspec.msgpack.decode(packed) if packed else {}).items():
            row[places[name]] = value
        yield row


def _cells(column: Any) -> list[object]:
    """Times and decimals as text; a FLOAT as the shortest number that gives it back."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    cells: list[object] = column.to_pylist()
    return cells


def _insert(connection: Connection, columns: Sequence[TableColumn], rows: Iterator[list[object]], place: int) -> None:
    names = ", ".join([_PLACE, *(column.sql for column in columns)])
    marks = "(" + ", ".join(["%s", *map(_mark, columns)]) + ")"
    values: list[object] = []
    count, size = 0, 0
    for row in rows:
        values += [place, *map(_bindable, row)]
        place, count, size = place + 1, count + 1, size + sum(_length(value) for value in row)
        if count == _ROWS or size > _SIZE:
            connection.run(f"INSERT INTO {_INCOMING} ({names}) VALUES {', '.join([marks] * count)}", values)
            values, count, size = [], 0, 0
    if count:
        connection.run(f"INSERT INTO {_INCOMING} ({names}) VALUES {', '.join([marks] * count)}", values)


def _mark(column: TableColumn) -> str:
    if column.type in BINARIES or column.type in GEOMETRIES or column.charset == "binary":
        return "UNHEX(%s)"
    return "%s"


def _bindable(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return repr(value) if isinstance(value, float) else value


def _length(value: object) -> int:
    return len(value) * 2 if isinstance(value, str | bytes) else 8


def _compare(connection: Connection, shape: Shape, wanted: RowBatch, place: int, table: str) -> None:
    """See that the staged rows from *place* on are the wanted ones, to the byte.

    Raises:
        StoreError: If they are not, with the column's name.
    """
    lines = connection.query(
        "SELECT " + plain_line(shape) + f" FROM {_INCOMING} WHERE {_PLACE} BETWEEN %s AND %s ORDER BY {_PLACE}"
        + Fragment("", (place, place + wanted.num_rows - 1))
    )  # fmt: skip
    if not wanted.num_rows:
        return
    found = read_plain([text for (text,) in lines], shape)
    for name, one, other in zip(wanted.schema.names, wanted.columns, found.columns, strict=True):
        if not one.equals(other):
            raise StoreError(
                f"{table}: a value of column {name} would not come back as it was archived",
                hint="Nothing was restored. Restore into a table of the old definition.",
            )


# Merging


def _merge(connection: Connection, table: Table, columns: Sequence[TableColumn]) -> int:
    names = ", ".join(column.sql for column in columns)
    keyed = table.key and all(column in columns for column in table.key)
    if keyed:
        _refuse_overwriting(connection, table, columns)
        missing = f"NOT EXISTS (SELECT 1 FROM {table.sql} AS t WHERE {_join(table)})"
        chosen = ", ".join(f"i.{column.sql}" for column in columns)
        return connection.run(
            f"INSERT INTO {table.sql} ({names}) SELECT {chosen} FROM {_INCOMING} AS i WHERE {missing}"
        )
    return _merge_keyless(connection, table, columns)


def _join(table: Table) -> str:
    return " AND ".join(f"t.{column.sql} = i.{column.sql}" for column in table.key)


def _refuse_overwriting(connection: Connection, table: Table, columns: Sequence[TableColumn]) -> None:
    key = ", ".join(f"i.{column.sql}" for column in table.key)
    found = connection.rows(
        f"SELECT CONCAT_WS(',', {key}) FROM {_INCOMING} AS i JOIN {table.sql} AS t ON {_join(table)} "
        f"WHERE NOT ({_same(columns)}) LIMIT 1"
    )
    if found:
        raise StoreError(
            f"{table.name}: the row with key {found[0][0]} is there with other content",
            hint="Nothing was restored. Compare the two, and remove or rename one of them first.",
        )


def _same(columns: Sequence[TableColumn]) -> str:
    """Whether row ``i`` equals row ``t`` in everything that is archived."""
    return " AND ".join(f"{_exact(column, 'i')} <=> {_exact(column, 't')}" for column in columns)


def _exact(column: TableColumn, row: str) -> str:
    text = out(column, f"{row}.{column.sql}")
    return f"CAST({text} AS BINARY)" if column.type in TEXTS else f"CAST(CONCAT({text}) AS BINARY)"


def _merge_keyless(connection: Connection, table: Table, columns: Sequence[TableColumn]) -> int:
    """Without a key a row is known by its content, and how often it is there counts."""
    names = ", ".join(column.sql for column in columns)
    content = ", ".join(f"CONCAT({_exact(column, 'n')})" for column in columns)
    chosen = ", ".join(f"i.{column.sql}" for column in columns)
    return connection.run(
        f"INSERT INTO {table.sql} ({names}) SELECT {chosen} FROM (SELECT n.*, ROW_NUMBER() OVER "
        f"(PARTITION BY {content}) AS lapse_row FROM {_INCOMING} AS n) AS i "
        f"WHERE lapse_row > (SELECT COUNT(*) FROM {table.sql} AS t WHERE {_same(columns)})"
    )
