"""A take: rows deleted in an open transaction and handed over as they leave, then committed with their marker."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from lapse.canonical import Json
from lapse.errors import ChangedError, ProofError, StoreError
from lapse.model.disposal import Disposal, Method, Proof
from lapse.model.plan import Tally, merge
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.proving import NOTHING, check_proof
from lapse.stores.postgresql.borrowing import locking
from lapse.stores.postgresql.connection import Block, Connection
from lapse.stores.postgresql.counting import Counts
from lapse.stores.postgresql.deciding import decision
from lapse.stores.postgresql.dependents import Dependent, Dependents
from lapse.stores.postgresql.encoding import COPY_OPTIONS, Decoded, Shape, read, read_plain
from lapse.stores.postgresql.filing import Filing
from lapse.stores.postgresql.holding import check_holds
from lapse.stores.postgresql.judging import Beside, Judge
from lapse.stores.postgresql.marking import Marking
from lapse.stores.postgresql.places import within
from lapse.stores.postgresql.stepping import Steps

_LOCKED = "r.xmax = pg_current_xact_id()::xid"
"""The condition that a row ``r`` is locked FOR UPDATE by this transaction; nobody else can change it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a take works on.

    Attributes:
        connection: The session, with the take's transaction open.
        judge: What decides.
        shape: How the table's columns travel.
        dependents: What depends on the table's rows.
        kept: Condition that no row elsewhere keeps a row ``r`` here.
        marking: Where the marker goes.
        marked: Whether this role may leave one.
        system: The server's own identifier.
        row_size: Bytes of an average row.
        limit: Sets the limits of a transaction's statements and locks.
        filing: Where files of rows are noted. None where rows have none.
    """

    connection: Connection
    judge: Judge
    shape: Shape
    dependents: Dependents
    kept: Fragment
    marking: Marking
    marked: bool
    system: str
    row_size: int
    limit: Callable[[], None]
    filing: Filing | None = None


class PostgresTake:
    """The lapsed rows among some of a leaf, with what depends on them."""

    def __init__(self, ground: Ground, piece: Slice, leaf: str, rows: Fragment, *, steps: Steps | None = None) -> None:
        """Nothing is read yet.

        Arguments:
            ground: What it works on.
            piece: The slice.
            leaf: The table that has its rows, as it stands in a fragment.
            rows: The condition that a row ``r`` belongs to the slice, lapsed or not.
            steps: How to let others through while its rows are read. None reads them at once.
        """
        self._ground = ground
        self._steps = steps
        self._piece = piece
        self._leaf = leaf
        self._rows = rows
        self.where = ground.dependents.widened(leaf, self._chosen())
        self._reach = Fragment("TRUE") if ground.dependents.own else rows
        self._contents: list[ContentDigest] = []
        self._counts = Counts()
        self._tallies: Sequence[Tally] | None = None
        self._disposal: Disposal | None = None
        self._read = False
        self.removed = 0
        """Rows of the table that a commit removed."""
        self.along = 0
        """Rows of other tables that went or changed with them."""

    def _chosen(self, beside: Beside | None = None) -> Fragment:
        """The condition that a row ``r`` goes."""
        piece, ground = self._piece, self._ground
        lapsed = ground.judge.lapsed(piece.selection.lapsed_codes(piece.destination), beside)
        return "(" + self._rows + ") AND (" + lapsed + ") AND (" + ground.kept + ")"

    def parts(self) -> Iterator[Part]:
        """The dependents' rows, the deepest first, then the rows themselves; nothing if nothing lapsed."""
        if self._read:
            raise StoreError(f"slice {self._piece.name} was read before", hint="Take it again.")
        self._read = True
        self._lock()
        for dependent in self._ground.dependents.taken:
            batches = self._child_batches(dependent)
            first = next(batches, None)
            if first is not None:
                yield self._part(dependent.table.shown, dependent.shape, first, batches)
        rows = self._batches()
        first = next(rows, None)
        if first is not None:
            yield self._part(self._ground.judge.table.shown, self._ground.shape, first, rows)

    def _part(self, table: str, shape: Shape, first: RowBatch, rest: Iterator[RowBatch]) -> Part:
        content = ContentDigest()
        self._contents.append(content)

        def digested() -> Iterator[RowBatch]:
            batch: RowBatch | None = first
            while batch is not None:
                content.update(batch)
                yield batch
                batch = next(rest, None)

        return Part(table=table, columns=shape.columns, odd_column=shape.odd_column, batches=digested())

    @property
    def _locks(self) -> bool:
        """Whether rows are locked before they are removed."""
        ground = self._ground
        return bool(ground.dependents.locks or ground.judge.table.loans or ground.filing is not None)

    def _lock(self) -> None:
        """Parents first, so that no child can come while theirs are removed; from then on only they are meant.

        A row that lapses later, back-dated by somebody, is not locked: it would take children along that came after
        those of the others were removed.
        """
        dependents, connection, table = self._ground.dependents, self._ground.connection, self._ground.judge.table
        if self._locks:
            lock = (
                f"SELECT count(*) FROM (SELECT 1 FROM {self._leaf} AS r WHERE " + self.where + " FOR UPDATE) AS locked"
            )
            ((rows,),) = connection.query(lock)
            self.where = "(" + self.where + f") AND {_LOCKED}"
            # What is decided by what others lend is decided anew by every statement from here on, and no other way.
            for locking_lenders in locking(table, self._leaf, "(" + self._reach + f") AND {_LOCKED}"):
                connection.query(locking_lenders)
            self.along = dependents.check_size(connection, self._leaf, self.where, rows)
            for dependent in reversed(dependents.taken):
                connection.query(dependent.locking(self._leaf, self.where))
        if self._ground.filing is not None:
            self._ground.filing.note(self._leaf, self.where, dependents.taken)

    def _child_batches(self, dependent: Dependent) -> Iterator[RowBatch]:
        delete = dependent.deleting(self._leaf, self.where) + f" RETURNING {dependent.shape.select}"
        yield from read_plain(self._ground.connection.copy_out(delete, COPY_OPTIONS), dependent.shape)

    def _batches(self) -> Iterator[RowBatch]:
        shape = self._ground.shape
        decided = decision(self._ground.judge, shape)
        returning = f" RETURNING {shape.select}" + decided.select
        sent = self._sent(returning) if self._steps is None else self._sent_in_steps(returning, self._steps)
        for decoded in read(sent, shape, decided.sent):
            yield self._counted(decoded)

    def _sent(self, returning: Fragment) -> Iterator[Block]:
        return self._ground.connection.copy_out(self._delete + returning, COPY_OPTIONS)

    def _sent_in_steps(self, returning: Fragment, steps: Steps) -> Iterator[Block]:
        for stretch in steps.stretches():
            delete = self._delete + " AND (" + within(self._ground.connection, stretch) + ")" + returning
            with steps.step():
                sent = list(self._ground.connection.copy_out(delete, COPY_OPTIONS))
            yield from sent

    @property
    def _delete(self) -> Fragment:
        return f"DELETE FROM {self._leaf} AS r WHERE (" + self.where + ")"

    def _counted(self, decoded: Decoded) -> RowBatch:
        self._counts.add(decoded.codes, decoded.tenants, decoded.instants)
        return decoded.rows

    def tallies(self) -> Sequence[Tally]:
        """Counts of the rows themselves; under a waiver they are removed here, and counted by the server."""
        if self._tallies is not None:
            return self._tallies
        if not self._read and not self._piece.destination.archives:
            self._tallies = self._remove_unread()
            return self._tallies
        return self._counts.tallies(sum(content.raw_size for content in self._contents))

    def _remove_unread(self) -> Sequence[Tally]:
        """Count, then remove, in one snapshot: much cheaper than to have the server count what it returns."""
        self._read = True
        ground, judge = self._ground, self._ground.judge
        self._lock()
        for dependent in ground.dependents.taken:
            ground.connection.query(dependent.deleting(self._leaf, self.where))
        if self._steps is not None:
            return merge(chain.from_iterable(self._removed_in_steps(self._steps)))
        if judge.lookups is not None:  # each look for the rule of a row costs more than to count what is returned
            return self._removed()
        size = str(ground.row_size)
        tallies = judge.tallies(ground.connection, self.where, size=size, from_=f"{self._leaf} AS r", checksums=False)
        removed = ground.connection.change(self._delete)
        if removed != sum(tally.records for tally in tallies):
            raise ChangedError(f"{removed} rows of slice {self._piece.name} went, another number was counted")
        return tallies

    def _removed_in_steps(self, steps: Steps) -> Iterator[Sequence[Tally]]:
        """Count what the server removes as it does so: no snapshot is held, that others' updates would make useless."""
        for stretch in steps.stretches():
            with steps.step():
                found = self._removed(within(self._ground.connection, stretch))
            yield found

    def _removed(self, among: Fragment | None = None) -> Sequence[Tally]:
        """Remove the rows, of those *among* which are meant, and count what the server returns."""
        ground, judge = self._ground, self._ground.judge
        delete, code = self._deciding
        delete = delete if among is None else delete + " AND (" + among + ")"
        decided = code + " AS lapse_code, " + judge.tenant + f" AS lapse_tenant, {judge.instant} AS lapse_instant"
        gone = "WITH gone AS (" + delete + " RETURNING " + decided + ") "
        if judge.lookups is not None:
            # numpy takes memory that others need not spend.
            from lapse.stores.postgresql.columnreading import removed_tallies

            return removed_tallies(ground.connection, gone, row_size=ground.row_size)
        found = ground.connection.query(
            gone + "SELECT lapse_code, lapse_tenant, count(*), min(lapse_instant), max(lapse_instant) "
            "FROM gone GROUP BY 1, 2"
        )
        return tuple(
            Tally(code=code, tenant=tenant, records=rows, size=rows * ground.row_size, oldest=oldest, newest=newest)
            for code, tenant, rows, oldest, newest in found
        )

    @cached_property
    def _deciding(self) -> tuple[Fragment, Fragment]:
        """What removes the rows, and the code of each. Very many rules are joined where no lock has chosen the rows."""
        beside = None if self._locks else self._ground.judge.beside()
        if beside is None:
            return self._delete, self._ground.judge.code
        delete = f"DELETE FROM {self._leaf} AS r" + beside.using + " WHERE " + beside.same
        return delete + " AND (" + self._chosen(beside) + ")", beside.code

    def pledge(self, proof: Proof) -> Mapping[str, Json] | None:
        """The transaction's number and the disposal, where this role may leave no marker."""
        if self._ground.marked:
            return None
        self.tallies()
        return {
            "transaction": self._ground.marking.transaction(),
            "system": self._ground.system,
            "timeline": self._ground.marking.timeline(),
            "disposal": self._decided(proof).to_json(),
        }

    def commit(self, proof: Proof) -> Disposal:
        """Make the removal permanent, with its marker in the same transaction."""
        disposal = self._decided(proof)
        if not disposal.records:
            return disposal
        ground = self._ground
        along = [dependent.table for dependent in ground.dependents.taken]
        check_holds(ground.connection, self._piece.selection, ground.judge.table, along, f"slice {self._piece.name}")
        if ground.marked:
            ground.marking.add(disposal)
        ground.connection.commit()
        self.removed = disposal.records
        return disposal

    def _decided(self, proof: Proof) -> Disposal:
        """The disposal, made once: what was pledged is what is committed."""
        if self._disposal is None:
            tallies = self.tallies()
            if not self._read:
                raise ProofError(f"slice {self._piece.name} was not read before its commit", hint=NOTHING)
            check_proof(
                proof,
                self._piece,
                records=sum(content.records for content in self._contents),
                content=tuple(content.digest() for content in self._contents),
            )
            self._disposal = self._piece.disposal(Method.ROW_DELETE, tallies=tallies, proof=proof)
        return self._disposal
