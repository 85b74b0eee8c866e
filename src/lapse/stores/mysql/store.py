"""The MariaDB and MySQL store: `lapse.ports.Store` on one table of InnoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import count
from typing import ClassVar

from lapse import clock
from lapse.errors import BusyError, ChangedError, StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.selection import SKEW, Destination, Selection
from lapse.model.timetext import check_zone
from lapse.ports import Budget, Burden, Found, Part, RestoreCount, Sketch, Slice
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.learning import Learner
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.sqlcore.tallying import Running
from lapse.stores.mysql import leasing, own, reclaiming, timewalk
from lapse.stores.mysql.address import parse
from lapse.stores.mysql.burdening import burden
from lapse.stores.mysql.catalog import Table, find_table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dependents import Dependents, dependents_of
from lapse.stores.mysql.finding import find
from lapse.stores.mysql.identifying import has_returning, identify, refusal
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.ranges import Key, KeyRange, KeyWalk
from lapse.stores.mysql.slicing import Cell, Weights, cut
from lapse.stores.mysql.surveying import Surveyor
from lapse.stores.mysql.taking import Ground, MysqlTake
from lapse.stores.mysql.times import read_format
from lapse.stores.mysql.timewalk import Border

Mark = Mapping[str, tuple[int, ...]]
_LEAST = 500  # rows of a transaction


class _Way(Enum):
    """What slices go by."""

    KEY = "key"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What the last survey counted, for cutting slices without counting again; *times* where they go by the time."""

    selection: Selection
    mark: Mark | None
    cells: list[Cell]
    times: list[Border]


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
        self._learner = Learner(least=_LEAST)
        self._surveyed: _Surveyed | None = None
        self._formats: dict[Nanos, TimeFormat] = {}
        self._token: int | None = None
        self._made = False

    def close(self) -> None:
        """End the connection."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None
        self._made = False

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

    @property
    def _walk(self) -> KeyWalk:
        return KeyWalk(self._connection, self._table)

    def identity(self) -> Identity:
        """The server, table and columns; what stands against removing; the highest key."""
        latest = Nanos(clock.real_now() + SKEW)
        return identify(self._connection, self._dependents, self._dataset, self._format(latest))

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """What foreign keys do to other tables when the lapsed rows go, with counts."""
        return self._dependents.remarks(self._connection, self._judge(selection))

    # Looking

    def _format(self, latest: Nanos) -> TimeFormat:
        if latest not in self._formats:
            dataset, table = self._dataset, self._table
            self._formats[latest] = read_format(
                self._connection, table, table.column(dataset.time), dataset.time_format, latest=latest
            )
        return self._formats[latest]

    def _judge(self, selection: Selection, time_format: TimeFormat | None = None) -> Judge:
        from lapse.stores.mysql.encoding import size_sql

        chosen = self._format(selection.doubt_after) if time_format is None else time_format
        return Judge(self._table, selection, chosen, size_sql(self._table))

    def _end(self, mark: Mark | None) -> Key | None:
        last = self._walk.last()
        if mark is None or last is None:
            return last
        name = self._table.key[0].name
        if name not in mark:
            raise StoreError(f"the mark of the plan is not about key {name}", hint="Make a new plan.")
        return (str(min(int(last[0]), mark[name][0])),)

    def survey(self, selection: Selection, mark: Mark | None = None) -> Iterator[Tally]:
        """Count every row, stretch by stretch in key order; then the index of the times, where slices will go by it."""
        running, cells, judge = Running(), [], self._judge(selection)
        if not self._table.key:
            # Nothing is removed here; for the plan it is counted at one go.
            yield from judge.tallies(self._connection, Fragment("TRUE"))
            return
        for counted in Surveyor(self._connection, self._walk, judge).count(self._end(mark)):
            cells.append(counted.cell)
            running.add(counted.tallies)
        found = running.merged()
        times = self._borders(judge, cells, found) if mark is None else []
        self._surveyed = _Surveyed(selection, mark, cells, times)
        yield from found

    def _borders(self, judge: Judge, cells: list[Cell], found: Sequence[Tally]) -> list[Border]:
        if not timewalk.is_scattered(cells):
            return []
        codes = judge.selection.lapsed_codes()
        column = self._table.column(self._dataset.time)
        lapsed = [tally for tally in found if tally.code in codes]
        return timewalk.borders(self._connection, self._table, column, judge.time_format, lapsed)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The rows of a key, compared as text; parts of a composite key stand between commas."""
        yield from find(self._connection, self._judge(selection), dataset=self._dataset, key=key)

    # Removing

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None = None) -> Iterator[Slice]:
        """Ranges of key or time, destination by destination; smaller ones when transactions turn out to be long."""
        if not self._table.key:
            return
        judge, number = self._judge(selection), count()
        self._learner.target = budget.seconds
        for destination in selection.destinations():
            for way, keys in self._ranges(judge, destination, budget, mark):
                yield Slice(
                    name=f"{next(number):06d}",
                    selection=selection,
                    destination=destination,
                    bounds=(judge.time_format.value, way.value, *keys.bounds()),
                    facts=facts,
                )

    def _ranges(
        self, judge: Judge, destination: Destination, budget: Budget, mark: Mark | None
    ) -> Iterator[tuple[_Way, KeyRange]]:
        codes = judge.selection.lapsed_codes(destination)
        known = self._known(judge.selection, mark)
        way = _Way.TIME if known is not None and known.times else _Way.KEY
        walk, going = self._walked(way), None if way is _Way.TIME else judge.going(codes)
        ranges = cut(
            self._cells(judge, known, codes, mark),
            codes,
            weights=Weights(rows=budget.rows, size=budget.size),
            limit=lambda: self._learner.limit(budget.rows),
            split=lambda keys, rows: walk.step(keys, rows, going),
        )
        for keys in ranges:
            yield way, keys

    def _known(self, selection: Selection, mark: Mark | None) -> _Surveyed | None:
        known = self._surveyed
        return known if known is not None and (known.selection, known.mark) == (selection, mark) else None

    def _cells(
        self, judge: Judge, known: _Surveyed | None, codes: tuple[int, ...], mark: Mark | None
    ) -> Iterable[Cell]:
        if known is None:
            counted = Surveyor(self._connection, self._walk, judge).count(self._end(mark))
            return (each.cell for each in counted)
        if known.times:
            return timewalk.cells(known.times, codes, self._table.size // max(1, self._table.rows))
        return known.cells

    def _walked(self, way: _Way) -> KeyWalk:
        if way is _Way.KEY:
            return self._walk
        column = self._table.column(self._dataset.time)
        return KeyWalk(self._connection, self._table, timewalk.time_key(self._table, column))

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        time_format, way, keys = _bounds(piece)
        walk = self._walked(way)
        going = self._judge(piece.selection, time_format).going(piece.selection.lapsed_codes(piece.destination))
        rows = walk.count(keys, going)
        middle = walk.step(keys, rows // 2, going) if rows > 1 else None
        if middle is None:
            return ()
        parts = (KeyRange(keys.after, middle), KeyRange(middle, keys.until))
        return tuple(replace(piece, bounds=(time_format.value, way.value, *part.bounds())) for part in parts)

    def burden(self) -> Burden:
        """Whether others are at work on the server, and whether the run should wait for them."""
        return burden(self._connection, self._dataset.pace)

    @contextmanager
    def take(self, piece: Slice) -> Iterator[MysqlTake]:
        """Delete the slice's lapsed rows in a transaction; the commit ends it, leaving the block undoes it."""
        self._require_writing()
        refused = refusal(self._connection, self._dependents)
        if refused is not None:
            raise UnsupportedError(refused, hint="Lapse removes nothing there.")
        self._make_own()
        time_format, way, keys = _bounds(piece)
        ground = Ground(
            connection=self._connection,
            judge=self._judge(piece.selection, time_format),
            dependents=self._dependents,
            learner=self._learner,
            returning=self.use_returning and has_returning(self._connection),
            token=self._token,
        )
        with ExitStack() as ends:
            ends.callback(self._connection.roll_back)
            taken = MysqlTake(ground, piece, self._walked(way).within(keys))
            ends.callback(taken.end)
            try:
                yield taken
            except (BusyError, ChangedError):
                self._learner.shrink()
                raise

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

    # After

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Yield every marker; the server has undone what was not committed by itself."""
        if MARKER_TABLE in own.existing(self._connection):
            yield from own.markers(self._connection).read()

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers, all of them or none."""
        found = list(disposals)
        if not found or MARKER_TABLE not in own.existing(self._connection):
            return
        self._require_writing()
        with self._connection.transaction("pruning markers"):
            markers = own.markers(self._connection)
            for disposal in found:
                markers.remove(disposal)

    def restore(self, part: Part) -> RestoreCount:
        """Write the rows that are missing into the dataset's table, which is made if it is not there."""
        from lapse.stores.mysql.restoring import restore

        self._require_writing()
        self._surveyed = None
        for name in ("_table", "_dependents"):
            self.__dict__.pop(name, None)
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


def _bounds(piece: Slice) -> tuple[TimeFormat, _Way, KeyRange]:
    time_format, way, after, until = piece.bounds
    return TimeFormat(time_format), _Way(way), KeyRange.of(after, until)
