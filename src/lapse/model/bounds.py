"""Rules at a ``now``, each bound when it is asked for: there may be very many, but few ways in which they end."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import overload

from lapse.instant import Nanos, rfc3339
from lapse.model.dispatch import Dispatch, dispatch
from lapse.model.match import Match
from lapse.model.naming import ByRule
from lapse.model.outcomes import Destination, Outcomes, Ruling
from lapse.model.policy import Last, Rule


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule or floor at this run's ``now``.

    Attributes:
        match: Which records.
        cutoff: First instant kept. None keeps all.
        named: What names it in reasons: the rule itself, or a text.
    """

    match: Match
    cutoff: Nanos | None
    named: Rule | str

    @property
    def label(self) -> str:
        """Name for reasons."""
        return str(self.named)


@dataclass(frozen=True, slots=True)
class Ending:
    """What comes of a record when its rule's period is over. Many rules share one.

    Attributes:
        cutoff: First instant kept. None keeps all.
        destination: Where what lapsed goes.
        last: Which of them stay for being the newest. None if none do.
    """

    cutoff: Nanos | None
    destination: Destination
    last: Last | None

    @property
    def newest(self) -> bool:
        """Whether the newest of each group stay; what never lapses needs no such help."""
        return self.last is not None and self.cutoff is not None


@dataclass(frozen=True)
class Rules(Sequence[Bound]):
    """The rules of a dataset at a ``now``.

    Attributes:
        sources: The rules as the policy has them, in file order.
        now: The run's one ``now``.
    """

    sources: tuple[Rule, ...]
    now: Nanos

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Bound: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Bound, ...]: ...
    def __getitem__(self, index: int | slice) -> Bound | tuple[Bound, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        rule = self.sources[index]
        return Bound(rule.match, self.cutoff(index), rule)

    def cutoff(self, index: int) -> Nanos | None:
        """The first instant that the rule of this index keeps. None keeps all."""
        return self.endings[self.ending_of[index]].cutoff

    @cached_property
    def cutoff_texts(self) -> tuple[str | None, ...]:
        """The cutoff of each of the endings, RFC 3339. None where one keeps all."""
        return tuple(None if each.cutoff is None else rfc3339(each.cutoff) for each in self.endings)

    @property
    def endings(self) -> tuple[Ending, ...]:
        """The different endings of the rules, in the order in which they come first."""
        return self._ended[0]

    @cached_property
    def destinations(self) -> Mapping[Destination, int]:
        """The number, from 1, of each destination of lapsed records, in the order in which they come first."""
        return {each: number for number, each in enumerate(dict.fromkeys(e.destination for e in self.endings), 1)}

    @property
    def ending_of(self) -> Sequence[int]:
        """The position in `endings` of each rule's."""
        return self._ended[1]

    @cached_property
    def dispatch(self) -> Dispatch:
        """Finds the first rule that matches."""
        return dispatch([rule.match for rule in self.sources])

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that the rules look at, each once."""
        return tuple(dict.fromkeys(each.field for rule in self.sources for each in rule.match.conditions))

    @cached_property
    def _ended(self) -> tuple[tuple[Ending, ...], Sequence[int]]:
        cutoffs: dict[int, Nanos | None] = {}
        places: dict[tuple[Nanos | None, tuple[str, ...], Last | None], int] = {}
        numbers = array("L")
        for rule in self.sources:
            if id(rule.keep) not in cutoffs:
                cutoffs[id(rule.keep)] = rule.keep.cutoff(self.now)
            kind = (cutoffs[id(rule.keep)], rule.archives, rule.last)
            numbers.append(places.setdefault(kind, len(places)))
        endings = (Ending(cutoff, Destination(tuple(sorted(names))), last) for cutoff, names, last in places)
        return tuple(endings), numbers


_RECENT: list[Rules] = []
"""The rules bound last. Selections of one dataset differ in their holds, and very many rules take their time."""


def bind(sources: tuple[Rule, ...], now: Nanos) -> Rules:
    """The rules at a ``now``; the very same as last time for the very same rules."""
    if not _RECENT or _RECENT[0].sources is not sources or _RECENT[0].now != now:
        _RECENT[:] = [Rules(sources, now)]
    return _RECENT[0]


@dataclass(frozen=True, slots=True)
class Rulings(Sequence[Ruling]):
    """The rules as outcomes speak of them, each made when it is asked for."""

    rules: Rules

    def __len__(self) -> int:
        return len(self.rules)

    @overload
    def __getitem__(self, index: int) -> Ruling: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ruling, ...]: ...
    def __getitem__(self, index: int | slice) -> Ruling | tuple[Ruling, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        rule = self.rules.sources[index]
        return Ruling(rule, self.rules.endings[self.rules.ending_of[index]].destination, rule.last)


@dataclass(frozen=True, slots=True)
class Going(AbstractSet[int]):
    """The codes of lapsed records, of one destination or of all; no list of them is made unless asked for.

    Attributes:
        rules: The rules under which they lapsed.
        outcomes: What the codes mean.
        destination: Where they go. None for wherever.
    """

    rules: Rules
    outcomes: Outcomes
    destination: Destination | None = None

    def has_rule(self, rule: int) -> bool:
        """Whether what lapsed under the rule of this index is meant."""
        return self.meets(self.rules.endings[self.rules.ending_of[rule]])

    def meets(self, ending: Ending) -> bool:
        """Whether what lapsed in this way is meant."""
        return self.destination is None or ending.destination == self.destination

    @property
    def is_all(self) -> bool:
        """Whether whatever lapsed is meant."""
        return all(self.meets(each) for each in self.rules.endings if each.cutoff is not None)

    def rule_of(self, code: int) -> int:
        """The index of the rule under which records with one of the codes lapsed."""
        return (code - self.outcomes.first_rule) // self.outcomes.step

    @property
    def cutoffs(self) -> frozenset[Nanos]:
        """The cutoffs before which they lapsed."""
        return frozenset(each.cutoff for each in self.rules.endings if self.meets(each) and each.cutoff is not None)

    def mask(self) -> bytes:
        """A byte for each outcome, by its code: 1 for those that are meant, else 0."""
        found = bytearray(len(self.outcomes))
        for code in self:
            found[code] = 1
        return bytes(found)

    def __contains__(self, code: object) -> bool:
        if not isinstance(code, int):
            return False
        rule, way = divmod(code - self.outcomes.first_rule, self.outcomes.step)
        return way == 0 and 0 <= rule < len(self.rules) and self.has_rule(rule)

    def __iter__(self) -> Iterator[int]:
        meant = [self.meets(each) for each in self.rules.endings]
        first, step = self.outcomes.first_rule, self.outcomes.step
        return (first + rule * step for rule, ending in enumerate(self.rules.ending_of) if meant[ending])

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class EndingOf:
    """Tells from a code how records lapsed; it is asked very often.

    Attributes:
        first: Code of what lapsed under the first rule.
        step: How many codes a rule has.
        endings: The different endings of the rules.
        ending_of: The position of each rule's.
    """

    first: int
    step: int
    endings: tuple[Ending, ...]
    ending_of: Sequence[int]

    def __call__(self, code: int) -> Ending | None:
        """How records with the *code* lapsed. None if they did not."""
        rule, way = divmod(code - self.first, self.step)
        return self.endings[self.ending_of[rule]] if way == 0 and 0 <= rule < len(self.ending_of) else None

    def sums(self, counted: Iterable[tuple[int, int]]) -> Mapping[Ending, int]:
        """How many records lapsed in each way, of codes with a number of records each; those that stay are left out."""
        found, places = [0] * (len(self.endings) + 1), self._places
        for code, records in counted:
            found[places[code]] += records
        return {ending: records for ending, records in zip(self.endings, found[1:], strict=True) if records}

    def numbered(self, numbers: Sequence[int]) -> Sequence[int]:
        """For each code the one of the *numbers*, one for each ending, of its own; 0 for those of records that stay."""
        found = array("I", bytes(4 * (self.first + self.step * len(self.ending_of) + 1)))
        for rule, ending in enumerate(self.ending_of):
            found[self.first + self.step * rule] = numbers[ending]
        return found

    @cached_property
    def _places(self) -> Sequence[int]:
        """For each code the position of its ending, from 1; 0 for those of records that stay."""
        return self.numbered(range(1, len(self.endings) + 1))


@dataclass(frozen=True, slots=True)
class RuleTexts(ByRule):
    """The text of each rule."""

    sources: tuple[Rule, ...]

    def of(self, rule: int) -> str:
        """The text of the rule of this index."""
        return str(self.sources[rule])

    @property
    def count(self) -> int:
        """How many rules there are."""
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class CutoffTexts(ByRule):
    """The cutoff, RFC 3339, of each rule that has one."""

    rules: Rules

    def of(self, rule: int) -> str:
        """The cutoff of the rule of this index."""
        text = self.rules.cutoff_texts[self.rules.ending_of[rule]]
        if text is None:
            raise KeyError(str(rule))
        return text

    def __iter__(self) -> Iterator[str]:
        return (str(index) for index in range(len(self.rules)) if self.rules.cutoff(index) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def count(self) -> int:
        """How many rules there are."""
        return len(self.rules)
