"""Rules as disposals name them, by index: what is said of each is spelled once a run, and not once a slice."""

from __future__ import annotations

import json
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from lapse.canonical import SelfSpelled, Spelled, member, of_members


class ByRule(Mapping[str, str]):
    """What is said of the rules of a dataset, by their index in decimal; made when asked for."""

    __slots__ = ()

    @abstractmethod
    def of(self, rule: int) -> str:
        """What is said of the rule of this index, which there is.

        Raises:
            KeyError: If nothing is said of it.
        """

    @property
    @abstractmethod
    def count(self) -> int:
        """How many rules there are."""

    def __getitem__(self, index: str) -> str:
        if not index.isdecimal() or (rule := int(index)) >= self.count:
            raise KeyError(index)
        return self.of(rule)

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self.count))

    def __len__(self) -> int:
        return self.count


class Spellings(dict[int, str]):
    """What is said of each rule as a member of a JSON object, by the rule's index; spelled when first asked for."""

    def __init__(self, source: Mapping[str, str]) -> None:
        """Nothing is spelled yet of *source*, which has what is said by the index in decimal."""
        super().__init__()
        self._said = source.of if isinstance(source, ByRule) else lambda rule: source[str(rule)]

    def __missing__(self, rule: int) -> str:
        found = self[rule] = member(str(rule), self._said(rule))
        return found

    def text(self, rule: int) -> str:
        """What is said of the rule of this index."""
        found = self[rule].partition(":")[2]
        return str(json.loads(found)) if "\\" in found else found[1:-1]


class Named(SelfSpelled):
    """What is said of some rules, by their index in decimal, in the order of these as texts."""

    __slots__ = ("_rules", "_spellings")

    def __init__(self, spellings: Spellings, rules: Sequence[int]) -> None:
        """What *spellings* say of *rules*, which are in the order of their indices as texts."""
        self._spellings = spellings
        self._rules = rules

    def __getitem__(self, index: str) -> str:
        place = bisect_left(self._rules, index, key=str)
        if place == len(self._rules) or str(self._rules[place]) != index:
            raise KeyError(index)
        return self._spellings.text(self._rules[place])

    def __iter__(self) -> Iterator[str]:
        return map(str, self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def __repr__(self) -> str:
        return repr(dict(self))

    def spelled(self) -> Spelled:
        """Its canonical JSON."""
        return of_members(map(self._spellings.__getitem__, self._rules))
