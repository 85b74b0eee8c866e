"""Matches in a given order in, the first one that a record fits out, without trying each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from lapse.model.match import Match, text_of

_MOST_KEYS = 1000
"""A match that stands for more combinations of values is tried by itself."""

Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Matches that compare the same fields with plain values.

    Attributes:
        fields: The fields, ascending.
        firsts: For their values, as text, the number of the first such match.
    """

    fields: tuple[str, ...]
    firsts: Mapping[Texts, int]

    def first(self, read: Callable[[str], object]) -> int | None:
        """The number of the first match that a record fits. None if it fits none."""
        texts = tuple([text_of(read(field)) for field in self.fields])
        return self.firsts.get(texts)  # type: ignore[arg-type]  # with a None in it, it is no key


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Matches, sorted by how the first that fits is found; each stands in one of the two.

    Attributes:
        lookups: Matches on plain values, one table for each set of fields.
        singles: All others with their numbers, ascending: they have to be tried.
    """

    lookups: tuple[Lookup, ...]
    singles: tuple[tuple[int, Match], ...]

    def first(self, read: Callable[[str], object]) -> int | None:
        """The number of the first match that a record fits. None if it fits none."""
        best: int | None = None
        for lookup in self.lookups:
            found = lookup.first(read)
            if found is not None and (best is None or found < best):
                best = found
        for number, match in self.singles:
            if best is not None and best < number:
                return best
            if match.matches(read):
                return number
        return best


def dispatch(matches: Sequence[Match]) -> Dispatch:
    """Sort *matches*, whose order counts."""
    tables: defaultdict[tuple[str, ...], dict[Texts, int]] = defaultdict(dict)
    singles: list[tuple[int, Match]] = []
    for number, match in enumerate(matches):
        plain = _plain(match)
        if plain is None:
            singles.append((number, match))
            continue
        for texts in _combinations(plain.values()):
            tables[tuple(plain)].setdefault(texts, number)
    return Dispatch(tuple(Lookup(fields, firsts) for fields, firsts in tables.items()), tuple(singles))


def _plain(match: Match) -> dict[str, Texts] | None:
    """The values that each field may have, by field, ascending. None if the match cannot be put like that."""
    values = {condition.field: condition.values for condition in match.conditions if condition.is_plain}
    if not values or len(values) < len(match.conditions) or prod(map(len, values.values())) > _MOST_KEYS:
        return None
    return dict(sorted(values.items()))


def _combinations(values: Iterable[Texts]) -> Iterator[Texts]:
    return product(*values)
