"""Partitions that have wholly lapsed: sealed from a snapshot, then dropped, if they are still what was sealed.

The drop is one short transaction: writers are stopped, every row is read again and compared with what was sealed, the
partition is detached and dropped, and the marker is written. Whatever slipped in between keeps the partition.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lapse import clock
from lapse.canonical import Json
from lapse.errors import BusyError, ChangedError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Method, Proof
from lapse.model.plan import Tally
from lapse.model.selection import Destination, Selection
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.counting import Counts
from lapse.stores.postgresql.encoding import COPY_OPTIONS, read
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Leaf
from lapse.stores.postgresql.preflight import references
from lapse.stores.postgresql.proving import check_proof
from lapse.stores.postgresql.surveying import Cell
from lapse.stores.postgresql.taking import Ground

_UPPER = re.compile(r"^FOR VALUES FROM \(.*\) TO \('(?P<upper>[^']+)'\)$")
_TRIES = 5
_EVERYTHING = Fragment("TRUE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition that could go whole.

    Attributes:
        leaf: It.
        upper: End of its range in nanoseconds, exclusive: no row of it is later.
    """

    leaf: Leaf
    upper: Nanos


def droppable(connection: Connection, table: Table, leaves: Iterable[Leaf], time: str) -> tuple[Partition, ...]:
    """The partitions of *table* that may be dropped at all: by range of *time*, with an end, and nothing tied to them.

    Sub-partitions, the default partition, and tables of somebody else are not; nor is any where foreign keys point at
    the table, or where triggers watch its deletes.
    """
    if table.kind != "p" or not _by_time(connection, table, time) or references(connection, table):
        return ()
    known = {leaf.oid: leaf for leaf in leaves}
    found = connection.rows(
        "SELECT c.oid::bigint, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent WHERE i.inhparent = %s "
        "AND c.relkind = 'r' "
        "AND pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.relowner, 'USAGE') "
        "AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 8 <> 0)",
        (table.oid,),
    )
    uppers = {oid: found_upper for oid, bound in found if (found_upper := _upper(connection, table, time, bound))}
    return tuple(
        Partition(leaf=known[oid], upper=upper) for oid, upper in uppers.items() if oid in known
    )  # fmt: skip


def _by_time(connection: Connection, table: Table, time: str) -> bool:
    """Whether the table is partitioned by the range of just its time column, and that is a timestamp or a date."""
    if table.column(time).base not in ("timestamp with time zone", "timestamp without time zone", "date"):
        return False
    return bool(
        connection.value(
            "SELECT p.partstrat = 'r' AND p.partnatts = 1 AND a.attname = %s FROM pg_partitioned_table p "
            "LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] "
            "WHERE p.partrelid = %s",
            (time, table.oid),
        )
    )


def _upper(connection: Connection, table: Table, time: str, bound: str) -> Nanos | None:
    """The end of a partition's range, wall clock times a day later than in UTC, so that no zone makes it too early."""
    found = _UPPER.match(bound)
    if found is None:
        return None
    kind = table.column(time).base
    margin = "" if kind == "timestamp with time zone" else " + interval '1 day'"
    seconds = connection.value(
        f"SELECT CASE WHEN isfinite(%s::{kind}) THEN extract(epoch FROM %s::{kind}{margin})::bigint END",
        (found["upper"], found["upper"]),
    )
    return None if seconds is None else Nanos(int(seconds) * 1_000_000_000)


def lapsed_whole(
    partitions: Iterable[Partition], cells: Iterable[Cell], selection: Selection, destination: Destination
) -> tuple[Partition, ...]:
    """Those of *partitions* in which every row goes to *destination*, and no later row of their range could stay."""
    rows: dict[int, int] = {}
    going: dict[int, dict[int, int]] = {}
    codes = frozenset(selection.lapsed_codes(destination))
    for cell in cells:
        leaf = cell.stretch.leaf
        rows[leaf] = rows.get(leaf, 0) + cell.rows
        counts = going.setdefault(leaf, {})
        for code, count in cell.counts.items():
            if code in codes and count:
                counts[code] = counts.get(code, 0) + count
    return tuple(
        partition
        for partition in partitions
        if (found := going.get(partition.leaf.oid))
        and sum(found.values()) == rows[partition.leaf.oid]
        and all(_has_passed(selection, code, partition.upper) for code in found)
    )


def _has_passed(selection: Selection, code: int, upper: Nanos) -> bool:
    rule = selection.outcomes[code].rule
    cutoff = None if rule is None else selection.rules[rule].cutoff
    return cutoff is not None and upper <= cutoff


class PartitionTake:
    """A whole partition. Nothing is locked until the commit."""

    def __init__(self, ground: Ground, piece: Slice, table: Table, leaf: Leaf) -> None:
        self._ground = ground
        self._piece = piece
        self._table = table
        self._leaf = leaf
        self._codes = frozenset(piece.selection.lapsed_codes(piece.destination))
        self._content: ContentDigest | None = None
        self._tallies: tuple[Tally, ...] = ()
        self._disposal: Disposal | None = None
        self._stopped = False
        self.removed = 0
        """Rows that a commit removed."""

    def parts(self) -> Iterator[Part]:
        """One part: every row, from one snapshot."""
        content, counts = ContentDigest(), Counts()
        rows = self._rows(counts)
        first = next(rows, None)
        if first is None:
            return
        self._content = content

        def digested() -> Iterator[RowBatch]:
            batch: RowBatch | None = first
            while batch is not None:
                content.update(batch)
                yield batch
                batch = next(rows, None)
            self._tallies = self._checked(counts.tallies(content.raw_size))
            self._ground.connection.roll_back()  # no snapshot is held while the segment is verified

        shape = self._ground.shape
        yield Part(
            table=self._table.shown, columns=shape.columns, odd_column=shape.odd_column, batches=digested()
        )  # fmt: skip

    def _rows(self, counts: Counts) -> Iterator[RowBatch]:
        """Every row in the order of its place."""
        judge, shape, connection = self._ground.judge, self._ground.shape, self._ground.connection
        connection.run("SET LOCAL synchronize_seqscans = off")
        connection.run("SET LOCAL max_parallel_workers_per_gather = 0")
        query = f"SELECT {shape.select}, " + judge.code + " AS lapse_code, " + judge.tenant
        query += f" AS lapse_tenant, {judge.instant} AS lapse_instant FROM {escaped(self._leaf.sql)} AS r"
        for decoded in read(connection.copy_out(query, COPY_OPTIONS), shape):
            counts.add(decoded.codes, decoded.tenants, decoded.instants)
            yield decoded.rows

    def _checked(self, tallies: tuple[Tally, ...]) -> tuple[Tally, ...]:
        if any(tally.code not in self._codes for tally in tallies):
            raise ChangedError(
                f"partition {self._leaf.sql} has got rows that are kept",
                hint="It stays; the rows that have lapsed are removed one by one.",
            )
        return tallies

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of what was read; under a waiver the server counts."""
        if not self._tallies and not self._piece.destination.archives:
            ground = self._ground
            self._tallies = self._checked(
                ground.judge.tallies(
                    ground.connection, _EVERYTHING, size=str(ground.row_size), from_=f"{escaped(self._leaf.sql)} AS r"
                )
            )
        return self._tallies

    def pledge(self, proof: Proof) -> Mapping[str, Json] | None:
        """The transaction's number and the disposal, where this role may leave no marker."""
        if self._ground.marked:
            return None
        self._stop_writers()
        return {
            "transaction": self._ground.marking.transaction(),
            "system": self._ground.system,
            "disposal": self._decided(proof).to_json(),
        }

    def commit(self, proof: Proof) -> Disposal:
        """Drop the partition, if it is still what was read, with the marker in the same transaction."""
        disposal = self._decided(proof)
        if not disposal.records:
            return disposal
        self._stop_writers()
        self._compare()
        self._drop()
        if self._ground.marked:
            self._ground.marking.add(disposal)
        self._ground.connection.commit()
        self.removed = disposal.records
        return disposal

    def _decided(self, proof: Proof) -> Disposal:
        if self._disposal is None:
            contents = [] if self._content is None else [self._content]
            tallies = self.tallies()
            check_proof(proof, self._piece, contents)
            self._disposal = self._piece.facts.disposal(
                slice_name=self._piece.name,
                dataset=self._piece.dataset.name,
                method=Method.PARTITION_DROP,
                at=clock.real_now(),
                rule_of={out.code: out.rule for out in self._piece.selection.outcomes if out.rule is not None},
                tallies=tallies,
                proof=proof,
            )
        return self._disposal

    def _stop_writers(self) -> None:
        """End the snapshot and begin the transaction that drops; readers go on, writers of the partition wait."""
        if self._stopped:
            return
        self._stopped = True
        connection = self._ground.connection
        connection.roll_back()
        connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
        self._ground.limit()
        connection.run(f"LOCK TABLE {self._leaf.sql} IN SHARE ROW EXCLUSIVE MODE")

    def _compare(self) -> None:
        """See that every row is there as it was read, and that no other has come.

        Raises:
            ChangedError: If not.
        """
        counts = Counts()
        if self._content is None:
            now = self._tallies
            self._tallies = ()
            if [(t.code, t.tenant, t.records) for t in now] != [(t.code, t.tenant, t.records) for t in self.tallies()]:
                raise self._changed()
            return
        again = ContentDigest()
        for batch in self._rows(counts):
            again.update(batch)
        if (again.records, again.digest()) != (self._content.records, self._content.digest()):
            raise self._changed()

    def _changed(self) -> ChangedError:
        return ChangedError(
            f"partition {self._leaf.sql} changed while it was archived",
            hint="It stays; the rows that have lapsed are removed one by one.",
        )

    def _drop(self) -> None:
        """Detach and drop; the parent's lock is asked for several times, so that nobody queues for long."""
        connection = self._ground.connection
        for number in range(_TRIES):
            try:
                with connection.attempt():
                    connection.run(f"ALTER TABLE {self._table.sql} DETACH PARTITION {self._leaf.sql}")
                    connection.run(f"DROP TABLE {self._leaf.sql}")
                return
            except BusyError:
                if number == _TRIES - 1:
                    raise
                clock.sleep(0.2 * (number + 1))
