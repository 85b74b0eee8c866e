"""Sums of a block that has very many, held in columns: each is made a `Sum` only for who looks at it by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from lapse.instant import Nanos
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.stores.jsonl.judging import Values
from lapse.stores.jsonl.summing import Sum


class Named(NamedTuple):
    """Sums in columns, with the tenants by number; there may be more of these."""

    columns: Columns
    names: Sequence[str | None]


class Packed(NamedTuple):
    """The same as it goes from one process to another.

    Attributes:
        arrays: The bytes of each column.
        names: The tenants by number.
    """

    arrays: tuple[bytes, ...]
    names: Sequence[str | None]


class ManySums:
    """The sums of lines that were judged together.

    Attributes:
        singles: Those of lines that were judged by themselves.
        named: All others.
        places: For each of these the number of the group that it is of, ascending.
    """

    def __init__(self, singles: Sequence[Sum], named: Named, places: Any, values: Sequence[Values]) -> None:
        """Sums; *values* has those of each group, by its number."""
        self.singles = singles
        self.named = named
        self.places = places
        self._values = values

    def __iter__(self) -> Iterator[Sum]:
        yield from self.singles
        (columns, names), values = self.named, self._values
        rows = zip(self.places.tolist(), *(array.tolist() for array in columns.arrays), strict=True)
        for place, code, tenant, records, size, oldest, newest, checksum in rows:
            timed = (oldest, newest) != NO_TIME
            first, last = (Nanos(oldest), Nanos(newest)) if timed else (None, None)
            yield Sum(code, names[tenant], values[place], records, size, first, last, checksum)

    @property
    def distinct(self) -> int:
        """How many groups the lines are of that were not judged by themselves."""
        return int((self.places[1:] != self.places[:-1]).sum()) + 1 if len(self.places) else 0


Sums: TypeAlias = Sequence[Sum] | ManySums


def apart(sums: Sums) -> tuple[Named | None, Sequence[Sum]]:
    """What of some sums stands in columns, and what one by one. None if nothing does."""
    return (sums.named, sums.singles) if isinstance(sums, ManySums) else (None, sums)
