"""Rules that can never decide, proven: those before them take all their records first.

For every rule a record is made up that the rule matches. Is there an earlier rule that takes it, then what that one
leaves of the rule is looked at in the same way, until a record is found that nobody takes before, or until nothing is
left. So no two rules are compared unless a record fits both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lapse.errors import Complaint, Origin
from lapse.model.match import Match
from lapse.model.policy import Rule
from lapse.policyfile.nearby import Takers
from lapse.policyfile.remainders import Box
from lapse.policyfile.similar import few

_MOST_TAKERS = 2_000  # a rule that so many others share among them is taken for one that may decide
_UNKNOWN = Origin("", 0, 0)


@dataclass(frozen=True, slots=True)
class Shadow:
    """A rule that never decides.

    Attributes:
        rule: The rule.
        takers: The earlier rules that take all its records between them, in order. Empty if no record can match it.
    """

    rule: Rule
    takers: tuple[Rule, ...]

    @property
    def complaint(self) -> Complaint:
        """What is wrong, and where."""
        rule, origin = self.rule, self.rule.origin or _UNKNOWN
        if not self.takers:
            what = f"{rule.name} never decides: no record can match all that it asks for ({rule.own_match})"
            return Complaint(origin, what, "Look at its fields: two of them ask for different values of one.")
        who = few([f"{taker.name} at {taker.origin}" for taker in self.takers])
        take = "takes" if len(self.takers) == 1 else "take"
        what = f"{rule.name} never decides: {who} {take} all its records first"
        return Complaint(origin, what, "Put the narrower rule first, or remove one of them.")


def shadows(rules: Sequence[Rule]) -> Iterator[Shadow]:
    """Those of a dataset's rules that never decide, in order. What cannot be proven is left out."""
    earlier = Takers(rule.match for rule in rules)
    for rule in rules:
        takers = _takers(rule, rules, earlier)
        if takers is not None:
            yield Shadow(rule, tuple(takers))


def _takers(rule: Rule, rules: Sequence[Rule], earlier: Takers) -> list[Rule] | None:
    """The earlier rules that take all records of *rule*. None if they leave some, or if that is not known."""
    plain = _plain_record(rule.match)
    if plain is not None and earlier.before(rule.index, plain) is None:
        return None
    whole = Box.of(rule.match)
    left = [] if whole.is_empty else [whole]
    takers: dict[int, Rule] = {}
    for _ in range(_MOST_TAKERS):
        if not left:
            return [takers[index] for index in sorted(takers)]
        box = left.pop()
        witness = box.witness()
        taker = None if witness is None else earlier.before(rule.index, witness)
        if taker is None:
            return None
        if rules[taker].match.covers(rule.match):
            return [rules[taker]]
        takers[taker] = rules[taker]
        left += box.without(rules[taker].match)
    return None


def _plain_record(match: Match) -> Mapping[str, object] | None:
    """A record that a match on plain values fits: the witness of its box, for very many rules. None for others."""
    found: dict[str, object] = {}
    for condition in match.conditions:
        if not condition.is_plain or not condition.values or condition.field in found:
            return None
        found[condition.field] = condition.values[0]
    return found
