"""Columns of values in, the number of each line's group out; a group keeps its number over many blocks of lines."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lapse.model import newest
from lapse.stores.jsonl.bulkfields import Column
from lapse.stores.jsonl.deciding import ALWAYS, NEVER, Course, Timeline
from lapse.stores.jsonl.judging import Value, Values, plain_value

Codes: TypeAlias = NDArray[np.int64]
KeyT = TypeVar("KeyT", bound=Hashable)

_NEVER_EQUAL = (
    frozenset({str, int, type(None), msgspec.UnsetType}),
    frozenset({str, bool, type(None), msgspec.UnsetType}),
)
"""Types of which no two have values that are equal: `True == 1` in Python."""

_HALF = 32
"""Bits of a number; two of them are the key of a pair."""

_MOST_CELLS = 1 << 19
"""Pairs that have a place in a table at most, which takes 4 MB; of more a dictionary has those that occur."""


class Numbering:
    """The groups that were met so far, by number; more are only added, so that a number once given stays good.

    Attributes:
        values: The values of each that decide.
        newest: The group of which the newest stay that each is of. Empty if no rule keeps any.
        names: The tenants that they are counted under, by number.
        table: What else is known of the groups.
    """

    def __init__(self, timeline: Timeline) -> None:
        """No group yet; *timeline* tells of them."""
        self.values: Sequence[Values] = ()
        self.newest: list[newest.Group | None] = []
        self.names: list[str | None] = []
        self.table = Table()
        self._timeline = timeline
        self._tenants: dict[str | None, int] = {}
        self._fields: list[_Field] = []
        self._pairs: list[_Pairs] = []

    @property
    def full(self) -> bool:
        """Whether there are so many groups that they had better be forgotten."""
        return len(self.values) >= self._timeline.most_groups

    def places(self, columns: Sequence[Column]) -> Codes | int:
        """The number of each line's group, by the columns of the fields that decide; one number if it is always that.

        The same columns come each time.
        """
        if not columns:
            self._take_in([()])
            return 0
        if not self._fields:
            self._fields, self._pairs = [_Field() for _ in columns], [_Pairs() for _ in columns[1:]]
        numbers = self._fields[0].numbers(columns[0])
        found: Sequence[Values] = self._fields[0].alone
        for field, pairs, column in zip(self._fields[1:], self._pairs, columns[1:], strict=True):
            numbers = pairs.numbers(numbers, field.numbers(column), found, field.alone)
            found = pairs.values
        self._take_in(found)
        return numbers

    def _take_in(self, found: Sequence[Values]) -> None:
        """Take in the combinations of values that are new."""
        known, self.values = self.table.size, found
        if len(found) == known:
            return
        new = found[known:]
        tenants = [self._tenant(name) for name in self._timeline.tenants(new)]
        if self._timeline.simple:
            courses, bases = self._timeline.ruled(new)
            self.table.add(courses, bases, tenants)
            return
        groups = [self._timeline.decided(values) for values in new]
        self.newest += [group.newest for group in groups]
        self.table.add(
            [group.course for group in groups], [group.base for group in groups], tenants,
            since=[max(ALWAYS, group.since) for group in groups],
            newest=[group.newest is not None for group in groups],
        )  # fmt: skip

    def _tenant(self, name: str | None) -> int:
        number = self._tenants.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


class Table:
    """What is known of groups by number, an array for each thing that is asked of many at once."""

    def __init__(self) -> None:
        self._columns = np.zeros((6, 1), np.int64)  # a place that nobody has can be asked for as well
        self.size = 0

    def add(
        self,
        courses: Sequence[Course],
        bases: Sequence[int],
        tenants: Sequence[int],
        *,
        since: Sequence[int] | int = NEVER,
        newest: Sequence[bool] | bool = False,
    ) -> None:
        """Put further groups behind those that are there."""
        size = self.size + len(courses)
        if size > self._columns.shape[1]:
            grown = np.zeros((6, 2 * size), np.int64)
            grown[:, : self.size] = self._columns[:, : self.size]
            self._columns = grown
        columns = (
            [course.number for course in courses],
            [course.cutoff for course in courses],
            bases,
            since,
            newest,
            tenants,
        )
        for number, column in enumerate(columns):
            self._columns[number, self.size : size] = column
        self.size = size

    def _column(self, number: int) -> Codes:
        found: Codes = self._columns[number]
        return found

    @property
    def courses(self) -> Codes:
        """The number of the course of each."""
        return self._column(0)

    @property
    def cutoffs(self) -> Codes:
        """The cutoff of the course of each."""
        return self._column(1)

    @property
    def bases(self) -> Codes:
        """What the codes of the rule of each are counted from."""
        return self._column(2)

    @property
    def since(self) -> Codes:
        """The time from which on the lines of each are among the newest."""
        return self._column(3)

    @property
    def newest(self) -> Codes:
        """1 for each that is of a group of which the newest stay, else 0."""
        return self._column(4)

    @property
    def tenants(self) -> Codes:
        """The number of the tenant of each."""
        return self._column(5)


class _Field:
    """The values of a field, by number.

    Attributes:
        alone: Each as a combination with no other.
    """

    def __init__(self) -> None:
        self.alone: list[Values] = []
        # What is equal in one of these columns may differ from it in another; a value that is in several has several
        # numbers, but one among the lines that are looked at together.
        self._known: tuple[dict[Any, int], ...] = tuple({} for _ in range(len(_NEVER_EQUAL) + 1))

    def numbers(self, column: Column) -> Codes | int:
        """The number of the value of each line; one number if it is always that."""
        sort = next((sort for sort, kinds in enumerate(_NEVER_EQUAL) if column.kinds <= kinds), len(_NEVER_EQUAL))
        keys: Sequence[Any] = column.values
        if sort == len(_NEVER_EQUAL):
            keys = [
                (type(value), plain_value(value)) if isinstance(value, str | int) else _absent(value) for value in keys
            ]
        elif msgspec.UnsetType in column.kinds:
            keys = [None if key is msgspec.UNSET else key for key in keys]
        if keys and keys[0] == keys[-1] and keys.count(keys[0]) == len(keys):  # much faster than to hash them all
            keys = keys[:1]
        found = _numbers(self._known[sort], keys, self._add)
        return found if len(keys) == len(column.values) else int(found[0])

    def _add(self, key: object) -> int:
        self.alone.append((_value(key),))
        return len(self.alone) - 1


class _Pairs:
    """Combinations of values, by number: each of a combination of the fields before, and a value of the next field.

    Attributes:
        values: The values of each.
    """

    def __init__(self) -> None:
        self.values: list[Values] = []
        self._table: Codes | None = np.full((1, 1), -1, np.int64)
        """The number of each pair of numbers, -1 where it has none. None where that would take too much memory."""
        self._known: dict[int, int] = {}

    def numbers(
        self, befores: Codes | int, owns: Codes | int, before: Sequence[Values], own: Sequence[Values]
    ) -> Codes | int:
        """The number of the combination of each line, by those of both, which are *before* and *own* by their numbers.

        One number if it is always that.
        """

        self._make_room(len(before), len(own))
        if self._table is None:
            return self._looked_up(befores << _HALF | owns, before, own)
        numbers = self._table[befores, owns]
        missing = numbers < 0
        if missing.any():
            firsts, seconds = (np.broadcast_to(each, numbers.shape)[missing] for each in (befores, owns))
            turns = np.arange(len(firsts))
            self._table[firsts, seconds] = turns
            kept = self._table[firsts, seconds] == turns  # of what comes several times this is one
            firsts, seconds = firsts[kept], seconds[kept]
            self._table[firsts, seconds] = np.arange(len(self.values), len(self.values) + len(firsts))
            pairs = zip(firsts.tolist(), seconds.tolist(), strict=True)
            self.values += [before[first] + own[second] for first, second in pairs]
            numbers = self._table[befores, owns]
        return numbers if isinstance(numbers, np.ndarray) else int(numbers)

    def _looked_up(self, keys: Codes | int, before: Sequence[Values], own: Sequence[Values]) -> Codes | int:
        def add(key: int) -> int:
            first, second = divmod(key, 1 << _HALF)
            self.values.append(before[first] + own[second])
            return len(self.values) - 1

        if isinstance(keys, int):
            return int(_numbers(self._known, [keys], add)[0])
        return _numbers(self._known, keys.tolist(), add)

    def _make_room(self, before: int, own: int) -> None:
        """See that the table has a place for each pair, or is none."""
        if self._table is None or (before <= self._table.shape[0] and own <= self._table.shape[1]):
            return
        old = self._table
        rows, columns = (
            2 * more if more > size else size for size, more in ((old.shape[0], before), (old.shape[1], own))
        )
        if rows * columns > _MOST_CELLS:
            firsts, seconds = np.nonzero(old >= 0)
            self._known = dict(zip((firsts << _HALF | seconds).tolist(), old[firsts, seconds].tolist(), strict=True))
            self._table = None
            return
        self._table = np.full((rows, columns), -1, np.int64)
        self._table[: old.shape[0], : old.shape[1]] = old


def _numbers(known: dict[KeyT, int], keys: Sequence[KeyT], add: Callable[[KeyT], int]) -> Codes:
    """The number of each key; *add* gives one to those that are new."""
    try:
        return np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))
    except KeyError:
        for key in dict.fromkeys(keys):
            if key not in known:
                known[key] = add(key)
    return np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))


def _absent(value: object) -> object:
    return None if value is None or value is msgspec.UNSET else ()


def _value(key: object) -> Value:
    if isinstance(key, tuple):
        return key[1] if key else ()
    return plain_value(key)
