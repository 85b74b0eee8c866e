"""How a time column is written, where the policy leaves it open."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from lapse.instant import Nanos
from lapse.model.policy import TimeFormat
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.numeric_times import NUMERIC, one_format, plausible
from lapse.stores.duckdb.catalog import Table, TableColumn
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.times import is_number


def read_format(
    connection: Connection, table: Table, column: TableColumn, said: TimeFormat, *, latest: Nanos
) -> TimeFormat:
    """The format of a time column: as *said*; of numbers the one unit that makes times of them until *latest*.

    AUTO for numbers means that none of them is a time that could be believed.

    Raises:
        PolicyError: If numbers are times in several units.
    """
    if said is not TimeFormat.AUTO or not is_number(column):
        return said
    name = quote(column.name)
    borders = [plausible(form, latest) for form in NUMERIC]
    counts = ", ".join(f"count(*) FILTER ({name} BETWEEN {first} AND {last})" for first, last in borders)
    (found,) = connection.rows(f"SELECT {counts} FROM {table.sql}")
    return one_format(dict(zip(NUMERIC, map(int, found), strict=True)), column.name) or TimeFormat.AUTO
