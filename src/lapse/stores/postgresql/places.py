"""Physical places: where rows lie in a table's files, and ranges of them.

A row's ``ctid`` is its page and its number on it. PostgreSQL reads a range of them without touching another page,
so slices by place read the table once, need no index and never meet the rows that earlier slices removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection

Place = tuple[int, int]
"""Page, from 0, and the row's number on it, from 1."""

RANGE_SCANS = 140_000
"""Server version from which a range of places is read without reading the table."""

_USUALLY_ON_A_PAGE = 60
_MOST_ON_A_PAGE = 2_400  # of 32 KiB pages; the usual 8 KiB hold 291


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A table that holds rows itself: a plain table, or one partition.

    Attributes:
        oid: Its number in the catalogue.
        sql: Its name in a statement.
        pages: Pages it had when it was looked at.
        rows: Rows it has by the last count of the server's own, about.
    """

    oid: int
    sql: str
    pages: int
    rows: int

    @property
    def likely_rows(self) -> int:
        """Rows it may have where the server has not counted them yet, either; at least 1."""
        return max(self.rows, _USUALLY_ON_A_PAGE * self.pages, 1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of places of one leaf.

    Attributes:
        leaf: The leaf's number in the catalogue.
        first: First place, inclusive.
        last: First place behind it, exclusive.
    """

    leaf: int
    first: Place
    last: Place

    def bounds(self) -> tuple[int, ...]:
        """For a slice."""
        return (self.leaf, *self.first, *self.last)

    def follows(self, other: Stretch) -> bool:
        """Whether it begins where *other* ends."""
        return self.leaf == other.leaf and other.last == self.first

    def up_to(self, other: Stretch) -> Stretch:
        """From its beginning to the end of *other*."""
        return Stretch(self.leaf, self.first, other.last)

    def lies_in(self, other: Stretch) -> bool:
        """Whether every place of it is one of *other*'s."""
        return self.leaf == other.leaf and other.first <= self.first and self.last <= other.last

    @classmethod
    def of(cls, bounds: tuple[int, ...]) -> Stretch:
        """Read back what `bounds` wrote."""
        leaf, *rest = bounds
        return cls(leaf, (rest[0], rest[1]), (rest[2], rest[3]))


def leaves(connection: Connection, table: Table) -> tuple[Leaf, ...]:
    """The tables that hold the rows of *table*, in the order of their bounds."""
    found = connection.rows(
        "SELECT c.oid::bigint, format('%%I.%%I', n.nspname, c.relname), "
        "pg_relation_size(c.oid) / current_setting('block_size')::bigint, greatest(c.reltuples, 0)::bigint "
        "FROM (SELECT relid FROM pg_partition_tree(%s) WHERE isleaf UNION ALL SELECT %s WHERE %s <> 'p') t "
        "JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' ORDER BY pg_get_expr(c.relpartbound, c.oid), c.relname",
        (table.oid, table.oid, table.kind),
    )
    return tuple(Leaf(oid=oid, sql=sql, pages=int(pages), rows=int(rows)) for oid, sql, pages, rows in found)


def within(connection: Connection, stretch: Stretch) -> Fragment:
    """The condition that a row ``r`` of the stretch's leaf lies in it."""
    (first_page, first_row), (last_page, last_row) = stretch.first, stretch.last
    limits = f"r.ctid >= '({first_page},{first_row})'::tid AND r.ctid < '({last_page},{last_row})'::tid"
    if connection.version >= RANGE_SCANS:
        return Fragment(limits)
    # Older servers can only be told each place; those of whole pages are listed, then the ends are cut off.
    spots = f"least({_MOST_ON_A_PAGE}, current_setting('block_size')::int / 28)"
    pages = f"generate_series({first_page}, {last_page}) AS page, generate_series(1, {spots}) AS spot"
    listed = f"SELECT format('(%%s,%%s)', page, spot)::tid FROM {pages}"  # noqa: S608 - numbers
    return Fragment(f"r.ctid = ANY (ARRAY({listed})) AND {limits}")
