"""A take on SQLite: the slice's rows are read first and removed at the commit, if they are still the same."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.msgpack import Ext

from lapse import clock
from lapse.errors import ChangedError, ProofError, StoreError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Method, Proof, Verified, Waiver
from lapse.model.plan import Tally
from lapse.ports import Part, RowBatch, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.markers import Markers
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.failures import UndecodableTextError
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Table
from lapse.stores.sqlite.slicing import Pace

if TYPE_CHECKING:
    from lapse.stores.sqlite.cells import Shape

_PAGE_ROWS = 10_000
_PAGE_SIZE = 8 * 1024 * 1024
_KEYS = "lapse_keys"  # a temporary table


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a take works on.

    Attributes:
        database: The file.
        table: The table.
        walk: Its rows in key order.
        judge: What decides about them.
        pace: Learns from the commits.
        row_size: Bytes of an average row, about.
    """

    database: Database
    table: Table
    walk: KeyWalk
    judge: Judge
    pace: Pace
    row_size: int


class SqliteTake:
    """The lapsed rows of one slice."""

    def __init__(self, ground: Ground, piece: Slice, keys: KeyRange) -> None:
        self._ground = ground
        self._piece = piece
        self._range = keys
        self._codes = piece.selection.lapsed_codes(piece.destination)
        self._content = ContentDigest()
        self._shape: Shape | None = None
        self._seen = _Seen()

    # Reading

    def parts(self) -> Iterator[Part]:
        """One part, its rows in key order; none if nothing lapsed. No transaction is open between two batches."""
        from lapse.stores.sqlite.cells import Shape

        pages = self._pages()
        first = next(pages, None)
        if first is None:
            self._seen.complete = True
            return
        self._shape = Shape(self._ground.table, [row[: self._width] for row in first])
        yield Part(
            table=self._ground.table.name,
            columns=self._shape.columns,
            odd_column=self._shape.odd_column,
            batches=self._batches(self._shape, first, pages),
        )

    def _batches(self, shape: Shape, first: list[Any], pages: Iterator[list[Any]]) -> Iterator[RowBatch]:
        page: list[Any] | None = first
        while page is not None:
            batch = shape.batch(page)
            self._content.update(batch)
            yield batch
            page = next(pages, None)
        self._seen.complete = True

    @property
    def _width(self) -> int:
        return len(self._ground.table.columns)

    def _pages(self) -> Iterator[list[Any]]:
        """The lapsed rows, each page read in a transaction of its own."""
        rows = max(1, min(_PAGE_ROWS, _PAGE_SIZE // self._ground.row_size))
        after, full = self._range.after, True
        while full:
            query = self._query(KeyRange(after, self._range.until), whole=True, rows=rows)
            page = self._snapshot(query)
            full = len(page) == rows
            if page:
                after = tuple(page[-1][self._width + 3 :])
                self._seen.add([row[self._width :] for row in page])
                yield page

    def _query(self, keys: KeyRange, *, whole: bool, rows: int = -1) -> Fragment:
        return self._ground.judge.lapsed(keys, self._codes, whole=whole, rows=rows)

    def _snapshot(self, query: Fragment) -> list[Any]:
        database = self._ground.database
        with database.reading():
            page = _fetch(database, query)
            self._seen.note(database.version(), self._ground.walk.count(self._range))
        return page

    # Counting

    def tallies(self) -> tuple[Tally, ...]:
        """Counts by code and tenant; without archive they are counted here."""
        if not self._seen.complete and not self._piece.destination.archives:
            self._content, self._shape = ContentDigest(), None
            self._count()
        size = self._content.raw_size // max(1, self._content.records) if self._shape else self._ground.row_size
        return self._seen.tallies(size)

    def _count(self) -> None:
        self._seen = _Seen()
        self._seen.add(self._snapshot(self._query(self._range, whole=False)))
        self._seen.complete = True

    # Removing

    def commit(self, proof: Proof) -> Disposal:
        """Remove the rows and leave a marker, in one short transaction."""
        self.tallies()
        self._check(proof)
        if not self._seen.rows:
            return self._disposal(proof)
        database = self._ground.database
        began = clock.monotonic()
        with database.writing():
            began = clock.monotonic()  # the lock is held from here on
            if not self._seen.is_current(database.version()):
                self._look_again()
            self._remove()
            disposal = self._disposal(proof)
            markers = Markers(database.rows)
            if disposal.records:
                markers.create()
                markers.add(disposal)
        self._ground.pace.learn(disposal.records, clock.monotonic() - began)
        return disposal

    def _check(self, proof: Proof) -> None:
        piece = self._piece
        if isinstance(proof, Waiver):
            if piece.destination.archives or proof.slice != piece.name:
                raise ProofError(f"a waiver of slice {proof.slice} is no proof for slice {piece.name}", hint=_NOTHING)
            return
        if not self._seen.complete:
            raise ProofError(f"slice {piece.name} was not read through before its commit", hint=_NOTHING)
        if not piece.destination.archives:
            raise ProofError(f"slice {piece.name} needs the waiver of its rules", hint=_NOTHING)
        if not self._seen.rows and not proof:
            return
        if tuple(sorted(verified.archive for verified in proof)) != piece.destination.archives:
            raise ProofError(f"the proofs for slice {piece.name} are not of its archives", hint=_NOTHING)
        for verified in proof:
            self._check_one(verified)

    def _check_one(self, verified: Verified) -> None:
        records = sum(segment.records for segment in verified.segments)
        content = (self._content.digest(),) if self._seen.rows else ()
        if (verified.slice, records, verified.content) != (self._piece.name, self._seen.rows, content):
            raise ProofError(
                f"the proof from archive {verified.archive} is not for the records of slice {self._piece.name}",
                hint=_NOTHING,
            )

    def _look_again(self) -> None:
        """Somebody wrote since the rows were read: under the write lock, see whether these rows are the same."""
        if self._shape is None:
            self._seen = _Seen()
            self._seen.add(_fetch(self._ground.database, self._query(self._range, whole=False)))
            self._seen.complete = True
            self._seen.covers = self._ground.walk.count(self._range)
            return
        content = ContentDigest()
        for rows in self._rows_again():
            content.update(self._shape.batch(rows))
        if (content.records, content.digest()) != (self._content.records, self._content.digest()):
            raise ChangedError(
                f"records of slice {self._piece.name} changed while they were archived",
                hint="Nothing of the slice was removed. The next run takes them as they are then.",
            )
        self._seen.covers = self._ground.walk.count(self._range)

    def _rows_again(self) -> Iterator[list[Any]]:
        """The rows of the keys that were read, in key order, whatever else has come into their range."""
        table, order = self._ground.table, self._ground.walk.order
        columns = ", ".join(f"r.{quote(column.name)}" for column in table.columns)
        for start in range(0, self._seen.rows, _PAGE_ROWS):
            chosen = self._by_keys(self._seen.keys[start : start + _PAGE_ROWS])
            query = f"SELECT {columns} FROM {table.quoted} AS r WHERE " + chosen + f" ORDER BY {order}"
            if page := _fetch(self._ground.database, query):
                yield page

    def _by_keys(self, keys: Sequence[Key]) -> Fragment:
        """The condition that a row ``r`` has one of these keys."""
        walk, database = self._ground.walk, self._ground.database
        if self._ground.table.row_key().integer:
            values = json.dumps([key[0] for key in keys], separators=(",", ":"))
            return Fragment(f"{walk.columns} IN (SELECT value FROM json_each(?))", (values,))
        names = ", ".join(f"k{number}" for number in range(len(keys[0])))
        database.rows(f"CREATE TEMP TABLE IF NOT EXISTS {_KEYS} ({names})")
        database.rows(f"DELETE FROM temp.{_KEYS}")
        marks = ", ".join("?" * len(keys[0]))
        database.change_many(f"INSERT INTO temp.{_KEYS} VALUES ({marks})", keys)
        return Fragment(f"({walk.columns}) IN (SELECT {names} FROM temp.{_KEYS})")

    def _remove(self) -> None:
        walk, seen = self._ground.walk, self._seen
        if seen.covers == seen.rows:
            chosen = walk.within(self._range)
        else:
            chosen = self._by_keys(seen.keys)
        delete = f"DELETE FROM {self._ground.table.quoted} AS r WHERE " + chosen
        removed = self._ground.database.change(delete.sql, delete.values)
        if removed != seen.rows:
            raise StoreError(
                f"SQLite removed {removed} rows of slice {self._piece.name}, not {seen.rows}",
                hint="A trigger may veto deletes. The slice was rolled back, nothing of it was removed.",
            )

    def _disposal(self, proof: Proof) -> Disposal:
        piece = self._piece
        return piece.facts.disposal(
            slice_name=piece.name,
            dataset=piece.dataset.name,
            method=Method.ROW_DELETE,
            at=clock.real_now(),
            rule_of={out.code: out.rule for out in piece.selection.outcomes if out.rule is not None},
            tallies=self.tallies(),
            proof=proof,
        )


_NOTHING = "Nothing was removed. Run again."


class _Seen:
    """What was read of a slice: keys, counts and the version of the file they were read at.

    Attributes:
        keys: Keys of the lapsed rows, ascending.
        covers: All rows in the slice's range, lapsed or not.
        complete: Whether the slice was read through.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.covers = -1
        self.complete = False
        self._versions: set[int] = set()
        self._groups: dict[tuple[int, str | None], list[int]] = {}

    @property
    def rows(self) -> int:
        """How many rows lapsed."""
        return len(self.keys)

    def note(self, version: int, covers: int) -> None:
        """Take note of the snapshot that a page was read from."""
        self._versions.add(version)
        self.covers = covers

    def is_current(self, version: int) -> bool:
        """Whether nobody else has committed anything since the first page was read."""
        return self._versions == {version}

    def add(self, found: Sequence[Any]) -> None:
        """Take in rows of code, tenant, time and key."""
        for code, name, time, *key in found:
            self.keys.append(tuple(key))
            tenant = bytes(name.data).decode(errors="replace") if isinstance(name, Ext) else name
            group = self._groups.setdefault((code, tenant), [0, time, time])
            group[0] += 1
            if time < group[1]:
                group[1] = time
            elif time > group[2]:
                group[2] = time

    def tallies(self, size: int) -> tuple[Tally, ...]:
        """The counts; *size* is the bytes of a row."""
        return tuple(
            Tally(
                code=code,
                tenant=tenant,
                records=count,
                size=count * size,
                oldest=Nanos(oldest),
                newest=Nanos(newest),
            )
            for (code, tenant), (count, oldest, newest) in sorted(self._groups.items(), key=str)
        )


def _fetch(database: Database, query: Fragment) -> list[Any]:
    """All rows of a query; texts that are no UTF-8 as `Ext`."""
    try:
        return database.rows(query.sql, query.values)
    except UndecodableTextError:
        with database.marking_invalid_text():
            return database.rows(query.sql, query.values)
