"""One slice: rows deleted in an open transaction and handed over, then committed with their marker."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from lapse import clock
from lapse.errors import BusyError, ChangedError, LeaseError, ProofError, StoreError
from lapse.model.disposal import Disposal, Method, Proof, Waiver
from lapse.model.plan import Tally, merge
from lapse.ports import Part, RowBatch, Slice
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.learning import Learner
from lapse.sqlcore.proving import check_proof
from lapse.stores.mysql import own
from lapse.stores.mysql.connection import Connection, TooLongError
from lapse.stores.mysql.dependents import Dependents
from lapse.stores.mysql.holding import check_holds, locked
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.reading import Form
from lapse.stores.mysql.removing import NOTHING, Removal, Rows

_ATTEMPTS = 3
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a take stands on.

    Attributes:
        connection: The session; nobody else uses it while the take is open.
        judge: What decides.
        dependents: What depends on the table's rows.
        learner: Learns how long transactions last.
        returning: Whether ``DELETE … RETURNING`` is there.
        token: Number of the run's lease. None where it has none.
    """

    connection: Connection
    judge: Judge
    dependents: Dependents
    learner: Learner
    returning: bool
    token: int | None


def fence(connection: Connection, token: int | None, piece: Slice) -> None:
    """Lock the row of the lease, in the open transaction.

    Arguments:
        connection: The session.
        token: Number of the run's lease. None where it has none.
        piece: What it is for.

    Raises:
        LeaseError: If another run has taken the lease over.
    """
    if token not in (None, own.locked_token(connection)):
        raise LeaseError(
            f"slice {piece.name}: another run has begun, as this one's connection was gone",
            hint="Nothing of the slice was removed. Let the other run finish.",
        )


class MysqlTake:
    """The lapsed rows of a slice; `begin` begins its transaction, and the caller rolls it back."""

    def __init__(self, ground: Ground, piece: Slice, within: Fragment) -> None:
        self._ground = ground
        self._piece = piece
        self._codes = piece.selection.lapsed_codes(piece.destination)
        self._where = within + " AND " + ground.judge.going(self._codes)
        if ground.dependents.locks:
            self._where += " AND " + ground.dependents.unkept(ground.judge)
        self._removals: list[Removal] = []
        self._read = False
        self._began = clock.monotonic()
        self.begin()

    def begin(self) -> None:
        """Begin the transaction with the row of the lease.

        Raises:
            LeaseError: If another run has taken the lease over.
        """
        self._ground.connection.begin()
        fence(self._ground.connection, self._ground.token, self._piece)

    # What goes

    def parts(self) -> Iterator[Part]:
        """What depends on the rows, a part a table, then the rows themselves; nothing if nothing lapsed."""
        if self._read or self._removals:
            raise StoreError(f"slice {self._piece.name} was read before", hint="Take it again.")
        self._read = True
        locked = self._attempted(self._lock)
        if locked == 0:
            return
        for dependent in self._ground.dependents.taken:
            where = self._ground.dependents.narrowed(self._ground.connection, dependent, self._where)
            yield from self._part(Rows(table=dependent.table, where=where, form=Form.of_columns(dependent.table)))
        yield from self._part(self._own_rows(whole=True), retried=locked is None)
        self._check_locked(locked)

    def _part(self, rows: Rows, *, retried: bool = False) -> Iterator[Part]:
        def begun() -> RowBatch | None:
            return next(iter(self._begun(rows)), None)

        first = self._attempted(begun) if retried else begun()
        removal = self._removals[-1]
        if first is not None:
            yield removal.part(chain((first,), removal))

    def _begun(self, rows: Rows) -> Removal:
        self._removals.append(Removal(self._ground.connection, rows, returning=self._ground.returning))
        return self._removals[-1]

    def _own_rows(self, *, whole: bool) -> Rows:
        judge = self._ground.judge
        return Rows(table=judge.table, where=self._where, form=Form.of_lapsed(judge, self._codes, whole=whole))

    def _lock(self) -> int | None:
        """Lock parents, then what belongs to them, so that no child can come. None where there are no children."""
        dependents = self._ground.dependents
        return dependents.lock(self._ground.connection, self._where) if dependents.locks else None

    def _check_locked(self, locked: int | None) -> None:
        """See that the rows that went are the locked ones: others may have children that nobody saw.

        Raises:
            ChangedError: If a row lapsed, or was kept, since the others were locked.
        """
        removed = self._removals[-1].records
        if locked not in (None, removed):
            raise ChangedError(f"slice {self._piece.name}: {removed} rows went, but {locked} were locked", hint=NOTHING)

    def end(self) -> None:
        """Wait for what the server still sends: nothing else can be asked before."""
        for removal in self._removals:
            removal.close()

    def _attempted(self, work: Callable[[], _Result]) -> _Result:
        """Do *work*, anew in a new transaction where somebody else was in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return work()
            except (BusyError, ChangedError) as error:
                self.end()
                self._removals.clear()
                self._ground.connection.roll_back()
                self._ground.learner.shrink()
                if attempt == _ATTEMPTS or isinstance(error, TooLongError):
                    raise
                clock.sleep(random.uniform(0.01, 0.1) * attempt)  # noqa: S311 - no secret
                self.begin()
        raise AssertionError("the last attempt returns or raises")

    def tallies(self) -> tuple[Tally, ...]:
        """Counts by code and tenant; without archive they are counted here, which removes the rows."""
        if not self._removals and not self._piece.destination.archives:
            self._attempted(self._remove_unread)
        return merge(self._removals[-1].tallies) if self._removals else ()

    def _remove_unread(self) -> None:
        connection, dependents = self._ground.connection, self._ground.dependents
        locked = self._lock()
        for dependent in dependents.taken:
            where = dependents.narrowed(connection, dependent, self._where)
            connection.change(f"DELETE FROM {dependent.table.sql} WHERE " + where)
        for _ in self._begun(self._own_rows(whole=False)):
            raise AssertionError("rows that are only counted are not handed over")
        self._check_locked(locked)

    # Commit

    def commit(self, proof: Proof) -> Disposal:
        """Make the removal permanent, with its marker in the same transaction."""
        tallies = self.tallies()
        self._check(proof)
        disposal = self._piece.disposal(Method.ROW_DELETE, tallies=tallies, proof=proof)
        if not disposal.records:
            return disposal
        connection, what = self._ground.connection, f"slice {self._piece.name}"
        with locked(connection, self._ground.judge.table):
            along = [dependent.table for dependent in self._ground.dependents.taken]
            check_holds(connection, self._piece.selection, self._ground.judge.table, along, what)
            own.markers(connection).add(disposal)
            connection.commit(what)
        self._ground.learner.learn(disposal.records, clock.monotonic() - self._began)
        return disposal

    def _check(self, proof: Proof) -> None:
        complete = self._read and all(removal.is_complete for removal in self._removals)
        if not isinstance(proof, Waiver) and not complete:
            raise ProofError(f"slice {self._piece.name} was not read through before its commit", hint=NOTHING)
        found = [removal for removal in self._removals if removal.records]
        check_proof(
            proof,
            self._piece,
            records=sum(removal.records for removal in found),
            content=tuple(removal.content.digest() for removal in found),
        )
