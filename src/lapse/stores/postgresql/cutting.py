"""From a selection to slices: a survey is remembered stretch by stretch, and the work is cut along it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import cast

from lapse.model.disposal import Facts
from lapse.model.plan import Tally
from lapse.model.selection import Destination, Selection
from lapse.ports import Budget, Slice
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.pace import Learner
from lapse.stores.postgresql.partitions import Partition, droppable, lapsed_whole
from lapse.stores.postgresql.places import Place, Stretch, within
from lapse.stores.postgresql.scene import Mark, Scene
from lapse.stores.postgresql.slicing import cut
from lapse.stores.postgresql.surveying import Cell, Surveyor

Bounds = tuple[str | int | None, ...]
"""Of a stretch the highest key, inclusive, or None, then its place; of a partition `WHOLE` and its number."""

WHOLE = "partition"


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What the last survey counted, for cutting slices without counting again; what was taken since is left out."""

    selection: Selection
    mark: Mark | None
    cells: list[Cell]


class Cutter:
    """Cuts the work on one table, and learns from how it went."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._surveyed: _Surveyed | None = None
        self._contested: set[int] = set()
        self.pace = Learner()

    def survey(self, selection: Selection, mark: Mark | None) -> tuple[Tally, ...]:
        """Count every row."""
        scene = self._scene
        scene.look_again()
        surveyor = Surveyor(
            connection=scene.connection,
            judge=scene.judge(selection),
            leaves=scene.leaves,
            size=str(scene.row_size),
            where=scene.below(scene.highest(mark)),
        )
        tallies, cells = surveyor.count()
        self._surveyed = _Surveyed(selection, mark, list(cells))
        return tallies

    def forget(self) -> None:
        """Survey anew before the next slice: the table is not what it was."""
        self._surveyed = None
        self._scene.look_again()

    def taken(self, stretch: Stretch, destination: Destination) -> None:
        """Leave out what a commit took, where the slices are cut once more."""
        known = self._surveyed
        if known is not None:
            codes = known.selection.lapsed_codes(destination)
            known.cells[:] = [cell.without(codes) if cell.stretch.lies_in(stretch) else cell for cell in known.cells]

    def contested(self, leaf: int) -> None:
        """Take the rows of a partition one by one from now on: it changed while it was sealed."""
        self._contested.add(leaf)
        self.forget()

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None) -> Iterator[Slice]:
        """Destination by destination: partitions that go whole, then stretches that fit a transaction each."""
        self.pace.target = budget.seconds
        names = (f"{number:06d}" for number in count())
        for destination in selection.destinations():
            for bounds in self._pieces(selection, destination, budget, mark):
                yield Slice(
                    name=next(names), selection=selection, destination=destination, bounds=bounds, facts=facts
                )  # fmt: skip

    def _pieces(
        self, selection: Selection, destination: Destination, budget: Budget, mark: Mark | None
    ) -> Iterator[Bounds]:
        codes, cells = selection.lapsed_codes(destination), tuple(self._cells(selection, mark))
        going: tuple[Partition, ...] = ()
        if mark is None and budget.whole:
            going = lapsed_whole(self._partitions(), cells, selection, destination)
        for partition in going:
            yield (WHOLE, partition.leaf.oid)
        whole = {partition.leaf.oid for partition in going}
        highest = self._scene.highest(mark)
        for stretch in cut(
            (cell for cell in cells if cell.stretch.leaf not in whole),
            codes,
            limit=lambda: self.pace.limit(min(budget.rows, max(1, budget.size // self._scene.row_size))),
            borders=lambda stretch, rows: self._borders(selection, stretch, codes, rows),
        ):
            yield (highest, *stretch.bounds())

    def _partitions(self) -> tuple[Partition, ...]:
        scene = self._scene
        found = droppable(scene.connection, scene.table, scene.leaves, scene.dataset.time)
        return tuple(partition for partition in found if partition.leaf.oid not in self._contested)

    def _cells(self, selection: Selection, mark: Mark | None) -> list[Cell]:
        known = self._surveyed
        if known is None or known.selection != selection or known.mark != mark:
            self.survey(selection, mark)
            known = cast("_Surveyed", self._surveyed)
        return known.cells

    def _borders(self, selection: Selection, stretch: Stretch, codes: tuple[int, ...], rows: int) -> list[Place]:
        scene, leaf = self._scene, self._scene.leaf(stretch.leaf)
        where = "(" + within(scene.connection, stretch) + ") AND (" + scene.judge(selection).lapsed(codes) + ")"
        found = scene.connection.query(
            "SELECT place FROM (SELECT r.ctid AS place, row_number() OVER (ORDER BY r.ctid) AS number "
            f"FROM {escaped(leaf.sql)} AS r WHERE " + where + ") AS numbered WHERE number > 1 AND "
            f"number %% {rows} = {1 % rows} ORDER BY number"
        )
        return [_place(text) for (text,) in found]

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The same slice as two of half the rows. Empty if it cannot be cut."""
        if piece.bounds[0] == WHOLE:
            return ()
        scene, stretch = self._scene, stretch_of(piece)
        codes, leaf = piece.selection.lapsed_codes(piece.destination), scene.leaf(stretch.leaf)
        where = "(" + within(scene.connection, stretch) + ") AND (" + scene.judge(piece.selection).lapsed(codes) + ")"
        ((rows,),) = scene.connection.query(f"SELECT count(*) FROM {escaped(leaf.sql)} AS r WHERE " + where)
        if rows < 2:
            return ()
        borders = [stretch.first, *self._borders(piece.selection, stretch, codes, -(-rows // 2)), stretch.last]
        return tuple(
            replace(piece, bounds=(piece.bounds[0], *Stretch(stretch.leaf, first, last).bounds()))
            for first, last in pairwise(borders)
        )


def stretch_of(piece: Slice) -> Stretch:
    """The stretch of a slice that is no partition."""
    return Stretch.of(cast("tuple[int, ...]", piece.bounds[1:]))


def highest_of(piece: Slice) -> int | None:
    """The highest key of a slice's rows, inclusive. None without a limit."""
    return piece.bounds[0] if isinstance(piece.bounds[0], int) else None


def _place(text: str) -> Place:
    page, row = text.strip("()").split(",")
    return int(page), int(row)
