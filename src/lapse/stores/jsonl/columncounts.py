"""Sums in columns added up by outcome and tenant: under very many rules nearly each line has a sum of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.stores.jsonl.manysums import Columns, Packed

_WAITING = 100_000
"""Rows that wait at least before they are added up."""

_NAMES = 32
"""Bits of a key that tell the tenant; those above are the code."""

_LOW = 27
"""Bits of a checksum's lower part. Sums of both parts stay within 64 bits, where those of the whole would not."""

_DENSE = 8
"""So many times as many outcomes can be as there are sums of them: beyond that it takes less to sort these."""

_WAYS = (np.add, np.add, np.minimum, np.maximum, np.add, np.add)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Sums.

    Attributes:
        keys: Outcome and tenant in one.
        columns: Records, bytes, oldest, newest, and the upper and lower parts of the checksums.
    """

    keys: Any
    columns: Sequence[Any]

    def __len__(self) -> int:
        return len(self.keys)


class ColumnCounts:
    """Counts by outcome and tenant."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {}
        self._found: list[_Rows] = []
        self._summed = self._waiting = 0
        self._names: Sequence[str | None] = ()
        self._translation = np.zeros(0, np.int64)

    def add(self, columns: Columns) -> None:
        """Take in some sums."""
        high, low = columns.checksums >> _LOW, columns.checksums & ((1 << _LOW) - 1)
        rest = (columns.records, columns.sizes, columns.oldest, columns.newest, high, low)
        self._add(_Rows(columns.codes << _NAMES | self._translated(columns), rest))

    def add_packed(self, packed: Packed) -> None:
        """Take in what `packed` has made of some sums."""
        codes, tenants, records, sizes, oldest, newest, checksums = (
            np.frombuffer(array, np.int64) for array in packed.arrays
        )
        self.add(Columns(codes, tenants, records, sizes, oldest, newest, checksums, packed.names))

    def merge(self, other: ColumnCounts) -> None:
        """Take over what another one has counted."""
        names = np.array([self._number(name) for name in other._numbers], np.int64)
        for rows in other._found:
            tenants = names[rows.keys & ((1 << _NAMES) - 1)]
            self._add(_Rows(rows.keys >> _NAMES << _NAMES | tenants, rows.columns))

    def __len__(self) -> int:
        return len(self._all())

    def tallies(self) -> tuple[Tally, ...]:
        """The counts, ordered by code and tenant."""
        rows, names = self._all(), list(self._numbers)
        by_name = sorted(range(len(names)), key=lambda number: (names[number] is not None, names[number] or ""))
        ranks = np.argsort(np.array(by_name, np.int64))
        codes, tenants = rows.keys >> _NAMES, rows.keys & ((1 << _NAMES) - 1)
        order = np.lexsort((ranks[tenants], codes))
        columns = [column[order].tolist() for column in (codes, tenants, *rows.columns)]
        return tuple(
            [
                Tally(
                    code=code,
                    tenant=names[tenant],
                    records=records,
                    size=size,
                    oldest=None if oldest > newest else oldest,
                    newest=None if oldest > newest else newest,
                    checksum=((high << _LOW) + low) % CHECKSUM_MODULUS,
                )
                for code, tenant, records, size, oldest, newest, high, low in zip(*columns, strict=True)
            ]
        )

    def packed(self) -> Packed:
        """All of them, to go to another process."""
        rows = self._all()
        return Packed(tuple(array.tobytes() for array in (rows.keys, *rows.columns)), list(self._numbers))

    @classmethod
    def unpacked(cls, packed: Packed) -> ColumnCounts:
        """What `packed` was made of."""
        found = cls()
        found._numbers = {name: number for number, name in enumerate(packed.names)}
        keys, *columns = (np.frombuffer(array, np.int64) for array in packed.arrays)
        found._add(_Rows(keys, columns))
        return found

    def _number(self, name: str | None) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def _translated(self, columns: Columns) -> Any:
        """The tenants by the numbers that they have here."""
        if columns.names is not self._names:
            self._names, self._translation = columns.names, np.zeros(0, np.int64)
        known = len(self._translation)
        if known < len(columns.names):
            more = [self._number(name) for name in columns.names[known:]]
            self._translation = np.concatenate((self._translation, np.array(more, np.int64)))
        return self._translation[columns.tenants]

    def _add(self, rows: _Rows) -> None:
        self._found.append(rows)
        self._waiting += len(rows)
        if self._waiting > max(_WAITING, self._summed):
            self._all()

    def _all(self) -> _Rows:
        """All of them, each key once."""
        if self._waiting or not self._found:
            self._found = [_added_up(self._found)]
            self._summed, self._waiting = len(self._found[0]), 0
        return self._found[0]


def _added_up(parts: Sequence[_Rows]) -> _Rows:
    if not parts:
        return _Rows(np.zeros(0, np.int64), [np.zeros(0, np.int64)] * len(_WAYS))
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1])))
    if not len(starts):
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)  # one by one: all at once would be twice the memory
    found = [way.reduceat(np.concatenate(each)[order], starts) for way, each in zip(_WAYS, columns, strict=True)]
    return _Rows(keys[starts], found)


def packed(columns: Columns, chosen: Any) -> Packed:
    """Those of some sums that are *chosen*, by a mask."""
    codes, tenants, *rest = (array[chosen] for array in columns.arrays)
    used = np.zeros(len(columns.names), np.bool_)
    used[tenants] = True
    arrays = (codes, (np.cumsum(used) - 1)[tenants], *rest)
    names = [columns.names[number] for number in np.flatnonzero(used).tolist()]
    return Packed(tuple(array.tobytes() for array in arrays), names)


def sizes_of(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The outcomes in pairs of outcomes and bytes, ascending, and the bytes of each."""
    codes, sizes = (np.concatenate(each) for each in zip(*parts, strict=True))
    if codes.max() < _DENSE * len(codes):
        found = np.zeros(codes.max() + 1, np.int64)
        np.add.at(found, codes, sizes)
        codes = np.flatnonzero(found)  # there is no line without bytes
        return codes, found[codes]
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return codes[starts], np.add.reduceat(sizes[order], starts)
