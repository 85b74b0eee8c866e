"""A partition that goes whole: sealed from a snapshot, then dropped, if it still is what was sealed.

The drop is one short transaction: writers of the partition are stopped, every row is read again and compared with what
was sealed, the partition is detached and dropped, and the marker is written. Whatever came in between keeps the
partition. The exclusive locks, which readers of the whole table wait behind, are asked for last, and for half a second
at most each time. Where somebody is always at work on the table they are never to be had: then the partition is set
aside first, and the same is done with it there.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from lapse import clock
from lapse.canonical import Json
from lapse.errors import BusyError, ChangedError, StoreError
from lapse.model.disposal import Disposal, Method, Proof
from lapse.model.plan import Tally, merge
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.partitions import ROWS_STAY
from lapse.sqlcore.proving import check_proof
from lapse.stores.postgresql.aside import set_aside
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Block, Connection
from lapse.stores.postgresql.counting import Counts
from lapse.stores.postgresql.deciding import Decision, decision
from lapse.stores.postgresql.encoding import COPY_OPTIONS, read
from lapse.stores.postgresql.holding import check_holds
from lapse.stores.postgresql.leasing import fence
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.partitions import inventory, tied
from lapse.stores.postgresql.places import Leaf, Stretch, within
from lapse.stores.postgresql.taking import Ground

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_TRIES = 5
_PATIENCE = 0.5
"""Seconds that readers wait at most, each time exclusive locks are asked for; less than `deadlock_timeout` usually is,
so that it is always the drop that gives way."""

_OLD = "5 seconds"
"""Age of a transaction on the table from which on it is not even tried: it would be sealed in vain."""

_ROWS = 10_000  # of one statement, so that a statement timeout of the role is no hindrance


class PartitionTake:
    """A whole partition. Nothing is locked until the commit."""

    def __init__(self, ground: Ground, piece: Slice, table: Table, leaf: Leaf) -> None:
        self._ground = ground
        self._connection = ground.connection
        self._piece = piece
        self._table = table
        self._leaf = leaf
        self._codes = piece.selection.lapsed_codes(piece.destination)
        self._content: ContentDigest | None = None
        self._sent = sha256()
        self._tallies: tuple[Tally, ...] | None = None
        self._disposal: Disposal | None = None
        self._stopped = False
        self._separable = False
        self.removed = 0
        """Rows that a commit removed."""

    def parts(self) -> Iterator[Part]:
        """One part: every row, from one snapshot. Nothing if there is none."""
        self._ground.limit()
        self._check_in_use()
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
            self._connection.roll_back()  # no snapshot is held while the segment is verified

        shape = self._ground.shape
        yield Part(
            table=self._table.shown, columns=shape.columns, odd_column=shape.odd_column, batches=digested()
        )  # fmt: skip

    def _check_in_use(self) -> None:
        """Do not seal what could not be dropped: somebody has been at work on the table for long.

        Raises:
            BusyError: If so. Whose age this role may not see is not counted.
        """
        found = self._connection.rows(
            "SELECT l.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::int FROM pg_locks l "
            "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.granted "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND l.relation = ANY(%s::oid[]) AND l.pid <> pg_backend_pid() "
            f"AND a.xact_start < clock_timestamp() - interval '{_OLD}' ORDER BY a.xact_start LIMIT 1",
            ([self._table.oid, self._leaf.oid],),
        )
        for pid, seconds in found:
            raise BusyError(
                f"partition {self._leaf.sql} cannot be dropped now: session {pid} has had the table in use for"
                f" {seconds:,} s",
                hint="Nothing was removed. It is tried again, or run again when that session is done.",
            )

    def _rows(self, counts: Counts) -> Iterator[RowBatch]:
        """Every row with what is decided of it, in the order of their places."""
        shape, sent = self._ground.shape, self._decision.sent
        for blocks in self._copies():
            for decoded in read(_hashed(blocks, self._sent), shape, sent):
                counts.add(decoded.codes, decoded.tenants, decoded.instants)
                yield decoded.rows

    @cached_property
    def _decision(self) -> Decision:
        return decision(self._ground.judge, self._ground.shape)

    def _copies(self) -> Iterator[Iterator[Block]]:
        """What the server sends of every row, stretch by stretch: the same bytes for the same rows."""
        columns = self._ground.shape.select + self._decision.select
        for where in self._stretches():
            query = "SELECT " + columns + f" FROM {escaped(self._leaf.sql)} AS r WHERE " + where
            yield self._connection.copy_out(query, COPY_OPTIONS)

    def _stretches(self) -> Iterator[Fragment]:
        """Conditions that each meet some rows, and together all that the snapshot shows."""
        pages = int(
            self._connection.value(
                "SELECT pg_relation_size(%s::oid) / current_setting('block_size')::bigint", (self._leaf.oid,)
            )
        )
        step = max(1, _ROWS * self._leaf.pages // max(self._leaf.rows, 60 * self._leaf.pages, 1))
        for first in range(0, pages, step):
            yield within(self._connection, Stretch(self._leaf.oid, (first, 0), (first + step, 0)))

    def _checked(self, tallies: tuple[Tally, ...]) -> tuple[Tally, ...]:
        if any(tally.code not in self._codes for tally in tallies):
            raise ChangedError(f"partition {self._leaf.sql} has got rows that are kept", hint=ROWS_STAY)
        return tallies

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of what was read; under a waiver the server counts, and nobody writes from then on."""
        if self._tallies is None and not self._piece.destination.archives and self._content is None:
            self._stop_writers()
            self._tallies = self._checked(merge(self._counted()))
        return self._tallies or ()

    def _counted(self) -> Iterator[Tally]:
        size, from_ = str(self._ground.row_size), f"{escaped(self._leaf.sql)} AS r"
        for where in self._stretches():
            yield from self._ground.judge.tallies(self._connection, where, size=size, from_=from_, checksums=False)

    def pledge(self, proof: Proof) -> Mapping[str, Json] | None:
        """The transaction's number and the disposal, where this role may leave no marker."""
        if self._ground.marked:
            return None
        disposal = self._decided(proof)
        self._stop_writers()
        return {
            "transaction": self._ground.marking.transaction(),
            "system": self._ground.system,
            "timeline": self._ground.marking.timeline(),
            "disposal": disposal.to_json(),
        }

    def commit(self, proof: Proof) -> Disposal:
        """Drop the partition, if it is still what was read, with the marker in the same transaction."""
        disposal = self._decided(proof)
        if not disposal.records:
            return disposal
        self._stop_writers()
        self._compare()
        self._check_holds()
        users = self._users()
        try:
            self._drop(self._detach_and_drop)
        except BusyError:
            # A transaction that outlasts all tries would keep the other form waiting as well.
            if not self._separable or users & self._users():
                raise
            self._drop_aside(disposal)
        else:
            self._finish(disposal)
        return disposal

    def _drop_aside(self, disposal: Disposal) -> None:
        """Take the partition out of its table, compare it there, and drop it, or put it back."""
        self._connection.roll_back()
        owner, name = self._piece.facts.owner, self._piece.name
        with set_aside(self._connection, self._table, self._leaf, owner=owner, slice_name=name):
            self._begin()
            why = tied(self._connection, self._table, self._leaf, self._piece.dataset.time)
            if why is not None:
                raise ChangedError(f"partition {self._leaf.sql} may no longer be dropped: {why}", hint=ROWS_STAY)
            self._compare()
            self._count_again()
            self._check_holds()
            self._drop(self._drop_alone)
            self._finish(disposal)

    def _check_holds(self) -> None:
        """See that no hold came, and note the files of the rows."""
        what, parted = f"partition {self._leaf.sql}", (self._leaf.oid,)
        check_holds(self._connection, self._piece.selection, self._table, (), what, parted=parted)
        if self._ground.filing is not None:
            self._ground.filing.note(escaped(self._leaf.sql), Fragment("TRUE"))

    def _finish(self, disposal: Disposal) -> None:
        if self._ground.marked:
            self._ground.marking.add(disposal)
        self._connection.commit()
        self.removed = disposal.records

    def _decided(self, proof: Proof) -> Disposal:
        if self._disposal is None:
            known = self._content
            check_proof(
                proof,
                self._piece,
                records=0 if known is None else known.records,
                content=() if known is None else (known.digest(),),
            )
            self._disposal = self._piece.disposal(Method.PARTITION_DROP, tallies=self.tallies(), proof=proof)
        return self._disposal

    def _stop_writers(self) -> None:
        """Begin the transaction that drops: writers of the partition wait from here on, readers go on."""
        if self._stopped:
            return
        self._connection.roll_back()
        self._begin()
        self._check_still_droppable()
        self._stopped = True

    def _begin(self) -> None:
        self._connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
        self._ground.limit()
        fence(self._connection, self._table)
        self._patiently(lambda: self._lock("SHARE ROW EXCLUSIVE", self._leaf.sql))

    def _check_still_droppable(self) -> None:
        """See that it is still the same partition, to which nothing was tied meanwhile.

        Raises:
            ChangedError: If not.
        """
        same = self._connection.value("SELECT to_regclass(%s)::oid = %s", (self._leaf.sql, self._leaf.oid))
        time = self._piece.dataset.time
        found = inventory(self._connection, self._table, (self._leaf,), time).find(self._leaf.oid)
        if not same or found is None:
            raise ChangedError(f"partition {self._leaf.sql} may no longer be dropped", hint=ROWS_STAY)
        # Without a marker nobody could tell what became of a partition that is gone.
        self._separable = found.separable and self._ground.marked

    def _compare(self) -> None:
        """See that every row is there as it was read, and that no other has come.

        Raises:
            ChangedError: If not.
        """
        if self._content is None:
            return  # counted under the lock
        again = sha256()
        for blocks in self._copies():
            for _ in _hashed(blocks, again):
                pass
        if again.digest() != self._sent.digest():
            raise ChangedError(f"partition {self._leaf.sql} changed while it was archived", hint=ROWS_STAY)

    def _count_again(self) -> None:
        """Under a waiver: see that the counts are those of the disposal, since writers were let through.

        Raises:
            ChangedError: If not.
        """
        if self._content is None and merge(self._counted()) != self._tallies:
            raise ChangedError(f"partition {self._leaf.sql} changed after it was counted", hint=ROWS_STAY)

    def _users(self) -> frozenset[str]:
        """The transactions that have table or partition in use now."""
        found = self._connection.rows(
            "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND relation = ANY(%s::oid[]) AND pid IS DISTINCT FROM pg_backend_pid()",
            ([self._table.oid, self._leaf.oid],),
        )
        return frozenset(transaction for (transaction,) in found)

    def _drop(self, step: Callable[[], None]) -> None:
        """Drop the partition by *step*.

        Raises:
            BusyError: If a lock is not to be had.
            ChangedError: If the server does not want to, as something depends on the partition.
        """
        try:
            self._patiently(step)
        except BusyError:
            raise
        except StoreError as error:
            if self._connection.closed:
                raise
            raise ChangedError(f"partition {self._leaf.sql} cannot be dropped: {error}", hint=ROWS_STAY) from error

    def _detach_and_drop(self) -> None:
        began = clock.monotonic()
        for name in (self._table.sql, self._leaf.sql, *self._locked_along()):
            self._lock("ACCESS EXCLUSIVE", name, seconds=_PATIENCE - (clock.monotonic() - began))
        self._connection.run(f"ALTER TABLE {self._table.sql} DETACH PARTITION {self._leaf.sql}")
        self._connection.run(f"DROP TABLE {self._leaf.sql}")

    def _drop_alone(self) -> None:
        self._lock("ACCESS EXCLUSIVE", self._leaf.sql)
        self._connection.run(f"DROP TABLE {self._leaf.sql}")

    def _locked_along(self) -> list[str]:
        """What else the server locks: the DEFAULT partition, and tables that the partition's foreign keys point at."""
        found = self._connection.rows(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AND c.oid IN ("
            "SELECT partdefid FROM pg_partitioned_table WHERE partrelid = %s "
            "UNION SELECT confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid = %s) "
            "AND c.oid NOT IN (%s, %s) ORDER BY c.oid",
            (self._table.oid, self._leaf.oid, self._table.oid, self._leaf.oid),
        )
        return [name for (name,) in found]

    def _lock(self, mode: str, name: str, *, seconds: float = _PATIENCE) -> None:
        self._connection.run(f"SET LOCAL lock_timeout = '{max(1, int(seconds * 1000))}ms'")
        self._connection.run(f"LOCK TABLE ONLY {name} IN {mode} MODE")

    def _patiently(self, step: Callable[[], None]) -> None:
        """Try a step that needs locks several times, and let everybody else go first in between.

        Raises:
            BusyError: If it never worked, or if somebody waits for the partition, who may have what is waited for.
        """
        for number in range(_TRIES):
            try:
                with self._connection.attempt():
                    step()
            except BusyError:
                if number == _TRIES - 1 or _is_awaited(self._connection, self._leaf):
                    raise
                clock.sleep(0.2 * (number + 1) * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
            else:
                return


def _hashed(blocks: Iterator[Block], hasher: Hash) -> Generator[Block]:
    """The same *blocks*, their bytes taken in by *hasher*."""
    try:
        for block in blocks:
            hasher.update(block.data)
            yield block
    finally:
        if isinstance(blocks, Generator):
            blocks.close()


def _is_awaited(connection: Connection, leaf: Leaf) -> bool:
    """Whether another session waits for a lock on *leaf*."""
    return bool(
        connection.value(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation' AND relation = %s AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            (leaf.oid,),
        )
    )
