"""The MariaDB and MySQL store: `lapse.ports.Store` on one table of InnoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from lapse import clock
from lapse.errors import BusyError, ChangedError, StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts
from lapse.model.match import Match
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset
from lapse.model.posted import PostedHold
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.selection import SKEW, Selection
from lapse.model.timetext import check_zone
from lapse.ports import Budget, Burden, Found, Matched, Part, RestoreCount, Sketch, Slice
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.stores.mysql import aside, holding, leasing, own, reclaiming
from lapse.stores.mysql.address import parse
from lapse.stores.mysql.aside import Aside
from lapse.stores.mysql.burdening import burden
from lapse.stores.mysql.catalog import Table, find_table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.cutting import Cutter, Mark
from lapse.stores.mysql.dependents import Dependents, dependents_of
from lapse.stores.mysql.dropping import PartitionTake
from lapse.stores.mysql.finding import find, key_columns, named, search
from lapse.stores.mysql.identifying import has_returning, identify, refusal
from lapse.stores.mysql.pieces import Piece, Way
from lapse.stores.mysql.taking import Ground, MysqlTake


class MysqlStore:
    """Records in one table of a MariaDB or MySQL server.

    Attributes:
        use_returning: Whether to use ``DELETE … RETURNING`` where the server knows it.
    """

    scheme: ClassVar[str] = "mysql"
    use_returning: ClassVar[bool] = True

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        check_zone(dataset.zone)
        self._dataset = dataset
        self._read_only = read_only
        self._address = parse(dataset.store, shown=dataset.shown)
        self._opened: Connection | None = None
        self._token: int | None = None
        self._made = False
        self._unfinished: list[Aside] = []

    def close(self) -> None:
        """End the connection."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None
        self._made = False
        self._forget()

    def _forget(self) -> None:
        """Look at the table anew."""
        for name in ("_table", "_dependents", "_cutter"):
            self.__dict__.pop(name, None)

    # What it is

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            self._opened = Connection(self._address, shown=self._dataset.shown, read_only=self._read_only)
        return self._opened

    @cached_property
    def _table(self) -> Table:
        if self._dataset.table is None:
            raise UnsupportedError(
                f"dataset {self._dataset.name} names no table", hint="Write `table:`; `lapse init` lists the tables."
            )
        return find_table(self._connection, self._dataset.table)

    @cached_property
    def _dependents(self) -> Dependents:
        return dependents_of(self._connection, self._table, apart=self._dataset.apart)

    @cached_property
    def _cutter(self) -> Cutter:
        return Cutter(self._connection, self._table, self._dataset)

    def identity(self) -> Identity:
        """The server, table and columns; what stands against removing; the highest key."""
        latest = Nanos(clock.real_now() + SKEW)
        found = identify(self._connection, self._dependents, self._dataset, self._cutter.format(latest))
        return replace(found, notes=(*found.notes, *aside.remarks(self._connection, self._table)))

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """Which partitions go whole, and what foreign keys do to other tables when the lapsed rows go, with counts."""
        whole = self._cutter.remarks(selection)
        return (*whole, *self._dependents.remarks(self._connection, self._cutter.judge(selection)))

    # Looking

    def survey(self, selection: Selection, mark: Mark | None = None) -> Iterator[Tally]:
        """Count every row, stretch by stretch in key order; then the index of the times, where slices will go by it."""
        yield from self._cutter.survey(selection, mark)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The rows of a key, compared as text; parts of a composite key stand between commas."""
        judge = self._cutter.judge(selection)
        for table in (self._table, *aside.left_of(self._connection, self._table)):
            yield from find(self._connection, replace(judge, table=table), key=key)

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The rows with some values, counted by outcome, and the first of them in the order of their key."""
        return search(self._connection, self._cutter.judge(selection), match=match, limit=limit)

    def key_fields(self) -> tuple[str, ...]:
        """The key column, else the key of the rows."""
        return tuple(column.name for column in key_columns(self._table, self._dataset))

    def keepers(self, selection: Selection, key: str) -> tuple[str, ...]:
        """Rows of other tables that keep the rows of a key."""
        judge, which = self._cutter.judge(selection), named(self._table, self._dataset, key)
        return tuple(self._dependents.kept_by(self._connection, judge, which))

    def lease_holder(self) -> str | None:
        """Which connection has the lock of the database."""
        return leasing.holder(self._connection)

    # Removing

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None = None) -> Iterator[Slice]:
        """Whole partitions and ranges of key or time; smaller ones when transactions turn out to be long."""
        yield from self._cutter.slices(selection, facts, budget, mark)

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        return self._cutter.halves(piece)

    def burden(self) -> Burden:
        """Whether others are at work on the server, and whether the run should wait for them."""
        return burden(self._connection, self._dataset.pace)

    @contextmanager
    def take(self, piece: Slice) -> Iterator[MysqlTake | PartitionTake]:
        """Delete the slice's lapsed rows in a transaction, or read a partition; leaving the block undoes it."""
        self._require_writing()
        refused = refusal(self._connection, self._dependents)
        if refused is not None:
            raise UnsupportedError(refused, hint="Lapse removes nothing there.")
        self._make_own()
        found = Piece.of(piece.bounds)
        ground = Ground(
            connection=self._connection,
            judge=self._cutter.judge(piece.selection, found.time_format, found.partition),
            dependents=self._dependents,
            learner=self._cutter.learner,
            returning=self.use_returning and has_returning(self._connection),
            token=self._token,
        )
        with ExitStack() as ends:
            ends.callback(self._connection.roll_back)
            taken = self._taken(ground, piece, found)
            ends.callback(taken.end)
            try:
                yield taken
            except (BusyError, ChangedError) as error:
                self._failed(found, error)
                raise
            if isinstance(taken, PartitionTake):
                self._dropped(found, taken)

    def _taken(self, ground: Ground, piece: Slice, found: Piece) -> MysqlTake | PartitionTake:
        if found.way is Way.WHOLE:
            return PartitionTake(ground, piece)
        return MysqlTake(ground, piece, self._cutter.walked(found.way, ground.judge.table).within(found.keys))

    def _failed(self, found: Piece, error: StoreError) -> None:
        """Learn from a slice that was given back."""
        if found.way is not Way.WHOLE:
            self._cutter.learner.shrink()
        if found.partition is not None and isinstance(error, ChangedError):
            self._cutter.changed(found.partition)

    def _dropped(self, found: Piece, taken: PartitionTake) -> None:
        """Leave out what is gone, and remember what is still to be done for it."""
        if taken.removed:
            self._cutter.dropped(str(found.partition))
        if taken.unfinished is not None:
            self._unfinished.append(taken.unfinished)

    def _require_writing(self) -> None:
        if self._read_only:
            raise StoreError(f"{self._dataset.shown} is open for reading only", hint="Open it for writing.")

    def _make_own(self) -> None:
        """Lapse's own tables, outside of any transaction."""
        if not self._made:
            own.make(self._connection)
            self._made = True

    @contextmanager
    def lease(self) -> Iterator[None]:
        """A lock of the server's that ends with the connection: one for all tables of the database."""
        self._require_writing()
        with leasing.hold(self._connection, what=f"dataset {self._dataset.name}") as token:
            self._token = token
            try:
                yield
            finally:
                self._token = None

    # Holds

    def posted_holds(self) -> tuple[PostedHold, ...]:
        """The holds that lie beside the table for the runs of every host."""
        return holding.posted_holds(self._connection, self._table)

    def post_hold(self, hold: PostedHold) -> None:
        """Put a hold there."""
        self._require_writing()
        holding.post_hold(self._connection, self._table, hold)

    def withdraw_hold(self, matter: str) -> None:
        """Remove the holds of a matter."""
        self._require_writing()
        holding.withdraw_hold(self._connection, self._table, matter)

    def unnamed(self) -> str | None:
        """Why no row has a key of its own."""
        return None if self.key_fields() else f"table {self._table.shown} has no primary key"

    # After

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Settle what was set aside, and yield every marker; the server has undone what was not committed by itself."""
        aside.settle(self._connection, intact)
        if MARKER_TABLE in own.existing(self._connection):
            yield from own.markers(self._connection).read()

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers, all of them or none; those stay whose rows are still aside, to be dropped later."""
        found = list(disposals)
        if not found or MARKER_TABLE not in own.existing(self._connection):
            return
        self._require_writing()
        aside.finish_all(self._connection, self._unfinished)
        left = {each.key for each in aside.standing(self._connection)}
        with self._connection.transaction("pruning markers"):
            markers = own.markers(self._connection)
            for disposal in found:
                if (disposal.owner.ledger, disposal.owner.run, disposal.slice) not in left:
                    markers.remove(disposal)

    def restore(self, part: Part) -> RestoreCount:
        """Write the rows that are missing into the dataset's table, which is made if it is not there."""
        from lapse.stores.mysql.restoring import restore

        self._require_writing()
        self._forget()
        return restore(self._connection, self._dataset, part)

    # Reclaiming

    def allocated(self) -> int:
        """Bytes of the table's files, its indexes with it."""
        return reclaiming.allocated(self._connection, self._table)

    def space(self) -> Space:
        """What its files hold."""
        return reclaiming.space(self._connection, self._table)

    def tidy(self) -> tuple[str, ...]:
        """Count the rows anew for the server's plans, by ``ANALYZE TABLE``."""
        return reclaiming.tidy(self._connection, self._table)

    def prediction(self) -> Prediction:
        """What a rewrite would give back, and what it needs."""
        return reclaiming.prediction(self._connection, self._table)

    def rewrite(self, tell: Callable[[Progress], None]) -> None:
        """Build the files anew, by ``OPTIMIZE TABLE``."""
        reclaiming.rewrite(self._connection, self._table, tell)

    # Without a dataset

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe the tables that look like logs, the likeliest first."""
        from lapse.stores.mysql.inspecting import inspect

        yield from inspect(address)
