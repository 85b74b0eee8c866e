"""How the rules of a dataset differ from those that its last successful run followed, and what that comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lapse.engine.boards import selected
from lapse.engine.session import Session
from lapse.errors import LapseError
from lapse.model.drift import Drift, RuleChange, RuleTerms, Terms, Turn, rules_again
from lapse.model.period import parse_period
from lapse.model.plan import DatasetPlan
from lapse.model.selection import Verdict
from lapse.model.status import Past
from lapse.policyfile.lasting import outlasts
from lapse.ports import Budget
from lapse.stages.planning import plan_dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lapsed:
    """Records that have lapsed, by the index of their rule; empty if they were not counted."""

    now: Mapping[int, int]
    then: Mapping[int, int]


def drift(session: Session, name: str, past: Past, planned: DatasetPlan | None = None) -> Drift | None:
    """What has changed for a dataset since its last successful run. None if nothing has, or if nobody knows.

    Arguments:
        session: Whose policy is compared.
        name: The dataset.
        past: What is remembered of its runs.
        planned: What a look at the store found. With it, the records are counted under the rules of that run, too.
    """
    ran = past.success
    if ran is None or ran.terms is None:
        return None
    then, now = ran.terms, Terms.of(session.policy, session.policy.datasets[name])
    if now.decides_like(then):
        return None
    found = None if planned is None else _lapsed(session, name, planned, then)
    return Drift(
        run=ran.run,
        began=ran.began,
        policy_then=then.policy,
        policy_now=now.policy,
        rules=tuple(_changes(then.rules, now.rules, found)),
        besides=tuple(_besides(then, now)),
        lapsed_now=None if found is None else sum(found.now.values()),
        lapsed_then=None if found is None else sum(found.then.values()),
    )


def _lapsed(session: Session, name: str, planned: DatasetPlan, then: Terms) -> _Lapsed | None:
    """What has lapsed by now, and what would have by the rules then. None if those cannot be followed any more."""
    if then.rules is None:
        return None
    (dataset,) = session.datasets([name])
    floors = tuple(each.floor() for each in then.floors)
    before = replace(session, policy=replace(session.policy, floors=floors))
    dataset = replace(dataset, rules=rules_again(then.rules))
    try:
        with session.reading(dataset) as store:
            selection = selected(before, dataset, store, session.holds())
            counted = plan_dataset(store, selection, budget=Budget())
    except LapseError:
        return None  # a column that they named may be gone; that the store cannot be read was told by its plan
    return _Lapsed(now=_by_rule(planned), then=_by_rule(counted))


def _by_rule(planned: DatasetPlan) -> Mapping[int, int]:
    found: Counter[int] = Counter()
    for group in planned.groups:
        if group.outcome.verdict is Verdict.LAPSED and group.outcome.rule is not None:
            found[group.outcome.rule] += group.tally.records
    return found


def _changes(
    then: tuple[RuleTerms, ...] | None, now: tuple[RuleTerms, ...] | None, lapsed: _Lapsed | None
) -> Iterator[RuleChange]:
    """Rules that are not what they were: the same rule is one that matches the same. None where they are too many."""
    if then is None or now is None:
        return
    before = {each.match: index for index, each in enumerate(then)}
    for index, each in enumerate(now):
        place = before.pop(each.match, None)
        was = None if place is None else then[place]
        if was is None or was.effect != each.effect:
            yield RuleChange(
                turn=_turn(was, each),
                rule=each.title,
                now=each.effect,
                was=None if was is None else was.effect,
                lapsed_now=None if lapsed is None else lapsed.now.get(index, 0),
                lapsed_then=None if lapsed is None or place is None else lapsed.then.get(place, 0),
            )
    for index in before.values():
        gone, count = then[index], None if lapsed is None else lapsed.then.get(index, 0)
        yield RuleChange(turn=Turn.REMOVED, rule=gone.title, now=None, was=gone.effect, lapsed_then=count)


def _turn(was: RuleTerms | None, now: RuleTerms) -> Turn:
    if was is None:
        return Turn.ADDED
    if (was.last, was.per) == (now.last, now.per):
        one, other = parse_period(now.keep), parse_period(was.keep)
        if outlasts(one, other):
            return Turn.LONGER
        if outlasts(other, one):
            return Turn.SHORTER
    return Turn.CHANGED


def _besides(then: Terms, now: Terms) -> Iterator[str]:
    if then.digest != now.digest:
        if then.rules is None or now.rules is None:
            yield "its rules have changed; they are too many to be told one by one"
        elif _order(then.rules, now.rules) != _order(now.rules, then.rules):
            yield "its rules stand in another order"
    if then.floors != now.floors:
        yield "the floors that can touch it have changed"
    if then.reading != now.reading:
        yield "how its records are read has changed: their time, type or tenant, or what is doubtful"


def _order(rules: tuple[RuleTerms, ...], others: tuple[RuleTerms, ...]) -> list[str]:
    """What the rules match that are among *others*, too, in their order."""
    common = {each.match for each in others}
    return [each.match for each in rules if each.match in common]
