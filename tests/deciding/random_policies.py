"""Random policies over the fields that a store under test has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from turning import Turning

from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import FOREVER
from lapse.model.policy import Dataset, Floor, Hold, Last, Rule
from lapse.model.selection import Selection, select

GLOBS = (
    "*", "?*", "a*", "*e", "a?me", "A*", "a_b", "100%", "[a]*", "?", "*1*", "-*", "*\u0308", "tr*", "", "*'*", "* ",
    "ac me?", "*|*", "a\\b", "**7",
)  # fmt: skip
"""Patterns of which only ``*`` and ``?`` are wild."""


@dataclass(frozen=True, kw_only=True)
class Menu:
    """What policies for one table can speak of.

    Attributes:
        texts: Texts that records have or nearly have, by field.
        missing: Fields that only holds and floors may name, since the store cannot read them.
        fillers: Values that no record has.
        counts: How many rules a policy may have; very many are looked up instead of tried one by one.
    """

    texts: Mapping[str, Sequence[str]]
    missing: Sequence[str] = ("gone", "$.gone.user")
    fillers: Sequence[str] = ("nobody", "Nobody ", "\u212a", "0")
    counts: Sequence[int] = (*(0, 1, 2, 3, 4, 6) * 4, 60)


_ENDS = (-(10**18) + 1, -7, -1, 0, 1, 6, 7, 8, 70, 2**31, 10**18 - 1)

Form = Callable[[Random, str, Sequence[str]], Condition]
"""Makes a condition on a field of some of its texts."""


def _values(rng: Random, field: str, texts: Sequence[str]) -> Condition:
    return Condition(field, tuple(rng.sample(texts, min(len(texts), rng.choice((1, 1, 2, 5))))))


def _pattern(rng: Random, field: str, texts: Sequence[str]) -> Condition:
    return Condition(field, (), (Glob(rng.choice((*GLOBS, *texts))),))


def _both(rng: Random, field: str, texts: Sequence[str]) -> Condition:
    return replace(_values(rng, field, texts), globs=_pattern(rng, field, texts).globs)


def _range(rng: Random, field: str, _: Sequence[str]) -> Condition:
    first, last = sorted(rng.choice(_ENDS) for _ in range(2))
    ranges = (Range(first, last), Range(first), Range(None, last))
    return Condition(field, (), ranges=tuple(rng.sample(ranges, rng.choice((1, 1, 2)))))


def _all_three(rng: Random, field: str, texts: Sequence[str]) -> Condition:
    return replace(_both(rng, field, texts), ranges=_range(rng, field, texts).ranges)


def _not(form: Form) -> Form:
    return lambda rng, field, texts: replace(form(rng, field, texts), negated=True)


FORMS: list[Form] = [
    *(_values, _values, _values, _pattern, _both, _range, _all_three),
    *(_not(_values), _not(_pattern), _not(_range), _not(_all_three)),
]
"""Every form of a condition; a new one is a line here."""


def condition(rng: Random, menu: Menu, *, held: bool = False) -> Condition:
    """Any condition; of a hold or floor it may name a role, or what this table lacks."""
    if held and rng.random() < 0.15:
        lacked = _values(rng, rng.choice(menu.missing), menu.fillers)
        return replace(lacked, role=rng.choice(("", "type", "subtype", "tenant", "actor")))
    field = rng.choice(tuple(menu.texts))
    return rng.choice(FORMS)(rng, field, (*menu.texts[field], rng.choice(menu.fillers)))


def match(rng: Random, menu: Menu, *, held: bool = False) -> Match:
    """Up to three conditions."""
    return Match(tuple(condition(rng, menu, held=held) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))))


def _rule(rng: Random, menu: Menu, turning: Turning, index: int) -> Rule:
    archives = rng.choice(((), ("cold",), ("cold", "vault")))
    last = Last(rng.choice((1, 3, 20)), rng.choice((None, *menu.texts))) if rng.random() < 0.06 else None
    return Rule(
        index=index,
        match=match(rng, menu),
        keep=rng.choice(turning.periods),
        archives=archives,
        waived=not archives,
        last=last,
    )


def _rules(rng: Random, menu: Menu, turning: Turning) -> tuple[Rule, ...]:
    count = rng.choice(menu.counts)
    rules = [_rule(rng, menu, turning, index) for index in range(count)]
    if rng.random() < 0.7:
        rules.append(replace(_rule(rng, menu, turning, len(rules)), match=Match()))
    return tuple(rules)


def _hold(rng: Random, menu: Menu, turning: Turning, dataset: str) -> Hold:
    begin, end = sorted(rng.sample(turning.windows, 2))
    since, until = rng.choice(((None, None), (turning.now, None), (None, turning.now), (None, Nanos(turning.now + 1))))
    keys = tuple(str(rng.randrange(400)) for _ in range(rng.choice((0, 0, 3, 200))))
    return Hold(
        matter="2026-17",
        keys=keys,
        dataset=dataset if keys else rng.choice((None, dataset, dataset, "another")),
        match=match(rng, menu, held=True),
        since=since,
        until=until,
        records_from=rng.choice((None, begin)),
        records_before=rng.choice((None, end if end > begin else None)),
    )


def _floor(rng: Random, menu: Menu, turning: Turning, dataset: str) -> Floor:
    lasting = [period for period in turning.periods if period != FOREVER]
    named = rng.choice((None, dataset, dataset, "another"))
    return Floor(dataset=named, match=match(rng, menu, held=True), at_least=rng.choice(lasting), because="the law")


def policy(rng: Random, menu: Menu, turning: Turning, dataset: Dataset) -> Selection:
    """Rules, floors and holds for *dataset*; its required fields begin with those it has.

    Holds by key mean the records' numbers, although the key of all of them is one, by which they are looked up.
    """
    more = rng.sample(tuple(menu.texts), rng.choice((0, 0, 0, 0, 1, 2)))
    rules = _rules(rng, menu, turning)
    chosen = replace(dataset, rules=rules, require=(*dataset.require, *more), doubt_before=turning.doubt_before)
    selection = select(
        replace(chosen, key="id"),
        floors=[_floor(rng, menu, turning, dataset.name) for _ in range(rng.choice((0, 0, 1, 2)))],
        holds=[_hold(rng, menu, turning, dataset.name) for _ in range(rng.choice((0, 1, 1, 2)))],
        now=turning.now,
        real_now=turning.real_now,
    )
    return replace(selection, dataset=chosen)
