"""The DuckDB store: a dataset that is a table in a DuckDB file."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from lapse import clock
from lapse.errors import StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts
from lapse.model.match import Match
from lapse.model.plan import Identity, Mark, Tally
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import SKEW, Selection
from lapse.ports import Budget, Found, Matched, Part, RestoreCount, Sketch, Slice
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.markers import MARKER_TABLE, Markers
from lapse.sqlcore.newest import Finder
from lapse.sqlcore.thresholds import Thresholds
from lapse.state import lease
from lapse.stores.duckdb.catalog import Table, find_table
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.finding import find, key_columns, search
from lapse.stores.duckdb.formats import read_format
from lapse.stores.duckdb.identifying import fingerprint
from lapse.stores.duckdb.inspecting import sketches
from lapse.stores.duckdb.judging import Judge, below
from lapse.stores.duckdb.newest import find_thresholds
from lapse.stores.duckdb.restoring import restore
from lapse.stores.duckdb.slicing import cut
from lapse.stores.duckdb.taking import DuckdbTake
from lapse.stores.duckdb.times import is_naive

_PREFIX = "duckdb:///"


class DuckdbStore:
    """Records in a table of a DuckDB file.

    The file is opened with the first question and given back by `close`; until then nobody else can use it.
    """

    scheme: ClassVar[str] = "duckdb"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        self._dataset = dataset
        self._path = dataset.store.removeprefix(_PREFIX)
        self._read_only = read_only
        self._opened: Connection | None = None
        self._known: Table | None = None
        self._format: TimeFormat | None = None
        self._newest = Finder(self._find_newest)

    def close(self) -> None:
        """Give the file back."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._known = self._format = None
        self._newest.forget()

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            self._opened = Connection(self._path, read_only=self._read_only)
        return self._opened

    @property
    def _table(self) -> Table:
        if self._known is None:
            if self._dataset.table is None:
                raise UnsupportedError(f"{self._dataset.shown} needs a table", hint="Write `table:` on the dataset.")
            self._known = find_table(self._connection, self._dataset.table)
        return self._known

    def _judge(self, selection: Selection) -> Judge:
        return replace(self._plain_judge(selection), newest=self._newest.of(selection))

    def _plain_judge(self, selection: Selection) -> Judge:
        return Judge(table=self._table, selection=selection, time_format=self._time_format(selection.doubt_after))

    def _find_newest(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None) -> Thresholds:
        members = self._plain_judge(selection).members(below(self._table, mark))
        return find_thresholds(self._connection, members)

    def _time_format(self, latest: Nanos) -> TimeFormat:
        if self._format is None:
            dataset, table = self._dataset, self._table
            self._format = read_format(
                self._connection, table, table.column(dataset.time), dataset.time_format, latest=latest
            )
        return self._format

    def identity(self) -> Identity:
        """The file by its real path, the table, and the columns the policy uses with their types."""
        table, dataset = self._table, self._dataset
        mark = self._mark()
        return Identity(
            fingerprint=fingerprint(self._path, table, dataset.fields),
            mark=mark,
            unmarked=None if mark else f"table {table.name} has no single integer column as its primary key",
            notes=self._notes(),
            refusal=table.refusal,
        )

    def _mark(self) -> Mark | None:
        table, key = self._table, self._table.integer_key
        if key is None:
            return None
        ((highest,),) = self._connection.rows(f"SELECT max({quote(key)}) FROM {table.sql}")
        return Mark(kind="key", values={key: (int(highest or 0),)})

    def _notes(self) -> tuple[str, ...]:
        dataset, column = self._dataset, self._table.column(self._dataset.time)
        found = self._time_format(Nanos(clock.real_now() + SKEW))
        notes = []
        if found is not dataset.time_format:
            notes.append(f"{column.name} holds numbers and is read as {found.value}")
        if dataset.zone is None and is_naive(column):
            notes.append(f"{column.name} is {column.type} without time zone and is read as UTC")
        return tuple(notes)

    def survey(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None = None) -> Iterator[Tally]:
        """Count every row by outcome and tenant."""
        self._newest.forget()
        self._newest.of(selection, mark)
        judge = self._judge(selection)
        yield from judge.tallies(self._connection, below(judge.table, mark))

    def slices(
        self,
        selection: Selection,
        facts: Facts,
        budget: Budget,
        mark: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Iterator[Slice]:
        """Ranges of the key, or of the physical position where there is no integer key."""
        self._newest.of(selection, mark)
        judge = self._judge(selection)
        yield from cut(self._connection, judge, facts, budget, below(judge.table, mark))

    @contextmanager
    def take(self, piece: Slice) -> Iterator[DuckdbTake]:
        """Delete the slice's lapsed rows in a transaction; the commit ends it, leaving the block undoes it."""
        if self._read_only:
            raise StoreError(f"{self._path} is open for reading only", hint="Open it for writing.")
        judge = self._judge(piece.selection)
        if judge.table.refusal is not None:
            raise UnsupportedError(judge.table.refusal, hint="Lapse removes rows from plain tables only.")
        connection = self._connection
        connection.run("BEGIN TRANSACTION")
        try:
            yield DuckdbTake(connection, judge, piece)
        finally:
            connection.roll_back()

    @contextmanager
    def lease(self) -> Iterator[None]:
        """A lock file beside the database, wherever a link to it may stand."""
        with lease.hold(self._lock, what=f"dataset {self._dataset.name}"):
            yield

    @property
    def _lock(self) -> Path:
        return Path(f"{os.path.realpath(self._path)}.lapse-lock")

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Yield every marker; DuckDB has finished or undone interrupted commits itself."""
        found = self._connection.rows(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() "
            "AND schema_name = 'main' AND table_name = ?",
            (MARKER_TABLE,),
        )
        if found:
            yield from Markers(self._connection.rows).read()

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers, all of them or none."""
        connection = self._connection
        with connection.transaction():
            markers = Markers(connection.rows)
            markers.create()
            for disposal in disposals:
                markers.remove(disposal)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The rows whose key column, else whose primary key, else whose position, has the text *key*."""
        yield from find(self._connection, self._judge(selection), key=key)

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The rows with some values, counted by outcome, and the first of them as they lie."""
        return search(self._connection, self._judge(selection), match=match, limit=limit)

    def key_fields(self) -> tuple[str, ...]:
        """The key column, else the primary key."""
        return key_columns(self._table, self._dataset)

    def unnamed(self) -> str | None:
        """Why no row has a key that stays with it."""
        return None if self.key_fields() else f"table {self._table.name} has no primary key"

    def lease_holder(self) -> str | None:
        """Who has the lock on the file beside the database."""
        return lease.holder(self._lock)

    def restore(self, part: Part) -> RestoreCount:
        """Put back rows that are not there."""
        if self._read_only:
            raise StoreError(f"{self._path} is open for reading only", hint="Open it for writing.")
        self._known = None
        return restore(self._connection, self._dataset, part)

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe the tables of a file, the likeliest log first."""
        path = address.removeprefix(_PREFIX)
        connection = Connection(path, read_only=True)
        try:
            yield from sketches(connection, address, path)
        finally:
            connection.close()
