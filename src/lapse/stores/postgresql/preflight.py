"""Before a run: which index finds what has lapsed, what the missing ones cost, and which tables refer to the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lapse.sqlcore.fields import field_path
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import Index, Table, table_of
from lapse.stores.postgresql.connection import Connection

_MEGABYTE = 1_000_000
_ENFORCED_SINCE = 18_00_00
"""The first server whose foreign keys may be ``NOT ENFORCED``: those are remarks, nothing acts on them."""


class Action(Enum):
    """What a foreign key does to a row whose parent is removed."""

    NO_ACTION = "NO ACTION"
    RESTRICT = "RESTRICT"
    CASCADE = "CASCADE"
    SET_NULL = "SET NULL"
    SET_DEFAULT = "SET DEFAULT"


_ACTIONS = {
    "a": Action.NO_ACTION,
    "r": Action.RESTRICT,
    "c": Action.CASCADE,
    "n": Action.SET_NULL,
    "d": Action.SET_DEFAULT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key, seen from the table that it points at.

    Attributes:
        name: The constraint's name.
        parent: The table that it points at.
        child: The table that has it; may be the parent itself. A partitioned one stands for all its partitions.
        child_columns: Its columns in the child.
        parent_columns: What they refer to, place for place.
        action: What becomes of the child's rows when their parent is removed.
        deferrable: Whether it may be checked at the commit only.
        indexed: Whether an index of the child finds the rows of a parent.
    """

    name: str
    parent: Table
    child: Table
    child_columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    action: Action
    deferrable: bool
    indexed: bool

    @property
    def index_sql(self) -> str:
        """The statements that would make the index it lacks."""
        return index_sql(self.child, self.child_columns)


def members(connection: Connection, table: Table) -> list[int]:
    """The table's number and those of its partitions, at every level."""
    found = connection.rows(
        "SELECT %s::oid::bigint UNION SELECT relid::oid::bigint FROM pg_partition_tree(%s::oid)", (table.oid, table.oid)
    )
    return sorted(int(oid) for (oid,) in found)


def references(connection: Connection, table: Table) -> tuple[ForeignKey, ...]:
    """Every foreign key that points at *table*, by the child's name and the constraint's.

    What the server adds for partitions of a child is left out: their table stands for them.
    """
    return tuple(_foreign_key(connection, table, row) for row in _constraints(connection, table))


def graph(connection: Connection, table: Table) -> tuple[ForeignKey, ...]:
    """The foreign keys that point at *table*, then those that point at their children, and so on, each once.

    Only children that go with their parents (``CASCADE``) are followed further.
    """
    found: list[ForeignKey] = []
    seen, waiting = {table.oid}, deque([table])
    while waiting:
        for key in references(connection, waiting.popleft()):
            found.append(key)
            if key.action is Action.CASCADE and key.child.oid not in seen:
                seen.add(key.child.oid)
                waiting.append(key.child)
    return tuple(found)


def circles(keys: Iterable[ForeignKey]) -> tuple[tuple[str, ...], ...]:
    """Tables that refer to each other in a circle, each circle once: ``("a", "b", "a")``."""
    following: dict[str, set[str]] = {}
    for key in keys:
        following.setdefault(key.parent.shown, set()).add(key.child.shown)
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for start in sorted(following):
        for circle in _circles_from(start, following):
            found.setdefault(frozenset(circle), circle)
    return tuple(found.values())


def _circles_from(start: str, following: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """The shortest way from *start* back to it, if there is one."""
    seen: set[str] = set()
    waiting: deque[tuple[str, ...]] = deque([(start,)])
    while waiting:
        path = waiting.popleft()
        for child in sorted(following.get(path[-1], ())):
            if child == start:
                yield (*path, child)
                return
            if child not in seen:
                seen.add(child)
                waiting.append((*path, child))


def _constraints(connection: Connection, table: Table) -> list[Sequence[object]]:
    enforced = "AND k.conenforced" if connection.version >= _ENFORCED_SINCE else ""
    return connection.rows(
        "SELECT k.conname, k.conrelid::bigint, k.confdeltype::text, k.condeferrable, "  # noqa: S608 - made here
        "array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place) "
        "JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place), "
        "array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(attnum, place) "
        "JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place), "
        # An index of exactly these columns first, in any order, that leaves out at most rows without a parent.
        "EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam "
        "WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indisready "
        "AND m.amname = ANY(CASE WHEN cardinality(k.conkey) = 1 THEN '{btree,hash}' ELSE '{btree}' END::text[]) "
        "AND i.indnkeyatts >= cardinality(k.conkey) "
        "AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey "
        "AND (i.indpred IS NULL OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid "
        "AND a.attnum = ANY(k.conkey) "
        "AND pg_get_expr(i.indpred, i.indrelid) = format('(%%I IS NOT NULL)', a.attname)))) "
        "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
        f"WHERE k.contype = 'f' AND k.confrelid = %s {enforced} "
        "AND (k.conparentid = 0 OR NOT EXISTS (SELECT FROM pg_constraint u WHERE u.contype = 'f' "
        "AND u.confrelid = k.confrelid AND u.conrelid <> k.conrelid "
        "AND u.conrelid IN (SELECT relid FROM pg_partition_ancestors(k.conrelid)))) "
        "ORDER BY c.relname, k.conname",
        (table.oid,),
    )


def _foreign_key(connection: Connection, table: Table, row: Sequence[object]) -> ForeignKey:
    name, child, action, deferrable, child_columns, parent_columns, indexed = row
    return ForeignKey(
        name=str(name),
        parent=table,
        child=table if child == table.oid else table_of(connection, int(str(child))),
        child_columns=_names(child_columns),
        parent_columns=_names(parent_columns),
        action=_ACTIONS[str(action)],
        deferrable=bool(deferrable),
        indexed=bool(indexed),
    )


def _names(found: object) -> tuple[str, ...]:
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def index_for(table: Table, field: str) -> Index | None:
    """The index that finds the rows whose *field*, a column, is before a cutoff. None if there is none."""
    path = field_path(field)
    return None if path.keys else table.serving(path.column)


def index_notes(connection: Connection, table: Table, field: str) -> Iterator[str]:
    """Which index serves the cutoff on *field*, or how to make one; and what a run reads, with or without it."""
    index, extent = index_for(table, field), _extent(connection, table)
    if index is not None:
        yield (
            f"index {index.name} serves {field}: a run finds lapsed rows by it where they lie scattered; "
            f"where they lie together it reads their part of the table once, of {extent}"
        )
        return
    yield (
        f"no index serves {field}: a run reads the table once, {extent}, or what part of it has lapsed rows; "
        f"to make one: {index_sql(table, (field_path(field).column,))}"
    )


def reference_notes(connection: Connection, keys: Sequence[ForeignKey]) -> Iterator[str]:
    """What the foreign keys of `graph` lack, and circles among them."""
    for key in keys:
        if key.indexed:
            continue
        yield (
            f"foreign key {key.name} of table {key.child.shown} has no index on {', '.join(key.child_columns)}: "
            f"for each row removed from {key.parent.shown} the server reads all of {key.child.shown}, "
            f"{_extent(connection, key.child)}; "
            f"to make one: {key.index_sql}"
        )
    for circle in circles(keys):
        yield f"foreign keys refer to each other in a circle: {' → '.join(circle)}"


def index_sql(table: Table, columns: Iterable[str]) -> str:
    """The statement that makes an index while others write; where partitions forbid that, the one that does not."""
    named = ", ".join(map(quote, columns))
    if table.kind != "p":
        return f"CREATE INDEX CONCURRENTLY ON {table.sql} ({named});"
    return (
        f"CREATE INDEX ON {table.sql} ({named}); which stops writers meanwhile: "
        "with CREATE INDEX CONCURRENTLY on each partition first it is done at once"
    )


def _extent(connection: Connection, table: Table) -> str:
    """``1,234 pages (10.1 MB)``, all partitions together."""
    ((size, page),) = connection.rows(
        "SELECT coalesce(sum(pg_relation_size(u.oid::regclass)), 0)::bigint, current_setting('block_size')::bigint "
        "FROM unnest(%s::oid[]) u(oid)",
        (members(connection, table),),
    )
    pages = -(-size // page)
    return f"{pages:,} {'page' if pages == 1 else 'pages'} ({size / _MEGABYTE:,.1f} MB)"
