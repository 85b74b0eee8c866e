"""What depends on a table's rows: tables that foreign keys tie to them, removed with them, or keeping them.

Children of ``ON DELETE CASCADE`` would vanish with their parents, so they are taken first, in the same transaction,
and archived beside them. Children of ``RESTRICT`` and ``NO ACTION`` keep their parents, unless they go along with them
by another foreign key. Children of ``SET NULL`` lose their reference and stay; the plan counts them.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from lapse.errors import BusyError
from lapse.model.selection import HeldScope
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import compile_match
from lapse.stores.postgresql.belonging import (
    Path,
    Selves,
    above,
    any_of,
    below,
    exists,
    family,
    has_only,
    source,
)
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dialect import PostgresDialect
from lapse.stores.postgresql.encoding import Shape
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.preflight import Action, ForeignKey, circles, graph, members

_DEEPEST = 10
_SAMPLE = 200
_KEEP = (Action.RESTRICT, Action.NO_ACTION)
_LOSE = (Action.SET_NULL, Action.SET_DEFAULT)
MOST_ALONG = 20_000
"""Rows that may go along with those of one slice, unless it has a single row."""


class TooManyError(BusyError):
    """More rows would go along with those of a slice than one transaction should remove; a smaller one is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A table whose rows are removed before those of the table they belong to.

    Attributes:
        path: How it depends, from the table's own child down to this one; every key cascades.
        shape: How its columns travel; its rows are called ``d``.
        selves: Keys of tables on the way to themselves.
    """

    path: Path
    shape: Shape
    selves: Selves

    @property
    def table(self) -> Table:
        """The table."""
        return self.path[-1].child

    def locking(self, leaf: str, where: Fragment) -> Fragment:
        """Locks its rows that belong to the rows of *leaf* that *where* admits, so that none gets a child."""
        return "SELECT count(*) FROM (SELECT 1" + self.belonging(leaf, where) + " FOR UPDATE) AS locked"

    def deleting(self, leaf: str, where: Fragment) -> Fragment:
        """Removes those rows."""
        return "DELETE" + self.belonging(leaf, where)

    def belonging(self, leaf: str, where: Fragment) -> Fragment:
        """``FROM`` and ``WHERE`` of a query for those rows."""
        return f" FROM {source(self.table, 'd')} WHERE " + below(self.path, self.selves, _rows(leaf, where))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependents:
    """Everything that depends on one table.

    Attributes:
        table: The table.
        keys: Every foreign key that points at it or at what goes with it.
        taken: Ways to rows that go along; a table that refers to another one comes before it.
        keeping: Ways to rows that keep what they belong to; the last key of each restricts, or cascades to rows that
            are not to go along.
        losing: Ways to rows that lose their reference; the last key of each sets null or a default.
        own: Foreign keys of the table to itself that cascade, where rows of it go along with others of it.
        selves: The same of tables that go along, by their number.
        refusal: Why nothing may be removed. None if it may.
    """

    table: Table
    keys: tuple[ForeignKey, ...]
    taken: tuple[Dependent, ...]
    keeping: tuple[Path, ...]
    losing: tuple[Path, ...]
    own: tuple[ForeignKey, ...]
    selves: Selves
    refusal: str | None

    def unkept(self, judge: Judge, going: Fragment) -> Fragment:
        """The condition that nothing keeps a row ``r``: no restricting and no held child, in this table or another.

        Arguments:
            judge: What decides, with the holds.
            going: The condition that a row ``r`` of the table itself would go. What belongs to a row within the
                table must go with it, or keeps it.
        """
        kept = [self._keeps(path) for path in self.keeping]
        kept += [held for dependent in self.taken for held in _held(dependent, judge)]
        free = "NOT (" + any_of(kept) + ")"
        if not self.own:
            return free
        return free + " AND " + has_only(self.table, self.own, "(" + going + ") AND (" + free + ")")

    def widened(self, leaf: str, where: Fragment) -> Fragment:
        """The condition that a row ``r`` of *leaf* is one that *where* admits, or belongs to one within the table."""
        return family(self.table, self.own, _rows(leaf, where)) if self.own else where

    def _keeps(self, path: Path) -> Fragment:
        if any(key.child.oid in self.selves for key in path[:-1]):
            return above(path, self.selves, Fragment("TRUE"))
        along = [other.path for other in self.taken if other.table.oid == path[-1].child.oid]
        return Fragment(exists(path, along))

    def counting(self, leaf: str, where: Fragment, most: int) -> Fragment:
        """How many rows of other tables are touched with those of *leaf*; *most* + 1 at most."""
        ways = [*(dependent.path for dependent in self.taken), *self.losing]
        parts = [
            f"SELECT 1 FROM {source(way[-1].child, 'd')} WHERE " + below(way, self.selves, _rows(leaf, where))
            for way in ways
        ]
        return "SELECT count(*) FROM (" + joined(" UNION ALL ", parts) + f" LIMIT {most + 1}) AS along"

    @property
    def locks(self) -> bool:
        """Whether rows must be locked before they are removed: a child that came meanwhile would vanish unseen."""
        return bool(self.taken or self.own) or any(path[-1].action is Action.CASCADE for path in self.keeping)

    @property
    def touched(self) -> bool:
        """Whether rows of other tables are removed or changed with those of this one."""
        return bool(self.taken or self.losing)

    def check_size(self, connection: Connection, leaf: str, where: Fragment, rows: int) -> int:
        """How many rows of other tables are touched with these *rows* of *leaf*.

        Raises:
            TooManyError: If they are more than a transaction should have, and the rows can be had one by one.
        """
        if not self.touched:
            return 0
        along = int(connection.query(self.counting(leaf, where, MOST_ALONG))[0][0])
        if along > MOST_ALONG and rows > 1:
            raise TooManyError(
                f"more than {MOST_ALONG:,} rows depend on {rows:,} rows of {self.table.shown}",
                hint="Nothing was removed. Fewer of them are tried at a time.",
            )
        return along

    def weight(self, connection: Connection, leaf: str, where: Fragment) -> int:
        """How many rows are touched in all for each row that is removed, by a sample of those that *where* admits."""
        if not self.touched:
            return 1
        sample = f"r.ctid = ANY (ARRAY(SELECT r.ctid FROM {leaf} AS r WHERE " + where + f" LIMIT {_SAMPLE}))"
        along = int(connection.query(self.counting(leaf, sample, MOST_ALONG))[0][0])
        return 1 + along // _SAMPLE

    def remarks(self, connection: Connection, judge: Judge) -> tuple[str, ...]:
        """What removing the lapsed rows would do to other tables, and what would stay because of them, with counts."""
        return tuple(remark for remark in self._remarks(connection, judge) if remark is not None)

    def _remarks(self, connection: Connection, judge: Judge) -> Iterator[str | None]:
        going = judge.lapsed(judge.selection.lapsed_codes())
        leaf = escaped(self.table.sql)

        def children(path: Path) -> int:
            where = below(path, self.selves, _rows(leaf, going))
            return int(connection.query(f"SELECT count(*) FROM {source(path[-1].child, 'd')} WHERE " + where)[0][0])

        def staying(condition: Fragment) -> int:
            return int(connection.query("SELECT count(*) " + _rows(leaf, "(" + going + ") AND " + condition))[0][0])

        for dependent in self.taken:
            yield _remark(dependent.path[-1], children(dependent.path), "rows of {} go along with their parents")
        for path in self.losing:
            yield _remark(path[-1], children(path), "rows of {} stay and lose their reference")
        for path in self.keeping:
            text = "lapsed rows stay, since rows of {} refer to them"
            if path[-1].action is Action.CASCADE:
                text = "lapsed rows stay until rows of {} that refer to them have gone by themselves"
            yield _remark(path[-1], staying(self._keeps(path)), text)
        for dependent in self.taken:
            kept = staying("(" + any_of(_held(dependent, judge)) + ")")
            yield _remark(dependent.path[-1], kept, "lapsed rows stay, since rows of {} that belong to them are held")
        if self.own:
            kept = staying("NOT " + has_only(self.table, self.own, going))
            yield _remark(self.own[0], kept, "lapsed rows stay, since rows of {} belong to them that do not lapse")

    def kept_by(self, connection: Connection, judge: Judge, which: Fragment) -> Iterator[str]:
        """What keeps the rows ``r`` that *which* admits, beside what *judge* says about them: a phrase for each."""
        leaf = escaped(self.table.sql)

        def any_row(condition: Fragment | str) -> bool:
            asked = "SELECT EXISTS (SELECT 1 " + _rows(leaf, "(" + which + ") AND " + condition) + ")"
            return bool(connection.query(asked)[0][0])

        for path in self.keeping:
            if any_row(self._keeps(path)):
                yield _keeper(path[-1], "rows of {} refer to it")
        for dependent in self.taken:
            if any_row("(" + any_of(_held(dependent, judge)) + ")"):
                yield _keeper(dependent.path[-1], "held rows of {} belong to it")
        if self.own and any_row("NOT " + has_only(self.table, self.own, judge.lapsed(judge.selection.lapsed_codes()))):
            yield _keeper(self.own[0], "rows of {} belong to it that do not lapse")


def dependents_of(connection: Connection, table: Table, *, apart: Sequence[str] = ()) -> Dependents:
    """What depends on *table*. The tables *apart* have rules of their own: their rows keep what they belong to."""
    keys = graph(connection, table)
    selves: dict[int, tuple[ForeignKey, ...]] = {}
    for key in keys:
        if key.child.oid == key.parent.oid and key.action is Action.CASCADE:
            selves[key.child.oid] = (*selves.get(key.child.oid, ()), key)
    own = selves.pop(table.oid, ())
    alone = {key.child.oid for key in keys if {key.child.shown, f"{key.child.schema}.{key.child.name}"} & {*apart}}
    alone.add(table.oid)
    paths = list(_paths(keys, table, alone))
    taken = [path for path in paths if path[-1].action is Action.CASCADE and path[-1].child.oid not in alone]
    # Places tell the rows of a partitioned table apart by the partition only: there, what belongs to a row keeps it.
    among = () if table.kind == "r" else own
    return Dependents(
        table=table,
        keys=keys,
        taken=tuple(
            Dependent(path=path, shape=Shape(path[-1].child.columns, alias="d"), selves=selves)
            for path in _ordered(taken, keys)
        ),
        keeping=(
            *(path for path in paths if path[-1].action in _KEEP),
            *(path for path in paths if path[-1].action is Action.CASCADE and path not in taken),
            *((key,) for key in among),
        ),
        losing=tuple(path for path in paths if path[-1].action in _LOSE),
        own=own if table.kind == "r" else (),
        selves=selves,
        refusal=next(_refusals(connection, table, keys, paths), None),
    )


def _paths(keys: tuple[ForeignKey, ...], table: Table, alone: Set[int], before: Path = ()) -> Iterator[Path]:
    """Every way down from *table*; nothing goes beyond a key that does not cascade, a table *alone*, or in a circle."""
    for key in keys:
        if key.parent.oid != table.oid or (key.child.oid == table.oid and key.action is Action.CASCADE):
            continue
        path = (*before, key)
        yield path
        visited = {table.oid, *(step.parent.oid for step in before)}
        if key.action is Action.CASCADE and key.child.oid not in visited | alone and len(path) < _DEEPEST:
            yield from _paths(keys, key.child, alone, path)


def _ordered(taken: Sequence[Path], keys: Sequence[ForeignKey]) -> list[Path]:
    """The ways to rows that go along: a table that refers to another one, however, goes before it."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for path in taken:
        sorter.add(path[-1].child.oid)
    for key in keys:
        if key.child.oid != key.parent.oid:
            sorter.add(key.parent.oid, key.child.oid)
    try:
        place = {oid: number for number, oid in enumerate(sorter.static_order())}
    except CycleError:  # some keys do not cascade: the deepest first is then all that is known
        return sorted(taken, key=len, reverse=True)
    return sorted(taken, key=lambda path: (place[path[-1].child.oid], -len(path)))


def _refusals(connection: Connection, table: Table, keys: Sequence[ForeignKey], paths: Sequence[Path]) -> Iterator[str]:
    """Why rows of *table* cannot be removed together with what would vanish with them."""
    cascading = [key for key in keys if key.action is Action.CASCADE]
    for circle in circles(key for key in cascading if key.child.oid != key.parent.oid):
        yield f"foreign keys delete rows in a circle: {' → '.join(circle)}"
    if any(len(path) >= _DEEPEST and path[-1].action is Action.CASCADE for path in paths):
        yield f"foreign keys delete rows over more than {_DEEPEST} tables"
    kin = {int(oid) for (oid,) in connection.rows(_KIN, (table.oid, table.oid))} - {table.oid}
    for key in cascading:
        if key.child.oid in kin:
            yield f"foreign key {key.name} deletes rows of {key.child.shown}, of which {table.shown} is a partition"
    for each in dict.fromkeys((table, *(key.child for key in cascading))):
        yield from _at_partitions(connection, each)


_KIN = (
    "SELECT relid::oid::bigint FROM pg_partition_ancestors(%s::oid) "
    "UNION SELECT relid::oid::bigint FROM pg_partition_tree(%s::oid)"
)


def _at_partitions(connection: Connection, table: Table) -> Iterator[str]:
    """Foreign keys that point at a partition, where others point at the table: rows may vanish unseen with its own."""
    if table.kind != "p":
        return
    partitions = [oid for oid in members(connection, table) if oid != table.oid]
    found = connection.rows(
        "SELECT k.conname, k.conrelid::regclass::text, k.confrelid::regclass::text FROM pg_constraint k "
        "WHERE k.contype = 'f' AND k.confrelid = ANY(%s::oid[]) AND (k.conparentid = 0 OR NOT EXISTS "
        "(SELECT FROM pg_constraint u WHERE u.oid = k.conparentid AND u.confrelid <> k.confrelid)) ORDER BY 1 LIMIT 1",
        (partitions,),
    )
    for name, child, partition in found:
        yield f"foreign key {name} of {child} points at partition {partition} instead of {table.shown}"


def _rows(leaf: str, where: Fragment) -> Fragment:
    return f"FROM {leaf} AS r WHERE " + where


def _held(dependent: Dependent, judge: Judge) -> Iterator[Fragment]:
    """Conditions that a held row of the child belongs to the row ``r``, whatever its time."""
    table = dependent.table
    for hold in judge.selection.holds:
        if _can_tell(hold, table):
            held = compile_match(hold.match, PostgresDialect(table, version=judge.version))
            yield above(dependent.path, dependent.selves, held, alias="r")


def _can_tell(hold: HeldScope, table: Table) -> bool:
    """Whether a hold names columns, and the child has them all."""
    fields = hold.match.fields
    return bool(fields) and all(table.find(field_path(field).column) is not None for field in fields)


def _keeper(key: ForeignKey, text: str) -> str:
    return f"{text.format(key.child.shown)} (foreign key {key.name}, ON DELETE {key.action.value})"


def _remark(key: ForeignKey, rows: int, text: str) -> str | None:
    if not rows:
        return None
    return f"{rows:,} {text.format(key.child.shown)} (foreign key {key.name}, ON DELETE {key.action.value})"
