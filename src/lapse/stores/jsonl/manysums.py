"""Sums of a block that has very many, held in columns: each is made a `Sum` only for who looks at it by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from lapse.instant import Nanos
from lapse.stores.jsonl.judging import Values
from lapse.stores.jsonl.summing import Sum

NO_TIME = (2**63 - 1, -(2**63))
"""Oldest and newest of lines of which none has a time: any other two are in their order."""

_FEW = 64
"""Sums up to which it takes less to look at each than to begin with columns."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Sums, an array of 64-bit integers for each column; those of one code and tenant may stand there several times.

    Attributes:
        codes: The outcome.
        tenants: The tenant's number.
        records: How many lines.
        sizes: Their bytes.
        oldest: Earliest time.
        newest: Latest time; with the earliest it is `NO_TIME` where there is none.
        checksums: Sum of their numbers; no more than some thousand were added up.
        names: The tenants by number; there may be more.
    """

    codes: Any
    tenants: Any
    records: Any
    sizes: Any
    oldest: Any
    newest: Any
    checksums: Any
    names: Sequence[str | None]

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The columns, in the order of the attributes."""
        return self.codes, self.tenants, self.records, self.sizes, self.oldest, self.newest, self.checksums

    def __len__(self) -> int:
        return len(self.codes)


class Packed(NamedTuple):
    """Columns as they go from one process to another.

    Attributes:
        arrays: The bytes of each.
        names: The tenants by number.
    """

    arrays: tuple[bytes, ...]
    names: Sequence[str | None]


class ManySums:
    """The sums of lines that were judged together.

    Attributes:
        singles: Those of lines that were judged by themselves.
        columns: All others.
        places: For each of these the number of the group that it is of, ascending.
    """

    def __init__(self, singles: Sequence[Sum], columns: Columns, places: Any, values: Sequence[Values]) -> None:
        """Sums; *values* has those of each group, by its number."""
        self.singles = singles
        self.columns = columns
        self.places = places
        self._values = values

    def __iter__(self) -> Iterator[Sum]:
        yield from self.singles
        names, values = self.columns.names, self._values
        rows = zip(self.places.tolist(), *(array.tolist() for array in self.columns.arrays), strict=True)
        for place, code, tenant, records, size, oldest, newest, checksum in rows:
            timed = (oldest, newest) != NO_TIME
            first, last = (Nanos(oldest), Nanos(newest)) if timed else (None, None)
            yield Sum(code, names[tenant], values[place], records, size, first, last, checksum)

    @property
    def distinct(self) -> int:
        """How many groups the lines are of that were not judged by themselves."""
        return int((self.places[1:] != self.places[:-1]).sum()) + 1 if len(self.places) else 0


Sums: TypeAlias = Sequence[Sum] | ManySums


def apart(sums: Sums) -> tuple[Columns | None, Sums]:
    """What of some sums is better taken as columns, and what one by one. None if nothing is."""
    if isinstance(sums, ManySums) and len(sums.columns) > _FEW:
        return sums.columns, sums.singles
    return None, sums
