"""The ways a decision about a record can go, each with its number; no list of them is ever made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import overload

from msgspec import Struct

FIRST_REQUIRED = 3
"""Code of the first required field; those before it are doubts about the time."""


class Verdict(Enum):
    """What becomes of a record, and whose decision it was."""

    DOUBTFUL = "doubtful"
    HELD = "held"
    KEPT = "kept"
    UNMATCHED = "unmatched"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lapsed records go before they are removed.

    Attributes:
        archives: Archive names, sorted. Empty means nowhere: the rules' waiver is recorded.
    """

    archives: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.archives) or "no archive (waived)"


class Ruling(Struct, frozen=True, gc=False):
    """How a rule speaks in outcomes.

    Attributes:
        named: What names it in reasons.
        destination: Where what lapsed under it goes.
        newest: Which of its records stay for being the newest of their group. None if none do.
    """

    named: object
    destination: Destination
    newest: object = None

    @property
    def label(self) -> str:
        """Its name in reasons."""
        return str(self.named)


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """One way a decision can go.

    Attributes:
        code: Its number in this selection, from 0.
        verdict: What becomes of the record.
        because: Why, for people; where it ends with a space, the rule's name follows.
        rule: Index of the rule that decided or would have. None if none was reached.
        ruling: The same rule, as outcomes speak of it. None if none was reached.
        destination: Where the record goes. None unless it lapsed.
    """

    code: int
    verdict: Verdict
    because: str
    rule: int | None = None
    ruling: Ruling | None = None
    destination: Destination | None = None

    @property
    def reason(self) -> str:
        """Why, for people."""
        return self.because if self.ruling is None else f"{self.because}{self.ruling.label}"


@dataclass(frozen=True)
class Outcomes(Sequence[Outcome]):
    """Every outcome of a selection; its position is its code.

    The codes, in the order of decision. Doubt: 0 to 2, then a code for each required field; then holds; then for each
    rule: lapsed, kept by the rule, kept by each floor, kept as one of the newest; last, no rule matches.

    Attributes:
        doubts: What can be in doubt.
        holds: Names of the holds.
        floors: Names of the floors.
        rules: The rules, in file order.
    """

    doubts: tuple[str, ...]
    holds: tuple[str, ...]
    floors: tuple[str, ...]
    rules: Sequence[Ruling]

    @cached_property
    def first_hold(self) -> int:
        """Code of the first hold."""
        return len(self.doubts)

    @cached_property
    def first_rule(self) -> int:
        """Code of "lapsed under the first rule"."""
        return len(self.doubts) + len(self.holds)

    @cached_property
    def step(self) -> int:
        """How many codes a rule has."""
        return 3 + len(self.floors)

    @cached_property
    def _last(self) -> int:
        """Code of "no rule matches"."""
        return self.first_rule + len(self.rules) * self.step

    def __len__(self) -> int:
        return self._last + 1

    @overload
    def __getitem__(self, code: int) -> Outcome: ...
    @overload
    def __getitem__(self, code: slice) -> tuple[Outcome, ...]: ...
    def __getitem__(self, code: int | slice) -> Outcome | tuple[Outcome, ...]:
        if isinstance(code, slice):
            return tuple(self[each] for each in range(*code.indices(len(self))))
        if not 0 <= code <= self._last:
            raise IndexError(f"there is no outcome {code}")
        if code < self.first_rule:
            return self._before_rules(code)
        if code == self._last:
            return Outcome(code=code, verdict=Verdict.UNMATCHED, because="no rule matches")
        rule, way = divmod(code - self.first_rule, self.step)
        return self._under(rule, way, code)

    def __iter__(self) -> Iterator[Outcome]:
        return map(self.__getitem__, range(len(self)))

    def rule_of(self, code: int) -> int | None:
        """Index of the rule that decided or would have. None if none was reached."""
        return (code - self.first_rule) // self.step if self.first_rule <= code < self._last else None

    def _before_rules(self, code: int) -> Outcome:
        if code < self.first_hold:
            return Outcome(code=code, verdict=Verdict.DOUBTFUL, because=self.doubts[code])
        return Outcome(code=code, verdict=Verdict.HELD, because=self.holds[code - self.first_hold])

    def _under(self, rule: int, way: int, code: int) -> Outcome:
        ruling, verdict, destination = self.rules[rule], Verdict.KEPT, None
        if way == 0:
            because, verdict, destination = "lapsed under ", Verdict.LAPSED, ruling.destination
        elif way == 1:
            because = "kept by "
        elif way == self.step - 1:
            because = f"kept as one of the {ruling.newest or 'newest'}, beyond "
        else:
            because = f"kept by {self.floors[way - 2]}, beyond "
        return Outcome(
            code=code, verdict=verdict, because=because, rule=rule, ruling=ruling, destination=destination
        )  # fmt: skip
