"""Sums in columns added up by outcome and tenant: under very many rules nearly each line has a sum of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lapse.sqlcore.columns import Columns
from lapse.sqlcore.columntallies import ColumnTallies, Groups, by_key
from lapse.stores.jsonl.manysums import Named, Packed
from lapse.stores.jsonl.sizing import Goals


class ColumnCounts(ColumnTallies):
    """Counts by outcome and tenant, of sums whose tenants are numbered by who made them."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        super().__init__()
        self._their_names: Sequence[str | None] = ()
        self._translation = np.zeros(0, np.int64)

    def add_named(self, named: Named) -> None:
        """Take in some sums."""
        tenants = self._translated(named.names)[named.columns.tenants]
        self.take_in(by_key(replace(named.columns, tenants=tenants)))

    def add_packed(self, packed: Packed) -> None:
        """Take in what `packed` has made of some sums."""
        columns = Columns(*(np.frombuffer(array, np.int64) for array in packed.arrays))
        self.add_named(Named(columns, packed.names))

    def __getstate__(self) -> object:
        return list(self._numbers), self._sum() if self._found else None

    def __setstate__(self, state: tuple[list[str | None], Groups | None]) -> None:
        self.__init__()  # type: ignore[misc]
        names, groups = state
        self.numbers(names)
        if groups is not None:
            self.take_in(groups)

    def _translated(self, names: Sequence[str | None]) -> Any:
        """The tenants by the numbers that they have here; of a list that has grown only what is new is looked at."""
        if names is not self._their_names:
            self._their_names, self._translation = names, np.zeros(0, np.int64)
        known = len(self._translation)
        if known < len(names):
            more = np.array(self.numbers(names[known:]), np.int64)
            self._translation = np.concatenate((self._translation, more))
        return self._translation


def packed(named: Named, chosen: Any) -> Packed:
    """Those of some sums that are *chosen*, by a mask."""
    codes, tenants, *rest = (array[chosen] for array in named.columns.arrays)
    numbers, places = np.unique(tenants, return_inverse=True)
    names = [named.names[number] for number in numbers.tolist()]
    return Packed(tuple(array.tobytes() for array in (codes, places, *rest)), names)


def sizes_of(columns: Columns, goals: Goals) -> Iterator[tuple[int, int]]:
    """The bytes of lines by where they go."""
    numbers = np.frombuffer(goals, np.uint32)[columns.codes]  # type: ignore[call-overload]
    found = np.zeros(numbers.max(initial=0) + 1, np.int64)
    np.add.at(found, numbers, columns.sizes)
    return ((goal, int(found[goal])) for goal in np.flatnonzero(found).tolist())  # there is no line without bytes
