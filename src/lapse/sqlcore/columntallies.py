"""Counts in columns: of very many rules nearly each row is a group of its own, and no Python object is made for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from lapse.model.bounds import EndingOf
from lapse.model.plan import Tally
from lapse.model.tallied import Tallied
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.sqlcore.tallying import Row, tally_of

_GROUPS = 200_000
"""So many wait before they are added up, or as many as were left the time before."""

_AT_ONCE = 10_000
"""Groups that are made Python objects at a time."""

_NAMES = 32
"""Bits of a key that tell the tenant; those above are the code."""

_NAME = (1 << _NAMES) - 1
"""These bits of a key."""

_LOW = 27
"""Bits of a checksum's lower part. Sums of both parts stay within 64 bits, where those of the whole would not."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Counts by a key, which is code and tenant in one; once they are added up, one for each, in ascending order.

    Attributes:
        key: Code and tenant.
        records: How many.
        sizes: Their bytes.
        oldest: Earliest record time.
        newest: Latest record time; with the earliest it is `NO_TIME` where there is none.
        high: Sum of the checksums' upper parts.
        low: Sum of their lower parts.
    """

    key: Any
    records: Any
    sizes: Any
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

    @property
    def tenants(self) -> Any:
        """The tenant's number of each."""
        return self.key & _NAME

    def chosen(self, places: Any) -> Groups:
        """Those at some places."""
        return Groups(*(getattr(self, name)[places] for name in ("key", *(name for name, _ in _SUMS))))


_SUMS = (
    ("records", np.add),
    ("sizes", np.add),
    ("oldest", np.minimum),
    ("newest", np.maximum),
    ("high", np.add),
    ("low", np.add),
)


def by_key(columns: Columns) -> Groups:
    """Counts by code and tenant in one, in the order they come and not added up yet."""
    return Groups(
        columns.codes << _NAMES | columns.tenants,
        columns.records,
        columns.sizes,
        columns.oldest,
        columns.newest,
        columns.checksums >> _LOW,
        columns.checksums & ((1 << _LOW) - 1),
    )


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


class ColumnTallies:
    """Tallies in the making."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._numbers: dict[str | None, int] = {None: 0}
        self._listed: list[str | None] = []
        self._found: list[Groups] = []
        self._summed = self._waiting = 0

    def numbers(self, tenants: Iterable[str | None]) -> list[int]:
        """The number of each tenant; a new one gets the next."""
        known = self._numbers
        return [known.setdefault(tenant, len(known)) for tenant in tenants]

    def add(self, columns: Columns) -> Groups:
        """Take in more counts; returns them one for each code and tenant."""
        groups = _summed([by_key(columns)])
        self.take_in(groups)
        return groups

    def take_in(self, groups: Groups) -> None:
        """Take in more counts, in any order and with what is to be added up."""
        self._found.append(groups)
        self._waiting += len(groups)
        if self._waiting > max(_GROUPS, self._summed):
            self._sum()

    def merge(self, other: ColumnTallies) -> None:
        """Take in what another one has counted."""
        numbers = np.array(self.numbers(other._numbers), np.int64)
        for groups in other._found:
            self.take_in(replace(groups, key=groups.codes << _NAMES | numbers[groups.tenants]))

    def __len__(self) -> int:
        """For how many codes and tenants there are counts."""
        return len(self._sum()) if self._found else 0

    def _sum(self) -> Groups:
        """All there is so far, of which there is something."""
        if self._waiting:
            self._found = [_summed(self._found)]
            self._summed, self._waiting = len(self._found[0]), 0
        return self._found[0]

    def merged(self) -> tuple[Tally, ...]:
        """All of them, one for each code and tenant, ordered by these."""
        return self.tallies(self._sum()) if self._found else ()

    def of_rows(self, codes: Any, tenants: Any, times: Any, *, row_size: int) -> Tallied:
        """The tallies of rows that have a time each, ordered by code and tenant; they are not taken in.

        Arguments:
            codes: The outcome of each row.
            tenants: The tenant's number.
            times: The time.
            row_size: Bytes that each row is taken to have.
        """
        code, tenant, time = (np.asarray(each, np.int64) for each in (codes, tenants, times))
        ones, zeros = np.ones(len(code), np.int64), np.zeros(len(code), np.int64)
        groups = _summed([by_key(Columns(code, tenant, ones, ones * row_size, time, time, zeros))])
        names = self._names()
        found = groups.chosen(_ordered(groups, names))
        return Tallied(
            codes=found.codes.tolist(),
            tenants=[names[number] for number in found.tenants.tolist()],
            records=found.records.tolist(),
            sizes=found.sizes.tolist(),
            oldest=found.oldest.tolist(),
            newest=found.newest.tolist(),
        )

    def tallies(self, groups: Groups) -> tuple[Tally, ...]:
        """The tallies of some of what was added, ordered by code and tenant."""
        return tuple(map(tally_of, self._rows(groups)))

    def _rows(self, groups: Groups) -> Iterator[Row]:
        names = self._names()
        order = _ordered(groups, names)
        for first in range(0, len(order), _AT_ONCE):
            found = groups.chosen(order[first : first + _AT_ONCE])
            columns = (found.codes, found.tenants, *(getattr(found, name) for name, _ in _SUMS))
            for code, tenant, records, size, oldest, newest, high, low in zip(
                *(each.tolist() for each in columns), strict=True
            ):
                ends = (None, None) if (oldest, newest) == NO_TIME else (oldest, newest)
                yield code, names[tenant], records, size, *ends, (high << _LOW) + low

    def _names(self) -> Sequence[str | None]:
        """The tenants by number."""
        self._listed += islice(self._numbers, len(self._listed), None)
        return self._listed


def _ordered(groups: Groups, names: Sequence[str | None]) -> Any:
    """The order of some counts by code and tenant's name, None first. Only names that occur are looked at."""
    numbers, places = np.unique(groups.tenants, return_inverse=True)
    occurring = [names[number] for number in numbers.tolist()]
    by_name = sorted(range(len(occurring)), key=lambda place: (occurring[place] is not None, occurring[place] or ""))
    ranks = np.empty(len(by_name), np.int64)
    ranks[by_name] = np.arange(len(by_name))
    return np.lexsort((ranks[places], groups.codes))


def ways(ending_of: EndingOf, codes: Any) -> Any:
    """The position of the ending by which the rows of each of *codes*, an array, lapsed; -1 if they did not."""
    rules, way = np.divmod(codes - ending_of.first, ending_of.step)
    lapsed = (way == 0) & (rules >= 0) & (rules < len(ending_of.ending_of))
    found = np.full(len(codes), -1)
    found[lapsed] = np.asarray(ending_of.ending_of, np.int64)[rules[lapsed]]
    return found
