"""Matches in; out, those of them that could have to do with another one, without trying each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Generic, TypeVar

from lapse.model.match import Condition, Match, text_of

ItemT = TypeVar("ItemT")
_Texts = tuple[str, ...]
_MOST_COMBINATIONS = 1000
_MOST_TRIED = 300


@dataclass(frozen=True, slots=True)
class _Item(Generic[ItemT]):
    number: int
    match: Match
    value: ItemT


class Nearby(Generic[ItemT]):
    """Things with a match, sorted by the values of one field of each; what asks for none is near to everything."""

    def __init__(self, items: Iterable[tuple[Match, ItemT]]) -> None:
        """Sort *items*; their order is kept."""
        self._by_value: defaultdict[str, defaultdict[str, list[_Item[ItemT]]]] = defaultdict(lambda: defaultdict(list))
        self._others: list[_Item[ItemT]] = []
        for number, (match, value) in enumerate(items):
            item = _Item(number, match, value)
            plain = next(_plain(match), None)
            if plain is None:
                self._others.append(item)
                continue
            for text in plain.values:
                self._by_value[plain.field][text].append(item)

    def meeting(self, match: Match) -> Iterator[ItemT]:
        """Those that could match a record that *match* matches, in their order; on doubt they could."""
        plain = {condition.field: condition.values for condition in _plain(match)}
        found = {item.number: item for item in self._others}
        for field, by_value in self._by_value.items():
            for text in plain.get(field, tuple(by_value)):
                found.update((item.number, item) for item in by_value.get(text, ()))
        yield from (found[number].value for number in sorted(found) if not found[number].match.excludes(match))

    def covering(self, match: Match) -> Iterator[ItemT]:
        """Those that provably match every record that *match* matches, in their order."""
        found = {item.number: item for item in self._others}
        for condition in _plain(match):
            by_value: Mapping[str, list[_Item[ItemT]]] = self._by_value.get(condition.field, {})
            # What covers all its values has the first of them, too.
            found.update((item.number, item) for item in by_value.get(condition.values[0], ()))
        yield from (found[number].value for number in sorted(found) if found[number].match.covers(match))


def _plain(match: Match) -> Iterator[Condition]:
    return (condition for condition in match.conditions if condition.is_plain and condition.values)


class Takers:
    """Matches in a given order, sorted by the plain values that they ask for, to find one that takes a record."""

    def __init__(self, matches: Iterable[Match]) -> None:
        """Sort *matches*."""
        self._tables: defaultdict[tuple[str, ...], defaultdict[_Texts, list[tuple[int, Match]]]]
        self._tables = defaultdict(lambda: defaultdict(list))
        for number, match in enumerate(matches):
            fields = _few_values(match)
            table = self._tables[tuple(fields)]
            for texts in product(*fields.values()):
                table[texts].append((number, match))

    def before(self, number: int, record: Mapping[str, object]) -> int | None:
        """The number of a match before *number* that *record* fits; the first, where few ask for the same values.

        None if there is none, or if it was not found among very many that ask for the same.
        """
        best = number
        for fields, table in self._tables.items():
            texts = tuple(text_of(record.get(field)) or "" for field in fields)
            for found, match in table.get(texts, ())[:_MOST_TRIED]:
                if found >= best:
                    break
                if match.matches(record.get):
                    best = found
                    break
        return None if best == number else best


def _few_values(match: Match) -> dict[str, _Texts]:
    """The plain values that a match asks for, by field, ascending, as far as these make few combinations."""
    plain = {condition.field: condition.values for condition in _plain(match)}
    while prod(map(len, plain.values())) > _MOST_COMBINATIONS:
        del plain[max(plain, key=lambda field: len(plain[field]))]
    return dict(sorted(plain.items()))
