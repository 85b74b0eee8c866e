"""One slice: rows deleted in an open transaction and handed over, then committed with their marker."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lapse.errors import ChangedError, CommitUnknownError, StoreError
from lapse.model.disposal import Disposal, Method, Proof
from lapse.model.plan import Tally
from lapse.ports import Part, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.markers import Markers
from lapse.sqlcore.proving import check_proof
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.encoding import check_exact, inexact, manifest_columns, yielded
from lapse.stores.duckdb.judging import Judge
from lapse.stores.duckdb.slicing import within

if TYPE_CHECKING:
    from lapse.ports import RowBatch

_BATCH = 10_000


class DuckdbTake:
    """The lapsed rows of a slice; the caller has begun the transaction and rolls it back."""

    def __init__(self, connection: Connection, judge: Judge, piece: Slice) -> None:
        self._connection = connection
        self._judge = judge
        self._piece = piece
        self._content = ContentDigest()
        where, codes = within(piece, judge), piece.selection.lapsed_codes(piece.destination)
        # The same snapshot and the same condition: what is counted here is what the statement below deletes.
        self._tallies = judge.tallies(connection, where, codes)
        self._delete = f"DELETE FROM {judge.table.sql} WHERE rowid IN (" + judge.going(where, codes) + ")"
        self._deleted = False

    @property
    def _records(self) -> int:
        return sum(tally.records for tally in self._tallies)

    def parts(self) -> Iterator[Part]:
        """One part, if there is anything."""
        if not self._records:
            return
        if self._deleted:
            raise StoreError(f"slice {self._piece.name} was read before", hint="Take it again.")
        self._deleted = True
        columns = self._judge.table.columns
        returning = f" RETURNING {yielded(columns)}, {inexact(columns)} AS lapse_code"
        reader = self._connection.reader(self._delete + returning, _BATCH)
        yield Part(
            table=self._judge.table.shown,
            columns=manifest_columns(columns, list(reader.schema)[:-1]),
            odd_column=None,
            batches=self._batches(reader),
        )

    def _batches(self, reader: Any) -> Iterator[RowBatch]:
        columns = self._judge.table.columns
        for batch in self._connection.batches(reader):
            check_exact(batch.column(len(columns)), columns, self._judge.table.name)
            rows = batch.select(range(len(columns)))
            self._content.update(rows)
            yield rows

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of the slice."""
        return self._tallies

    def commit(self, proof: Proof) -> Disposal:
        """Make the removal permanent, with its marker in the same transaction."""
        self._check(proof)
        disposal = self._disposal(proof)
        if not disposal.records:
            return disposal
        if not self._deleted:
            self._delete_unread()
        markers = Markers(self._connection.rows)
        markers.create()
        markers.add(disposal)
        try:
            self._connection.run("COMMIT")
        except StoreError as error:
            raise CommitUnknownError(
                f"slice {self._piece.name}: DuckDB failed to commit: {error.message}",
                hint="Run again: the next run finds out what became of it.",
            ) from error
        return disposal

    def _check(self, proof: Proof) -> None:
        content = (self._content.digest(),) if self._records else ()
        check_proof(proof, self._piece, records=self._records, content=content)

    def _delete_unread(self) -> None:
        self._deleted = True
        ((count,),) = self._connection.query(self._delete)
        if count != self._records:
            raise ChangedError(f"slice {self._piece.name}: {count} rows went, {self._records} were counted")

    def _disposal(self, proof: Proof) -> Disposal:
        return self._piece.disposal(Method.ROW_DELETE, tallies=self._tallies, proof=proof)
