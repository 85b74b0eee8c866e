"""From a selection to slices: a survey is remembered stretch by stretch, and the work is cut along it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count, groupby, pairwise
from typing import cast

from lapse.model.bounds import Going
from lapse.model.disposal import Facts
from lapse.model.plan import Tally
from lapse.model.selection import Destination, Selection
from lapse.ports import Budget, Slice
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.partitions import Inventory, inventory, lapsed_whole, partition_remarks
from lapse.stores.postgresql.pieces import Bounds, OfPlaces, OfTimes, Whole, pack, unpack
from lapse.stores.postgresql.places import RANGE_SCANS, Place, Stretch, within
from lapse.stores.postgresql.rowcounts import Question
from lapse.stores.postgresql.rulers import ruler_for
from lapse.stores.postgresql.scene import Mark, Scene
from lapse.stores.postgresql.sizing import Kind, Sizes
from lapse.stores.postgresql.slicing import cut
from lapse.stores.postgresql.surveying import Survey, Surveyor
from lapse.stores.postgresql.timecuts import TimeCutter, is_worth_it

_UNREAD = 1_000_000
"""Rows of a slice that goes without a copy, at most."""

_COPIED, _COPIED_SIZE = 75_000, 24 * 1024 * 1024
"""Rows and bytes of a slice with a copy, at most: each is synced more than ten times, however few rows it has."""

_FREE = Budget()
"""A smaller budget is somebody's wish."""


@dataclass(frozen=True)
class _Surveyed:
    """What the last survey counted, for cutting slices without counting again; what was taken since is left out."""

    selection: Selection
    mark: Mark | None
    survey: Survey

    @cached_property
    def numbers(self) -> Mapping[tuple[int, Place], int]:
        """The number of each cell, by leaf and first place."""
        return {(cell.range.leaf, cell.range.first): number for number, cell in enumerate(self.survey.cells)}


class Cutter:
    """Cuts the work on one table, and learns from how it went."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._surveyed: _Surveyed | None = None
        self._contested: set[int] = set()
        self.sizes = Sizes()

    def survey(self, selection: Selection, mark: Mark | None) -> tuple[Tally, ...]:
        """Count every row."""
        scene = self._scene
        scene.look_again()
        scene.see_newest(selection, mark, anew=True)
        question = Question(
            connection=scene.connection,
            judge=scene.judge(selection),
            row_size=scene.row_size,
            where=scene.below(scene.highest(mark)),
            ruler=ruler_for(scene, selection),
        )
        found = Surveyor(question=question, leaves=scene.leaves, breaks=scene.courtesy).count()
        self._surveyed = _Surveyed(selection, mark, found)
        return found.tallies

    def forget(self) -> None:
        """Survey anew before the next slice: the table is not what it was."""
        self._surveyed = None
        self._scene.look_again()

    def taken(self, stretch: Stretch, destination: Destination) -> None:
        """Leave out what a commit took, where the slices are cut once more."""
        known = self._surveyed
        if known is None:
            return
        cells = known.survey.cells
        number = known.numbers.get((stretch.leaf, stretch.first), len(cells))
        while number < len(cells) and cells[number].range.lies_in(stretch):
            cells[number] = cells[number].without(destination)
            number += 1

    def contested(self, leaf: int) -> None:
        """Take the rows of a partition one by one from now on: it changed while it was sealed."""
        self._contested.add(leaf)
        self.forget()

    def dropped(self, leaf: int) -> None:
        """Leave out a partition that is gone, where the slices are cut once more."""
        known = self._surveyed
        if known is not None:
            left = [cell for cell in known.survey.cells if cell.range.leaf != leaf]
            self._surveyed = replace(known, survey=replace(known.survey, cells=left))

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None) -> Iterator[Slice]:
        """Destination by destination: partitions that go whole, and else stretches that fit a transaction each."""
        self._scene.see_newest(selection, mark, anew=False)
        self.sizes.target, self.sizes.breaks = budget.seconds, budget.breaks
        names = (f"{number:06d}" for number in count())
        for destination in selection.destinations():
            for bounds in self._pieces(selection, destination, budget, mark):
                yield Slice(
                    name=next(names), selection=selection, destination=destination, bounds=bounds, facts=facts
                )  # fmt: skip

    def _pieces(
        self, selection: Selection, destination: Destination, budget: Budget, mark: Mark | None
    ) -> Iterator[Bounds]:
        codes, survey = selection.lapsed_codes(destination), self._known(selection, mark).survey
        whole: set[int] = set()
        if mark is None and budget.whole:
            may_go = [each for each in self._partitions().partitions if each.leaf.oid not in self._contested]
            going = lapsed_whole(may_go, survey.cells, destination)
            whole = {
                each.leaf.oid for each in going if not budget.canary or survey.rows_of(each.leaf.oid) <= budget.rows
            }
        highest = self._scene.highest(mark)

        weight = self._weight(selection, destination, survey)
        most = self._most(destination, budget)

        # A canary takes the oldest rows, where they are known to lie scattered.
        by_time = is_worth_it(self._scene, survey, selection, destination) or (
            budget.canary and survey.ruler is not None
        )

        def limit() -> int:
            kind = self.kind(destination, by_place=not by_time)
            return max(1, self.sizes.learner(kind).limit(most) // weight)

        if by_time:
            times = TimeCutter(self._scene, selection, destination)
            for span in cut(times.cells(survey), destination, limit=limit, split=times.split):
                yield pack(OfTimes(highest, span))
            return
        places = _PlaceCutter(self._scene, selection, codes)
        for leaf, cells in groupby(tuple(survey.cells), key=lambda cell: cell.range.leaf):
            if leaf in whole:
                yield pack(Whole(leaf))
                continue
            for stretch in cut(cells, destination, limit=limit, split=places.split):
                yield pack(OfPlaces(highest, stretch))

    def _most(self, destination: Destination, budget: Budget) -> int:
        """Rows of a slice at most. Where nobody wishes anything else, the time of a transaction is what counts."""
        free = budget.whole and budget.rows >= _FREE.rows and budget.size >= _FREE.size and not budget.canary
        if free and not destination.archives:
            return _UNREAD
        rows, size = (_COPIED, _COPIED_SIZE) if free else (budget.rows, budget.size)
        return min(rows, max(1, size // self._scene.row_size))

    def kind(self, destination: Destination, *, by_place: bool) -> Kind:
        """What slices for that destination are now: those by places can rest inside, if they lock nothing before."""
        scene = self._scene
        alone = not (scene.dependents.locks or scene.table.loans or scene.filing is not None)
        divisible = by_place and alone and scene.connection.version >= RANGE_SCANS
        return self.sizes.kind(copied=bool(destination.archives), divisible=divisible)

    def _weight(self, selection: Selection, destination: Destination, survey: Survey) -> int:
        """How many rows of all tables are touched for each that is removed, where most of them lie."""
        scene = self._scene
        fullest = max(survey.cells, key=lambda cell: cell.count(destination), default=None)
        if fullest is None or not fullest.count(destination):
            return 1
        lapsed = scene.judge(selection).lapsed(selection.lapsed_codes(destination))
        where = "(" + within(scene.connection, fullest.range) + ") AND (" + lapsed + ")"
        return scene.dependents.weight(scene.connection, escaped(scene.leaf(fullest.range.leaf).sql), where)

    def _partitions(self) -> Inventory:
        scene = self._scene
        return inventory(scene.connection, scene.table, scene.leaves, scene.dataset.time)

    def remarks(self, selection: Selection) -> Iterator[str]:
        """For the plan: which partitions would go whole, and why others would not."""
        if self._scene.table.kind == "p":
            yield from partition_remarks(self._partitions(), self._known(selection, None).survey.cells, selection)

    def _known(self, selection: Selection, mark: Mark | None) -> _Surveyed:
        known = self._surveyed
        if known is None or known.selection != selection or known.mark != mark:
            self.survey(selection, mark)
            known = cast("_Surveyed", self._surveyed)
        return known

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        codes = piece.selection.lapsed_codes(piece.destination)
        match unpack(piece.bounds):
            case OfPlaces(highest, stretch):
                cutter = _PlaceCutter(self._scene, piece.selection, codes)
                found: list[Bounds] = [pack(OfPlaces(highest, half)) for half in cutter.halves(stretch)]
            case OfTimes(highest, span) if span.place is None:
                times = TimeCutter(self._scene, piece.selection, piece.destination)
                found = [pack(OfTimes(highest, half)) for half in times.halves(span)]
            case _:
                return ()
        return tuple(replace(piece, bounds=bounds) for bounds in found)


@dataclass(frozen=True, slots=True)
class _PlaceCutter:
    """Cuts a table by the places of its lapsed rows."""

    scene: Scene
    selection: Selection
    codes: Going

    def split(self, stretch: Stretch, count: int, limit: int) -> Iterator[Stretch]:
        """Pieces of even size."""
        size = -(-count // -(-count // limit))
        for first, last in pairwise(chain((stretch.first,), self._borders(stretch, size), (stretch.last,))):
            yield Stretch(stretch.leaf, first, last)

    def halves(self, stretch: Stretch) -> tuple[Stretch, ...]:
        """Two pieces of half the rows. Empty if there is one row at most."""
        ((rows,),) = self.scene.connection.query("SELECT count(*) " + self._rows(stretch))
        return tuple(self.split(stretch, rows, -(-rows // 2))) if rows > 1 else ()

    def _rows(self, stretch: Stretch) -> Fragment:
        leaf = escaped(self.scene.leaf(stretch.leaf).sql)
        lapsed = self.scene.judge(self.selection).lapsed(self.codes)
        return f"FROM {leaf} AS r WHERE (" + within(self.scene.connection, stretch) + ") AND (" + lapsed + ")"

    def _borders(self, stretch: Stretch, rows: int) -> list[Place]:
        numbered = "SELECT r.ctid AS place, row_number() OVER (ORDER BY r.ctid) AS number " + self._rows(stretch)
        found = self.scene.connection.query(
            "SELECT place FROM (" + numbered + ") AS numbered "
            f"WHERE number > 1 AND number %% {rows} = {1 % rows} ORDER BY number"
        )
        return [_place(text) for (text,) in found]


def _place(text: str) -> Place:
    page, row = text.strip("()").split(",")
    return int(page), int(row)
