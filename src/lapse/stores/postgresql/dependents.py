"""What depends on a table's rows: tables that foreign keys tie to them, removed with them, or keeping them.

Children of ``ON DELETE CASCADE`` would vanish with their parents, so they are taken first, in the same transaction,
and archived beside them. Children of ``RESTRICT`` and ``NO ACTION`` keep their parents. Children of ``SET NULL`` lose
their reference and stay; the plan counts them.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from lapse.model.selection import HeldScope
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import compile_match
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dialect import PostgresDialect
from lapse.stores.postgresql.encoding import Shape
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import column, escaped
from lapse.stores.postgresql.preflight import Action, ForeignKey, circles, graph

_DEEPEST = 10
Path = tuple[ForeignKey, ...]
"""Foreign keys from a table's child down to a deeper one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A table whose rows are removed before those of the table they belong to.

    Attributes:
        path: How it depends, from the table's own child down to this one; every key cascades.
        shape: How its columns travel; its rows are called ``d``.
    """

    path: Path
    shape: Shape

    @property
    def table(self) -> Table:
        """The table."""
        return self.path[-1].child

    def locking(self, leaf: str, where: Fragment) -> Fragment:
        """Locks its rows that belong to the rows of *leaf* that *where* admits, so that none gets a child."""
        rows = f"SELECT 1 FROM {escaped(self.table.sql)} AS d WHERE " + _below(self.path, leaf, where)
        return "SELECT count(*) FROM (" + rows + " FOR UPDATE) AS locked"

    def deleting(self, leaf: str, where: Fragment) -> Fragment:
        """Removes those rows."""
        return f"DELETE FROM {escaped(self.table.sql)} AS d WHERE " + _below(self.path, leaf, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependents:
    """Everything that depends on one table.

    Attributes:
        table: The table.
        keys: Every foreign key that points at it or at what goes with it.
        taken: Tables whose rows go along, the deepest first.
        keeping: Ways to rows that keep what they belong to; the last key of each restricts.
        losing: Ways to rows that lose their reference; the last key of each sets null or a default.
        refusal: Why nothing may be removed. None if it may.
    """

    table: Table
    keys: tuple[ForeignKey, ...]
    taken: tuple[Dependent, ...]
    keeping: tuple[Path, ...]
    losing: tuple[Path, ...]
    refusal: str | None

    def unkept(self, judge: Judge) -> Fragment:
        """The condition that nothing in another table keeps a row ``r``: no restricting and no held child."""
        kept = [_exists(path) for path in self.keeping]
        for dependent in self.taken:
            kept += [_held(dependent, hold) for hold in judge.selection.holds if _can_tell(hold, dependent.table)]
        return "NOT (" + joined(" OR ", kept) + ")" if kept else Fragment("TRUE")

    def remarks(self, connection: Connection, judge: Judge) -> tuple[str, ...]:
        """What removing the lapsed rows would do to other tables, with counts."""
        going = judge.lapsed(judge.selection.lapsed_codes())
        found = [
            (path, int(connection.query(_counting(path, self.table, going))[0][0]))
            for path in (*(dependent.path for dependent in self.taken), *self.keeping, *self.losing)
        ]
        return tuple(_remark(path, rows) for path, rows in found if rows)


def dependents_of(connection: Connection, table: Table) -> Dependents:
    """What depends on *table*."""
    keys = graph(connection, table)
    paths = list(_paths(keys, table))
    taken = sorted((path for path in paths if path[-1].action is Action.CASCADE), key=len, reverse=True)
    round_trip = circles(key for key in keys if key.action is Action.CASCADE)
    return Dependents(
        table=table,
        keys=keys,
        taken=tuple(Dependent(path=path, shape=Shape(path[-1].child.columns, alias="d")) for path in taken),
        keeping=tuple(path for path in paths if path[-1].action in (Action.RESTRICT, Action.NO_ACTION)),
        losing=tuple(path for path in paths if path[-1].action in (Action.SET_NULL, Action.SET_DEFAULT)),
        refusal=f"foreign keys delete rows in a circle: {' → '.join(round_trip[0])}" if round_trip else None,
    )


def _paths(keys: tuple[ForeignKey, ...], table: Table, before: Path = ()) -> Iterator[Path]:
    """Every way down from *table*; nothing goes beyond a key that does not cascade, or round a circle."""
    for key in keys:
        if key.parent.oid != table.oid:
            continue
        path = (*before, key)
        yield path
        visited = {table.oid, *(step.parent.oid for step in before)}
        if key.action is Action.CASCADE and key.child.oid not in visited and len(path) < _DEEPEST:
            yield from _paths(keys, key.child, path)


def _below(path: Path, leaf: str, where: Fragment) -> Fragment:
    """The condition that a row ``d`` of the last child belongs to one of the rows ``r``."""
    inner = f"SELECT {_list(path[0].parent_columns, 'r')} FROM {leaf} AS r WHERE " + where
    for key, deeper in pairwise(path):
        inner = (
            f"SELECT {_list(deeper.parent_columns, 'd')} FROM {escaped(key.child.sql)} AS d "
            f"WHERE ({_list(key.child_columns, 'd')}) IN (" + inner + ")"
        )
    return f"({_list(path[-1].child_columns, 'd')}) IN (" + inner + ")"


def _exists(path: Path) -> Fragment:
    """The condition that a row of the last child belongs to the row ``r``."""
    tables = ", ".join(f"{escaped(key.child.sql)} AS d{number}" for number, key in enumerate(path))
    ties = [_tie(key, f"d{number}", "r" if number == 0 else f"d{number - 1}") for number, key in enumerate(path)]
    return Fragment(f"EXISTS (SELECT FROM {tables} WHERE {' AND '.join(ties)})")


def _tie(key: ForeignKey, child: str, parent: str) -> str:
    pairs = zip(key.child_columns, key.parent_columns, strict=True)
    return " AND ".join(f"{column(mine, child)} = {column(theirs, parent)}" for mine, theirs in pairs)


def _can_tell(hold: HeldScope, table: Table) -> bool:
    """Whether a hold names columns, and the child has them all."""
    fields = hold.match.fields
    return bool(fields) and all(table.find(field_path(field).column) is not None for field in fields)


def _held(dependent: Dependent, hold: HeldScope) -> Fragment:
    """The condition that a held row of the child belongs to the row ``r``, whatever its time."""
    path = dependent.path
    held = compile_match(hold.match, PostgresDialect(dependent.table))
    rows = f"SELECT {_list(path[-1].child_columns, 'r')} FROM {escaped(dependent.table.sql)} AS r WHERE " + held
    for key, deeper in zip(reversed(path[:-1]), reversed(path[1:]), strict=True):
        rows = (
            f"SELECT {_list(key.child_columns, 'd')} FROM {escaped(key.child.sql)} AS d "
            f"WHERE ({_list(deeper.parent_columns, 'd')}) IN (" + rows + ")"
        )
    return f"coalesce(({_list(path[0].parent_columns, 'r')}) IN (" + rows + "), FALSE)"


def _counting(path: Path, table: Table, going: Fragment) -> Fragment:
    child = escaped(path[-1].child.sql)
    return f"SELECT count(*) FROM {child} AS d WHERE " + _below(path, escaped(table.sql), going)


def _list(names: tuple[str, ...], alias: str) -> str:
    return ", ".join(column(name, alias) for name in names)


def _remark(path: Path, rows: int) -> str:
    key = path[-1]
    tail = f"(foreign key {key.name}, ON DELETE {key.action.value})"
    match key.action:
        case Action.CASCADE:
            return f"{rows:,} rows of {key.child.shown} go along with their parents {tail}"
        case Action.SET_NULL | Action.SET_DEFAULT:
            return f"{rows:,} rows of {key.child.shown} stay and lose their reference {tail}"
        case Action.RESTRICT | Action.NO_ACTION:
            return f"{rows:,} rows of {key.child.shown} keep the rows they refer to {tail}"
