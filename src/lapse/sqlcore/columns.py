"""Counts as columns of numbers, for who need not know how they are added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NO_TIME = (2**63 - 1, -(2**63))
"""Oldest and newest of records of which none has a time: any other two are in their order."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Counts, an array of 64-bit integers for each column; those of one code and tenant may stand there several times.

    Attributes:
        codes: The outcome's.
        tenants: The tenant's, by a number.
        records: How many records.
        sizes: Their bytes.
        oldest: Earliest record time.
        newest: Latest record time; with the earliest it is `NO_TIME` where there is none.
        checksums: As in a `Tally`, but of any sign and size.
    """

    codes: Any
    tenants: Any
    records: Any
    sizes: Any
    oldest: Any
    newest: Any
    checksums: Any

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The columns, in the order of the attributes."""
        return self.codes, self.tenants, self.records, self.sizes, self.oldest, self.newest, self.checksums

    def __len__(self) -> int:
        return len(self.codes)
