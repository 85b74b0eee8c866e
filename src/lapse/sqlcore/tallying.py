"""Counts added up as they come, so that memory grows with outcomes and tenants and not with what is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally

Row: TypeAlias = tuple[int, str | None, int, int, int | None, int | None, int]
"""A count as a statement gives it: code, tenant, records, size, oldest, newest, checksum, as in a `Tally`.

There may be a million, each soon added to others; therefore it is no more than what a driver hands over.
"""


def tally_of(row: Row) -> Tally:
    """The same as a value that is kept."""
    code, tenant, records, size, oldest, newest, checksum = row
    return Tally(
        code=code,
        tenant=tenant,
        records=records,
        size=size,
        oldest=None if oldest is None else Nanos(oldest),
        newest=None if newest is None else Nanos(newest),
        checksum=checksum % CHECKSUM_MODULUS,
    )


class _Sum:
    __slots__ = ("checksum", "newest", "oldest", "records", "size")

    def __init__(self, records: int, size: int, oldest: int | None, newest: int | None, checksum: int) -> None:
        self.records = records
        self.size = size
        self.oldest = oldest
        self.newest = newest
        self.checksum = checksum


class Running:
    """The tallies of a survey so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str | None], _Sum] = {}

    def add(self, tallies: Iterable[Tally]) -> None:
        """Take in more tallies."""
        self.add_rows((t.code, t.tenant, t.records, t.size, t.oldest, t.newest, t.checksum) for t in tallies)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Take in more counts."""
        found = self._found
        for code, tenant, records, size, oldest, newest, checksum in rows:
            known = found.get((code, tenant))
            if known is None:
                found[code, tenant] = _Sum(records, size, oldest, newest, checksum)
                continue
            known.records += records
            known.size += size
            known.checksum += checksum
            if oldest is not None and (known.oldest is None or oldest < known.oldest):
                known.oldest = oldest
            if newest is not None and (known.newest is None or newest > known.newest):
                known.newest = newest

    def merged(self) -> tuple[Tally, ...]:
        """All of them, one for each code and tenant, ordered by these."""
        keys = sorted(self._found, key=lambda key: (key[0], key[1] is not None, key[1] or ""))
        return tuple(tally_of(_row(*key, self._found[key])) for key in keys)


def _row(code: int, tenant: str | None, found: _Sum) -> Row:
    return code, tenant, found.records, found.size, found.oldest, found.newest, found.checksum
