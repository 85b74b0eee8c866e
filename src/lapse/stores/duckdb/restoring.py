"""Putting records back: what is there already is compared, what is missing is written, nothing is overwritten."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re

from lapse.errors import StoreError, StoreMissingError, UnsupportedError
from lapse.model.manifest import Column
from lapse.model.policy import Dataset
from lapse.ports import LineBlock, Part, RestoreCount
from lapse.sqlcore.identifiers import quote
from lapse.stores.duckdb.catalog import Table, TableColumn, find_table
from lapse.stores.duckdb.connection import Connection

_INCOMING = '"lapse_incoming"'
_BATCH = "lapse_batch"
_DECIMAL = re.compile(r"decimal128\(([0-9]+), ([0-9]+)\)")
_TYPES = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT",
    "float": "FLOAT", "double": "DOUBLE", "string": "VARCHAR", "binary": "BLOB",
    "date32[day]": "DATE", "time64[us]": "TIME", "time64[ns]": "TIME_NS",
    "timestamp[ms]": "TIMESTAMP_MS", "timestamp[us]": "TIMESTAMP", "timestamp[ns]": "TIMESTAMP_NS",
}  # fmt: skip


def restore(connection: Connection, dataset: Dataset, part: Part) -> RestoreCount:
    """Write the rows of *part* that are not there, all of them or none; the table is made where it is missing.

    Raises:
        StoreError: If a row of the same primary key but other content is there, or a value does not fit.
    """
    with connection.transaction():
        table = _table(connection, dataset, part)
        _stage(connection, table, part)
        restored, present = _merge(connection, table)
        connection.run(f"DROP TABLE temp.{_INCOMING}")
    return RestoreCount(restored=restored, present=present)


def _table(connection: Connection, dataset: Dataset, part: Part) -> Table:
    name = dataset.table or part.table
    try:
        table = find_table(connection, name)
    except StoreMissingError:
        definitions = [f"{quote(column.name)} {_type(connection, column)}" for column in part.columns]
        connection.run(f"CREATE TABLE main.{quote(name)} ({', '.join(definitions)})")
        table = find_table(connection, name)
    for column in part.columns:
        table.column(column.name)
    return table


def _type(connection: Connection, column: Column) -> str:
    """What holds the column exactly: text becomes its declared type again, where DuckDB knows it."""
    if column.encoding == "text":
        return connection.type_named(column.declared) or "VARCHAR"
    decimal = _DECIMAL.fullmatch(column.arrow)
    if decimal is not None:
        return f"DECIMAL({decimal[1]},{decimal[2]})"
    if column.arrow.startswith("timestamp[us, tz="):
        return "TIMESTAMP WITH TIME ZONE"
    return _TYPES.get(column.arrow, "VARCHAR")


def _stage(connection: Connection, table: Table, part: Part) -> None:
    """Bring the rows into a temporary table of the same columns, text cast back to its type."""
    columns = [table.column(column.name) for column in part.columns]
    names = ", ".join(quote(column.name) for column in table.columns)
    connection.run(f"CREATE TEMP TABLE {_INCOMING} AS SELECT {names} FROM {table.sql} LIMIT 0")
    targets = ", ".join(quote(column.name) for column in columns)
    values = ", ".join(_cast(column) for column in columns)
    insert = f"INSERT INTO temp.{_INCOMING} ({targets}) SELECT {values} FROM {_BATCH}"
    for batch in part.batches:
        if isinstance(batch, LineBlock):
            raise UnsupportedError("lines cannot be restored into a table", hint="Restore them into a file.")
        rows = batch
        if part.odd_column is not None:
            if rows.column(part.odd_column).null_count < rows.num_rows:
                raise UnsupportedError(
                    f"{part.table} has cells that do not fit their column's type, which DuckDB cannot hold",
                    hint="Restore them into SQLite.",
                )
            rows = rows.drop_columns([part.odd_column])
        connection.register(_BATCH, rows)
        connection.run(insert)
        connection.unregister(_BATCH)


def _cast(column: TableColumn) -> str:
    """The value for a column; a NULL cast to a UNION would be a NULL inside its first member."""
    name = quote(column.name)
    return f"CASE WHEN {name} IS NOT NULL THEN CAST({name} AS {column.type}) END"


def _merge(connection: Connection, table: Table) -> tuple[int, int]:
    ((incoming,),) = connection.rows(f"SELECT count(*) FROM temp.{_INCOMING}")
    if table.key:
        _refuse_overwriting(connection, table)
    names = ", ".join(quote(column.name) for column in table.columns)
    missing = _keyless(table) if not table.key else _keyed(table)
    ((restored,),) = connection.rows(f"INSERT INTO {table.sql} ({names}) {missing}")
    return int(restored), int(incoming) - int(restored)


def _same(table: Table, *, only: tuple[str, ...] | None = None) -> str:
    """Whether row ``i`` equals row ``t``: to the byte in texts, and in the text of everything else."""
    chosen = [column for column in table.columns if only is None or column.name in only]
    return " AND ".join(f"{_exact('i', c.name)} IS NOT DISTINCT FROM {_exact('t', c.name)}" for c in chosen)


def _exact(row: str, name: str) -> str:
    return f"encode(CAST({row}.{quote(name)} AS VARCHAR))"


def _refuse_overwriting(connection: Connection, table: Table) -> None:
    key = ", ".join(f"CAST(i.{quote(name)} AS VARCHAR)" for name in table.key)
    found = connection.rows(
        f"SELECT concat_ws(',', {key}) FROM temp.{_INCOMING} AS i JOIN {table.sql} AS t "
        f"ON {_join(table)} WHERE NOT ({_same(table)}) LIMIT 1"
    )
    if found:
        raise StoreError(
            f"{table.name}: the row with key {found[0][0]} is there with other content",
            hint="Nothing was restored. Compare the two, and remove or rename one of them first.",
        )


def _join(table: Table) -> str:
    return " AND ".join(f"i.{quote(name)} = t.{quote(name)}" for name in table.key)


def _keyed(table: Table) -> str:
    names = ", ".join(f"i.{quote(column.name)}" for column in table.columns)
    return f"SELECT {names} FROM temp.{_INCOMING} AS i ANTI JOIN {table.sql} AS t ON {_join(table)}"


def _keyless(table: Table) -> str:
    """Without a key a row is known by its content, and how often it is there counts."""
    names = ", ".join(f"i.{quote(column.name)}" for column in table.columns)
    return (
        f"SELECT {names} FROM (SELECT *, row_number() OVER (PARTITION BY {_content('n', table)}) AS lapse_row "
        f"FROM temp.{_INCOMING} AS n) AS i WHERE lapse_row > "
        f"(SELECT count(*) FROM {table.sql} AS t WHERE {_same(table)})"
    )


def _content(row: str, table: Table) -> str:
    return ", ".join(_exact(row, column.name) for column in table.columns)
