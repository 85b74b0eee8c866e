"""Columns of values in, the combinations of values that occur out, and which of them each line has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from lapse.stores.jsonl.bulkfields import Column
from lapse.stores.jsonl.judging import Value, Values, plain_value

Codes: TypeAlias = NDArray[np.int64]

_NEVER_EQUAL = (
    frozenset({str, int, type(None), msgspec.UnsetType}),
    frozenset({str, bool, type(None), msgspec.UnsetType}),
)
"""Types of which no two have values that are equal: `True == 1` in Python."""


def combinations(columns: Sequence[Column], count: int) -> tuple[Sequence[Values], Codes | None]:
    """The distinct combinations of values in *count* lines, and the number of each line's; None if it is always 0."""
    found: list[Values] = [()]
    members: Codes | None = None
    for column in columns:
        values, numbers = _numbered(column)
        if numbers is None:
            found = [(*each, values[0]) for each in found]
            continue
        crossed = numbers if members is None else members * len(values) + numbers
        occurring, members = np.unique(crossed, return_inverse=True)
        befores, owns = np.divmod(occurring, len(values))
        found = [(*found[each], values[own]) for each, own in zip(befores.tolist(), owns.tolist(), strict=True)]
    return found, members


def _numbered(column: Column) -> tuple[Sequence[Value], Codes | None]:
    """The distinct values of a column, and the number of each line's; None if it is always 0."""
    keys: Sequence[Any] = column.values
    if not any(column.kinds <= kinds for kinds in _NEVER_EQUAL):
        keys = [(type(value), plain_value(value)) if isinstance(value, str | int) else _absent(value) for value in keys]
    if keys and keys[0] == keys[-1] and keys.count(keys[0]) == len(keys):  # much faster than to hash them all
        return [_value(keys[0])], None
    distinct = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    values: list[Value] = list(distinct) if column.kinds == {str} else [_value(key) for key in distinct]
    if len(values) == 1:
        return values, None
    return values, np.fromiter(map(distinct.__getitem__, keys), np.int64, len(keys))


def _absent(value: object) -> object:
    return None if value is None or value is msgspec.UNSET else ()


def _value(key: object) -> Value:
    if isinstance(key, tuple):
        return key[1] if key else ()
    return None if key is msgspec.UNSET else plain_value(key)
