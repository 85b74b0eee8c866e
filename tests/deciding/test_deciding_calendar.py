"""Cutoffs and record times on every day of a hundred years, against plain arithmetic that knows no `lapse`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from walls import DAY, DAYS, changes, months_back, offset, readings, shown

from lapse.instant import Nanos
from lapse.model.period import parse_period
from lapse.model.timetext import parse_time_text

ZONES = ("UTC", "Pacific/Kiritimati", "America/New_York", "Europe/Berlin")
_SECOND = 10**9
_NANOS = 123_456_789


@pytest.mark.parametrize(
    ("text", "months", "seconds"),
    [
        ("1 month", 1, 0), ("P1Y6M", 18, 0), ("6 years", 72, 0), ("P1M1D", 1, DAY), ("90 days", 0, 90 * DAY),
    ],
)  # fmt: skip
def test_periods_in_utc_are_plain_arithmetic_on_every_day_of_a_hundred_years(
    text: str, months: int, seconds: int
) -> None:
    """At midnight, a nanosecond before it and one after it: months are clamped, days have 86,400 s, digits survive."""
    period = parse_period(text)
    for day in DAYS:
        exact, before = months_back(day, months) - seconds, months_back(day - 1, months) - seconds
        found = [period.cutoff(Nanos(day * _SECOND + nanos)) for nanos in (-1, 0, 1)]
        assert found == [before * _SECOND + _SECOND - 1, exact * _SECOND, exact * _SECOND + 1], day


@pytest.mark.parametrize("zone", ZONES)
def test_calendar_days_are_the_wall_clock_of_as_many_days_before(zone: str) -> None:
    """On every day of a hundred years; of two readings the earlier, which keeps more."""
    period = parse_period(f"30 calendar days in {zone}")
    for day in DAYS:
        now = day + 7 * 3600 + 1800
        wall = now + offset(zone, now) - 30 * DAY
        assert period.cutoff(Nanos(now * _SECOND + _NANOS)) == readings(zone, wall)[0] * _SECOND + _NANOS, now


@pytest.mark.parametrize("zone", ZONES)
def test_a_naive_time_is_the_later_reading_at_every_change_of_clocks(zone: str) -> None:
    """Each half hour around them, and on every tenth day of a hundred years; a date is its last nanosecond."""
    around = [change + offset(zone, change) + step * 1800 for change in changes(zone) for step in range(-5, 6)]
    days = DAYS[::10]
    for wall in (*around, *days):
        expected = readings(zone, wall)[1] * _SECOND + _NANOS
        assert parse_time_text(f"{shown(wall)}.{_NANOS}", zone) == expected, shown(wall)
    for wall in {*days, *(wall - wall % DAY for wall in around)}:
        expected = readings(zone, wall + DAY)[1] * _SECOND - 1
        assert parse_time_text(shown(wall)[:10], zone) == expected, shown(wall)


def _first_moments(text: str, records: Iterable[Nanos]) -> None:
    """See that no record has lapsed at any quarter of an hour before its deadline, nor a nanosecond before it."""
    period = parse_period(text)
    for record in records:
        deadline = period.deadline(record)
        assert deadline is not None
        before = [Nanos(deadline - 1), *(Nanos(deadline - 1 - step * 900 * _SECOND) for step in range(500))]
        found = [period.cutoff(moment) for moment in (deadline, *before)]
        assert [cutoff is not None and record < cutoff for cutoff in found] == [True, *[False] * 501], (text, record)


@pytest.mark.parametrize("zone", ZONES[1:])
def test_a_deadline_is_the_first_moment_at_which_a_record_has_lapsed(zone: str) -> None:
    """Around changes of clocks, where a cutoff can go back by an hour: clocks show the same time again."""
    change = changes(zone)[-1], changes(zone)[-2]
    records = [Nanos((at + beside) * _SECOND + 7) for at in change for beside in (-5400, -3600, -1, 0, 1800, 3601)]
    for days in (1, 30):
        _first_moments(f"{days} calendar days in {zone}", records)
        shifted = [Nanos(record - days * DAY * _SECOND) for record in records]
        _first_moments(f"{days} calendar days in {zone}", shifted)


@pytest.mark.parametrize("text", ["1 month", "13 months", "P1M1DT1H", "4 years", "30 days", "2 whole days", "no time"])
def test_a_deadline_at_the_end_of_a_month_is_the_first_moment_too(text: str) -> None:
    """A cutoff runs through 28 February on each of the last days of March; the first of them counts."""
    days = [
        month_end + shift for month_end in (1_772_236_800, 1_774_915_200, 1_709_164_800) for shift in (-DAY, 0, DAY)
    ]
    _first_moments(text, [Nanos((day + second) * _SECOND) for day in days for second in (-1, 0, 43_200)])
