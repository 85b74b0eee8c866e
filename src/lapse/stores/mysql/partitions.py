"""Which partitions of a table may go whole, and why the others may not. Reads the catalogue only.

What is in a partition decides, not its bounds: every row in it has lapsed and goes to the same archives. A partition
of a range must have rows behind it, too, in a later one: where the newest rows are, new ones come.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lapse.model.selection import Destination, Selection
from lapse.sqlcore.partitions import drop_remarks, none_goes
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.slicing import Cell

_RANGES = ("RANGE", "RANGE COLUMNS")
_LISTS = ("LIST", "LIST COLUMNS")
_RIGHTS = ("SELECT", "INSERT", "DELETE", "CREATE", "ALTER", "DROP", "LOCK TABLES")
_GRANT = re.compile(r"^GRANT (?P<rights>.+?) ON (?P<where>\S+) TO ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition.

    Attributes:
        name: Its name.
        ranged: Whether it is one of a range; else it is one of a list.
        is_last: Whether no partition is behind it.
        has_highest: Whether it has the highest number that the table has given out by AUTO_INCREMENT. False where
            that was not asked.
    """

    name: str
    ranged: bool
    is_last: bool
    has_highest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The partitions of a table.

    Attributes:
        partitions: All of them, in order. Empty if none may go whole.
        obstacle: Why none may. None if some may, or if the table has no partitions.
    """

    partitions: tuple[Partition, ...] = ()
    obstacle: str | None = None

    def find(self, name: str) -> Partition | None:
        """The partition of that name. None if it is not there, or if none may go whole."""
        return next((partition for partition in self.partitions if partition.name == name), None)


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    method: str
    has_parts: bool


def inventory(connection: Connection, table: Table, *, numbers: bool = False) -> Inventory:
    """What may go whole of *table*; with *numbers* it is known, too, where the highest number is."""
    named = tuple(_named(connection, table))
    if not named:
        return Inventory()
    obstacle = next(_obstacles(connection, table, named), None)
    if obstacle is not None:
        return Inventory(obstacle=obstacle)
    highest = [_highest(connection, replace(table, partition=each.name)) if numbers else None for each in named]
    most = max((number for number in highest if number is not None), default=None)
    return Inventory(
        partitions=tuple(
            Partition(
                name=each.name,
                ranged=each.method in _RANGES,
                is_last=each is named[-1],
                has_highest=number is not None and number == most,
            )
            for each, number in zip(named, highest, strict=True)
        )
    )


def _named(connection: Connection, table: Table) -> Iterator[_Named]:
    found = connection.rows(
        "SELECT PARTITION_NAME, MAX(PARTITION_METHOD), MAX(SUBPARTITION_NAME IS NOT NULL) "
        "FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
        "AND PARTITION_NAME IS NOT NULL GROUP BY PARTITION_NAME ORDER BY MIN(PARTITION_ORDINAL_POSITION)",
        table.place,
    )
    for name, method, has_parts in found:
        yield _Named(str(name), str(method).upper(), bool(has_parts))


def _highest(connection: Connection, part: Table) -> int | None:
    """The highest number in the column that counts up by itself. None where there is no such column, or no row."""
    if part.automatic is None:
        return None
    ((number,),) = connection.rows(f"SELECT MAX({part.column(part.automatic).sql}) FROM {part.sql}")
    return None if number is None else int(number)


def _obstacles(connection: Connection, table: Table, named: Sequence[_Named]) -> Iterator[str]:
    """Why no partition may go whole."""
    method = named[0].method
    if method not in (*_RANGES, *_LISTS):
        yield f"the table is partitioned by {method.lower()}"
    if named[0].has_parts:
        yield "its partitions are partitioned further"
    if not table.home:
        yield "the table lies in another database than that of `store:`"
    for name, event in connection.rows(
        "SELECT TRIGGER_NAME, EVENT_MANIPULATION FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s "
        "AND EVENT_OBJECT_TABLE = %s AND EVENT_MANIPULATION IN ('DELETE', 'INSERT') ORDER BY 2, 1",
        table.place,
    ):
        # A row that has to be put back is written, which would fire the triggers of an insert.
        yield f"trigger {name} watches each row that is {'removed' if event == 'DELETE' else 'written'}"
    if connection.variable("wsrep_on") == "ON":
        yield "in a Galera cluster no lock stops the writers of the other nodes"
    lacking = _lacking(connection)
    if lacking:
        yield f"this user has no right to {', '.join(lacking)} on the database"


def _lacking(connection: Connection) -> list[str]:
    """What this user may not do on the whole database, as far as its grants say; doubt counts as may not."""
    granted: set[str] = set()
    for (text,) in connection.rows("SHOW GRANTS"):
        match = _GRANT.match(str(text))
        if match is not None and _is_on(connection, match["where"]):
            granted.update(right.strip() for right in match["rights"].split(","))
    return [] if "ALL PRIVILEGES" in granted else [right for right in _RIGHTS if right not in granted]


def _is_on(connection: Connection, where: str) -> bool:
    """Whether a grant on *where*, such as ``*.*``, is one on the whole database."""
    if where == "*.*":
        return True
    if not where.endswith(".*"):
        return False
    pattern = where[: -len(".*")][1:-1]
    return bool(connection.rows("SELECT 1 FROM DUAL WHERE DATABASE() LIKE %s", (pattern,)))


def lapsed_whole(
    found: Inventory, cells: Iterable[Cell], selection: Selection, destination: Destination
) -> frozenset[str]:
    """The names of the partitions that go whole to *destination*.

    Arguments:
        found: The partitions.
        cells: The survey of all of them.
        selection: What decides.
        destination: Where everything in them goes.
    """
    known = tuple(cells)
    codes = selection.lapsed_codes(destination)
    rows, going = _rows(known), _rows(known, codes)
    return frozenset(
        partition.name
        for place, partition in enumerate(found.partitions)
        if rows[partition.name]
        and going[partition.name] == rows[partition.name]
        and _staying(partition, found.partitions[place + 1 :], rows) is None
    )


def larger_than(rows: int, cells: Iterable[Cell]) -> frozenset[str | None]:
    """The names of the partitions that have more rows than that."""
    return frozenset(name for name, count in _rows(cells).items() if count > rows)


def _rows(cells: Iterable[Cell], codes: Collection[int] | None = None) -> Counter[str | None]:
    """Rows by partition; only those with one of *codes*, if there are any."""
    found: Counter[str | None] = Counter()
    for cell in cells:
        found[cell.partition] += cell.rows if codes is None else cell.plain(codes)
    return found


def _staying(partition: Partition, later: Sequence[Partition], rows: Counter[str | None]) -> str | None:
    """Why a partition does not go although everything in it may have lapsed. None if it goes."""
    if partition.ranged and not any(rows[each.name] for each in later):
        return "no later partition has rows, so new ones may still come"
    if partition.has_highest:
        return "it has the highest number of the table, which would be given out again"
    return None


def partition_remarks(found: Inventory, cells: Sequence[Cell], selection: Selection) -> Iterator[str]:
    """For a plan: which partitions a run would drop, and why others, in which rows have lapsed, are not.

    Arguments:
        found: The partitions.
        cells: The survey of all of them.
        selection: What decides.
    """
    rows, lapsed = _rows(cells), _rows(cells, selection.lapsed_codes())
    if not lapsed.total():
        return
    if found.obstacle is not None:
        yield none_goes(found.obstacle)
        return
    going = frozenset[str]().union(
        *(lapsed_whole(found, cells, selection, destination) for destination in selection.destinations())
    )
    dropped = [each.name for each in found.partitions if each.name in going]
    staying: dict[str, list[str]] = defaultdict(list)
    for place, each in enumerate(found.partitions):
        if lapsed[each.name] and each.name not in going:
            reason = _staying(each, found.partitions[place + 1 :], rows)
            mixed = "not everything in it has lapsed, or not for the same archives"
            whole = lapsed[each.name] == rows[each.name] and reason is not None
            staying[reason if whole and reason else mixed].append(each.name)
    count = sum(rows[name] for name in dropped)
    yield from drop_remarks(dropped, rows=count, patience="a second", staying=staying)
