"""What floors do to rules: which rules they outlast altogether, and which of the two cannot both be meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from lapse.errors import Complaint, Origin
from lapse.instant import DAY, SECOND
from lapse.model.period import Kind, Period
from lapse.model.policy import Dataset, Floor, Hold, Rule
from lapse.model.selection import resolve
from lapse.policyfile.nearby import Nearby
from lapse.policyfile.remainders import Box
from lapse.policyfile.similar import few

_DAY = DAY // SECOND
_UNKNOWN = Origin("", 0, 0)


@dataclass(frozen=True, slots=True)
class Outlasted:
    """Rules whose records a floor keeps longer, all of them.

    Attributes:
        floor: The floor.
        rules: The rules, in file order; their periods never have effect.
    """

    floor: Floor
    rules: tuple[Rule, ...]


def named(rules: Sequence[Rule]) -> str:
    """The first of some rules with where they stand, and how many more they are."""
    return few([f"{rule} at {rule.origin}" for rule in rules])


def void(datasets: Sequence[Dataset], scopes: Iterable[Floor | Hold]) -> Iterator[Complaint]:
    """Floors and holds that no record of any dataset can match: what they are to keep would go."""
    for scope in scopes:
        own = [dataset for dataset in datasets if scope.dataset in (None, dataset.name)]
        if own and all(Box.of(resolve(scope.match, dataset)).is_empty for dataset in own):
            what = f"no record can match all that is asked for here: {scope.match}"
            hint = "Look at its fields: two of them ask for different values of one."
            yield Complaint(scope.origin or _UNKNOWN, what, hint)


def outlasted(dataset: Dataset, floors: Iterable[Floor]) -> Iterator[Outlasted]:
    """The rules of a dataset that a floor covers and outlasts, by floor; of several, the longest covers it."""
    own = [floor for floor in floors if floor.dataset in (None, dataset.name)]
    nearby = Nearby((resolve(floor.match, dataset), number) for number, floor in enumerate(own))
    found: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in dataset.rules if own else ():
        longer = [number for number in nearby.covering(rule.match) if outlasts(own[number].at_least, rule.keep)]
        if longer:
            found[max(longer, key=lambda number: _seconds(own[number].at_least)[0])].append(rule)
    for number in sorted(found):
        yield Outlasted(own[number], tuple(found[number]))


def bad_floors(datasets: Iterable[Dataset], floors: Sequence[Floor]) -> Iterator[Complaint]:
    """Floors that cannot be meant beside a rule or beside each other."""
    for dataset in datasets:
        for each in outlasted(dataset, floors):
            yield from _against_rules(each)
    yield from _against_each_other(floors)


def _against_rules(outlasted: Outlasted) -> Iterator[Complaint]:
    floor = outlasted.floor
    never = floor.at_least.kind is Kind.FOREVER
    rules = [rule for rule in outlasted.rules if never or rule.keep.kind is Kind.NO_TIME]
    if not rules:
        return
    lets = "lets none of these records go, ever" if never else f"keeps all of these records {floor.at_least.text}"
    what = f"{named(rules)} cannot be meant: the floor at {floor.origin}, because of {floor.because}, {lets}"
    hint = "Write `for: forever`, or narrow the floor. To stop all removal for a time, write a hold."
    yield Complaint(rules[0].origin or _UNKNOWN, what, hint if never else "Write a period, or narrow the floor.")


def _against_each_other(floors: Sequence[Floor]) -> Iterator[Complaint]:
    """Floors that give one reason for two periods of the same records."""
    seen: dict[object, Floor] = {}
    for floor in floors:
        key = (floor.dataset, floor.match, floor.because)
        other = seen.setdefault(key, floor)
        if _length(other.at_least) != _length(floor.at_least):
            what = (
                f"{floor.because} asks for {floor.at_least.text} here, but for {other.at_least.text}"
                f" of the same records at {other.origin}"
            )
            yield Complaint(floor.origin or _UNKNOWN, what, "Keep the right one of the two, or say what each is for.")


def _length(period: Period) -> object:
    """What tells periods apart, however they are written."""
    return period.kind, period.months, period.seconds, period.zone


def outlasts(one: Period, other: Period) -> bool:
    """Whether *one* is provably longer than *other*, whatever the date."""
    elapse = one.kind is Kind.ELAPSED and other.kind is Kind.ELAPSED
    if elapse and one.months >= other.months and one.seconds >= other.seconds:
        return (one.months, one.seconds) != (other.months, other.seconds)
    return _seconds(one)[0] > _seconds(other)[1]


def _seconds(period: Period) -> tuple[float, float]:
    """The least and the most seconds that a period lasts."""
    match period.kind:
        case Kind.FOREVER:
            return inf, inf
        case Kind.NO_TIME:
            return 0, 0
        case Kind.WHOLE_DAYS:
            return period.seconds + _DAY, period.seconds + _DAY
        case Kind.CALENDAR_DAYS:
            return period.seconds - _DAY, period.seconds + _DAY  # clocks are changed by less
        case Kind.ELAPSED:
            years, months = divmod(period.months, 12)
            least, most = (365 * years + 28 * months) * _DAY, (366 * years + 31 * months) * _DAY
            return period.seconds + least, period.seconds + most
