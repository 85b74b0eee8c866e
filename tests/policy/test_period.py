"""lapse.model.period: what text means which cutoff."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.errors import PolicyError
from lapse.instant import DAY, MIN, SECOND, Nanos, from_datetime, parse_rfc3339, rfc3339
from lapse.model.period import FOREVER, Kind, parse_period

HOUR = 3600 * SECOND


def cutoff(text: str, now: str) -> str:
    found = parse_period(text).cutoff(parse_rfc3339(now))
    assert found is not None
    return rfc3339(found)


def months_before(moment: datetime, months: int) -> datetime:
    """An independent oracle: walk back month by month, then clamp the day once."""
    year, month = moment.year, moment.month
    for _ in range(months):
        year, month = (year - 1, 12) if month == 1 else (year, month - 1)
    last = max(day for day in calendar.Calendar().itermonthdays(year, month))
    return moment.replace(year=year, month=month, day=min(moment.day, last))


@pytest.mark.parametrize(
    ("text", "months", "seconds"),
    [
        ("1 second", 0, 1),
        ("90 seconds", 0, 90),
        ("5 minutes", 0, 300),
        ("36 hours", 0, 36 * 3600),
        ("90 days", 0, 90 * 86_400),
        ("90days", 0, 90 * 86_400),
        ("  90   days ", 0, 90 * 86_400),
        ("90 Days", 0, 90 * 86_400),
        ("2 weeks", 0, 14 * 86_400),
        ("1 month", 1, 0),
        ("6 years", 72, 0),
        ("P90D", 0, 90 * 86_400),
        ("P2W", 0, 14 * 86_400),
        ("P1Y6M", 18, 0),
        ("P1M", 1, 0),
        ("PT1M", 0, 60),
        ("P1Y2M3DT4H5M6S", 14, 3 * 86_400 + 4 * 3600 + 5 * 60 + 6),
        ("P0Y1D", 0, 86_400),
    ],
)
def test_a_period_is_a_number_with_its_unit(text: str, months: int, seconds: int) -> None:
    """Phrases and ISO 8601 durations are exact: days are 86,400 s, years are twelve months."""
    period = parse_period(text)
    assert (period.kind, period.months, period.seconds) == (Kind.ELAPSED, months, seconds)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "0", "90", "-90", "+90", "1.5", "90.", 0, 90, -1, 1.5, None, True, False, [], {},
        "0 days", "00 days", "-1 days", "- 1 day", "1.5 days", "0.5 years", "01 days", "+1 day",
        "P", "PT", "P0D", "P0Y", "PT0S", "P0.5Y", "P1.5D", "P-1D", "-P1D", "P1DT", "P1H", "PT1D", "p90d", "P1D2M",
        "days", "90 day s", "90 dayss", "ninety days", "90 d", "90d", "1 fortnight", "1 day 2 hours", "90 days ago",
        "never", "none", "infinite", "null", "~", "always", "all", "for ever", "nan", "inf", "٩٠ days", "90\ndays\nx",
        "0 whole days", "-1 whole days", "1.5 whole days", "whole days",
        "0 calendar days in Europe/Paris", "30 calendar days", "30 calendar days in",
        "30 calendar days in Paris/Europe",
        "30 calendar days in ../../etc/passwd", "30 calendar days in /etc/localtime",
        "10001 years", "P10001Y", "120001 months", "99999999999999999999 days",
    ],
)  # fmt: skip
def test_what_has_no_clear_unit_is_no_period(value: object) -> None:
    """Bare numbers, zero, negatives, fractions, null, empty and endless periods are refused, with a hint."""
    with pytest.raises(PolicyError) as caught:
        parse_period(value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (90, "90 is not a retention period: a bare number has no unit"),
        ("90", "a bare number has no unit"),
        (None, "null is not a retention period: nothing is written there"),
        ("", "it is empty"),
        ("0 days", "zero and negative periods mean different things in different tools"),
        ("-1 days", "zero and negative periods mean different things in different tools"),
        ("10001 years", "longer than 10000 years"),
        ("30 calendar days in Paris/Europe", "there is no time zone 'Paris/Europe'"),
    ],
)
def test_a_refusal_says_why(value: object, words: str) -> None:
    """The message quotes the text and names the reason."""
    with pytest.raises(PolicyError, match="^.*" + words):
        parse_period(value)


@given(st.integers(min_value=1, max_value=10_000), st.datetimes())
def test_elapsed_days_are_exact(days: int, moment: datetime) -> None:
    """A day is 86,400 s, whatever the calendar does; before the calendar begins the cutoff stays there."""
    now = from_datetime(moment.replace(tzinfo=UTC))
    assert parse_period(f"{days} days").cutoff(now) == max(MIN, now - days * DAY)


def test_months_agree_with_a_reference_for_a_hundred_years() -> None:
    """From every day of a hundred years, one, two, thirteen months and four years back clamp to the month's end."""
    day = datetime(1960, 1, 1, 12, 34, 56, 789_012, tzinfo=UTC)
    while day.year < 2060:
        for months in (1, 2, 13, 48):
            expected = from_datetime(months_before(day, months))
            assert parse_period(f"{months} months").cutoff(from_datetime(day)) == expected, (day, months)
        day += timedelta(days=1)


@given(
    st.integers(min_value=1, max_value=1200),
    st.integers(min_value=-70 * 366, max_value=230 * 365),
    st.integers(min_value=0, max_value=86_400 * 10**6 - 1),
)
def test_months_agree_with_a_reference_anywhere(months: int, days: int, micros: int) -> None:
    """Any number of months from any moment of 1900 to 2200, to the microsecond."""
    aware = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days, microseconds=micros)
    assert parse_period(f"{months} months").cutoff(from_datetime(aware)) == from_datetime(months_before(aware, months))


@given(st.integers(min_value=1, max_value=100), st.integers(min_value=0, max_value=999))
def test_years_are_twelve_months_to_the_nanosecond(years: int, nanos: int) -> None:
    """The unit is only another word, and digits beyond the microsecond survive."""
    now = Nanos(from_datetime(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)) + nanos)
    found = parse_period(f"{years} years").cutoff(now)
    assert found == parse_period(f"{years * 12} months").cutoff(now) == parse_period(f"P{years}Y").cutoff(now)
    assert found is not None
    assert found % 1000 == nanos


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("1 year", "2024-02-29T10:00:00Z", "2023-02-28T10:00:00Z"),
        ("4 years", "2024-02-29T10:00:00Z", "2020-02-29T10:00:00Z"),
        ("1 month", "2026-03-31T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("1 month", "2024-03-31T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("1 month", "2026-03-28T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("12 months", "2100-02-28T00:00:00Z", "2099-02-28T00:00:00Z"),
        ("365 days", "2024-12-31T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1 day", "2026-03-29T12:00:00Z", "2026-03-28T12:00:00Z"),
        ("1 hour", "2026-11-22T10:00:00.123456789Z", "2026-11-22T09:00:00.123456789Z"),
        ("P1M1D", "2026-03-31T00:00:00Z", "2026-02-27T00:00:00Z"),
    ],
)
def test_leap_days_and_month_ends_clamp(text: str, now: str, expected: str) -> None:
    """A month or year back from a day that is not there is the month's last day; days follow after."""
    assert cutoff(text, now) == expected


def test_whole_days_go_a_day_later() -> None:
    """`90 whole days` keeps a record one nanosecond younger than 91 × 86,400 s, and no longer."""
    now = parse_rfc3339("2026-11-22T10:00:00Z")
    found = parse_period("90 whole days").cutoff(now)
    assert found is not None
    for age, lapsed in ((91 * DAY - 1, False), (91 * DAY, True), (91 * DAY + 1, True), (90 * DAY, False)):
        assert (now - age < found) is lapsed, age
        assert (age // DAY > 90) is lapsed


@given(st.integers(min_value=1, max_value=4000), st.integers(min_value=-3, max_value=3), st.integers(0, 4001))
def test_whole_days_are_floor_of_age(days: int, nudge: int, age_days: int) -> None:
    """For every age, lapsed is exactly floor(age in days) > N."""
    now = parse_rfc3339("2026-11-22T10:00:00Z")
    found = parse_period(f"{days} whole days").cutoff(now)
    assert found is not None
    age = age_days * DAY + nudge
    assert (now - age < found) == (age // DAY > days)


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        ("2026-04-10T10:00:00Z", 719),  # the clocks went forward on 29 March
        ("2026-11-10T10:00:00Z", 721),  # and back on 25 October
        ("2026-07-01T10:00:00Z", 720),
    ],
)
def test_calendar_days_follow_the_wall_clock(now: str, hours: int) -> None:
    """Thirty calendar days in Paris are 719, 720 or 721 hours; in UTC they are always 720."""
    moment = parse_rfc3339(now)
    paris = parse_period("30 calendar days in Europe/Paris").cutoff(moment)
    utc = parse_period("30 calendar days in UTC").cutoff(moment)
    assert (paris, utc) == (moment - hours * HOUR, moment - 720 * HOUR)


def test_calendar_days_that_end_in_a_doubled_hour_keep_more() -> None:
    """Where the wall clock showed the time twice the earlier one is the cutoff, so no record goes early."""
    # A day after 02:30 of 25 October 2026, when Paris passed 02:30 twice: 00:30 and 01:30 UTC.
    assert cutoff("1 calendar day in Europe/Paris", "2026-10-26T01:30:00Z") == "2026-10-25T00:30:00Z"


def test_calendar_days_that_end_in_a_skipped_hour_keep_more() -> None:
    """Where the wall clock never showed the time the earlier reading is the cutoff."""
    # A day after 02:30 of 29 March 2026, which Paris skipped: 01:30 before the gap is 00:30 UTC.
    assert cutoff("1 calendar day in Europe/Paris", "2026-03-30T00:30:00Z") == "2026-03-29T00:30:00Z"


def test_forever_has_no_cutoff_and_no_time_has_now() -> None:
    """`forever` lets nothing lapse; `no time` lets everything before now lapse."""
    now = parse_rfc3339("2026-11-22T10:00:00Z")
    assert parse_period("forever") == FOREVER == parse_period(" FOREVER ")
    assert FOREVER.cutoff(now) is None
    assert parse_period("no time").cutoff(now) == now


@pytest.mark.parametrize("text", ["10000 years", "120000 months", "3652425 days", "3000000 calendar days in UTC"])
def test_a_huge_period_reaches_back_to_the_beginning(text: str) -> None:
    """What would leave the calendar keeps everything the calendar has."""
    assert parse_period(text).cutoff(parse_rfc3339("2026-11-22T10:00:00Z")) == MIN


@given(st.text(max_size=30))
def test_any_text_is_a_period_or_a_policy_error(text: str) -> None:
    """No text crashes the reader, and what it accepts has a cutoff that is not in the future."""
    now = parse_rfc3339("2026-11-22T10:00:00Z")
    try:
        found = parse_period(text).cutoff(now)
    except PolicyError:
        return
    assert found is None or found <= now


@given(
    text=st.sampled_from(
        ["90 days", "1 month", "6 months", "P1Y2M3D", "30 calendar days in Europe/Paris", "90 whole days"]
    ),
    instant=st.integers(min_value=0, max_value=2_000_000_000_000_000_000),
)
def test_a_record_lapses_at_its_deadline_and_not_a_nanosecond_earlier(text: str, instant: int) -> None:
    """`deadline` is the turning point of `cutoff`."""
    period, moment = parse_period(text), Nanos(instant)
    deadline = period.deadline(moment)
    assert deadline is not None

    at, before = period.cutoff(deadline), period.cutoff(Nanos(deadline - 1))

    assert at is not None
    assert before is not None
    assert before <= moment < at
