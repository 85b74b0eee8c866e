"""What depends on a table's rows: tables that foreign keys tie to them, removed with them, or keeping them.

Children of ``ON DELETE CASCADE`` would vanish with their parents, so they are taken first, in the same transaction,
and archived beside them. Children of ``RESTRICT`` and ``NO ACTION`` keep their parents. Children of ``SET NULL`` lose
their reference and stay; the plan counts them.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lapse.model.selection import HeldScope
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import compile_match
from lapse.stores.mysql.catalog import INTEGERS, Table, quote
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dialect import MysqlDialect
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.references import Action, ForeignKey, Path, graph, leaves_first, paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A table whose rows are removed before those of the table they belong to.

    Attributes:
        table: The table.
        paths: Every way to it, from the table's own children down; every key cascades.
    """

    table: Table
    paths: tuple[Path, ...]

    def belonging(self, where: Fragment) -> Fragment:
        """The condition that a row belongs to one of the rows that *where* admits."""
        return "(" + joined(" OR ", [_below(path, where) for path in self.paths]) + ")"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependents:
    """Everything that depends on one table.

    Attributes:
        table: The table.
        taken: Tables whose rows go along, each behind those that refer to it.
        keeping: Ways to rows that keep what they belong to.
        losing: Ways to rows that lose their reference; the last key of each sets null.
        refusal: Why nothing may be removed. None if it may.
    """

    table: Table
    taken: tuple[Dependent, ...] = ()
    keeping: tuple[Path, ...] = ()
    losing: tuple[Path, ...] = ()
    refusal: str | None = None

    @property
    def locks(self) -> bool:
        """Whether parents have to be locked before anything goes."""
        return bool(self.taken or self.keeping)

    def unkept(self, judge: Judge) -> Fragment:
        """The condition that nothing in another table keeps a row: no restricting and no held child."""
        kept = [_exists(path) for path in self.keeping]
        kept += [held for dependent in self.taken for held in _held(dependent, judge)]
        return "NOT (" + joined(" OR ", kept) + ")" if kept else Fragment("TRUE")

    def lock(self, connection: Connection, where: Fragment) -> int:
        """Lock the rows that *where* admits, then what belongs to them, so that nothing is added to them.

        Returns:
            How many rows of the table itself.
        """
        locked = _locked(connection, self.table, where)
        for dependent in reversed(self.taken):
            _locked(connection, dependent.table, self.narrowed(connection, dependent, where))
        return locked

    def narrowed(self, connection: Connection, dependent: Dependent, where: Fragment) -> Fragment:
        """The condition that a dependent's row goes along, with bounds that its index serves.

        The server would read a whole table to find the rows that belong to some others.
        """
        bounds = [_bounds(connection, path, where) for path in dependent.paths]
        if None in bounds:
            return dependent.belonging(where)
        ways = joined(" OR ", ["(" + bound + ")" for bound in bounds if bound is not None])
        return "(" + ways + ") AND " + dependent.belonging(where)

    def remarks(self, connection: Connection, judge: Judge) -> tuple[str, ...]:
        """What removing the lapsed rows would do to other tables, with counts."""
        going = judge.going(judge.selection.lapsed_codes())
        ways = [path for dependent in self.taken for path in dependent.paths]
        found = [(path, _counted(connection, path, going)) for path in (*ways, *self.keeping, *self.losing)]
        taken = frozenset(dependent.table.place for dependent in self.taken)
        return tuple(_remark(path, rows, path[-1].child.place in taken) for path, rows in found if rows)

    def kept_by(self, connection: Connection, judge: Judge, which: Fragment) -> Iterator[str]:
        """What keeps the rows that *which* admits, beside what *judge* says about them: a phrase for each."""

        def any_row(condition: Fragment) -> bool:
            asked = f"SELECT EXISTS (SELECT 1 FROM {self.table.sql} WHERE (" + which + ") AND " + condition + ")"
            return bool(connection.query(asked)[0][0])

        for path in self.keeping:
            if any_row(_exists(path)):
                yield _keeper(path[-1], "rows of {} refer to it")
        for dependent in self.taken:
            held = _held(dependent, judge)
            if held and any_row("(" + joined(" OR ", held) + ")"):
                yield _keeper(dependent.paths[0][-1], "held rows of {} belong to it")


def dependents_of(connection: Connection, table: Table, *, apart: Sequence[str] = ()) -> Dependents:
    """What depends on *table*. The tables *apart* have rules of their own: their rows keep what they belong to."""
    keys = [key for key in graph(connection, table) if not _is_below(key.parent, apart)]
    going = [key for key in keys if key.action is Action.CASCADE and not _is_below(key.child, apart)]
    inside = {table.place, *(key.child.place for key in going)}
    order = leaves_first((key for key in keys if key.child.place in inside), table)
    if order is None:
        names = sorted({key.child.shown for key in keys if key.child.place in inside})
        return Dependents(table=table, refusal=f"foreign keys of {', '.join(names)} refer to each other in a circle")
    known = list(paths(going, table))
    ends = [
        (*path, key)
        for path in ((), *known)
        for key in keys
        if key not in going and key.parent.place == (path[-1].child.place if path else table.place)
    ]
    return Dependents(
        table=table,
        taken=tuple(
            Dependent(table=each, paths=ways)
            for each in order
            if (ways := tuple(path for path in known if path[-1].child.place == each.place))
        ),
        keeping=tuple(path for path in ends if path[-1].action is not Action.SET_NULL),
        losing=tuple(path for path in ends if path[-1].action is Action.SET_NULL),
    )


def _is_below(table: Table, apart: Sequence[str]) -> bool:
    return bool({table.shown, f"{table.database}.{table.name}"} & {*apart})


def _columns(table: Table, names: Sequence[str]) -> str:
    return ", ".join(f"{table.sql}.{quote(name)}" for name in names)


def _below(path: Path, where: Fragment) -> Fragment:
    """The condition that a row of the last child belongs to one of the rows that *where* admits."""
    inner = f"SELECT {_columns(path[0].parent, path[0].parent_columns)} FROM {path[0].parent.sql} WHERE " + where
    for key, deeper in pairwise(path):
        inner = (
            f"SELECT {_columns(key.child, deeper.parent_columns)} FROM {key.child.sql} "
            f"WHERE ({_columns(key.child, key.child_columns)}) IN (" + inner + ")"
        )
    return f"({_columns(path[-1].child, path[-1].child_columns)}) IN (" + inner + ")"


def _exists(path: Path, held: Fragment | None = None) -> Fragment:
    """The condition that a row of the last child, one that is *held*, belongs to a row of the first parent."""
    key, *deeper = path
    pairs = zip(key.child_columns, key.parent_columns, strict=True)
    tie = " AND ".join(f"{key.child.sql}.{quote(mine)} = {key.parent.sql}.{quote(theirs)}" for mine, theirs in pairs)
    rest = _exists(tuple(deeper), held) if deeper else held
    inside = Fragment(tie) if rest is None else tie + " AND (" + rest + ")"
    return f"EXISTS (SELECT 1 FROM {key.child.sql} WHERE " + inside + ")"


def _held(dependent: Dependent, judge: Judge) -> list[Fragment]:
    """Conditions that a held row of the child belongs to a row."""
    table = dependent.table
    held = [compile_match(hold.match, MysqlDialect(table)) for hold in judge.selection.holds if _names(hold, table)]
    return [_exists(path, condition) for path in dependent.paths for condition in held]


def _names(hold: HeldScope, table: Table) -> bool:
    """Whether a hold names columns, and the child has them all; else it is the parent that it holds."""
    found = [field_path(field) for field in hold.match.fields]
    return bool(found) and all(table.find(path.column) is not None and not path.keys for path in found)


def _locked(connection: Connection, table: Table, where: Fragment) -> int:
    ((rows,),) = connection.query(f"SELECT COUNT(*) FROM {table.sql} WHERE " + where + " FOR UPDATE")
    return int(rows)


def _bounds(connection: Connection, path: Path, where: Fragment) -> Fragment | None:
    """Between which values the last child's reference lies. None if that cannot be said in numbers."""
    key = path[-1]
    column = key.parent.column(key.parent_columns[0])
    if column.type not in INTEGERS:
        return None
    condition = where if len(path) == 1 else _below(path[:-1], where)
    asked = f"SELECT MIN({column.sql}), MAX({column.sql}) FROM {key.parent.sql} WHERE "
    ((first, last),) = connection.query(asked + condition)
    if first is None:
        return Fragment("FALSE")
    return Fragment(f"{key.child.sql}.{quote(key.child_columns[0])} BETWEEN %s AND %s", (int(first), int(last)))


def _counted(connection: Connection, path: Path, going: Fragment) -> int:
    ((rows,),) = connection.query(f"SELECT COUNT(*) FROM {path[-1].child.sql} WHERE " + _below(path, going))
    return int(rows)


def _keeper(key: ForeignKey, text: str) -> str:
    return f"{text.format(key.child.shown)} (foreign key {key.name}, ON DELETE {key.action.value})"


def _remark(path: Path, rows: int, is_taken: bool) -> str:
    key: ForeignKey = path[-1]
    tail = f"(foreign key {key.name}, ON DELETE {key.action.value})"
    if key.action is Action.SET_NULL:
        return f"{rows:,} rows of {key.child.shown} stay and lose their reference {tail}"
    if key.action is Action.CASCADE and is_taken:
        return f"{rows:,} rows of {key.child.shown} go along with their parents {tail}"
    return f"{rows:,} rows of {key.child.shown} keep the rows they refer to {tail}"
