"""Counts in columns: of very many rules nearly each row is a group of its own, and no Python object is made for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lapse.model.bounds import EndingOf
from lapse.model.plan import Tally
from lapse.model.tallied import Tallied
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.sqlcore.tallying import Row, tally_of

NO_TIME = (MAX_INT64, MIN_INT64)
"""Oldest and newest of rows of which none has a time: any other two are in their order."""

_GROUPS = 200_000
"""How many wait at most before they are added up."""

_AT_ONCE = 10_000
"""Groups that are made Python objects at a time."""

_NAMES = 32
"""Bits of a key that tell the tenant; those above are the code."""

_NAME = (1 << _NAMES) - 1
"""These bits of a key."""

_LOW = 27
"""Bits of a checksum's lower part. Sums of both parts stay within 64 bits, where those of the whole would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Counts, an array of 64-bit integers for each column; those of one code and tenant may stand there several times.

    Attributes:
        codes: The outcome's.
        tenants: The tenant's, as `ColumnTallies.numbers` numbers them.
        records: How many rows.
        oldest: Earliest record time.
        newest: Latest record time; with the earliest it is `NO_TIME` where there is none.
        checksums: As in a `Tally`, but of any sign and size.
    """

    codes: Any
    tenants: Any
    records: Any
    oldest: Any
    newest: Any
    checksums: Any


@dataclass(frozen=True, slots=True)
class Groups:
    """Counts, one for each key, which is code and tenant in one.

    Attributes:
        key: Ascending.
        records: How many rows.
        oldest: Earliest record time.
        newest: Latest record time; with the earliest it is `NO_TIME` where there is none.
        high: Sum of the checksums' upper parts.
        low: Sum of their lower parts.
    """

    key: Any
    records: Any
    oldest: Any
    newest: Any
    high: Any
    low: Any

    def __len__(self) -> int:
        return len(self.key)

    @property
    def codes(self) -> Any:
        """The outcome's code of each."""
        return self.key >> _NAMES

    def chosen(self, places: Any) -> Groups:
        """Those at some places."""
        return Groups(*(getattr(self, name)[places] for name in ("key", *(name for name, _ in _SUMS))))


_SUMS = (("records", np.add), ("oldest", np.minimum), ("newest", np.maximum), ("high", np.add), ("low", np.add))


def _summed(parts: Sequence[Groups]) -> Groups:
    """One for each key, ascending; column by column, since all of them at once would be twice the memory."""
    key = np.concatenate([part.key for part in parts])
    order = np.argsort(key, kind="stable")  # what is made of ascending parts is merged, which takes little
    key = key[order]
    firsts = np.flatnonzero(np.concatenate([key[:1] == key[:1], key[1:] != key[:-1]]))
    if not len(firsts):
        return parts[0]
    sums = (way.reduceat(np.concatenate([getattr(part, name) for part in parts])[order], firsts) for name, way in _SUMS)
    return Groups(key[firsts], *sums)


def _grouped(columns: Columns) -> Groups:
    """Counts, one for each code and tenant."""
    part = Groups(
        columns.codes << _NAMES | columns.tenants,
        columns.records,
        columns.oldest,
        columns.newest,
        columns.checksums >> _LOW,
        columns.checksums & ((1 << _LOW) - 1),
    )
    return _summed([part])


class ColumnTallies:
    """The tallies of a survey so far."""

    def __init__(self, row_size: int) -> None:
        """Nothing is counted yet; each row is taken to have *row_size* bytes."""
        self._row_size = row_size
        self._numbers: dict[str | None, int] = {None: 0}
        self._found: list[Groups] = []
        self._waiting = 0

    def numbers(self, tenants: Iterable[str | None]) -> list[int]:
        """The number of each tenant; a new one gets the next."""
        known = self._numbers
        return [known.setdefault(tenant, len(known)) for tenant in tenants]

    def add(self, columns: Columns) -> Groups:
        """Take in more counts; returns them one for each code and tenant."""
        groups = _grouped(columns)
        self._found.append(groups)
        self._waiting += len(groups)
        if self._waiting > _GROUPS:
            self._sum()
        return groups

    def _sum(self) -> Groups:
        """All there is so far."""
        self._found, self._waiting = [_summed(self._found)], 0
        return self._found[0]

    def merged(self) -> tuple[Tally, ...]:
        """All of them, one for each code and tenant, ordered by these."""
        return self.tallies(self._sum()) if self._found else ()

    def of_rows(self, codes: Any, tenants: Any, times: Any) -> Tallied:
        """The tallies of rows that have a time each, ordered by code and tenant; they are not taken in.

        Arguments:
            codes: The outcome of each row.
            tenants: The tenant's number.
            times: The time.
        """
        code, tenant, time = (np.asarray(each, np.int64) for each in (codes, tenants, times))
        ones, zeros = np.ones(len(code), np.int64), np.zeros(len(code), np.int64)
        groups = _grouped(Columns(codes=code, tenants=tenant, records=ones, oldest=time, newest=time, checksums=zeros))
        names = list(self._numbers)
        found = groups.chosen(_ordered(groups.key, names))
        return Tallied(
            codes=found.codes.tolist(),
            tenants=[names[number] for number in (found.key & _NAME).tolist()],
            records=found.records.tolist(),
            sizes=(found.records * self._row_size).tolist(),
            oldest=found.oldest.tolist(),
            newest=found.newest.tolist(),
        )

    def tallies(self, groups: Groups) -> tuple[Tally, ...]:
        """The tallies of some of what was added, ordered by code and tenant."""
        return tuple(map(tally_of, self._rows(groups)))

    def _rows(self, groups: Groups) -> Iterator[Row]:
        names = list(self._numbers)
        order = _ordered(groups.key, names)
        for first in range(0, len(order), _AT_ONCE):
            found = groups.chosen(order[first : first + _AT_ONCE])
            columns = (found.key, found.records, found.oldest, found.newest, found.high, found.low)
            for key, records, oldest, newest, high, low in zip(*(each.tolist() for each in columns), strict=True):
                code, tenant = key >> _NAMES, names[key & _NAME]
                ends = (None, None) if (oldest, newest) == NO_TIME else (oldest, newest)
                yield code, tenant, records, records * self._row_size, *ends, (high << _LOW) + low


def _ordered(keys: Any, names: Sequence[str | None]) -> Any:
    """The order of the keys by code and tenant's name, None first."""
    by_name = sorted(range(len(names)), key=lambda number: (names[number] is not None, names[number] or ""))
    return np.lexsort((np.argsort(by_name)[keys & _NAME], keys >> _NAMES))


def ways(ending_of: EndingOf, codes: Any) -> Any:
    """The position of the ending by which the rows of each of *codes*, an array, lapsed; -1 if they did not."""
    rules, way = np.divmod(codes - ending_of.first, ending_of.step)
    lapsed = (way == 0) & (rules >= 0) & (rules < len(ending_of.ending_of))
    found = np.full(len(codes), -1)
    found[lapsed] = np.asarray(ending_of.ending_of, np.int64)[rules[lapsed]]
    return found
