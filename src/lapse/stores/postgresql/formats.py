"""How a time column is written, where the policy leaves it open."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from lapse.instant import Nanos
from lapse.model.policy import TimeFormat
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.numeric_times import NUMERIC, one_format, plausible
from lapse.stores.postgresql.catalog import Table, TableColumn
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.timecolumns import is_number

_PAGES = 4000  # of a larger table a sample of about so many is read


def read_format(
    connection: Connection, table: Table, column: TableColumn, time_format: TimeFormat, latest: Nanos
) -> TimeFormat:
    """The format of a time column: as said; of numbers the one unit that makes times of them until *latest*.

    A large table is looked at in samples: a number in another unit than the one found is then a doubtful time,
    never an old one. AUTO for numbers means that none of them is a time that could be believed.

    Raises:
        PolicyError: If numbers are times in several units.
    """
    if time_format is not TimeFormat.AUTO or not is_number(column):
        return time_format
    share = _share(connection, table)
    if share is not None:
        sampled = _counted(connection, f"{table.sql} TABLESAMPLE SYSTEM ({share:.9f}) REPEATABLE (1)", column, latest)
        found = one_format(sampled, column.name)
        if found is not None:
            return found
    return one_format(_counted(connection, table.sql, column, latest), column.name) or TimeFormat.AUTO


def _share(connection: Connection, table: Table) -> float | None:
    """How much of the table makes a sample, percent. None if all of it is read."""
    if table.kind not in ("r", "p"):
        return None
    size = connection.value("SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(%s::oid)", (table.oid,))
    if size is None:
        size = connection.value("SELECT pg_relation_size(%s::oid)", (table.oid,))
    pages = int(size) // 8192
    return 100 * _PAGES / pages if pages > 2 * _PAGES else None


def _counted(connection: Connection, source: str, column: TableColumn, latest: Nanos) -> dict[TimeFormat, int]:
    """How many of the numbers are times, by format."""
    name = quote(column.name)
    borders = [plausible(form, latest) for form in NUMERIC]
    counts = ", ".join(f"count(*) FILTER (WHERE {name} BETWEEN {first} AND {last})" for first, last in borders)
    (found,) = connection.rows(f"SELECT {counts} FROM {source}")
    return dict(zip(NUMERIC, found, strict=True))
