"""One slice: rows deleted in an open transaction and handed over, then committed with their marker.

MariaDB deletes and yields in one statement. MySQL has no ``RETURNING``: there the rows are read and locked, then
deleted by the same condition in the same transaction. What is locked cannot change, so if as many rows went as
were read, they are the same ones; if not, the slice begins anew.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lapse import clock
from lapse.errors import BusyError, ChangedError, LeaseError, ProofError, StoreError
from lapse.model.disposal import Disposal, Method, Proof, Verified, Waiver
from lapse.model.plan import Tally, merge
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql import own
from lapse.stores.mysql.ahead import ahead
from lapse.stores.mysql.connection import Connection, TooLongError
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.slicing import Learner

if TYPE_CHECKING:
    from lapse.stores.mysql.encoding import Shape

_BATCH = 10_000
_BATCH_SIZE = 8 * 1024 * 1024
_ATTEMPTS = 3
STATEMENT = 60
"""Seconds that the statement of a take may last."""
_NOTHING = "Nothing was removed. Run again."
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a take stands on.

    Attributes:
        connection: The session; nobody else uses it while the take is open.
        judge: What decides.
        learner: Learns how long transactions last.
        target: Seconds that a transaction should last.
        returning: Whether ``DELETE … RETURNING`` is there.
        token: Number of the run's lease. None where it has none.
    """

    connection: Connection
    judge: Judge
    learner: Learner
    target: float
    returning: bool
    token: int | None


@dataclass(slots=True)
class _Removed:
    """What one attempt removed so far."""

    tallies: list[Tally]
    content: ContentDigest
    records: int = 0
    is_complete: bool = False


class MysqlTake:
    """The lapsed rows of a slice; `begin` begins its transaction, and the caller rolls it back."""

    def __init__(self, ground: Ground, piece: Slice, within: Fragment) -> None:
        self._ground = ground
        self._piece = piece
        self._codes = piece.selection.lapsed_codes(piece.destination)
        self._where = within + " AND " + ground.judge.going(self._codes)
        self._removed: _Removed | None = None
        self._flow: Generator[RowBatch, None, None] = _nothing()
        self._read = False
        self._began = clock.monotonic()
        self.begin()

    def begin(self) -> None:
        """Begin the transaction with the row of the lease.

        Raises:
            LeaseError: If another run has taken the lease over.
        """
        connection = self._ground.connection
        connection.begin()
        token = own.locked_token(connection)
        if self._ground.token not in (None, token):
            raise LeaseError(
                f"slice {self._piece.name}: another run has begun, as this one's connection was gone",
                hint="Nothing of the slice was removed. Let the other run finish.",
            )

    # What goes

    def parts(self) -> Iterator[Part]:
        """One part, if there is anything; what was not asked for yet is still on its way from the server."""
        from lapse.stores.mysql.encoding import Shape

        if self._read or self._removed is not None:
            raise StoreError(f"slice {self._piece.name} was read before", hint="Take it again.")
        self._read = True
        shape = Shape(self._ground.judge.table)
        first = self._attempted(lambda: next(self._begun(shape), None))
        if first is not None:
            yield Part(
                table=self._ground.judge.table.shown,
                columns=shape.columns,
                odd_column=shape.odd_column,
                batches=self._rest(first),
            )

    def _begun(self, shape: Shape | None) -> Iterator[RowBatch]:
        self._removed = _Removed([], ContentDigest())
        self._flow = self._removing(self._removed, shape)
        return self._flow

    def _rest(self, first: RowBatch) -> Iterator[RowBatch]:
        yield first
        try:
            yield from self._flow
        except (BusyError, ChangedError):
            self._ground.learner.shrink()  # some of it was handed over: the whole slice comes again
            raise

    def end(self) -> None:
        """Wait for what the server still sends: nothing else can be asked before."""
        self._flow.close()

    def _attempted(self, work: Callable[[], _Result]) -> _Result:
        """Do *work*, anew in a new transaction where somebody else was in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return work()
            except (BusyError, ChangedError) as error:
                self.end()
                self._ground.connection.roll_back()
                self._ground.learner.shrink()
                if attempt == _ATTEMPTS or isinstance(error, TooLongError):
                    raise
                clock.sleep(random.uniform(0.01, 0.1) * attempt)  # noqa: S311 - no secret
                self.begin()
        raise AssertionError("the last attempt returns or raises")

    def _removing(self, removed: _Removed, shape: Shape | None) -> Generator[RowBatch, None, None]:
        """Delete the rows of the slice; with *shape* all of each row is handed over, without only counted."""
        if self._ground.returning:
            limited = f"SET STATEMENT max_statement_time = {STATEMENT} FOR DELETE FROM {self._table} WHERE "
            yield from self._collected(limited + self._where + " RETURNING ", "", removed, shape)
        else:
            after = f" FROM {self._table} WHERE " + self._where + " FOR UPDATE"
            batches = list(self._collected("SELECT ", after, removed, shape))
            self._delete(removed.records)
            yield from batches
        self._check_warnings()
        removed.is_complete = True

    def _delete(self, read: int) -> None:
        """Delete what was read and locked.

        Raises:
            ChangedError: If other rows went.
        """
        gone = self._ground.connection.change(f"DELETE FROM {self._table} WHERE " + self._where) if read else 0
        if gone != read:
            raise ChangedError(f"slice {self._piece.name}: {gone} rows went, but {read} were read", hint=_NOTHING)

    def _check_warnings(self) -> None:
        """Nothing goes where the server was not sure of a value.

        Raises:
            StoreError: If it warned.
        """
        warned = self._ground.connection.warnings()
        if warned:
            raise StoreError(
                f"slice {self._piece.name}: the server warned while it compared and removed rows: {warned[0]}",
                hint="Nothing of it was removed. Change the value, the column's type or the trigger that it is about.",
            )

    @property
    def _table(self) -> str:
        return self._ground.judge.table.sql

    def _collected(
        self, before: str | Fragment, after: str | Fragment, removed: _Removed, shape: Shape | None
    ) -> Iterator[RowBatch]:
        from lapse.stores.mysql.reading import counted, read_lines

        judge = self._ground.judge
        statement = Fragment("") + before + self._line(shape) + after
        with closing(ahead(self._ground.connection.texts(statement))) as chunks:
            for lines in _grouped(chunks, judge.table.name):
                facts, rows = read_lines(lines, shape, judge.table.name)
                before_size = removed.content.raw_size
                if rows is not None:
                    removed.content.update(rows)
                removed.tallies += counted(facts, removed.content.raw_size - before_size)
                removed.records += facts.num_rows
                if rows is not None:
                    yield rows

    def _line(self, shape: Shape | None) -> Fragment:
        from lapse.stores.mysql.reading import line_of

        return line_of(self._ground.judge, self._codes, shape)

    def tallies(self) -> tuple[Tally, ...]:
        """Counts by code and tenant; without archive they are counted here, which removes the rows."""
        if self._removed is None:
            if self._piece.destination.archives:
                return ()
            self._attempted(lambda: list(self._begun(None)))
        return () if self._removed is None else merge(self._removed.tallies)

    # Commit

    def commit(self, proof: Proof) -> Disposal:
        """Make the removal permanent, with its marker in the same transaction."""
        tallies = self.tallies()
        self._check(proof)
        disposal = self._disposal(proof, tallies)
        if not disposal.records:
            return disposal
        own.markers(self._ground.connection).add(disposal)
        self._ground.connection.commit(f"slice {self._piece.name}")
        self._ground.learner.learn(disposal.records, clock.monotonic() - self._began, target=self._ground.target)
        return disposal

    def _check(self, proof: Proof) -> None:
        piece = self._piece
        if isinstance(proof, Waiver):
            if piece.destination.archives or proof.slice != piece.name:
                raise ProofError(f"a waiver of slice {proof.slice} is no proof for slice {piece.name}", hint=_NOTHING)
            return
        is_read = self._read and self._removed is not None and self._removed.is_complete
        if self._removed is None or not is_read or not piece.destination.archives:
            raise ProofError(f"slice {piece.name} is not what the proof is for", hint=_NOTHING)
        if not self._removed.records and not proof:
            return
        if tuple(sorted(verified.archive for verified in proof)) != piece.destination.archives:
            raise ProofError(f"the proofs for slice {piece.name} are not of its archives", hint=_NOTHING)
        for verified in proof:
            self._check_one(verified, self._removed)

    def _check_one(self, verified: Verified, removed: _Removed) -> None:
        records = sum(segment.records for segment in verified.segments)
        content = (removed.content.digest(),) if removed.records else ()
        if (verified.slice, records, verified.content) != (self._piece.name, removed.records, content):
            raise ProofError(
                f"the proof from archive {verified.archive} is not for the records of slice {self._piece.name}",
                hint=_NOTHING,
            )

    def _disposal(self, proof: Proof, tallies: tuple[Tally, ...]) -> Disposal:
        piece = self._piece
        return piece.facts.disposal(
            slice_name=piece.name,
            dataset=piece.dataset.name,
            method=Method.ROW_DELETE,
            at=clock.real_now(),
            rule_of={out.code: out.rule for out in piece.selection.outcomes if out.rule is not None},
            tallies=tallies,
            proof=proof,
        )


def _nothing() -> Generator[RowBatch, None, None]:
    yield from ()


def _grouped(chunks: Iterator[list[bytes | None]], table: str) -> Iterator[list[bytes]]:
    """Lines in groups of bounded rows and bytes."""
    group: list[bytes] = []
    size = 0
    for chunk in chunks:
        for text in chunk:
            if text is None:
                raise StoreError(
                    f"{table}: a row is larger than the server's max_allowed_packet",
                    hint="Nothing was removed. Raise max_allowed_packet on the server, or keep these records.",
                )
            group.append(text)
            size += len(text)
            if size >= _BATCH_SIZE or len(group) == _BATCH:
                yield group
                group, size = [], 0
    if group:
        yield group
