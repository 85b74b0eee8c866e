"""Slices by the index of the time column, where the rows that lapsed lie scattered over the key.

InnoDB keeps a table in the order of its key, so slices by key are the cheapest, if what lapsed lies together there.
If it does not, and an index begins with the time, then that index leads to the lapsed rows alone. Its entries are
counted with the survey, without touching a row.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lapse.instant import Nanos, to_datetime
from lapse.model.plan import Tally
from lapse.model.policy import TimeFormat
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.catalog import INTEGERS, Index, Table, TableColumn
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.ranges import KeyRange, KeyWalk
from lapse.stores.mysql.slicing import Cell, Lapsed

WORTH = 1.2
"""Rows read for each row removed, from which on slices go by the time."""

_CELL = 500
_CELLS = 20_000
_WALKED = ("datetime", "timestamp", "date", *INTEGERS)
_MARGIN = timedelta(days=2)
"""Wall clocks of all zones are within it."""


@dataclass(frozen=True, slots=True)
class Border:
    """A stretch of the index.

    Attributes:
        keys: From where to where, by time and key.
        rows: Its entries.
    """

    keys: KeyRange
    rows: int


def time_key(table: Table, column: TableColumn) -> tuple[TableColumn, ...]:
    """The time with the key behind it, as InnoDB orders the entries of an index on the time."""
    return (column, *(each for each in table.key if each != column))


def serving(table: Table, column: TableColumn) -> Index | None:
    """The index to go by. None if there is none, or none that orders rows as their times do."""
    if column.type not in _WALKED or table.key[0] == column:
        return None
    found = table.serving(column)
    # Behind further columns of its own the index does not have the key in order.
    return found if found is not None and len(found.columns) == 1 else None


def is_scattered(cells: Iterable[Cell]) -> bool:
    """Whether slices by key would read many more rows than they remove."""
    read = removed = 0
    for cell in cells:
        gone = sum(lapsed.rows for lapsed in cell.lapsed.values())
        removed += gone
        read += cell.rows if gone else 0
    return read > WORTH * removed


def borders(
    connection: Connection, table: Table, column: TableColumn, time_format: TimeFormat, lapsed: Sequence[Tally]
) -> list[Border]:
    """Stretches of the index that hold every row of the *lapsed* tallies.

    Empty if the server would not use the index.
    """
    newest = max((tally.newest for tally in lapsed if tally.newest is not None), default=None)
    index = serving(table, column)
    if newest is None or index is None:
        return []
    walk = KeyWalk(connection, table, time_key(table, column))
    last = walk.last(Fragment(f"{column.sql} <= %s", (_native(column, time_format, newest),)))
    if last is None:
        return []
    size = max(_CELL, sum(tally.records for tally in lapsed) // _CELLS)
    found: list[Border] = []
    keys = KeyRange(None, last)
    while (until := walk.step(keys, size)) is not None and until != last:
        found.append(Border(KeyRange(keys.after, until), size))
        keys = KeyRange(until, last)
    found.append(Border(keys, size))
    return found if _is_used(connection, table, walk, found[len(found) // 2].keys, index) else []


def cells(found: Iterable[Border], codes: Collection[int], row_size: int) -> list[Cell]:
    """The stretches as if every row in them had lapsed: at most so many can go."""
    return [
        Cell(
            keys=each.keys,
            rows=each.rows,
            lapsed={next(iter(codes)): Lapsed(rows=each.rows, size=each.rows * row_size)},
        )
        for each in found
    ]


def _native(column: TableColumn, time_format: TimeFormat, newest: Nanos) -> object:
    """A value of the column that no lapsed row is beyond."""
    if column.type in INTEGERS:
        return (newest - time_format.epoch) // (time_format.unit or 1) + 1
    moment = to_datetime(newest)
    latest = datetime.max.replace(tzinfo=UTC) - _MARGIN
    return (min(moment, latest) + _MARGIN).strftime("%Y-%m-%d %H:%M:%S.%f")


def _is_used(connection: Connection, table: Table, walk: KeyWalk, keys: KeyRange, index: Index) -> bool:
    """Whether the server would find a stretch by the index; a delete takes no hint.

    It is asked about reading whole rows, as a reader may not even ask about a delete.
    """
    rows = connection.named_rows(f"EXPLAIN SELECT * FROM {table.sql} WHERE " + walk.within(keys))
    return any(row.get("key") == index.name for row in rows)
