"""From a selection to slices: a survey is remembered stretch by stretch, and the work is cut along it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby

from lapse.errors import StoreError
from lapse.instant import Nanos
from lapse.model.disposal import Facts
from lapse.model.plan import Tally
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Destination, Selection
from lapse.ports import Budget, Slice
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.learning import Learner
from lapse.sqlcore.newest import Finder
from lapse.sqlcore.tallying import Running
from lapse.sqlcore.thresholds import Thresholds
from lapse.stores.mysql import timewalk
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.judging import Judge
from lapse.stores.mysql.newest import find_thresholds
from lapse.stores.mysql.partitions import Inventory, inventory, lapsed_whole, larger_than, partition_remarks
from lapse.stores.mysql.pieces import Piece, Way
from lapse.stores.mysql.ranges import Key, KeyRange, KeyWalk
from lapse.stores.mysql.slicing import Cell, Weights, cut
from lapse.stores.mysql.surveying import Counted, Surveyor
from lapse.stores.mysql.times import read_format
from lapse.stores.mysql.timewalk import Border

Mark = Mapping[str, tuple[int, ...]]
_LEAST = 500  # rows of a transaction


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What the last survey counted, for cutting slices without counting again.

    Attributes:
        selection: What decided.
        mark: Up to where it went.
        cells: All of it.
        inventory: The partitions, if it went partition by partition; else why it did not.
        times: Where slices go by the time.
    """

    selection: Selection
    mark: Mark | None
    cells: list[Cell]
    inventory: Inventory
    times: list[Border]


class Cutter:
    """Cuts the work on one table, and learns from how it went.

    Attributes:
        learner: Learns how long transactions last.
    """

    def __init__(self, connection: Connection, table: Table, dataset: Dataset) -> None:
        self.learner = Learner(least=_LEAST)
        self._connection = connection
        self._table = table
        self._dataset = dataset
        self._surveyed: _Surveyed | None = None
        self._formats: dict[Nanos, TimeFormat] = {}
        self._newest = Finder(self._find_newest)
        self._contested: set[str] = set()
        self._stale: set[str] = set()

    # Looking

    def format(self, latest: Nanos) -> TimeFormat:
        """How the time column is written; numbers that are later than *latest* in a unit speak against it."""
        if latest not in self._formats:
            column = self._table.column(self._dataset.time)
            self._formats[latest] = read_format(
                self._connection, self._table, column, self._dataset.time_format, latest=latest
            )
        return self._formats[latest]

    def judge(self, selection: Selection, time_format: TimeFormat | None = None, partition: str | None = None) -> Judge:
        """What decides about the rows of the table, or of one partition."""
        from lapse.stores.mysql.encoding import size_sql

        chosen = self.format(selection.doubt_after) if time_format is None else time_format
        newest = self._newest.of(selection)
        return Judge(replace(self._table, partition=partition), selection, chosen, size_sql(self._table), newest)

    def _find_newest(self, selection: Selection, mark: Mark | None) -> Thresholds:
        judge = Judge(self._table, selection, self.format(selection.doubt_after), "0")
        return find_thresholds(self._connection, judge.members(self._below(mark)), name=self._newest.name)

    def _below(self, mark: Mark | None) -> Fragment:
        if mark is None:
            return Fragment("TRUE")
        key = self._table.key[0]
        return Fragment(f"{key.sql} <= {self._marked(key.name, mark)}")

    @staticmethod
    def _marked(name: str, mark: Mark) -> int:
        if name not in mark:
            raise StoreError(f"the mark of the plan is not about key {name}", hint="Make a new plan.")
        return mark[name][0]

    def survey(self, selection: Selection, mark: Mark | None) -> tuple[Tally, ...]:
        """Count every row in key order; then the index of the times, where slices will go by it."""
        self._newest.forget()
        self._newest.of(selection, mark)
        judge, running, cells = self.judge(selection), Running(), []
        if not self._table.key:
            # Nothing is removed here; for the plan it is counted at one go.
            return judge.tallies(self._connection, Fragment("TRUE"))
        found = inventory(self._connection, self._table, numbers=True) if mark is None else Inventory()
        for counted in self._counted(selection, found, mark):
            cells.append(counted.cell)
            running.add(counted.tallies)
        merged = tuple(running.merged())
        goes_whole = any(self._whole(found, cells, selection, each) for each in selection.destinations())
        times = self._borders(judge, cells, merged) if mark is None and not goes_whole else []
        self._surveyed = _Surveyed(selection, mark, cells, found, times)
        self._stale.clear()
        return merged

    def _counted(self, selection: Selection, found: Inventory, mark: Mark | None) -> Iterator[Counted]:
        """The table; partition by partition, where some may go whole."""
        names: Sequence[str | None] = [each.name for each in found.partitions] or [None]
        for name in names:
            yield from self._counted_in(name, selection, mark)

    def _counted_in(self, partition: str | None, selection: Selection, mark: Mark | None) -> Iterator[Counted]:
        judge = self.judge(selection, partition=partition)
        walk = KeyWalk(self._connection, judge.table)
        return Surveyor(self._connection, walk, judge).count(self._end(walk, mark))

    def _end(self, walk: KeyWalk, mark: Mark | None) -> Key | None:
        last = walk.last()
        if mark is None or last is None:
            return last
        return (str(min(int(last[0]), self._marked(self._table.key[0].name, mark))),)

    def _borders(self, judge: Judge, cells: list[Cell], found: Sequence[Tally]) -> list[Border]:
        if not timewalk.is_scattered(cells):
            return []
        codes = judge.selection.lapsed_codes()
        column = self._table.column(self._dataset.time)
        lapsed = [tally for tally in found if tally.code in codes]
        return timewalk.borders(self._connection, self._table, column, judge.time_format, lapsed)

    def remarks(self, selection: Selection) -> Iterator[str]:
        """For the plan, after a survey: which partitions would go whole, and why others would not."""
        known = self._known(selection, None)
        if known is not None:
            yield from partition_remarks(known.inventory, known.cells, selection)

    # Cutting

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None) -> Iterator[Slice]:
        """Destination by destination: whole partitions, and ranges of key or time."""
        if not self._table.key:
            return
        self._newest.of(selection, mark)
        self.learner.target = budget.seconds
        names = (f"{number:06d}" for number in count())
        for destination in selection.destinations():
            for piece in self._pieces(selection, destination, budget, mark):
                yield Slice(
                    name=next(names),
                    selection=selection,
                    destination=destination,
                    bounds=piece.bounds(),
                    facts=facts,
                )

    def _pieces(
        self, selection: Selection, destination: Destination, budget: Budget, mark: Mark | None
    ) -> Iterator[Piece]:
        codes = selection.lapsed_codes(destination)
        self._count_parts(selection, mark)
        known = self._known(selection, mark)
        form = self.format(selection.doubt_after)
        whole: frozenset[str] = frozenset()
        if known is not None and budget.whole:
            whole = self._whole(known.inventory, known.cells, selection, destination)
            if budget.canary:
                whole = whole - larger_than(budget.rows, known.cells)
        way = Way.TIME if known is not None and known.times else Way.KEY
        cells = self._cells(self.judge(selection, form), known, codes, mark)
        for partition, within in groupby(cells, key=lambda cell: cell.partition):
            if partition in whole:
                yield Piece(time_format=form, way=Way.WHOLE, keys=KeyRange(None, None), partition=partition)
                continue
            for keys in self._ranges(within, self.judge(selection, form, partition), way, codes, budget):
                yield Piece(time_format=form, way=way, keys=keys, partition=partition)

    def _count_parts(self, selection: Selection, mark: Mark | None) -> None:
        """See that the count of a table with partitions is known, and right for those that changed meanwhile."""
        known = self._known(selection, mark)
        if mark is not None or (known is not None and not self._stale):
            return
        there = inventory(self._connection, self._table)
        if known is None or not there.partitions:
            if known is not None or there.partitions:
                self.survey(selection, mark)
            return
        for name in self._stale:
            self.dropped(name)
            if there.find(name) is not None:
                # In front: each is emptied before the next one is tried, so that a run does not give up on many.
                known.cells[:0] = [each.cell for each in self._counted_in(name, selection, None)]
        self._stale.clear()

    def _whole(
        self, found: Inventory, cells: Iterable[Cell], selection: Selection, destination: Destination
    ) -> frozenset[str]:
        return lapsed_whole(found, cells, selection, destination) - self._contested

    def _ranges(
        self, cells: Iterable[Cell], judge: Judge, way: Way, codes: Collection[int], budget: Budget
    ) -> Iterator[KeyRange]:
        walk, going = self.walked(way, judge.table), None if way is Way.TIME else judge.going(codes)
        return cut(
            cells,
            codes,
            weights=Weights(rows=budget.rows, size=budget.size),
            limit=lambda: self.learner.limit(budget.rows),
            split=lambda keys, rows: walk.step(keys, rows, going),
        )

    def _known(self, selection: Selection, mark: Mark | None) -> _Surveyed | None:
        known = self._surveyed
        return known if known is not None and (known.selection, known.mark) == (selection, mark) else None

    def _cells(
        self, judge: Judge, known: _Surveyed | None, codes: Collection[int], mark: Mark | None
    ) -> Iterable[Cell]:
        if known is None:
            walk = KeyWalk(self._connection, self._table)
            counted = Surveyor(self._connection, walk, judge).count(self._end(walk, mark))
            return (each.cell for each in counted)
        if known.times:
            return timewalk.cells(known.times, codes, self._table.size // max(1, self._table.rows))
        return tuple(known.cells)  # some may be left out while others are worked on

    def walked(self, way: Way, table: Table) -> KeyWalk:
        """*table*, the one or a partition of it, in the order that slices of that way go by."""
        if way is not Way.TIME:
            return KeyWalk(self._connection, table)
        column = table.column(self._dataset.time)
        return KeyWalk(self._connection, table, timewalk.time_key(table, column))

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        found = Piece.of(piece.bounds)
        if found.way is Way.WHOLE:
            return ()
        judge = self.judge(piece.selection, found.time_format, found.partition)
        walk, going = self.walked(found.way, judge.table), judge.going(piece.selection.lapsed_codes(piece.destination))
        rows = walk.count(found.keys, going)
        middle = walk.step(found.keys, rows // 2, going) if rows > 1 else None
        if middle is None:
            return ()
        parts = (KeyRange(found.keys.after, middle), KeyRange(middle, found.keys.until))
        return tuple(replace(piece, bounds=replace(found, keys=keys).bounds()) for keys in parts)

    # Learning from what came of it

    def changed(self, partition: str) -> None:
        """Take the rows of a partition one by one from now on: it is not what was counted."""
        self._contested.add(partition)
        self._stale.add(partition)

    def dropped(self, partition: str) -> None:
        """Leave out a partition that is gone, where the slices are cut once more."""
        if self._surveyed is not None:
            cells = self._surveyed.cells
            cells[:] = [cell for cell in cells if cell.partition != partition]
