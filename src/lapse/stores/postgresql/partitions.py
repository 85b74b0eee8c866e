"""Which partitions of a table may go whole, and why the others may not. Reads the catalogue only.

A partition may be dropped instead of emptied if it is one of a range of record times that has passed as a whole, if
nothing is tied to it that a drop would take along or pass by, and if this role owns it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from lapse.instant import Nanos
from lapse.model.selection import Destination, Selection
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.partitions import drop_remarks, none_goes
from lapse.stores.postgresql.aside import CONCURRENTLY
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.places import Leaf, Stretch
from lapse.stores.postgresql.preflight import members, references
from lapse.stores.postgresql.slicing import Cell, Lapsed

_UPPER = re.compile(r"^FOR VALUES FROM \(.*\) TO \('(?P<upper>[^']+)'\)$", re.DOTALL)
_DEFAULT = "DEFAULT"
_TIMES = ("timestamp with time zone", "timestamp without time zone", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition that could go whole.

    Attributes:
        leaf: It.
        upper: End of its range in nanoseconds, exclusive: no row of it is later.
        separable: Whether it may be detached first, while others use the table, and be attached again as it was.
    """

    leaf: Leaf
    upper: Nanos
    separable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A partition that is never dropped.

    Attributes:
        leaf: It.
        reason: Why.
    """

    leaf: Leaf
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The partitions of a table.

    Attributes:
        partitions: Those that may go whole, once everything in them has lapsed.
        fixed: The others, if some may.
        obstacle: Why none may. None if some may, or if the table has no partitions.
        default: The DEFAULT partition. None if there is none.
        inseparable: Why no partition may be detached while others use the table. None if some may.
    """

    partitions: tuple[Partition, ...] = ()
    fixed: tuple[Fixed, ...] = ()
    obstacle: str | None = None
    default: str | None = None
    inseparable: str | None = None

    def find(self, leaf: int) -> Partition | None:
        """The partition of that number. None if it may not go whole."""
        return next((partition for partition in self.partitions if partition.leaf.oid == leaf), None)


def inventory(connection: Connection, table: Table, leaves: Iterable[Leaf], time: str) -> Inventory:
    """What may be dropped of *table*, whose rows lie in *leaves* and have their time in the column *time*."""
    if table.kind != "p":
        return Inventory()
    children = {child.oid: child for child in _children(connection, table)}
    default = next((child.sql for child in children.values() if child.bound == _DEFAULT), None)
    obstacle = next(_table_obstacles(connection, table, time), None)
    if obstacle is not None:
        return Inventory(obstacle=obstacle, default=default)
    uppers = _uppers(connection, table.column(time).base, children.values())
    inseparable = _inseparable(connection, table, default)
    separable = frozenset[int]() if inseparable is not None else _separable(connection, table)
    partitions: list[Partition] = []
    fixed: list[Fixed] = []
    for leaf in leaves:
        child, upper = children.get(leaf.oid), uppers.get(leaf.oid)
        reason = "it lies in a partition that is partitioned further" if child is None else child.obstacle
        if reason is None and upper is not None:
            partitions.append(Partition(leaf=leaf, upper=upper, separable=leaf.oid in separable))
        else:
            fixed.append(Fixed(leaf=leaf, reason=reason or "its range has no end"))
    return Inventory(
        partitions=tuple(partitions), fixed=tuple(fixed), default=default, inseparable=inseparable
    )  # fmt: skip


def tied(connection: Connection, table: Table, leaf: Leaf, time: str) -> str | None:
    """Why *leaf*, a partition of *table* a moment ago, may not be dropped now. None if nothing stands against it."""
    of_its_own = (child.obstacle for child in _described(connection, "c.oid = %s", leaf.oid))
    return next(filter(None, chain(_table_obstacles(connection, table, time), of_its_own)), None)


def _inseparable(connection: Connection, table: Table, default: str | None) -> str | None:
    """Why the server detaches no partition of the table while others use it. None if it does."""
    if connection.version < CONCURRENTLY:
        return "the server is older than PostgreSQL 14"
    if default is not None:
        return f"there is a DEFAULT partition, {default}"
    pending = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = %s AND inhdetachpending)"
    return "another partition is being detached" if connection.value(pending, (table.oid,)) else None


def _separable(connection: Connection, table: Table) -> frozenset[int]:
    """The partitions that a detachment and an attachment leave as they were, and for which it locks nothing else.

    A foreign key locks the table that it points at; a trigger that the partition has from its table comes back as the
    table has it; and only a note on what belongs to the table's owner is believed.
    """
    found = connection.rows(
        "SELECT c.oid::bigint FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "JOIN pg_class p ON p.oid = i.inhparent WHERE p.oid = %s AND c.relowner = p.relowner "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = c.oid) "
        "AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_trigger o ON o.oid = t.tgparentid "
        "WHERE t.tgrelid = c.oid AND (t.tgenabled <> 'O' OR o.tgenabled <> 'O'))",
        (table.oid,),
    )
    return frozenset(oid for (oid,) in found)


def _table_obstacles(connection: Connection, table: Table, time: str) -> Iterator[str]:
    """Why no partition of the table may be dropped."""
    if not _by_time(connection, table, time):
        yield f"the table is not partitioned by the range of {time} alone"
        return
    if table.borrowed:
        yield f"{table.borrowed[0].name} is a column of another table, whose rows may change while it is sealed"
    if table.loans:
        yield "what decides about its rows lies in other tables, too"
    keys = references(connection, table)
    if keys:
        yield f"foreign key {keys[0].name} of table {keys[0].child.shown} points at the table"
    trigger = connection.value(
        "SELECT min(tgname) FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled IN ('O', 'A') "
        "AND tgtype & 9 = 9",
        (table.oid,),
    )
    if trigger is not None:
        yield f"trigger {trigger} watches each row that is removed"
    publication = connection.value(
        "SELECT min(p.pubname) FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname "
        "JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid "
        "AND c.relname = t.tablename WHERE p.pubdelete AND (c.oid = ANY(%s::oid[]) "
        "OR c.oid IN (SELECT relid FROM pg_partition_ancestors(%s::oid)))",
        (members(connection, table), table.oid),
    )
    if publication is not None:
        yield f"publication {publication} tells its subscribers of rows that are removed, but of no drop"
    if not connection.value("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s", (table.oid,)):
        yield "this role does not own the table"


def _by_time(connection: Connection, table: Table, time: str) -> bool:
    """Whether the table is partitioned by the range of just its time column, and that is a timestamp or a date."""
    path = field_path(time)
    if path.keys or table.column(path.column).base not in _TIMES:
        return False
    return bool(
        connection.value(
            "SELECT p.partstrat = 'r' AND p.partnatts = 1 AND a.attname = %s FROM pg_partitioned_table p "
            "LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] "
            "WHERE p.partrelid = %s",
            (path.column, table.oid),
        )
    )


@dataclass(frozen=True, slots=True)
class _Child:
    """A partition of the first level, or what was one, with why it may not be dropped. None if it may."""

    oid: int
    sql: str
    bound: str
    obstacle: str | None


def _children(connection: Connection, table: Table) -> tuple[_Child, ...]:
    return _described(connection, "c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s)", table.oid)


def _described(connection: Connection, which: str, oid: int) -> tuple[_Child, ...]:
    found = connection.rows(
        "SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname), "  # noqa: S608 - a condition of ours
        "coalesce(pg_get_expr(c.relpartbound, c.oid), ''), pg_has_role(c.relowner, 'USAGE'), "
        # Before PostgreSQL 15 a trigger that a partition has from its table is called internal.
        "(SELECT min(t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A') "
        "AND t.tgtype & 8 <> 0 AND (NOT t.tgisinternal OR t.tgparentid <> 0)), "
        "(SELECT min(k.conname) FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = c.oid), "
        "(SELECT min(w.ev_class::regclass::text) FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid "
        "WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid "
        "AND w.ev_class <> c.oid) "
        f"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {which}",
        (oid,),
    )
    return tuple(_Child(oid, sql, bound, _obstacle(bound, *why)) for oid, sql, bound, *why in found)


def _obstacle(bound: str, is_owned: bool, trigger: str | None, key: str | None, view: str | None) -> str | None:
    if bound == _DEFAULT:
        return "the DEFAULT partition is never dropped"
    if not is_owned:
        return "this role does not own it"
    if trigger is not None:
        return f"trigger {trigger} watches its removals"
    if key is not None:
        return f"foreign key {key} points at it"
    return None if view is None else f"view {view} depends on it"


def _uppers(connection: Connection, kind: str, children: Iterable[_Child]) -> dict[int, Nanos]:
    """The ends of ranges that have one; of wall clock times a day later than in UTC, whatever their zone."""
    ends = {child.oid: match["upper"] for child in children if (match := _UPPER.match(child.bound))}
    margin = "" if kind == "timestamp with time zone" else " + interval '1 day'"
    found = connection.rows(
        f"SELECT oid::bigint, ceil(extract(epoch FROM u::{kind}{margin}))::bigint "  # noqa: S608 - one of three types
        f"FROM unnest(%s::oid[], %s::text[]) AS t(oid, u) WHERE isfinite(u::{kind})",
        (list(ends), list(ends.values())),
    )
    return {oid: Nanos(seconds * 1_000_000_000) for oid, seconds in found}


def lapsed_whole(
    partitions: Iterable[Partition], cells: Iterable[Cell[Stretch]], destination: Destination
) -> tuple[Partition, ...]:
    """Those of *partitions* in which every row goes to *destination*, and no later row of their range could stay."""
    rows: Counter[int] = Counter()
    going: dict[int, Lapsed] = {}
    for cell in cells:
        leaf, found = cell.range.leaf, cell.going.get(destination)
        rows[leaf] += cell.rows
        if found is not None:
            going[leaf] = going[leaf] + found if leaf in going else found
    return tuple(
        each
        for each in partitions
        if (lapsed := going.get(each.leaf.oid)) and lapsed.rows == rows[each.leaf.oid] and each.upper <= lapsed.cutoff
    )


def partition_remarks(found: Inventory, cells: Sequence[Cell[Stretch]], selection: Selection) -> Iterator[str]:
    """For a plan: which partitions a run would drop, and why others, in which rows have lapsed, are not.

    Arguments:
        found: The partitions.
        cells: The survey of all of them.
        selection: What decides.
    """
    lapsed: Counter[int] = Counter()
    for cell in cells:
        lapsed[cell.range.leaf] += cell.count()
    if not lapsed.total():
        return
    if found.obstacle is not None:
        yield none_goes(found.obstacle)
        return
    whole = [each for goal in selection.destinations() for each in lapsed_whole(found.partitions, cells, goal)]
    going = [each.leaf for each in whole]
    staying: dict[str, list[str]] = defaultdict(list)
    mixed = [("not everything in it has lapsed", each.leaf) for each in found.partitions if each.leaf not in going]
    for reason, leaf in (*mixed, *((fixed.reason, fixed.leaf) for fixed in found.fixed)):
        if lapsed[leaf.oid]:
            staying[reason].append(leaf.sql)
    rows = sum(lapsed[leaf.oid] for leaf in going)
    yield from drop_remarks([leaf.sql for leaf in going], rows=rows, patience="half a second", staying=staying)
    if going and found.default is not None:
        yield f"the DEFAULT partition, {found.default}, is locked for a moment, too, while another one is dropped"
    if going:
        yield _way_out(found, whole)


def _way_out(found: Inventory, going: Sequence[Partition]) -> str:
    """What becomes of partitions whose lock is not to be had."""
    apart = sum(each.separable for each in going)
    if apart == len(going):
        return "if the lock is not to be had, a partition is detached first while others go on (DETACH … CONCURRENTLY)"
    if apart:
        return (
            f"if the lock is not to be had, {apart:,} of the {len(going):,} partitions may be detached first while "
            "others go on (DETACH … CONCURRENTLY)"
        )
    why = found.inseparable or "foreign keys, triggers or owners of their own stand against it"
    return f"if the lock is not to be had, it is tried again later; DETACH … CONCURRENTLY cannot be used: {why}"
