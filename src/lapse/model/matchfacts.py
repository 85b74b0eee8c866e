"""Matches as the facts that hashes are made of and the ledger keeps, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lapse.canonical import Json
from lapse.model.match import Condition, Glob, Match, Range


def match_facts(match: Match) -> Json:
    """What a match means."""
    return [_condition_facts(condition) for condition in match.conditions]


def _condition_facts(condition: Condition) -> Json:
    if len(condition.values) == 1 and condition.is_plain:  # as nearly all of very many are
        return [condition.field, [condition.values[0]], []]
    facts: list[Json] = [condition.field, sorted(condition.values), sorted(glob.pattern for glob in condition.globs)]
    # What is not said leaves the hash as it always was.
    if condition.numbers:
        facts.append(sorted(map(str, condition.numbers)))
    if condition.ranges or condition.negated:
        ranges = sorted(condition.ranges, key=lambda each: (each.begin, each.end))
        ends = [[None if end is None else str(end) for end in (each.first, each.last)] for each in ranges]
        facts.append({"ranges": ends, "negated": condition.negated})
    return facts


def condition_of(facts: Sequence[Any]) -> Condition:
    """The condition that these facts are of, as the ledger has them; what a policy calls the field is not in them."""
    field, values, globs, *more = facts
    said: Mapping[str, Any] = next((each for each in more if isinstance(each, Mapping)), {})
    return Condition(
        field=field,
        values=tuple(values),
        globs=tuple(map(Glob, globs)),
        numbers=tuple(int(each) for listed in more if isinstance(listed, list) for each in listed),
        ranges=tuple(Range(*(None if end is None else int(end) for end in ends)) for ends in said.get("ranges", ())),
        negated=said.get("negated", False),
    )
