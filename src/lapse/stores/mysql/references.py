"""Foreign keys that point at a table, at what goes with it, and so on: a graph that is read once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from lapse.stores.mysql.catalog import Table, table_of
from lapse.stores.mysql.connection import Connection


class Action(Enum):
    """What a foreign key does to a row whose parent is removed."""

    NO_ACTION = "NO ACTION"
    RESTRICT = "RESTRICT"
    CASCADE = "CASCADE"
    SET_NULL = "SET NULL"
    SET_DEFAULT = "SET DEFAULT"  # InnoDB forbids the delete


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key, seen from the table that it points at. InnoDB has an index for each.

    Attributes:
        name: The constraint's name.
        parent: The table that it points at.
        child: The table that has it; may be the parent itself.
        child_columns: Its columns in the child.
        parent_columns: What they refer to, place for place.
        action: What becomes of the child's rows when their parent is removed.
    """

    name: str
    parent: Table
    child: Table
    child_columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    action: Action


Path = tuple[ForeignKey, ...]
"""Foreign keys from a table's child down to a deeper one."""


def graph(connection: Connection, table: Table) -> tuple[ForeignKey, ...]:
    """The foreign keys that point at *table*, then those that point at its children, and so on, each once.

    Only children that go with their parents (``CASCADE``) are followed further.
    """
    found: list[ForeignKey] = []
    seen, waiting = {table.place}, deque([table])
    while waiting:
        for key in _references(connection, waiting.popleft()):
            found.append(key)
            if key.action is Action.CASCADE and key.child.place not in seen:
                seen.add(key.child.place)
                waiting.append(key.child)
    return tuple(found)


def _references(connection: Connection, table: Table) -> Iterator[ForeignKey]:
    rows = connection.rows(
        "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, r.DELETE_RULE, k.COLUMN_NAME, "
        "k.REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE k "
        "JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA "
        "AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME "
        "WHERE k.REFERENCED_TABLE_SCHEMA = %s AND k.REFERENCED_TABLE_NAME = %s "
        "ORDER BY 1, 2, 3, k.ORDINAL_POSITION",
        table.place,
    )
    for (schema, name, constraint, rule), group in groupby(rows, key=lambda row: tuple(map(str, row[:4]))):
        columns = [(str(row[4]), str(row[5])) for row in group]
        yield ForeignKey(
            name=constraint,
            parent=table,
            child=table if (schema, name) == table.place else table_of(connection, schema, name),
            child_columns=tuple(mine for mine, _ in columns),
            parent_columns=tuple(theirs for _, theirs in columns),
            action=Action(rule),
        )


def paths(keys: Sequence[ForeignKey], table: Table, before: Path = ()) -> Iterator[Path]:
    """Every way down from *table*; nothing goes beyond a key that does not cascade. There must be no circle."""
    for key in keys:
        if key.parent.place == table.place:
            path = (*before, key)
            yield path
            if key.action is Action.CASCADE:
                yield from paths(keys, key.child, path)


def leaves_first(keys: Iterable[ForeignKey], table: Table) -> tuple[Table, ...] | None:
    """The tables that *keys* join to *table*, each behind those that refer to it. None if they refer in a circle."""
    tables = {table.place: table}
    children: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for key in keys:
        tables[key.child.place] = key.child
        children.setdefault(key.parent.place, set()).add(key.child.place)
    ordered: list[Table] = []
    waiting = dict.fromkeys(tables)
    while waiting:
        free = [place for place in waiting if not children.get(place, set()) & waiting.keys()]
        if not free:
            return None
        for place in free:
            del waiting[place]
            ordered.append(tables[place])
    return tuple(ordered)
