"""From a record that was found to every layer that was asked about it, in the order that decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lapse.engine.boards import posted_in
from lapse.engine.session import Session
from lapse.instant import SECOND, Nanos, beginning, rfc3339, rfc3339_second
from lapse.model.match import Match
from lapse.model.period import Period
from lapse.model.policy import Dataset, Floor, Hold
from lapse.model.posted import together
from lapse.model.selection import RECORD_KEY, HeldScope, Selection, Verdict, resolve
from lapse.model.why import Clock, Explanation, Layer
from lapse.ports import Found

_MOST_SHOWN = 20
"""Rules before the one that matches that are listed one by one."""

Read = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What explanations of one dataset stand on.

    Attributes:
        selection: What decides.
        holds: The active holds with what each means for this dataset, in the order of the selection.
        floors: The floors of the policy that can touch it, likewise.
    """

    selection: Selection
    holds: tuple[tuple[Hold, HeldScope], ...]
    floors: tuple[Floor, ...]

    @property
    def dataset(self) -> Dataset:
        """The dataset."""
        return self.selection.dataset

    @property
    def clock(self) -> Clock:
        """What a record's age is measured by."""
        return Clock(field=self.dataset.time, reading=_reading(self.dataset), now=self.selection.now)


def ground(session: Session, dataset: Dataset, store: object, holds: Sequence[Hold]) -> Ground:
    """What decides about *dataset* in this session, each part beside what policy and *store* say of it.

    Raises:
        HoldsError: If the holds in the store cannot be read.
    """
    posted = posted_in(store)
    scoped = ((hold, scope) for hold in together(dataset, holds, posted) for scope in session.held(dataset, [hold]))
    floors = (floor for floor in session.policy.floors if floor.dataset in (None, dataset.name))
    return Ground(selection=session.selection(dataset, holds, posted), holds=tuple(scoped), floors=tuple(floors))


def explained(on: Ground, record: Found) -> Explanation:
    """What becomes of a record that is in its store, with every layer that was asked."""
    outcome = on.selection.outcomes[record.code]
    rule = _rule_of(on.selection, record)
    return Explanation(
        dataset=on.dataset.name,
        key=record.key,
        instant=record.instant,
        verdict=outcome.verdict.value,
        reason=record.doubt or outcome.reason,
        lapses=None if rule is None else _deadline(on, record, rule),
        layers=tuple(_layers(on, record, rule)),
        values=record.values,
        clock=on.clock,
    )


def _reading(dataset: Dataset) -> str:
    if dataset.time_format.unit is not None:
        return dataset.time_format.value
    if dataset.zone_required:
        return "times without an offset are doubtful"
    return f"times without an offset are read in {dataset.zone or 'UTC'}"


def _rule_of(selection: Selection, record: Found) -> int | None:
    """The first rule that matches: the one that decided, or that would. None if none does, or nobody can tell."""
    decided = selection.outcomes.rule_of(record.code)
    if decided is not None or selection.outcomes[record.code].verdict is not Verdict.HELD:
        return decided
    return selection.dispatch.first(record.values.get)


def _layers(on: Ground, record: Found, rule: int | None) -> Iterator[Layer]:
    selection, instant = on.selection, record.instant
    if instant is None or record.code < selection.first_hold:
        yield Layer(name="doubt", finding=record.doubt or selection.outcomes[record.code].reason, decided=True)
        return
    yield Layer(name="doubt", finding=f"none: its time is {rfc3339(instant)}")
    yield from _hold_layers(on, record, instant)
    yield from _passed_over(selection, record, rule)
    if rule is not None:
        yield from _rule_layers(on, record, rule, instant)


def _hold_layers(on: Ground, record: Found, instant: Nanos) -> Iterator[Layer]:
    """Every active hold with its reason, also those behind the one that decided: releasing that is then not enough."""
    if not on.holds:
        yield Layer(name="holds", finding="none is active here")
    for offset, (hold, scope) in enumerate(on.holds):
        decided = record.code == on.selection.first_hold + offset
        covers = decided or _covers(scope, record, instant)
        because = f": {hold.reason}" if hold.reason else ""
        finding = f"{'covers it' if covers else 'does not cover it'}{because}"
        yield Layer(name=scope.label, finding=finding, decided=decided)


def _covers(scope: HeldScope, record: Found, instant: Nanos) -> bool:
    def read(field: str) -> object:
        return record.key if field == RECORD_KEY else record.values.get(field)

    return replace(scope, match=_readable(scope.match, record)).covers(instant, read)


def _readable(match: Match, record: Found) -> Match:
    """What of a hold's or floor's match counts: a store shows every field that it has, and drops what it lacks."""
    return Match(tuple(condition for condition in match.conditions if condition.field in record.values))


def _passed_over(selection: Selection, record: Found, rule: int | None) -> Iterator[Layer]:
    """The rules that come before the one that decides, or all where none does."""
    passed = len(selection.rules) if rule is None else rule
    if passed > _MOST_SHOWN:
        yield Layer(name=f"the first {passed:,} rules", finding="do not match")
    else:
        yield from (Layer(name=str(source), finding="does not match") for source in selection.sources[:passed])
    if rule is None:
        decided = record.code == selection.unmatched_code
        yield Layer(name="rules", finding="none matches: kept", decided=decided)


def _rule_layers(on: Ground, record: Found, rule: int, instant: Nanos) -> Iterator[Layer]:
    """The rule, every floor, and what they come to; one of them decided, unless a hold did."""
    selection, bound = on.selection, on.selection.rules[rule]
    way = record.code - selection.lapsed_code(rule)
    kept = bound.cutoff is None or instant >= bound.cutoff
    until = _until(selection.sources[rule].keep, instant)
    yield Layer(name=bound.label, finding=f"matches; {_keeping(bound.cutoff, instant)}; {until}", decided=way == 1)
    for offset, (floor, resolved) in enumerate(zip(on.floors, selection.floors, strict=True)):
        decided = way == 2 + offset
        finding = "does not apply to it"
        if decided or _readable(resolved.match, record).matches(record.values.get):
            finding = f"at least {floor.at_least.text}; {_until(floor.at_least, instant)}"
            kept = kept or resolved.cutoff is None or instant >= resolved.cutoff
        yield Layer(name=resolved.label, finding=finding, decided=decided)
    last = selection.sources[rule].last
    if last is not None:
        finding = f"it is one of the {last}" if way == _newest(selection, rule) else f"the {last} stay"
        yield Layer(name="keep last", finding=finding, decided=way == _newest(selection, rule))
    if not kept:
        yield Layer(name="cutoff", finding="it is before every cutoff", decided=way == 0)


def _newest(selection: Selection, rule: int) -> int:
    return selection.newest_code(rule) - selection.lapsed_code(rule)


def _keeping(cutoff: Nanos | None, instant: Nanos) -> str:
    """What the rule keeps; the cutoff exactly where the record is so near that it matters."""
    if cutoff is None:
        return "keeps it for ever"
    exact = cutoff % 1000 == 0 or abs(cutoff - instant) <= SECOND
    return f"keeps what is not before {rfc3339(cutoff) if exact else rfc3339_second(cutoff)}"


def _until(period: Period, instant: Nanos) -> str:
    deadline = period.deadline(instant)
    return "never lapses by it" if deadline is None else f"lapses by it {beginning(deadline)}"


def _deadline(on: Ground, record: Found, rule: int) -> Nanos | None:
    """When the record lapses by its rule and every floor that matches it. None if never."""
    if record.instant is None:
        return None
    floors = (
        floor.at_least
        for floor in on.floors
        if _readable(resolve(floor.match, on.dataset), record).matches(record.values.get)
    )
    deadlines = [period.deadline(record.instant) for period in (on.selection.sources[rule].keep, *floors)]
    return None if None in deadlines else max(moment for moment in deadlines if moment is not None)
