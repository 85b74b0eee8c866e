"""The PostgreSQL store: `lapse.ports.Store` on one table, partitioned or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import ClassVar

from lapse import clock
from lapse.canonical import Json
from lapse.errors import BusyError, ChangedError, StoreError, StoreMissingError
from lapse.model.disposal import Disposal, Facts
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.model.files import PendingFile
from lapse.model.match import Match
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset
from lapse.model.posted import PostedHold
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.selection import Selection
from lapse.ports import Budget, Burden, Found, Matched, Part, RestoreCount, Sketch, Slice
from lapse.stores.postgresql import aside, holding, reclaiming
from lapse.stores.postgresql.burdening import Seen, burden
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.cutting import Cutter
from lapse.stores.postgresql.dependents import TooManyError
from lapse.stores.postgresql.describing import LentSession, describe, transaction
from lapse.stores.postgresql.dropping import PartitionTake
from lapse.stores.postgresql.failures import still_referred_to
from lapse.stores.postgresql.finding import find, key_columns, named, search, together
from lapse.stores.postgresql.identifying import identify
from lapse.stores.postgresql.inspecting import sketches, without_secrets
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.leasing import fence, lease, lease_holder
from lapse.stores.postgresql.pieces import OfPlaces, OfTimes, Piece, Whole, highest_of, leaf_of, rows_of, unpack
from lapse.stores.postgresql.restoring import restore
from lapse.stores.postgresql.scene import Mark, Scene
from lapse.stores.postgresql.sizing import Kind
from lapse.stores.postgresql.stepping import Steps
from lapse.stores.postgresql.taking import Ground, PostgresTake

_RESTING = 0.8
"""Share of a transaction's target after which it rests no more. Slices are cut to take less than that in all."""


class PostgresStore:
    """Records in one table of a PostgreSQL database."""

    scheme: ClassVar[str] = "postgresql"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        self._dataset = dataset
        self._read_only = read_only
        self._scene = Scene(dataset, read_only=read_only)
        self._cutter = Cutter(self._scene)
        self._seen = Seen()

    def close(self) -> None:
        """End the session."""
        self._scene.close()

    # Looking

    def identity(self) -> Identity:
        """The server, database, table and columns; what stands against removing; the highest key."""
        scene = self._scene
        found = identify(scene.connection, scene.table, self._dataset)
        unfiled = scene.filing.refusal() if scene.filing is not None else None
        notes = (*found.notes, *aside.remarks(scene.connection, scene.table))
        return replace(found, notes=notes, refusal=found.refusal or scene.dependents.refusal or unfiled)

    def survey(self, selection: Selection, mark: Mark | None = None) -> Iterator[Tally]:
        """Count every row, stretch by stretch; sizes are estimated from a sample."""
        yield from self._cutter.survey(selection, mark)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The rows whose key has the text *key*; parts of a composite key stand between commas."""
        for judge in self._judges(selection):
            yield from find(self._scene.connection, judge, key=key)

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The rows with some values, counted by outcome, and the first of them in the order of their key."""
        found = [search(self._scene.connection, judge, match=match, limit=limit) for judge in self._judges(selection)]
        return together(found, limit=limit)

    def _judges(self, selection: Selection) -> Iterator[Judge]:
        """What decides about the rows of the table, then about those of partitions that are aside."""
        judge = self._scene.judge(selection)
        yield judge
        for table in aside.left_of(self._scene.connection, self._scene.table):
            yield replace(judge, table=table)

    def key_fields(self) -> tuple[str, ...]:
        """The key column, else the primary key."""
        return key_columns(self._scene.table, self._dataset)

    def keepers(self, selection: Selection, key: str) -> tuple[str, ...]:
        """Rows of other tables that keep the rows of a key."""
        scene, judge = self._scene, self._scene.judge(selection)
        return tuple(scene.dependents.kept_by(scene.connection, judge, named(scene.table, self._dataset, key)))

    def lease_holder(self) -> str | None:
        """Which session has the advisory lock on the table."""
        return lease_holder(self._scene.connection, self._scene.table)

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """Which partitions go whole, and what removing the lapsed rows does to tables that refer to them."""
        scene = self._scene
        return (
            *self._cutter.remarks(selection),
            *scene.dependents.remarks(scene.connection, scene.judge(selection)),
            *(scene.filing.remarks(scene.judge(selection)) if scene.filing is not None else ()),
        )

    def burden(self) -> Burden:
        """Whether replicas, a query of the policy, or other sessions ask for a pause."""
        return burden(self._scene.connection, self._dataset.pace, self._seen)

    # Removing

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None = None) -> Iterator[Slice]:
        """Destination by destination: partitions that go whole, then stretches that fit a transaction each."""
        yield from self._cutter.slices(selection, facts, budget, mark)

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        return self._cutter.halves(piece)

    @contextmanager
    def take(self, piece: Slice) -> Iterator[PostgresTake | PartitionTake]:
        """Delete the slice's lapsed rows in a transaction, or read a partition; leaving the block undoes it."""
        self._require_writing()
        connection, ground = self._scene.connection, self._ground(piece)
        found, kind = unpack(piece.bounds), self._kind(piece)
        connection.run("BEGIN ISOLATION LEVEL " + _isolation(found, kind))
        try:
            yield from (
                self._taken_whole(ground, piece, found)
                if isinstance(found, Whole)
                else self._taken(ground, piece, found, kind)
            )
        except TooManyError:
            raise  # says nothing about how long slices take
        except BusyError:
            self._cutter.sizes.learner(kind).shrink()
            raise
        except StoreError as error:
            if not still_referred_to(error):
                raise
            hint = "Nothing was removed. What refers to these rows is seen next time."
            raise BusyError(str(error), hint=hint) from error
        finally:
            connection.roll_back()

    def _taken(self, ground: Ground, piece: Slice, found: OfPlaces | OfTimes, kind: Kind) -> Iterator[PostgresTake]:
        began, scene = clock.monotonic(), self._scene
        ground.limit()
        fence(ground.connection, scene.table)
        leaf, rows = leaf_of(scene, found), rows_of(scene, piece.selection, found)
        taken = PostgresTake(ground, piece, leaf, rows, steps=self._steps(kind, found, began))
        yield taken
        if not taken.removed:
            return
        self._cutter.sizes.learner(kind).learn(taken.removed + taken.along, clock.monotonic() - began)
        if isinstance(found, OfPlaces):
            self._cutter.taken(found.stretch, piece.destination)

    def _kind(self, piece: Slice) -> Kind:
        return self._cutter.kind(piece.destination, by_place=isinstance(unpack(piece.bounds), OfPlaces))

    def _steps(self, kind: Kind, found: OfPlaces | OfTimes, began: float) -> Steps | None:
        sizes = self._cutter.sizes
        if not kind.stepped or sizes.breaks is None or isinstance(found, OfTimes):
            return None
        leaf = self._scene.leaf(found.stretch.leaf)
        return Steps(found.stretch, leaf, sizes.breaks, latest=began + sizes.target * _RESTING)

    def _taken_whole(self, ground: Ground, piece: Slice, found: Whole) -> Iterator[PartitionTake]:
        taken = PartitionTake(ground, piece, self._scene.table, self._scene.leaf(found.leaf))
        try:
            yield taken
        except ChangedError:
            self._cutter.contested(found.leaf)
            raise
        if taken.removed:
            self._cutter.dropped(found.leaf)

    def _ground(self, piece: Slice) -> Ground:
        scene, judge = self._scene, self._scene.judge(piece.selection)
        lapsed = judge.lapsed(piece.selection.lapsed_codes(piece.destination))
        below = scene.below(highest_of(unpack(piece.bounds)))
        if scene.filing is not None:
            scene.filing.prepare()
        return Ground(
            connection=scene.connection,
            judge=judge,
            shape=scene.shape,
            dependents=scene.dependents,
            kept=scene.dependents.unkept(judge, "(" + lapsed + ") AND (" + below + ")"),
            marking=scene.marking,
            marked=scene.marked,
            system=scene.system,
            row_size=scene.row_size,
            limit=lambda: scene.connection.limit(self._cutter.sizes.target),
            filing=scene.filing,
        )

    def lease(self) -> AbstractContextManager[None]:
        """An advisory lock on the table."""
        return self._leased()

    @contextmanager
    def _leased(self) -> Iterator[None]:
        scene, dataset = self._scene, self._dataset
        try:
            table = scene.table
        except StoreMissingError:  # a restore makes it; nobody else works on what is not there
            yield
            return
        with lease(scene.connection, table, address=dataset.store, dataset=dataset.name):
            yield

    # Holds

    def posted_holds(self) -> tuple[PostedHold, ...]:
        """The holds that lie in the database for the runs of every host."""
        return holding.posted_holds(self._scene.connection, self._scene.table)

    def post_hold(self, hold: PostedHold) -> None:
        """Put a hold there."""
        self._require_writing()
        holding.post_hold(self._scene.connection, self._scene.table, hold)

    def withdraw_hold(self, matter: str) -> None:
        """Remove the holds of a matter."""
        self._require_writing()
        holding.withdraw_hold(self._scene.connection, self._scene.table, matter)

    def unnamed(self) -> str | None:
        """Why no row has a key of its own."""
        return None if self.key_fields() else f"table {self._scene.table.shown} has no primary key"

    # After

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Put back what was set aside, and yield every marker; the server has undone what was not committed."""
        with suppress(StoreMissingError):  # a restore makes the table
            aside.settle(self._scene.connection, self._scene.table)
        yield from self._scene.marking.read()

    def outcome(self, pledge: Mapping[str, Json]) -> bool | None:
        """What became of a transaction that left no marker; not known of another server's, or of another history's."""
        scene = self._scene
        if (pledge["system"], pledge["timeline"]) != (scene.system, scene.marking.timeline()):
            return None
        return scene.marking.outcome(str(pledge["transaction"]))

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers."""
        self._scene.marking.remove(disposals)

    def pending_files(self) -> Iterator[Sequence[PendingFile]]:
        """Files of rows that are gone, in batches."""
        if self._scene.filing is not None:
            yield from self._scene.filing.pending()

    def forget_files(self, files: Iterable[PendingFile]) -> None:
        """Remove the notes of files that are no longer there."""
        self._require_writing()
        if self._scene.filing is not None:
            self._scene.filing.forget(files)

    def restore(self, part: Part) -> RestoreCount:
        """Put back rows that are not there."""
        self._require_writing()
        self._cutter.forget()
        return restore(self._scene.connection, self._dataset.table or part.table, part)

    def _require_writing(self) -> None:
        if self._read_only:
            raise StoreError(f"{self._dataset.shown} is open for reading only", hint="Open it for writing.")

    # The space it takes, with the tables whose rows go along

    @property
    def _tables(self) -> tuple[Table, ...]:
        return (self._scene.table, *dict.fromkeys(one.table for one in self._scene.dependents.taken))

    def allocated(self) -> int:
        """Bytes of its files."""
        return reclaiming.allocated(self._scene.connection, self._tables)

    def space(self) -> Space:
        """What its files hold."""
        return reclaiming.space(self._scene.connection, self._tables)

    def tidy(self) -> tuple[str, ...]:
        """Make what was freed usable again, by ``VACUUM (ANALYZE)``."""
        return reclaiming.tidy(self._scene.connection, self._tables, rest=self._scene.courtesy.share())

    def prediction(self) -> Prediction:
        """What a rewrite would give back, and what it needs."""
        return reclaiming.prediction(self._scene.connection, self._tables)

    def rewrite(self, tell: Callable[[Progress], None]) -> None:
        """Rewrite the files, by ``VACUUM FULL``."""
        session = reclaiming.Session(address=self._dataset.store, shown=self._dataset.shown)
        reclaiming.rewrite(self._scene.connection, self._tables, tell, session=session)

    # Without a dataset

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe the tables that look like logs, the likeliest first."""
        connection = Connection(address, shown=without_secrets(address), read_only=True)
        try:
            yield from sketches(connection, address)
        finally:
            connection.close()

    @classmethod
    def describe(cls, address: str, *, tables: Sequence[str], small: Sequence[SmallTable] = ()) -> DatabaseFacts:
        """The time zone of its sessions, the columns of *tables*, the rows of *small* ones."""
        return describe(address, tables=tables, small=small)

    @classmethod
    def transaction(cls, address: str) -> AbstractContextManager[LentSession]:
        """A transaction for statements of somebody else's."""
        return transaction(address)


def _isolation(found: Piece, kind: Kind) -> str:
    """A partition is read in one snapshot; where nothing is read, rows are counted and removed in one, or in steps."""
    if isinstance(found, Whole):
        return "REPEATABLE READ READ ONLY"
    return "READ COMMITTED" if kind.copied or kind.stepped else "REPEATABLE READ"
