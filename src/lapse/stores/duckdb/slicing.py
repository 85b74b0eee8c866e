"""Cutting the work: ranges of the integer key, or of the physical position, each within the budget."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.errors import StoreError
from lapse.model.disposal import Facts
from lapse.model.selection import Destination
from lapse.ports import Budget, Slice
from lapse.sqlcore.fragments import Fragment
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.encoding import size_sql
from lapse.stores.duckdb.judging import Judge


def cut(connection: Connection, judge: Judge, facts: Facts, budget: Budget, where: Fragment) -> Iterator[Slice]:
    """Slices of the rows that *where* admits, destination by destination, in the order of their place.

    One pass for each destination notes the borders; only those are kept in memory. Physical positions move
    when DuckDB vacuums: a row that moved out of its slice is left for the next run, never taken unseen.
    """
    number = 0
    for destination in judge.selection.destinations():
        for first, last in _ranges(connection, judge, destination, budget, where):
            yield Slice(
                name=f"{number:06d}",
                selection=judge.selection,
                destination=destination,
                bounds=(judge.place, first, last),
                facts=facts,
            )
            number += 1


def _ranges(
    connection: Connection, judge: Judge, destination: Destination, budget: Budget, where: Fragment
) -> list[tuple[int, int]]:
    place = "lapse_row" if judge.place == "rowid" else judge.place
    codes = ", ".join(map(str, judge.selection.lapsed_codes(destination)))
    going = (
        f"(SELECT {place} AS place, {size_sql(judge.table.columns)} AS bytes FROM "
        + judge.rows(where)
        + f" WHERE lapse_code IN ({codes}))"
    )
    numbered = (
        f"(SELECT place, (row_number() OVER sorted - 1) // {budget.rows} AS by_rows, "
        f"(sum(bytes) OVER sorted - bytes) // {budget.size} AS by_size FROM "
        + going
        + " WINDOW sorted AS (ORDER BY place ROWS UNBOUNDED PRECEDING))"
    )
    found = connection.query("SELECT min(place), max(place) FROM " + numbered + " GROUP BY by_rows, by_size ORDER BY 1")
    return [(int(first), int(last)) for first, last in found]


def within(piece: Slice, judge: Judge) -> Fragment:
    """The condition for the rows of a slice.

    Raises:
        StoreError: If the slice was cut by another key than the table has now.
    """
    place, first, last = piece.bounds
    if place != judge.place:
        raise StoreError(
            f"table {judge.table.name} has another key than when slice {piece.name} was cut", hint="Run again."
        )
    return Fragment(f"{place} BETWEEN ? AND ?", (first, last))
