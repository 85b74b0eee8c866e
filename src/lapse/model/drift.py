"""What decided about a dataset in a run, and how that differs from what its policy says now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from lapse.canonical import canonical, digest_of
from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.matchfacts import condition_of, match_facts
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Floor, Last, Policy, Rule
from lapse.model.rule import rules_digest
from lapse.model.selection import resolve

_MOST_RULES = 200
"""Rules that are remembered one by one; nobody reads a longer list of changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTerms:
    """One rule, as a run leaves it behind.

    Attributes:
        name: What it was called.
        shown: What it matched, in words.
        match: The same as canonical JSON.
        keep: Its period, as written.
        archives: Names of its archives; empty if it waived them.
        last: How many of the newest it kept of each group. None if it kept none.
        per: The field that told groups apart. None if all were one group.
    """

    name: str
    shown: str
    match: str
    keep: str
    archives: tuple[str, ...] = ()
    last: int | None = None
    per: str | None = None

    @classmethod
    def of(cls, rule: Rule) -> RuleTerms:
        """What is to be remembered of a rule."""
        return cls(
            name=rule.name,
            shown=str(rule.own_match),
            match=_text_of(rule.match),
            keep=rule.keep.text,
            archives=rule.archives,
            last=None if rule.last is None else rule.last.count,
            per=None if rule.last is None else rule.last.per,
        )

    def rule(self, index: int) -> Rule:
        """The rule again, but for where it was written."""
        return Rule(
            index=index,
            match=_match_of(self.match),
            keep=parse_period(self.keep),
            archives=self.archives,
            waived=not self.archives,
            last=None if self.last is None else Last(self.last, self.per),
        )

    @property
    def title(self) -> str:
        """Which one it is."""
        return f"{self.name} ({self.shown})"

    @property
    def effect(self) -> str:
        """What it did with what it matched."""
        newest = "" if self.last is None else f" and the {Last(self.last, self.per)}"
        archive = f", archive {', '.join(self.archives)}" if self.archives else ""
        return f"{self.keep}{newest}{archive}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorTerms:
    """One floor, as a run leaves it behind.

    Attributes:
        match: What it matched, as canonical JSON.
        at_least: Its period, as written.
        because: Its reason.
    """

    match: str
    at_least: str
    because: str

    def floor(self) -> Floor:
        """The floor again."""
        return Floor(match=_match_of(self.match), at_least=parse_period(self.at_least), because=self.because)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What decided about a dataset.

    Attributes:
        policy: Hash of the policy.
        digest: Hash of the dataset's rules.
        rules: The rules. None if they were too many to be remembered one by one.
        floors: The floors that could touch it.
        reading: Hash of how its records are read: their time, what is doubtful, and so on.
    """

    policy: str
    digest: str
    rules: tuple[RuleTerms, ...] | None
    floors: tuple[FloorTerms, ...]
    reading: str

    @classmethod
    def of(cls, policy: Policy, dataset: Dataset) -> Terms:
        """What a policy says of a dataset."""
        rules, floors = dataset.rules, [each for each in policy.floors if each.dataset in (None, dataset.name)]
        return cls(
            policy=policy.digest,
            digest=rules_digest(rules),
            rules=tuple(map(RuleTerms.of, rules)) if len(rules) <= _MOST_RULES else None,
            floors=tuple(
                FloorTerms(
                    match=_text_of(resolve(each.match, dataset)), at_least=each.at_least.text, because=each.because
                )
                for each in floors
            ),
            reading=digest_of(replace(dataset, rules=()).facts()),
        )

    def decides_like(self, other: Terms) -> bool:
        """Whether the same records lapse under both."""
        return (self.digest, self.floors, self.reading) == (other.digest, other.floors, other.reading)


class Turn(Enum):
    """What became of a rule."""

    ADDED = "added"
    REMOVED = "removed"
    LONGER = "longer"
    SHORTER = "shorter"
    CHANGED = "changed"


_VERBS = {
    Turn.ADDED: "was added",
    Turn.REMOVED: "was removed",
    Turn.LONGER: "keeps longer",
    Turn.SHORTER: "keeps shorter",
    Turn.CHANGED: "was changed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """A rule that is not what it was.

    Attributes:
        turn: What became of it.
        rule: Its name and what it matches; of one that was removed, as it was.
        now: What it does. None if it is not there any more.
        was: What it did. None if it was not there.
        lapsed_now: Records that have lapsed under it. None if they were not counted.
        lapsed_then: Those that would have lapsed under it by now, as it was. None if they were not counted.
    """

    turn: Turn
    rule: str
    now: str | None
    was: str | None
    lapsed_now: int | None = None
    lapsed_then: int | None = None

    @property
    def text(self) -> str:
        """The change in words."""
        was = f", was {self.was}" if self.now is not None and self.was is not None else ""
        return f"{self.rule} {_VERBS[self.turn]}: {self.now or self.was}{was}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How what decides about a dataset differs from what its last successful run followed.

    Attributes:
        run: Id of that run.
        began: When it began.
        policy_then: Hash of the policy that it followed.
        policy_now: Hash of the policy.
        rules: Rules that are not what they were: those of now in their order, then those that are gone.
        besides: What else has changed, in words.
        lapsed_now: Records that have lapsed. None if they were not counted.
        lapsed_then: Those that would have lapsed by now, had nothing been changed. None if they were not counted.
    """

    run: str
    began: Nanos
    policy_then: str
    policy_now: str
    rules: tuple[RuleChange, ...]
    besides: tuple[str, ...]
    lapsed_now: int | None = None
    lapsed_then: int | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Each change in words."""
        return (*(each.text for each in self.rules), *self.besides)


def _text_of(match: Match) -> str:
    return canonical(match_facts(match)).decode()


def _match_of(text: str) -> Match:
    return Match(tuple(map(condition_of, json.loads(text))))


def rules_again(terms: Sequence[RuleTerms]) -> tuple[Rule, ...]:
    """The rules of a run, in their order."""
    return tuple(each.rule(index) for index, each in enumerate(terms))
