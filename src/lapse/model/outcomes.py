"""The ways a decision about a record can go, each with its number; no list of them is ever made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import overload

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One way a decision can go.

    Attributes:
        code: Its number in this selection, from 0.
        verdict: What becomes of the record.
        reason: Why, for people.
        rule: Index of the rule that decided or would have. None if none was reached.
        destination: Where the record goes. None unless it lapsed.
    """

    code: int
    verdict: Verdict
    reason: str
    rule: int | None = None
    destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a rule speaks in outcomes.

    Attributes:
        label: Names it in reasons.
        destination: Where what lapsed under it goes.
        newest: Which of its records stay for being the newest of their group. None if none do.
    """

    label: str
    destination: Destination
    newest: str | None = None


@dataclass(frozen=True, slots=True)
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

    @property
    def first_hold(self) -> int:
        """Code of the first hold."""
        return len(self.doubts)

    @property
    def first_rule(self) -> int:
        """Code of "lapsed under the first rule"."""
        return len(self.doubts) + len(self.holds)

    @property
    def step(self) -> int:
        """How many codes a rule has."""
        return 3 + len(self.floors)

    def __len__(self) -> int:
        return self.first_rule + len(self.rules) * self.step + 1

    @overload
    def __getitem__(self, code: int) -> Outcome: ...
    @overload
    def __getitem__(self, code: slice) -> tuple[Outcome, ...]: ...
    def __getitem__(self, code: int | slice) -> Outcome | tuple[Outcome, ...]:
        if isinstance(code, slice):
            return tuple(self[each] for each in range(*code.indices(len(self))))
        if not 0 <= code < len(self):
            raise IndexError(f"there is no outcome {code}")
        if code < self.first_rule:
            return self._before_rules(code)
        rule, way = divmod(code - self.first_rule, self.step)
        if rule == len(self.rules):
            return Outcome(code=code, verdict=Verdict.UNMATCHED, reason="no rule matches")
        return self._under(rule, way, code)

    def __iter__(self) -> Iterator[Outcome]:
        return map(self.__getitem__, range(len(self)))

    def rule_of(self, code: int) -> int | None:
        """Index of the rule that decided or would have. None if none was reached."""
        rule = (code - self.first_rule) // self.step
        return rule if 0 <= rule < len(self.rules) else None

    def _before_rules(self, code: int) -> Outcome:
        if code < self.first_hold:
            return Outcome(code=code, verdict=Verdict.DOUBTFUL, reason=self.doubts[code])
        return Outcome(code=code, verdict=Verdict.HELD, reason=self.holds[code - self.first_hold])

    def _under(self, rule: int, way: int, code: int) -> Outcome:
        ruling = self.rules[rule]
        if way == 0:
            reason = f"lapsed under {ruling.label}"
            return Outcome(code=code, verdict=Verdict.LAPSED, reason=reason, rule=rule, destination=ruling.destination)
        if way == 1:
            reason = f"kept by {ruling.label}"
        elif way == self.step - 1:
            reason = f"kept as one of the {ruling.newest or 'newest'}, beyond {ruling.label}"
        else:
            reason = f"kept by {self.floors[way - 2]}, beyond {ruling.label}"
        return Outcome(code=code, verdict=Verdict.KEPT, reason=reason, rule=rule)
