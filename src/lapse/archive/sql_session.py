"""A DuckDB session whose tables are segments, and that can do nothing but read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lapse.archive.catalog import SegmentEntry
from lapse.archive.sql_views import WHICH_COPIES, Source, identifier, text_list
from lapse.archive.tables import Tables
from lapse.errors import UsageError, VerificationError

_MEMORY = "512MB"
_FETCH = 1000
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def reading_statement(sql: str) -> str:
    """*sql*, if it is one statement that only reads.

    Raises:
        UsageError: If it is anything else.
    """
    with _explained(()):
        statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"a query is one statement, here are {len(statements)}")
    if statements[0].type not in _READING:
        raise UsageError(
            f"a query only reads, this is a statement of the kind {statements[0].type.name}",
            hint="SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, SHOW and EXPLAIN are answered.",
        )
    return sql


@contextmanager
def connected(folder: Path) -> Iterator[Any]:
    """A database in memory that spills into *folder* and loads no extension."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": _MEMORY,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    try:
        yield connection
    finally:
        connection.close()


def make_views(connection: Any, entries: Iterable[SegmentEntry], folder: Path) -> tuple[str, ...]:
    """Make a view for each dataset, and for each table whose rows went along; returns their names.

    What DuckDB cannot read in place goes into *folder*.

    Raises:
        UsageError: If two datasets differ in nothing but case.
        TargetError: If a segment cannot be read.
        VerificationError: If a segment is damaged.
    """
    sources: dict[str, Source] = {}
    found = list(entries)
    tables = Tables(found)
    for number, entry in enumerate(found):
        sources.setdefault(tables.view(entry.manifest), Source()).add(entry, folder / f"{number}.parquet")
    files = [file for source in sources.values() for file in source.files()]
    connection.execute(f"SET allowed_paths = {text_list(files)}")
    for name, source in sources.items():
        with _explained(tuple(sources)), _damage(name):
            connection.execute(f"CREATE VIEW {identifier(name)} AS {source.selected()}")
    return tuple(sources)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """What goes wrong with a file while its view is made is the file's fault, and not the statement's."""
    try:
        yield
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise VerificationError(
            f"a segment of {name} cannot be read: {str(error).strip().splitlines()[0]}", hint=WHICH_COPIES
        ) from error


def lock(connection: Any) -> None:
    """From here on the views can read their files and nothing else, and no setting can be changed."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def ask(
    connection: Any, statement: str, names: tuple[str, ...]
) -> tuple[tuple[str, ...], Iterator[tuple[object, ...]]]:
    """Columns and rows of the answer; the rows are computed while they are read.

    Raises:
        UsageError: If DuckDB does not accept the statement; also while the rows are read.
    """
    with _explained(names):
        answer = connection.sql(statement)
        return tuple(answer.columns), _rows(pa.RecordBatchReader.from_stream(answer), names)


def _rows(reader: Any, names: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    with _explained(names):
        for batch in reader:
            for start in range(0, batch.num_rows, _FETCH):
                columns = [_python_values(column) for column in batch.slice(start, _FETCH).columns]
                yield from zip(*columns, strict=True)


def _python_values(column: Any) -> list[object]:
    if pa.types.is_temporal(column.type) and str(column.type).partition("[")[2].startswith("ns"):
        column = column.cast(pa.string())
    values: list[object] = column.to_pylist()
    return values


@contextmanager
def _explained(names: tuple[str, ...]) -> Iterator[None]:
    """Turn DuckDB's errors into usage errors of one line."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        known = ", ".join(map(identifier, names))
        raise UsageError(
            f"query: {str(error).strip().splitlines()[0]}",
            hint=f"Datasets in the archive: {known}." if known else "No segment was found to query.",
        ) from error
