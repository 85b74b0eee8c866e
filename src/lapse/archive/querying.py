"""SQL over segments: each dataset is a view, nothing can be written, no other file can be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lapse.archive.catalog import SegmentEntry, one_of_each
from lapse.errors import MissingDriverError


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

    Each dataset is a view of its name; rows of another table that went along with them are in the view
    ``"dataset.table"``. Rows have their own columns; one that has another kind of type in
    another segment is text. Lines have a column ``line`` and one for each top-level JSON key, null where a
    line is no JSON or has another type there.

    Arguments:
        entries: Copies of segments; of several copies of the same segment the first is read.
        sql: One SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN statement.

    Raises:
        MissingDriverError: If DuckDB or pyarrow is not installed.
        UsageError: If DuckDB does not accept the statement, or it does anything but read.
        TargetError: If a segment cannot be read.
        VerificationError: If a segment is damaged.
    """
    try:
        from lapse.archive import sql_session
    except ImportError as error:
        raise MissingDriverError(error.name or "duckdb", extra="duckdb") from error
    statement = sql_session.reading_statement(sql)
    with (
        tempfile.TemporaryDirectory(prefix="lapse-query-") as folder,
        sql_session.connected(Path(folder)) as connection,
    ):
        names = sql_session.make_views(connection, one_of_each(entries), Path(folder))
        sql_session.lock(connection)
        yield QueryResult(*sql_session.ask(connection, statement, names))
