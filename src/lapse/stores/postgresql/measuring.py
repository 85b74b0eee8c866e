"""What the files of a table hold: live rows, dead ones, and space that new rows can use; measured, or by a sample."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf, leaves

_SAMPLE = 1_000  # pages, spread over the table
_CONTENT = ("h", "t")  # roles of the files that hold rows, and their long values
_PAGE = 8168  # bytes of a page that rows can fill
_ROW_HEAD = 28  # bytes of a row besides its values: its header and its entry on the page
_APART = 2_000  # bytes of a value from which it lies apart, about
_POINTER = 18  # bytes that stand for it in its row
_TOAST_FILL = 0.8  # of a page: long values are cut into pieces, of which four do not always fill one
_ENTRY_HEAD = 12  # the same of an entry of an index
_INDEX_FILL = 0.9  # of its pages, when a btree is built
_WORTH = 0.05  # share of its files below which a rewrite is not worth while


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The file of one relation.

    Attributes:
        place: Folder of its tablespace. Empty for the server's data folder.
        size: Bytes it has.
        after: Bytes it would have if it were written anew, about.
    """

    place: str
    size: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What the files of one leaf hold.

    Attributes:
        leaf: The table that holds the rows.
        heap: The rows, and the long values that lie apart from them.
        indexes: Its indexes.
        dead: Bytes of dead rows.
        free: Bytes that new rows can use.
        exact: Whether pgstattuple measured the rows; else they are estimated from a sample.
    """

    leaf: Leaf
    heap: tuple[File, ...]
    indexes: tuple[File, ...]
    dead: int
    free: int
    exact: bool

    @property
    def files(self) -> tuple[File, ...]:
        """All of them."""
        return (*self.heap, *self.indexes)

    @property
    def allocated(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def after(self) -> int:
        """Bytes of all files, if they were written anew."""
        return sum(file.after for file in self.files)

    @property
    def returns(self) -> int:
        """Bytes that writing it anew gives back; 0 where that is not worth while."""
        gain = self.allocated - self.after
        return gain if gain > _WORTH * self.allocated else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relation:
    """One relation of a leaf: its rows, their long values, or an index."""

    oid: int
    role: str
    size: int
    place: str
    columns: tuple[str | None, ...]
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """What a sample of a leaf's pages says of all of it.

    Attributes:
        rows: Live rows.
        heap: Bytes they take up, but for long values.
        toast: Bytes of long values, which lie apart.
        widths: Bytes of a value on average, by column.
    """

    rows: float
    heap: float
    toast: float
    widths: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Usage:
    """Bytes of a file that hold no live row.

    Attributes:
        dead: Of dead rows.
        free: That new rows can use.
    """

    dead: int
    free: int


def allocated(connection: Connection, tables: Sequence[Table]) -> int:
    """Bytes of all files of *tables*: rows, long values, indexes and maps."""
    oids = [leaf.oid for table in tables for leaf in leaves(connection, table)]
    if not oids:
        return 0
    return int(
        connection.value("SELECT sum(pg_total_relation_size(oid))::bigint FROM unnest(%s::oid[]) AS oid", (oids,))
    )


def measures(connection: Connection, tables: Sequence[Table]) -> Iterator[Measure]:
    """What each leaf of *tables* holds."""
    for table in tables:
        for leaf in leaves(connection, table):
            yield _measure(connection, table, leaf)


def _measure(connection: Connection, table: Table, leaf: Leaf) -> Measure:
    relations = _relations(connection, leaf)
    rows = [relation for relation in relations if relation.role in _CONTENT]
    exact = _measured(connection, rows)  # before the sample: reading a page clears dead rows away
    sample = _sampled(connection, table, leaf)
    usage = exact or _estimated(connection, leaf, sample, rows)
    filling = {"h": _fill(connection, leaf) * _packing(sample), "t": _TOAST_FILL}
    heap = [_written(relation, usage[relation.oid], filling[relation.role]) for relation in rows]
    indexes = [_index(relation, sample) for relation in relations if relation.role not in _CONTENT]
    return Measure(
        leaf=leaf,
        heap=tuple(heap),
        indexes=tuple(indexes),
        dead=sum(used.dead for used in usage.values()),
        free=sum(used.free for used in usage.values()) + sum(file.size - file.after for file in indexes),
        exact=exact is not None,
    )


def _written(relation: _Relation, usage: _Usage, filling: float) -> File:
    live = max(0, relation.size - usage.dead - usage.free)
    return File(place=relation.place, size=relation.size, after=min(relation.size, int(live / filling)))


def _packing(sample: _Sample) -> float:
    """The share of a page that whole rows of the usual width fill; the rest is lost to every rewrite."""
    width = sample.heap / sample.rows if sample.rows else 0.0
    return (_PAGE // width) * width / _PAGE if 0 < width < _PAGE else 1.0


def _relations(connection: Connection, leaf: Leaf) -> list[_Relation]:
    found = connection.rows(
        "WITH own AS (SELECT l.oid, 'h' AS role FROM pg_class l WHERE l.oid = %s "
        "  UNION ALL SELECT l.reltoastrelid, 't' FROM pg_class l WHERE l.oid = %s AND l.reltoastrelid <> 0), "
        "every AS (SELECT oid, role FROM own UNION ALL "
        "  SELECT i.indexrelid, CASE own.role WHEN 'h' THEN 'i' ELSE 'u' END "
        "  FROM own JOIN pg_index i ON i.indrelid = own.oid) "
        "SELECT e.oid::bigint, e.role, pg_relation_size(e.oid) + pg_relation_size(e.oid, 'fsm') "
        "  + pg_relation_size(e.oid, 'vm'), "
        "coalesce(pg_tablespace_location(coalesce(nullif(c.reltablespace, 0), d.dattablespace)), ''), "
        "coalesce(array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) "
        "  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 "
        "  ORDER BY k.place), '{}'), coalesce(m.amname = 'btree' AND i.indpred IS NULL, FALSE) "
        "FROM every e JOIN pg_class c ON c.oid = e.oid JOIN pg_database d ON d.datname = current_database() "
        "LEFT JOIN pg_index i ON i.indexrelid = e.oid LEFT JOIN pg_am m ON m.oid = c.relam AND c.relkind = 'i'",
        (leaf.oid, leaf.oid),
    )
    return [
        _Relation(oid=oid, role=role, size=int(size), place=place, columns=tuple(columns), plain=plain)
        for oid, role, size, place, columns, plain in found
    ]


def _measured(connection: Connection, rows: Sequence[_Relation]) -> dict[int, _Usage] | None:
    """What pgstattuple says, by relation. None if it is not installed, or may not be called."""
    function = connection.value(
        "SELECT format('%I.%I', n.nspname, p.proname) FROM pg_extension e "
        "JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' "
        "JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid "
        "JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE e.extname = 'pgstattuple' AND p.proname = 'pgstattuple_approx' "
        "AND has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE')"
    )
    if function is None:
        return None
    found = connection.rows(
        "SELECT o.oid::bigint, s.dead_tuple_len, s.approx_free_space FROM unnest(%s::oid[]) AS o(oid), "
        f"LATERAL {escaped(function)}(o.oid) AS s",
        ([relation.oid for relation in rows],),
    )
    return {oid: _Usage(int(dead), int(free)) for oid, dead, free in found}


def _sampled(connection: Connection, table: Table, leaf: Leaf) -> _Sample:
    share = min(100.0, 100.0 * _SAMPLE / max(leaf.pages, 1))
    sizes = [f"coalesce(pg_column_size(r.{quote(column.name)}), 0)" for column in table.columns]
    inline = " + ".join(f"CASE WHEN {size} > {_APART} THEN {_POINTER} ELSE {size} END" for size in sizes) or "0"
    apart = " + ".join(f"CASE WHEN {size} > {_APART} THEN {size} ELSE 0 END" for size in sizes) or "0"
    averages = "".join(f", coalesce(avg({size}), 0)::float8" for size in sizes)
    ((rows, heap, toast, *widths),) = connection.rows(
        f"SELECT count(*), coalesce(sum({_ROW_HEAD} + ({inline} + 7) / 8 * 8), 0)::float8, "
        f"coalesce(sum({apart}), 0)::float8{averages} "
        f"FROM {leaf.sql} AS r TABLESAMPLE SYSTEM ({share:.6f}) REPEATABLE (1)"
    )
    whole = 100.0 / share
    names = [column.name for column in table.columns]
    return _Sample(
        rows=rows * whole, heap=heap * whole, toast=toast * whole, widths=dict(zip(names, widths, strict=True))
    )


def _estimated(connection: Connection, leaf: Leaf, sample: _Sample, rows: Sequence[_Relation]) -> dict[int, _Usage]:
    """By relation: bytes dead, by the server's count of dead rows, and bytes free, which is the rest."""
    counted = connection.value("SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = %s", (leaf.oid,)) or 0
    found: dict[int, _Usage] = {}
    for relation in rows:
        size = sample.heap if relation.role == "h" else sample.toast
        width = size / sample.rows if sample.rows else _ROW_HEAD
        live = min(relation.size, int(size))
        dead = min(relation.size - live, int(counted * width))
        found[relation.oid] = _Usage(dead, relation.size - live - dead)
    return found


def _fill(connection: Connection, leaf: Leaf) -> float:
    """The share of a page that the table's own setting fills."""
    found = connection.value(
        "SELECT o.option_value::int FROM pg_class c, pg_options_to_table(c.reloptions) o "
        "WHERE c.oid = %s AND o.option_name = 'fillfactor'",
        (leaf.oid,),
    )
    return (found or 100) / 100


def _index(relation: _Relation, sample: _Sample) -> File:
    """An index as it would be built anew; one that cannot be judged counts as keeping its size."""
    widths = [sample.widths.get(name or "") for name in relation.columns]
    after = relation.size
    known = [width for width in widths if width is not None]
    if relation.role == "i" and relation.plain and len(known) == len(widths):
        entry = _ENTRY_HEAD + (sum(known) + 7) // 8 * 8
        after = min(after, int(sample.rows * entry / _INDEX_FILL) + 2 * 8192)
    return File(place=relation.place, size=relation.size, after=after)
