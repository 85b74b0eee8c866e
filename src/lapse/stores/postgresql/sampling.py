"""A few rows of a table, and what the server counts of it: bounded work, however large the table is."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection

Cells = Mapping[str, Sequence[str]]
"""For each column the texts of its values in some rows, NULLs left out, each at most 200 characters long."""

_ROWS = 1_000
_ENDS = 50
_PAGES = 30
_SMALL = 1_000
"""Pages up to which a table is read whole: 8 MB."""
_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a table is, its partitions included.

    Attributes:
        pages: Pages of its rows.
        size: Bytes of its rows, long values included.
        index_size: Bytes of its indexes.
        records: How many rows.
        exact: Whether they were counted; else the server's estimate.
        inserted: Rows written since the server began to count.
        updated: Rows changed since then.
    """

    pages: int
    size: int
    index_size: int
    records: int
    exact: bool
    inserted: int
    updated: int


def extent(connection: Connection, table: Table, oids: list[int]) -> Extent:
    """What the server counts; small tables are counted by ourselves."""
    ((pages, size, indexes, estimate, live, inserted, updated),) = connection.rows(
        "SELECT coalesce(sum(t.pages), 0)::bigint, coalesce(sum(pg_table_size(t.oid)), 0)::bigint, "
        "coalesce(sum(pg_indexes_size(t.oid)), 0)::bigint, "
        # As the planner does: rows a page at the last count, times the pages of now.
        "coalesce(sum(CASE WHEN t.relpages > 0 AND t.reltuples > 0 THEN t.reltuples::float8 / t.relpages * t.pages "
        "END), 0)::bigint, coalesce(sum(s.n_live_tup), 0)::bigint, coalesce(sum(s.n_tup_ins), 0)::bigint, "
        "coalesce(sum(s.n_tup_upd), 0)::bigint FROM (SELECT c.oid, c.relpages, c.reltuples, "
        "pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages FROM pg_class c "
        "WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'r') t LEFT JOIN pg_stat_user_tables s ON s.relid = t.oid",
        (oids,),
    )
    exact = pages <= _SMALL and readable(connection, table)
    records = connection.value(f"SELECT count(*) FROM {table.sql}") if exact else estimate or live
    return Extent(
        pages=int(pages),
        size=int(size),
        index_size=int(indexes),
        records=int(records),
        exact=exact,
        inserted=int(inserted),
        updated=int(updated),
    )


def readable(connection: Connection, table: Table) -> bool:
    """Whether this role may read the rows, all of them."""
    return bool(
        connection.value(
            "SELECT has_table_privilege(%s::oid, 'SELECT') AND NOT row_security_active(%s::oid)", (table.oid, table.oid)
        )
    )


def sample(connection: Connection, table: Table, pages: int) -> Cells:
    """Rows of a few pages."""
    part = "" if pages <= _PAGES else f"TABLESAMPLE SYSTEM ({100 * _PAGES / pages:.6f}) REPEATABLE (1) "
    return _cells(connection, table, f"SELECT * FROM {table.sql} {part}LIMIT {_ROWS}")


def ends(connection: Connection, table: Table) -> Cells:
    """The first and the last rows by the table's integer key. Nothing without one."""
    key = table.integer_key
    if key is None:
        return {}
    halves = (f"(SELECT * FROM {table.sql} ORDER BY {quote(key)} {way} LIMIT {_ENDS})" for way in ("ASC", "DESC"))
    return _cells(connection, table, " UNION ALL ".join(halves))


def _cells(connection: Connection, table: Table, rows: str) -> Cells:
    names = [column.name for column in table.columns]
    if not names:
        return {}
    texts = ", ".join(f"left(t.{quote(name)}::text, {_LENGTH})" for name in names)
    found = connection.rows(f"SELECT {texts} FROM ({rows}) AS t")
    return {name: [row[place] for row in found if row[place] is not None] for place, name in enumerate(names)}


def bounds(connection: Connection, table: Table, column: str, *, first: str, last: str) -> tuple[str, ...]:
    """The least and the greatest value from *first* to *last*, as texts: an index's ends. Nothing if there is none.

    Arguments:
        connection: The session.
        table: The table.
        column: A column with an index that serves it.
        first: Least value that counts, as text.
        last: Greatest value that counts, as text.
    """
    name = quote(column).replace("%", "%%")
    kind = table.column(column).type
    ((least, most),) = connection.rows(
        f"SELECT min({name})::text, max({name})::text FROM {table.sql.replace('%', '%%')} "
        f"WHERE {name} BETWEEN %s::{kind} AND %s::{kind}",
        (first, last),
    )
    return () if least is None else (least, most)


def shares(connection: Connection, table: Table, column: str, cells: Cells) -> tuple[tuple[str, float], ...]:
    """The commonest values with their shares: by the server's statistics, else in the sample."""
    found = connection.rows(
        "SELECT v.value, v.share FROM pg_stats s, unnest(s.most_common_vals::text::text[], s.most_common_freqs) "
        "AS v(value, share) WHERE s.schemaname = %s AND s.tablename = %s AND s.attname = %s AND s.inherited = %s "
        "ORDER BY v.share DESC, v.value LIMIT 8",
        (table.schema, table.name, column, table.kind == "p"),
    )
    if found:
        return tuple((str(value), round(float(share), 3)) for value, share in found)
    values = cells[column]
    common = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))[:8]
    return tuple((value, round(count / len(values), 3)) for value, count in common)
