"""A partition that goes whole: sealed from a snapshot, set aside, and dropped if it still is what was sealed.

Its rows leave the table by an exchange, which others wait for a second at most. Then nobody writes to them, and they
are compared with what was sealed. Equal, the marker is committed and they are dropped; otherwise they are put back.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain

from lapse.errors import BusyError, ChangedError, CommitUnknownError, LapseError, ProofError, StoreError
from lapse.model.disposal import Disposal, Method, Proof, Waiver
from lapse.model.plan import Tally, merge
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.partitions import ROWS_STAY, LeftAsideError
from lapse.sqlcore.proving import NOTHING, check_proof
from lapse.stores.mysql import own
from lapse.stores.mysql.aside import PATIENCE, Aside, exchange, exclusively, finish, make, put_back
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.holding import check_holds, locked
from lapse.stores.mysql.partitions import inventory
from lapse.stores.mysql.ranges import Key, KeyRange, KeyWalk
from lapse.stores.mysql.reading import Form, Read, lines_of
from lapse.stores.mysql.removing import check_warnings
from lapse.stores.mysql.surveying import Surveyor
from lapse.stores.mysql.taking import Ground, fence

_ROWS = 20_000  # of one statement at most
_SIZE = 16 * 1024 * 1024  # of one statement, about: so much is in memory


class PartitionTake:
    """A whole partition. Nothing is locked until the commit.

    Attributes:
        removed: Rows that a commit removed.
        unfinished: What of it is still to be dropped after the commit. None if nothing is.
    """

    def __init__(self, ground: Ground, piece: Slice) -> None:
        self.removed = 0
        self.unfinished: Aside | None = None
        self._ground = ground
        self._connection: Connection = ground.connection
        self._piece = piece
        self._part: Table = ground.judge.table
        self._codes = frozenset(piece.selection.lapsed_codes(piece.destination))
        self._content: ContentDigest | None = None
        self._tallies: tuple[Tally, ...] | None = None
        self._flow: Generator[RowBatch, None, None] | None = None

    @property
    def _name(self) -> str:
        return f"partition {self._part.partition} of {self._part.shown}"

    # What goes

    def parts(self) -> Iterator[Part]:
        """One part: every row, from one snapshot. Nothing if there is none."""
        if self._content is not None:
            raise StoreError(f"slice {self._piece.name} was read before", hint="Take it again.")
        self._check_free()
        self._content = ContentDigest()
        self._connection.begin_snapshot()
        form = Form.of_lapsed(self._ground.judge, (), whole=True)
        self._flow = self._sealing(form, self._content)
        first = next(self._flow, None)
        if first is None or form.shape is None:
            return
        yield Part(
            table=self._part.shown,
            columns=form.shape.columns,
            odd_column=form.shape.odd_column,
            batches=chain((first,), self._flow),
        )

    def _sealing(self, form: Form, content: ContentDigest) -> Generator[RowBatch, None, None]:
        tallies: list[Tally] = []
        with closing(self._scanned(self._part, form)) as scanned:
            for read in scanned:
                before = content.raw_size
                if read.rows is not None:
                    content.update(read.rows)
                    tallies += self._checked(read.tallies(content.raw_size - before))
                    yield read.rows
        self._connection.roll_back()  # no snapshot is held while the segment is verified
        self._tallies = merge(tallies)

    def _scanned(self, table: Table, form: Form) -> Generator[Read, None, None]:
        """Every row of *table* in the order of its key, in statements of bounded size."""
        walk = KeyWalk(self._connection, table)
        after: Key | None = None
        order = ", ".join(column.sql for column in table.key)
        rows = max(1, min(_ROWS, _SIZE * max(1, self._part.rows) // max(1, self._part.size)))
        while True:
            until = walk.step(KeyRange(after, None), rows)
            where = walk.within(KeyRange(after, until)) + f" ORDER BY {order}"
            yield from lines_of(self._connection, "SELECT " + form.line + f" FROM {table.sql} WHERE " + where, form)
            check_warnings(self._connection, table)
            if until is None:
                return
            after = until

    def _checked(self, tallies: list[Tally]) -> list[Tally]:
        if any(tally.code not in self._codes for tally in tallies):
            raise ChangedError(f"{self._name} has got rows that are kept", hint=ROWS_STAY)
        return tallies

    def _check_free(self) -> None:
        """Do not seal what could not be dropped, as somebody has the table in use.

        Raises:
            BusyError: If so.
        """
        table = replace(self._part, partition=None)
        with self._connection.waiting(PATIENCE):
            self._connection.run(f"LOCK TABLES {table.sql} WRITE")
        self._connection.run("UNLOCK TABLES")

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of what was read; under a waiver the server counts."""
        if self._tallies is None and self._content is None and not self._piece.destination.archives:
            self._tallies = self._counted(self._part)
        return self._tallies or ()

    def _counted(self, table: Table) -> tuple[Tally, ...]:
        judge = replace(self._ground.judge, table=table)
        walk = KeyWalk(self._connection, table)
        tallies: list[Tally] = []
        for counted in Surveyor(self._connection, walk, judge).count(walk.last()):
            check_warnings(self._connection, table)
            tallies += self._checked(list(counted.tallies))
        return merge(tallies)

    def end(self) -> None:
        """Wait for what the server still sends: nothing else can be asked before."""
        if self._flow is not None:
            self._flow.close()

    # Commit

    def commit(self, proof: Proof) -> Disposal:
        """Set the rows aside, see that they are what was read, leave the marker, and drop them."""
        self._check(proof)
        if not self.tallies():
            return self._piece.disposal(Method.PARTITION_DROP, tallies=(), proof=proof)
        with exclusively(self._connection):
            found = self._set_aside()
            with self._or_back(found):
                disposal = self._decided(found, proof)
            self.removed = disposal.records
            try:
                finish(self._connection, found)
            except BusyError:
                self.unfinished = found
        return disposal

    def _check(self, proof: Proof) -> None:
        known = self._content
        if not isinstance(proof, Waiver) and self._tallies is None:
            raise ProofError(f"slice {self._piece.name} was not read through before its commit", hint=NOTHING)
        records = 0 if known is None else known.records
        content = (known.digest(),) if known is not None and records else ()
        check_proof(proof, self._piece, records=records, content=content)

    def _set_aside(self) -> Aside:
        """Take the rows out of the table.

        Raises:
            BusyError: If somebody uses the table. The rows are where they were.
            ChangedError: If the server does not let the partition go. The rows are where they were.
        """
        try:
            found = make(self._connection, self._part, self._piece.facts.owner, self._piece.name)
            with self._or_back(found):
                self._check_lease()
                exchange(self._connection, self._part, found)
        except (BusyError, ChangedError, LeftAsideError):
            raise
        except StoreError as error:
            if not self._connection.is_open:
                raise
            raise ChangedError(f"{self._name} cannot be set aside: {error}", hint=ROWS_STAY) from error
        return found

    @contextmanager
    def _or_back(self, found: Aside) -> Iterator[None]:
        """Put the rows back where the block fails, unless nobody knows whether its marker is committed."""
        try:
            yield
        except CommitUnknownError:
            raise
        except LapseError:
            put_back(self._connection, found)
            raise

    def _check_lease(self) -> None:
        with self._connection.transaction("looking at the lease"):
            fence(self._connection, self._ground.token, self._piece)

    def _decided(self, found: Aside, proof: Proof) -> Disposal:
        """Commit the marker, if what is aside is what was read, and may still go."""
        table = found.of(self._part)
        whole = replace(self._part, partition=None)
        if inventory(self._connection, whole).find(self._part.partition or "") is None:
            raise ChangedError(f"{self._name} may no longer be dropped", hint=ROWS_STAY)
        disposal = self._piece.disposal(Method.PARTITION_DROP, tallies=self._compared(table), proof=proof)
        connection = self._connection
        with locked(connection, self._part), connection.transaction(f"slice {self._piece.name}"):
            fence(connection, self._ground.token, self._piece)
            check_holds(connection, self._piece.selection, self._part, (), self._name)
            own.markers(connection).add(disposal)
        return disposal

    def _compared(self, table: Table) -> tuple[Tally, ...]:
        """Counts of the rows that are aside, in *table*: they are what was read; under a waiver they are counted.

        Raises:
            ChangedError: If they are not, or if one of them is kept.
        """
        if self._content is None:
            if not (tallies := self._counted(table)):
                raise ChangedError(f"{self._name} was emptied by somebody else", hint=ROWS_STAY)
            return tallies
        again = ContentDigest()
        with closing(self._scanned(table, Form.of_columns(table))) as scanned:
            for read in scanned:
                if read.rows is not None:
                    again.update(read.rows)
        if (again.records, again.digest()) != (self._content.records, self._content.digest()):
            raise ChangedError(f"{self._name} changed while it was archived", hint=ROWS_STAY)
        return self.tallies()
