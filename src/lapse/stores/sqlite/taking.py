"""A take on SQLite: the slice's rows are read first and removed at the commit, if they are still the same."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lapse.errors import ChangedError, ProofError, StoreError
from lapse.model.disposal import Disposal, Method, Proof, Waiver
from lapse.model.plan import Tally
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.markers import Markers
from lapse.sqlcore.proving import NOTHING, check_proof
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.seeing import Ground, Page, SliceReader
from lapse.stores.sqlite.slicing import Known

if TYPE_CHECKING:
    from lapse.stores.sqlite.cells import Shape


class SqliteTake:
    """The lapsed rows of one slice."""

    def __init__(self, ground: Ground, piece: Slice, keys: KeyRange, known: Known | None) -> None:
        self._ground = ground
        self._piece = piece
        self._reader = SliceReader(ground, piece, keys, known)
        self._content = ContentDigest()
        self._shape: Shape | None = None

    def parts(self) -> Iterator[Part]:
        """One part, its rows in key order; none if nothing lapsed. No transaction is open between two batches."""
        from lapse.stores.sqlite.cells import Shape

        pages = self._reader.pages()
        first = next(pages, None)
        if first is None:
            return
        self._shape = Shape(self._ground.table, first)
        yield Part(
            table=self._ground.table.name,
            columns=self._shape.columns,
            odd_column=self._shape.odd_column,
            batches=self._batches(self._shape, first, pages),
        )

    def _batches(self, shape: Shape, first: Page, pages: Iterator[Page]) -> Iterator[RowBatch]:
        page: Page | None = first
        while page is not None:
            batch = shape.batch(page)
            self._content.update(batch)
            yield batch
            page = next(pages, None)

    def tallies(self) -> Sequence[Tally]:
        """Counts by code and tenant; without archive they are counted here."""
        self._count()
        size = self._content.raw_size // max(1, self._content.records) if self._shape else self._ground.row_size
        return self._reader.seen.tallies(size)

    def _count(self) -> None:
        if not self._reader.seen.complete and not self._piece.destination.archives:
            self._content, self._shape = ContentDigest(), None
            self._reader.count()

    def commit(self, proof: Proof) -> Disposal:
        """Remove the rows and leave a marker, in one short transaction."""
        self._count()
        self._check(proof)
        if not self._reader.seen.rows:
            return self._piece.disposal(Method.ROW_DELETE, tallies=self.tallies(), proof=proof)
        database = self._ground.database
        with database.writing():
            if self._reader.seen.is_current(database.version()):
                self._remove()
            else:
                self._remove_what_is_there()
            disposal = self._piece.disposal(Method.ROW_DELETE, tallies=self.tallies(), proof=proof)
            if disposal.records:
                markers = Markers(database.rows)
                markers.create()
                markers.add(disposal)
        self._ground.pace.learn(disposal.records, database.held)
        return disposal

    def _check(self, proof: Proof) -> None:
        piece, seen = self._piece, self._reader.seen
        if not isinstance(proof, Waiver) and not seen.complete:
            raise ProofError(f"slice {piece.name} was not read through before its commit", hint=NOTHING)
        content = (self._content.digest(),) if seen.rows else ()
        check_proof(proof, piece, records=seen.rows, content=content)

    def _remove_what_is_there(self) -> None:
        """Somebody wrote since the rows were read: what this removes must be the same rows still."""
        if self._shape is None:
            self._reader.count_again()
            self._remove()
            return
        content = ContentDigest()
        for page in self._reader.removed_pages():
            content.update(self._shape.batch(page))
        if (content.records, content.digest()) != (self._content.records, self._content.digest()):
            raise ChangedError(
                f"records of slice {self._piece.name} changed while they were archived",
                hint="Nothing of the slice was removed. The next run takes them as they are then.",
            )

    def _remove(self) -> None:
        expected = self._reader.seen.rows
        if not expected:
            return
        delete = f"DELETE FROM {self._ground.table.quoted} AS r WHERE " + self._reader.chosen()
        removed = self._ground.database.change(delete.sql, delete.values)
        if removed != expected:
            raise StoreError(
                f"SQLite removed {removed} rows of slice {self._piece.name}, not {expected}",
                hint="A trigger may veto deletes. The slice was rolled back, nothing of it was removed.",
            )
