"""The SQLite store: `lapse.ports.Store` on one table of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lapse.errors import StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.bounds import Going
from lapse.model.disposal import Disposal, Facts
from lapse.model.match import Match
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.selection import Selection
from lapse.model.timetext import check_zone
from lapse.ports import Budget, Found, Matched, Part, RestoreCount, Sketch, Slice
from lapse.sqlcore.markers import MARKER_TABLE, Markers
from lapse.sqlcore.newest import Finder
from lapse.sqlcore.thresholds import Thresholds
from lapse.state import lease
from lapse.stores.sqlite import reclaiming
from lapse.stores.sqlite.besides import SideSession
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.finding import find, key_columns, search
from lapse.stores.sqlite.identifying import identify
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.looking import read_times, reading_of, row_size, usual_layout
from lapse.stores.sqlite.newest import find_thresholds
from lapse.stores.sqlite.ranges import Bound, Key, KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Table, delete_triggers, load_table
from lapse.stores.sqlite.seeing import Ground
from lapse.stores.sqlite.slicing import Cell, Known, Pace, cut
from lapse.stores.sqlite.surveying import Surveyor, stretches
from lapse.stores.sqlite.taking import SqliteTake
from lapse.stores.sqlite.timecolumn import Layout, TimeReading

Mark = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What the last survey counted, for cutting slices without counting again."""

    selection: Selection
    mark: Mark | None
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What decides, and what it was made of."""

    selection: Selection
    reading: TimeReading
    judge: Judge


class SqliteStore:
    """Records in one table of a SQLite file."""

    scheme: ClassVar[str] = "sqlite"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        check_zone(dataset.zone)
        self._dataset = dataset
        self._read_only = read_only
        self._database = Database(
            dataset.store,
            shown=dataset.shown,
            read_only=read_only,
            zone=dataset.zone,
            zone_required=dataset.zone_required,
        )
        self._pace = Pace()
        self._sides = SideSession(self._database)
        self._newest = Finder(self._find_newest)
        self._surveyed: _Surveyed | None = None
        self._judged: _Judged | None = None
        self._known: dict[tuple[Bound, ...], tuple[Selection, Known]] = {}
        self._readings: dict[Nanos, TimeReading] = {}

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    # What it is

    @property
    def _table_name(self) -> str:
        if self._dataset.table is None:
            raise UnsupportedError(
                f"dataset {self._dataset.name} names no table", hint="Write `table:`; `lapse init` lists the tables."
            )
        return self._dataset.table

    @cached_property
    def _table(self) -> Table:
        table = load_table(self._database, self._table_name)
        table.used(self._dataset.fields)
        return table

    @cached_property
    def _walk(self) -> KeyWalk:
        return KeyWalk(self._database, self._table)

    @cached_property
    def _row_size(self) -> int:
        return row_size(self._database, self._table, self._walk)

    @cached_property
    def _layout(self) -> Layout | None:
        return usual_layout(self._database, self._table, self._walk, self._table.column(self._dataset.time).name)

    def identity(self) -> Identity:
        """The file, table and columns; what stands against removing; the highest key."""
        return identify(self._database, self._table, self._dataset)

    # Looking

    def _reading(self, latest: Nanos) -> TimeReading:
        if latest not in self._readings:
            self._readings[latest] = read_times(
                self._database, self._table, self._walk, dataset=self._dataset, latest=latest
            )
        return self._readings[latest]

    def _judge(self, selection: Selection, reading: TimeReading | None = None) -> Judge:
        """What decides; the last one is remembered, as very many rules take their time."""
        reading, known = reading or self._reading(selection.doubt_after), self._judged
        if known is None or known.selection is not selection or known.reading != reading:
            newest = self._newest.of(selection)
            judge = Judge(self._table, selection, reading, self._walk, sides=self._sides, newest=newest)
            known = self._judged = _Judged(selection, reading, judge)
        return known.judge

    def _find_newest(self, selection: Selection, mark: Mark | None) -> Thresholds:
        reading = self._reading(selection.doubt_after)
        judge = Judge(self._table, selection, reading, self._walk, sides=self._sides)
        return find_thresholds(self._database, judge, lambda: stretches(self._walk, self._end(mark)))

    def _end(self, mark: Mark | None) -> Key | None:
        last = self._walk.last()
        if mark is None or last is None:
            return last
        name = self._table.row_key().columns[0]
        if name not in mark:
            raise StoreError(f"the mark of the plan is not about key {name}", hint="Make a new plan.")
        return min(last, (mark[name][0],))

    def survey(self, selection: Selection, mark: Mark | None = None) -> Iterator[Tally]:
        """Count every row, stretch by stretch in key order; sizes are estimated from a sample."""
        self._judged = None
        self._newest.forget()
        self._newest.of(selection, mark)
        surveyor = self._surveyor(selection)
        self._surveyed = _Surveyed(selection, mark, list(surveyor.cells(self._end(mark))))
        yield from surveyor.tallies()

    def _surveyor(self, selection: Selection) -> Surveyor:
        return Surveyor(
            self._database, self._walk, self._judge(selection), selection,
            row_size=self._row_size, remembering=not self._read_only,
        )  # fmt: skip

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The rows of a key, compared as text; parts of a composite key stand between commas."""
        yield from find(self._database, self._table, self._judge(selection), selection=selection, key=key)

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The rows with some values, counted by outcome, and the first of them in key order."""
        judge = self._judge(selection)
        return search(self._database, self._table, judge, selection=selection, match=match, limit=limit)

    def key_fields(self) -> tuple[str, ...]:
        """The key column, else the primary key."""
        return key_columns(self._table, self._dataset)

    def unnamed(self) -> str | None:
        """Why no row has a key that stays with it."""
        if self._dataset.key is not None or self._table.naming_key().lasting:
            return None
        return f"table {self._table.name} has no primary key, and VACUUM may renumber its rows"

    # Removing

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None = None) -> Iterator[Slice]:
        """Key ranges, destination by destination; smaller ones as soon as commits turn out to be slow."""
        self._known.clear()
        self._newest.of(selection, mark)
        reading, number = self._reading(selection.doubt_after), 0
        most = max(1, min(budget.rows, budget.size // self._row_size))
        changes = delete_triggers(self._database, self._table)  # which may change other rows whenever one goes
        for destination in selection.destinations():
            codes = selection.lapsed_codes(destination)
            ranges = cut(
                self._cells(selection, mark),
                destination,
                limit=lambda: self._pace.limit(most),
                split=lambda keys, count, codes=codes: self._nth_lapsed(selection, keys, codes, count),  # type: ignore[misc]
            )
            for found in ranges:
                bounds = (reading.numbers.value if reading.numbers else None, *found.keys.bounds())
                if found.known is not None and not changes:
                    self._known[bounds] = (selection, found.known)
                yield Slice(
                    name=f"{number:06d}",
                    selection=selection,
                    destination=destination,
                    bounds=bounds,
                    facts=facts,
                )
                number += 1

    def _cells(self, selection: Selection, mark: Mark | None) -> Iterator[Cell]:
        known = self._surveyed
        if known is not None and known.selection == selection and known.mark == mark:
            yield from known.cells
            return
        yield from self._surveyor(selection).cells(self._end(mark))

    def _nth_lapsed(self, selection: Selection, keys: KeyRange, codes: Going, count: int) -> Key | None:
        query = self._judge(selection).nth_lapsed(keys, codes, count)
        found = self._database.row(query.sql, query.values)
        return None if found is None else tuple(found)

    @contextmanager
    def take(self, piece: Slice) -> Iterator[SqliteTake]:
        """Look at the rows of a slice; they are removed by the commit alone."""
        if self._read_only:
            raise StoreError(f"{self._dataset.shown} is open for reading only", hint="Open it for writing.")
        numbers, after, until = _bounds(piece)
        reading = reading_of(self._dataset, numbers=numbers, layout=self._layout)
        ground = Ground(
            database=self._database,
            table=self._table,
            walk=self._walk,
            judge=self._judge(piece.selection, reading),
            pace=self._pace,
            row_size=self._row_size,
        )
        yield SqliteTake(ground, piece, KeyRange.of((after, until)), self._known_of(piece))

    def _known_of(self, piece: Slice) -> Known | None:
        """What the survey knows of a slice, if it was made under the very selection that the slice carries."""
        selection, known = self._known.pop(piece.bounds, (None, None))
        return known if selection is piece.selection else None

    def lease(self) -> AbstractContextManager[None]:
        """A lock on a file beside the database: one for all its tables."""
        return lease.hold(self._lock, what=f"dataset {self._dataset.name}")

    def lease_holder(self) -> str | None:
        """Who has the lock on the file beside the database."""
        return lease.holder(self._lock)

    @property
    def _lock(self) -> Path:
        path = self._database.path
        return path.with_name(path.name + ".lapse-lock")

    # After

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Yield every marker; SQLite has undone what was not committed by itself."""
        if self._has_markers():
            yield from Markers(self._database.rows).read()

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers."""
        found = list(disposals)
        if not found or not self._has_markers():
            return
        with self._database.writing():
            markers = Markers(self._database.rows)
            for disposal in found:
                markers.remove(disposal)

    def _has_markers(self) -> bool:
        sql = f"SELECT 1 FROM main.sqlite_schema WHERE name = '{MARKER_TABLE}'"  # noqa: S608 - a name of ours
        return self._database.row(sql) is not None

    def restore(self, part: Part) -> RestoreCount:
        """Write the rows that are missing into the dataset's table, which is made if it is not there."""
        from lapse.stores.sqlite.restoring import restore

        self._surveyed = None
        self._known.clear()
        self._database.create()
        return restore(self._database, self._table_name, part)

    # Space

    def allocated(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        return reclaiming.allocated(self._database)

    def space(self) -> Space:
        """The file's pages, all of its tables together."""
        return reclaiming.space(self._database)

    def tidy(self) -> tuple[str, ...]:
        """Nothing: SQLite uses the pages of removed rows again by itself."""
        return ()

    def prediction(self) -> Prediction:
        """What VACUUM would give back."""
        return reclaiming.prediction(self._database, self._table)

    def rewrite(self, tell: Callable[[Progress], None]) -> None:
        """VACUUM, or cut free pages off where the file was made for that."""
        reclaiming.rewrite(self._database, tell)

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe the tables that look like logs, the likeliest first."""
        from lapse.stores.sqlite.inspecting import inspect

        yield from inspect(address)


def _bounds(piece: Slice) -> tuple[TimeFormat | None, Bound, Bound]:
    numbers, after, until = piece.bounds
    return None if numbers is None else TimeFormat(numbers), after, until
