"""Ramps: new rules begin with one small slice, which is checked, and slices double from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lapse.canonical import Digest, Json, sha256
from lapse.instant import Nanos
from lapse.model.naming import ByRule
from lapse.model.policy import Rule
from lapse.model.rule import each_spelled

_NAMED = 3
_SIZE = 32  # bytes of a hash
STEADY = 1 << 30
"""Steps of a rule whose ramp is over."""


def rule_digests(rules: Iterable[Rule]) -> tuple[Digest, ...]:
    """A hash for each rule in its place: of the rule itself and of all before it.

    The first rule that matches decides. So where one was changed or taken out, those behind it decide about records
    that they never decided about before, and are as new as it is.
    """
    found: list[Digest] = []
    last = ""
    for rule in each_spelled(tuple(rules)):
        last = sha256((last + rule).encode())
        found.append(last)
    return tuple(found)


@dataclass(frozen=True)
class RuleDigests(ByRule):
    """The hash of each rule in its place."""

    sources: tuple[Rule, ...]

    @cached_property
    def _all(self) -> bytes:
        """All of them, 32 bytes each: as texts in a dictionary very many take six times as much."""
        return b"".join(map(bytes.fromhex, rule_digests(self.sources)))

    def of(self, rule: int) -> str:
        """The hash of the rule of this index."""
        return self._all[_SIZE * rule : _SIZE * (rule + 1)].hex()

    @property
    def count(self) -> int:
        """How many rules there are."""
        return len(self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How the removal from a dataset with new rules begins.

    Attributes:
        first: Records of the first slice, the canary. Step 1 has so many, and each later one twice as many.
        rules: Indices of the new rules under which records have lapsed, ascending.
        alone: Whether nothing has lapsed under any other rule.
        begun: Steps that an earlier run has proven before it ended; 0 begins with the canary.
    """

    first: int
    rules: tuple[int, ...]
    alone: bool
    begun: int = 0

    def rows(self, step: int) -> int:
        """Records of a slice at *step*, from 1."""
        return self.first << (step - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The first slice under new rules. It was checked before the next one.

    Attributes:
        records: How many.
        rules: Names of the new rules under which they went.
        oldest: Earliest record time. None if none had one.
        newest: Latest record time. None if none had one.
        last: Whether nothing was left to be removed after it.
        doubles: Whether slices grow from there step by step; else the rest follows as in any other run.
    """

    records: int
    rules: tuple[str, ...]
    oldest: Nanos | None
    newest: Nanos | None
    last: bool
    doubles: bool = True

    def __str__(self) -> str:
        number = "1 record" if self.records == 1 else f"{self.records:,} records"
        then = "" if self.last else "; slices double from here" if self.doubles else "; the rest follows"
        return f"canary of {number} under {named_rules(self.rules)} verified{then}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """How far a run got with a ramp, for the ledger.

    Attributes:
        steps: Steps that are proven of the rules under which its slices went.
        done: Whether the ramp is over.
    """

    steps: int
    done: bool

    def facts(self) -> Json:
        """The same as JSON."""
        return {"steps": self.steps, "done": self.done}


def named_rules(names: Sequence[str]) -> str:
    """New rules for people: by their names, or only how many if they are more than a few."""
    return "new " + ", ".join(names) if len(names) <= _NAMED else f"{len(names):,} new rules"


def store_of(fingerprint: str) -> str:
    """The store and table that a fingerprint names, without the columns that the policy happens to use."""
    return fingerprint.rpartition(":")[0]
