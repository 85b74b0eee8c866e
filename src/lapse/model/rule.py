"""A rule: which records it speaks of, how long it keeps them, and where they go then."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from lapse.canonical import Digest, Json, Spelled, digest_of
from lapse.errors import Origin
from lapse.model.match import Match
from lapse.model.matchfacts import match_facts
from lapse.model.period import Period

_ENCODER = msgspec.json.Encoder(order="sorted")
"""Writes what a rule says in canonical form, too, and very many rules much faster."""


@dataclass(frozen=True, slots=True)
class Last:
    """Records that stay whatever their age: the newest of each group.

    Attributes:
        count: How many of a group; records of the same time as the last of them stay, too.
        per: Field whose value names the group; records without it are a group of their own. None makes all that the
            rule decides about one group.
    """

    count: int
    per: str | None = None

    def __str__(self) -> str:
        return f"{self.count:,} newest" + ("" if self.per is None else f" per {self.per}")

    def facts(self) -> Json:
        """What it means, for the rule's hash."""
        return [self.count, self.per]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long the records it matches are kept, and where they go then.

    Attributes:
        index: Position in its dataset, from 0. The first rule that matches decides.
        match: What it applies to.
        keep: For how long.
        archives: Names of the archives that must all hold a record before it goes. Empty only if *waived*,
            or if nothing is ever removed (``forever``).
        waived: Whether the policy says ``archive: none``.
        last: Which of them stay for being the newest. None if none do.
        tenant: The tenant among whose rules it stands; its first condition says so. None for the rules of all.
        derived: Names of what is made of its records: none goes that these have not been refreshed with.
        place: Position among these rules, from 0. None is *index*: the dataset has no rules of tenants.
        origin: Where it is written.
    """

    index: int
    match: Match
    keep: Period
    archives: tuple[str, ...] = ()
    waived: bool = False
    last: Last | None = None
    tenant: str | None = None
    derived: tuple[str, ...] = ()
    place: int | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def number(self) -> int:
        """Its number among the rules of its tenant, or among those of all, from 1."""
        return 1 + (self.index if self.place is None else self.place)

    @property
    def name(self) -> str:
        """What it is called, such as ``rule 2`` or ``tenant acme, rule 2``."""
        return f"rule {self.number}" if self.tenant is None else f"tenant {self.tenant}, rule {self.number}"

    @property
    def own_match(self) -> Match:
        """What is written in it; that it stands among the rules of a tenant is left out."""
        return self.match if self.tenant is None else Match(self.match.conditions[1:])

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it looks at."""
        return self.match.fields if self.last is None or self.last.per is None else (*self.match.fields, self.last.per)

    def __str__(self) -> str:
        newest = "" if self.last is None else f" and the {self.last}"
        return f"{self.name} ({self.own_match}: {self.keep.text}{newest})"

    def facts(self) -> Json:
        """What the rule means, for its hash."""
        return {
            "match": match_facts(self.match),
            "keep": self.keep.text,
            "archives": self.archives,
            # What is not said leaves the hash as it always was.
            **({} if self.last is None else {"last": self.last.facts()}),
        }

    def spelled(self) -> str:
        """The canonical JSON of its facts."""
        return _ENCODER.encode(self.facts()).decode()


@dataclass(frozen=True, slots=True)
class _Together:
    """Rules and the canonical JSON of a list of what each means, with the lengths of its items."""

    rules: tuple[Rule, ...]
    text: Spelled
    lengths: Sequence[int]


_RECENT: list[_Together] = []
"""The rules spelled last: hashes of several things have them in them, and very many rules take their time."""


def _spelled(rules: tuple[Rule, ...]) -> _Together:
    if not _RECENT or _RECENT[0].rules is not rules:
        found = [rule.spelled() for rule in rules]
        _RECENT[:] = [_Together(rules, Spelled(f"[{','.join(found)}]"), array("L", map(len, found)))]
    return _RECENT[0]


def spelled_rules(rules: tuple[Rule, ...]) -> Spelled:
    """The canonical JSON of a list of what each of *rules* means, for a hash."""
    return _spelled(rules).text


def each_spelled(rules: tuple[Rule, ...]) -> Iterator[str]:
    """The canonical JSON of what each of *rules* means."""
    found = _spelled(rules)
    begin = 1
    for length in found.lengths:
        yield found.text[begin : begin + length]
        begin += length + 1


def rules_digest(rules: tuple[Rule, ...]) -> Digest:
    """Hash of the rules of a dataset."""
    return digest_of(spelled_rules(rules))
