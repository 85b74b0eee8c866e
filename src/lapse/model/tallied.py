"""Tallies in columns: of very many groups, a value is made of one only where somebody looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from lapse.instant import Nanos
from lapse.model.plan import Tally


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tallied(Sequence[Tally]):
    """Tallies without checksums. The columns are those of a `Tally`, item by item."""

    codes: Sequence[int]
    tenants: Sequence[str | None]
    records: Sequence[int]
    sizes: Sequence[int]
    oldest: Sequence[Nanos | None]
    newest: Sequence[Nanos | None]

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> Tally: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tally, ...]: ...
    def __getitem__(self, index: int | slice) -> Tally | tuple[Tally, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        return Tally(
            code=self.codes[index],
            tenant=self.tenants[index],
            records=self.records[index],
            size=self.sizes[index],
            oldest=self.oldest[index],
            newest=self.newest[index],
        )

    @property
    def ends(self) -> tuple[Nanos | None, Nanos | None]:
        """Earliest and latest time of all of them. None if there is none."""
        oldest = min((time for time in self.oldest if time is not None), default=None)
        return oldest, max((time for time in self.newest if time is not None), default=None)


def tallied(tallies: Sequence[Tally]) -> Tallied:
    """*tallies* in columns."""
    if isinstance(tallies, Tallied):
        return tallies
    return Tallied(
        codes=[tally.code for tally in tallies],
        tenants=[tally.tenant for tally in tallies],
        records=[tally.records for tally in tallies],
        sizes=[tally.size for tally in tallies],
        oldest=[tally.oldest for tally in tallies],
        newest=[tally.newest for tally in tallies],
    )
