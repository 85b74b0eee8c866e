"""Which rows belong to which by foreign keys, as SQL: down from the rows ``r`` of a table, and up to them.

Rows of a child are called ``d``. A table whose own rows delete each other (a foreign key to itself that cascades) is
followed as deep as it goes.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.naming import column, escaped
from lapse.stores.postgresql.preflight import ForeignKey

Path = tuple[ForeignKey, ...]
"""Foreign keys from a table's child down to a deeper one."""

Selves = Mapping[int, tuple[ForeignKey, ...]]
"""Foreign keys of a table to itself that cascade, by the table's number."""


def source(table: Table, alias: str) -> str:
    """The table in a FROM list. Tables that inherit from it are not it, only its partitions are."""
    only = "" if table.kind == "p" else "ONLY "
    return f"{only}{escaped(table.sql)} AS {alias}"


def below(path: Path, selves: Selves, rows: Fragment) -> Fragment:
    """The condition that a row ``d`` of the last child belongs to one of *rows*, ``FROM … AS r WHERE …``."""
    inner = f"SELECT {listed(path[0].parent_columns, 'r')} " + rows
    condition = Fragment("")
    for number, key in enumerate(path):
        if number:
            inner = f"SELECT {listed(key.parent_columns, 'd')} FROM {source(key.parent, 'd')} WHERE " + condition
        condition = f"({listed(key.child_columns, 'd')}) IN (" + inner + ")"
        condition = _descending(key.child, selves.get(key.child.oid, ()), condition)
    return condition


def above(path: Path, selves: Selves, condition: Fragment, alias: str = "d") -> Fragment:
    """The condition that a row of the last child for which *condition* is true belongs to the row ``r``.

    Such rows are called *alias* in *condition*.
    """
    inner, deeper = Fragment(""), None
    for key in reversed(path):
        if deeper is not None:
            condition, alias = f"({listed(deeper.parent_columns, 'd')}) IN (" + inner + ")", "d"
        condition, alias = _ascending(key.child, selves.get(key.child.oid, ()), condition, alias)
        inner = f"SELECT {listed(key.child_columns, alias)} FROM {source(key.child, alias)} WHERE " + condition
        deeper = key
    return f"coalesce(({listed(path[0].parent_columns, 'r')}) IN (" + inner + "), FALSE)"


def exists(path: Path, unless: Sequence[Path] = ()) -> str:
    """The condition that a row of the last child belongs to the row ``r``, and by none of *unless*."""
    if path[-1].child.oid == path[0].parent.oid and len(path) == 1:  # a row may refer to itself
        unlike = " AND (d0.tableoid, d0.ctid) <> (r.tableoid, r.ctid)"
    else:
        unlike = "".join(f" AND NOT {_reaches(other, f'd{len(path) - 1}')}" for other in unless)
    return f"EXISTS (SELECT FROM {_chain(path, 'd')}{unlike})"


def _reaches(path: Path, last: str) -> str:
    """The condition that the row *last* of the last child belongs to the row ``r``."""
    *before, key = path
    if not before:
        return f"coalesce({tie(key, last, 'r')}, FALSE)"
    return f"EXISTS (SELECT FROM {_chain(tuple(before), 'e')} AND {tie(key, last, f'e{len(before) - 1}')})"


def _chain(path: Path, name: str) -> str:
    """The tables of a path and, as condition, that their rows belong to each other and to the row ``r``."""
    tables = ", ".join(source(key.child, f"{name}{number}") for number, key in enumerate(path))
    parents = ["r", *(f"{name}{number}" for number in range(len(path)))]
    ties = [tie(key, child, parent) for key, (parent, child) in zip(path, pairwise(parents), strict=True)]
    return f"{tables} WHERE {' AND '.join(ties)}"


def tie(key: ForeignKey, child: str, parent: str) -> str:
    """The condition that a row *child* refers to a row *parent*."""
    pairs = zip(key.child_columns, key.parent_columns, strict=True)
    return " AND ".join(f"{column(mine, child)} = {column(theirs, parent)}" for mine, theirs in pairs)


def listed(names: Iterable[str], alias: str) -> str:
    """Columns of the rows *alias*."""
    return ", ".join(column(name, alias) for name in names)


def _descending(table: Table, keys: Sequence[ForeignKey], condition: Fragment) -> Fragment:
    """The condition that *condition* is true of a row ``d``, or of one that it belongs to within the table."""
    return _reaching(table, condition, _ties(keys, "k", "p"), "d") if keys else condition


def _ascending(table: Table, keys: Sequence[ForeignKey], condition: Fragment, alias: str) -> tuple[Fragment, str]:
    """The same for a row ``d`` that belongs to it, or to which such a one belongs; and what rows are called then."""
    return (_reaching(table, condition, _ties(keys, "p", "k"), alias), "d") if keys else (condition, alias)


def _ties(keys: Sequence[ForeignKey], child: str, parent: str) -> str:
    return " OR ".join(f"({tie(key, child, parent)})" for key in keys)


def _reaching(table: Table, condition: Fragment, step: str, alias: str) -> Fragment:
    """The condition that a row ``d`` is met by stepping from rows *alias* with *condition*, from ``p`` to ``k``.

    Places are held as texts, since PostgreSQL 13 cannot hash them.
    """
    return (
        f"(d.tableoid, d.ctid) IN (WITH RECURSIVE lapse_met(home, place) AS (SELECT {alias}.tableoid, "
        f"{alias}.ctid::text FROM {source(table, alias)} WHERE "
        + condition
        + f" UNION SELECT k.tableoid, k.ctid::text FROM lapse_met AS m JOIN {source(table, 'p')} "
        f"ON p.tableoid = m.home AND p.ctid = m.place::tid JOIN {source(table, 'k')} ON {step}) "
        "SELECT home, place::tid FROM lapse_met)"
    )


def family(table: Table, keys: Sequence[ForeignKey], rows: Fragment) -> Fragment:
    """The condition that a row ``r`` of *table* is one of *rows*, ``FROM … AS r WHERE …``, or belongs to one."""
    return (
        "r.ctid IN (WITH RECURSIVE lapse_met(place) AS (SELECT r.ctid::text "
        + rows
        + f" UNION SELECT k.ctid::text FROM lapse_met AS m JOIN {source(table, 'p')} ON p.ctid = m.place::tid "
        f"JOIN {source(table, 'k')} ON {_ties(keys, 'k', 'p')}) SELECT place::tid FROM lapse_met)"
    )


def has_only(table: Table, keys: Sequence[ForeignKey], going: Fragment) -> Fragment:
    """The condition that *going* is true of every row ``r`` that belongs to the row ``r`` within its table."""
    return (
        f"NOT EXISTS (WITH RECURSIVE lapse_met(place) AS (SELECT k.ctid::text FROM {source(table, 'k')} "
        f"WHERE {_ties(keys, 'k', 'r')} UNION SELECT k.ctid::text FROM lapse_met AS m JOIN {source(table, 'p')} "
        f"ON p.ctid = m.place::tid JOIN {source(table, 'k')} ON {_ties(keys, 'k', 'p')}) "
        f"SELECT FROM lapse_met AS m JOIN {source(table, 'r')} ON r.ctid = m.place::tid WHERE ("
        + going
        + ") IS NOT TRUE)"
    )


def any_of(conditions: Iterable[Fragment]) -> Fragment:
    """Whether one of them is true. Of none it is not."""
    found = list(conditions)
    return joined(" OR ", found) if found else Fragment("FALSE")
