"""SQL over segments through DuckDB: each dataset is a view, nothing can be written, no other file be read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapse.archive.catalog import SegmentEntry, one_of_each
from lapse.errors import MissingDriverError, UsageError
from lapse.segments import PARQUET, read_segment

try:
    import duckdb
    import pyarrow as pa

    from lapse.archive.line_tables import LINE, JsonKeys, write_lines
except ImportError as missing:
    raise MissingDriverError(missing.name or "duckdb", extra="duckdb") from missing

_MEMORY = "512MB"
_FETCH = 1000
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a query.

    Attributes:
        columns: Names of the columns.
        rows: The rows, once, while the query is open. Times with a zone are aware; times with nanoseconds
            are text, as Python's have microseconds only.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]] = field(compare=False)


@contextmanager
def query(entries: Iterable[SegmentEntry], sql: str) -> Iterator[QueryResult]:
    """Answer one reading statement about the records of *entries*.

    Each dataset is a view of its name. Rows have their own columns; lines have a column ``line`` and one for
    each top-level JSON key, null where a line is no JSON or has another type there.

    Arguments:
        entries: Copies of segments; of several copies of the same segment the first is read.
        sql: One SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement.

    Raises:
        UsageError: If DuckDB does not accept the statement, or it does anything but read.
        TargetError: If a segment cannot be read.
        VerificationError: If a segment is damaged.
    """
    statement = _reading_statement(sql)
    with tempfile.TemporaryDirectory(prefix="lapse-query-") as folder, _connected(Path(folder)) as connection:
        names = _make_views(connection, entries, Path(folder))
        _lock(connection)
        with _explained(names):
            answer = connection.sql(statement)
            columns = tuple(answer.columns)
            reader = pa.RecordBatchReader.from_stream(answer)
        yield QueryResult(columns, _rows(reader, names))


def _reading_statement(sql: str) -> str:
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
def _connected(folder: Path) -> Iterator[Any]:
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": _MEMORY,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "TimeZone": "UTC",
        },
    )
    try:
        yield connection
    finally:
        connection.close()


def _lock(connection: Any) -> None:
    """From here on the views can read their files and nothing else, and no setting can be changed."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


@dataclass(slots=True)
class _Source:
    """What the view of one dataset reads.

    Attributes:
        files: Parquet files.
        odd_columns: Columns that are left out: they hold cells in Lapse's own form.
        keys: The JSON keys of lines. None for rows.
    """

    files: list[str] = field(default_factory=list)
    odd_columns: set[str] = field(default_factory=set)
    keys: JsonKeys | None = None


def _make_views(connection: Any, entries: Iterable[SegmentEntry], folder: Path) -> tuple[str, ...]:
    sources: dict[str, _Source] = {}
    for number, entry in enumerate(one_of_each(entries)):
        _add(sources.setdefault(entry.manifest.dataset, _Source()), entry, folder / f"{number}.parquet")
    files = [file for source in sources.values() for file in source.files]
    connection.execute(f"SET allowed_paths = {_list(files)}")
    for name, source in sources.items():
        with _explained(tuple(sources)):
            connection.execute(f"CREATE VIEW {_identifier(name)} AS {_selected(source)}")
    return tuple(sources)


def _add(source: _Source, entry: SegmentEntry, own: Path) -> None:
    """Add a segment to its dataset's view, through the file *own* if it cannot be read where it lies."""
    if entry.manifest.format == PARQUET:
        source.files.append(_local(entry, own))
        if entry.manifest.odd_column is not None:
            source.odd_columns.add(entry.manifest.odd_column)
        return
    source.keys = source.keys or JsonKeys()
    with entry.target.open(entry.path) as file:
        write_lines(read_segment(entry.manifest.format, file), own, source.keys)
    source.files.append(str(own))


def _local(entry: SegmentEntry, own: Path) -> str:
    with entry.target.open(entry.path) as file:
        place = entry.target.location()
        if place is not None:
            return str(place / entry.path)
        with own.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    return str(own)


def _selected(source: _Source) -> str:
    rows = f"read_parquet({_list(source.files)}, union_by_name = true)"
    if source.keys is None:
        hidden = ", ".join(map(_identifier, sorted(source.odd_columns)))
        return f"SELECT * {f'EXCLUDE ({hidden})' if hidden else ''} FROM {rows}"  # noqa: S608, all is quoted
    columns = [_identifier(LINE), *(_extracted(*column) for column in source.keys.columns())]
    return f"SELECT {', '.join(columns)} FROM {rows}"  # noqa: S608, all is quoted


def _extracted(name: str, key: str, kind: str) -> str:
    """One key of a line by JSON pointer (RFC 6901); null where the line is no JSON."""
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    text = f"json_extract_string({_identifier(LINE)}, {_text(pointer)})"
    return f"CASE WHEN json_valid({_identifier(LINE)}) THEN TRY_CAST({text} AS {kind}) END AS {_identifier(name)}"


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
        known = ", ".join(map(_identifier, names))
        raise UsageError(
            f"query: {str(error).strip().splitlines()[0]}",
            hint=f"Datasets in the archive: {known}." if known else "No segment was found to query.",
        ) from error


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
