"""Borders whose place is known by plain arithmetic, and what becomes of a record on either side of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from walls import DAY, changes, months_back, offset, readings

from lapse.instant import SECOND, Nanos
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Floor, Hold, Rule
from lapse.model.selection import Selection, Verdict, select

ZONES = ("UTC", "Pacific/Kiritimati", "America/New_York", "Europe/Berlin")
STEPS = (-1_000_000, -1000, -1, 0, 1, 1000, 1_000_000)
"""Nanoseconds from a border at which there are records."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """An instant at which a decision turns.

    Attributes:
        name: Which one.
        at: The instant.
        select: Binds a dataset to the policy that has this border.
        verdict: What becomes of a record of an instant.
    """

    name: str
    at: Nanos
    select: Callable[[Dataset], Selection]
    verdict: Callable[[int], Verdict]


def _policy(
    now: int, period: str, *, floors: Sequence[Floor] = (), holds: Sequence[Hold] = (), doubt_before: int | None = None
) -> Callable[[Dataset], Selection]:
    rule = Rule(index=0, match=Match(), keep=parse_period(period), waived=True)

    def bound(dataset: Dataset) -> Selection:
        chosen = replace(dataset, rules=(rule,), doubt_before=None if doubt_before is None else Nanos(doubt_before))
        return select(chosen, floors=floors, holds=holds, now=Nanos(now), real_now=Nanos(now))

    return bound


def _parted(at: int, before: Verdict, after: Verdict) -> Callable[[int], Verdict]:
    """One verdict before an instant, another from it on."""
    return lambda instant: before if instant < at else after


def _by_period(name: str, now: int, cutoff: int, period: str) -> Border:
    verdict = _parted(cutoff, Verdict.LAPSED, Verdict.KEPT)
    return Border(name=name, at=Nanos(cutoff), select=_policy(now, period), verdict=verdict)


def borders(zone: str, second: int) -> Iterator[Border]:
    """Every kind of border, at an instant or as near to it as it can be; both in UTC."""
    at, later = second * SECOND, (second + 400 * DAY) * SECOND
    month = second + 31 * DAY
    day = second + DAY
    calendar_cutoff = readings(zone, day + offset(zone, day) - DAY)[0] * SECOND
    yield _by_period("days", at + 30 * DAY * SECOND, at, "30 days")
    yield _by_period("a second", at + SECOND + 7, at + 7, "1 second")
    yield _by_period("a month", month * SECOND, months_back(month, 1) * SECOND, "1 month")
    yield _by_period("a calendar day", day * SECOND, calendar_cutoff, f"1 calendar day in {zone}")
    # Gone when it is three days old to the nanosecond, and not kept then.
    yield _by_period("whole days", at + 3 * DAY * SECOND - 1, at, "2 whole days")
    yield _by_period("no time", at, at, "no time")
    floor = Floor(at_least=parse_period("400 days"), because="the law")
    yield Border(
        name="a floor", at=Nanos(at), select=_policy(later, "1 day", floors=[floor]),
        verdict=_parted(at, Verdict.LAPSED, Verdict.KEPT),
    )  # fmt: skip
    yield Border(
        name="a hold's begin", at=Nanos(at), select=_policy(later, "1 day", holds=[_hold(begin=at)]),
        verdict=_parted(at, Verdict.LAPSED, Verdict.HELD),
    )  # fmt: skip
    yield Border(
        name="a hold's end", at=Nanos(at), select=_policy(later, "1 day", holds=[_hold(end=at)]),
        verdict=_parted(at, Verdict.HELD, Verdict.LAPSED),
    )  # fmt: skip
    yield Border(
        name="doubt about the past", at=Nanos(at), select=_policy(later, "1 day", doubt_before=at),
        verdict=_parted(at, Verdict.DOUBTFUL, Verdict.LAPSED),
    )  # fmt: skip
    yield Border(
        name="doubt about the future", at=Nanos(at), select=_policy(at - 300 * SECOND, "1 day"),
        # Five minutes ahead of the clock are still believed.
        verdict=_parted(at + 1, Verdict.KEPT, Verdict.DOUBTFUL),
    )  # fmt: skip


def _hold(*, begin: int | None = None, end: int | None = None) -> Hold:
    return Hold(
        matter="2026-17",
        records_from=None if begin is None else Nanos(begin),
        records_before=None if end is None else Nanos(end),
    )


def moments(zone: str) -> tuple[int, ...]:
    """Instants around which borders are looked at: both changes of clocks of 2026, and half an hour beside them."""
    year = range(1_767_225_600, 1_798_761_600)
    found = [change for change in changes(zone) if change in year]
    near = [change + beside for change in found for beside in (0, -1800 if change == found[0] else 1800)]
    # Where clocks are never changed: a leap day, and the end of a year.
    return tuple(near) or (1_709_164_800, 1_798_761_600)


def all_borders(zone: str) -> tuple[Border, ...]:
    """Every border around the changes of clocks of a zone."""
    return tuple(border for second in moments(zone) for border in borders(zone, second))
