"""Texts and numbers to instants: strict, exact, and on doubt the later reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.errors import PolicyError
from lapse.instant import DAY, SECOND, from_datetime, parse_rfc3339, rfc3339
from lapse.model.policy import TimeFormat
from lapse.model.timetext import check_zone, number_instant, parse_time_text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("2026-11-22 10:00:00z", "2026-11-22T10:00:00Z"),
        ("2026-11-22 10:00:00", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00.123456789", "2026-11-22T10:00:00.123456789Z"),
        ("2026-11-22T10:00:00,5+01:30", "2026-11-22T08:30:00.500Z"),
        ("2026-11-22T10:00:00-0800", "2026-11-22T18:00:00Z"),
        ("2026-11-22T10:00:00+14", "2026-11-21T20:00:00Z"),
        ("2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_text_is_read_to_the_nanosecond(text: str, instant: str) -> None:
    """Every form that is accepted, with the instant it names."""
    assert parse_time_text(text, None) == parse_rfc3339(instant)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026", "2026-11", "2026-11-22T10:00", "2026-11-22T24:00:00", "2026-11-22T23:59:60Z",
        "2026-02-29", "2023-02-31T00:00:00", "2026-13-01", "0000-01-01", "2026-11-22T10:00:00.", " 2026-11-22",
        "2026-11-22T10:00:00.1234567890", "2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00+01:60",
        "2026-11-22t10:00:00Z", "2026-11-22T10:00:00Z\n", "２０２６-11-22", "2026-11-22T10:00:00[Europe/Paris]",
        "1790000000", "2026-11-22T10:00:00+", "2026/11/22",
    ],
)  # fmt: skip
def test_everything_else_is_doubtful(text: str) -> None:
    """Impossible dates, leap seconds, other spellings, other digits: no instant."""
    assert parse_time_text(text, None) is None


def test_a_date_alone_is_its_last_nanosecond() -> None:
    """A record of a day may be from its end, so it is kept until then."""
    midnight = parse_rfc3339("2026-11-23T00:00:00Z")

    assert parse_time_text("2026-11-22", None) == midnight - 1
    assert parse_time_text("2026-03-29", "Europe/Paris") == parse_rfc3339("2026-03-29T22:00:00Z") - 1
    assert parse_time_text("9999-12-31", "Europe/Paris") == parse_rfc3339("9999-12-31T23:59:59.999999999Z")


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-07-01 12:00:00", "Europe/Paris", "2026-07-01T10:00:00Z"),
        ("2026-10-25 02:30:00", "Europe/Paris", "2026-10-25T01:30:00Z"),  # came twice: the second time
        ("2026-03-29 02:30:00", "Europe/Paris", "2026-03-29T01:30:00Z"),  # never came: 03:30
        ("2026-01-01 00:00:00", "Pacific/Kiritimati", "2025-12-31T10:00:00Z"),
        ("2026-01-01 00:00:00", "Etc/GMT+12", "2026-01-01T12:00:00Z"),
        ("2026-07-01T12:00:00Z", "Europe/Paris", "2026-07-01T12:00:00Z"),
    ],
)
def test_a_wall_clock_time_is_the_later_of_its_readings(text: str, zone: str, instant: str) -> None:
    """Zones apply to texts without offset only; around a change of clocks the record is kept longer."""
    assert parse_time_text(text, zone) == parse_rfc3339(instant)


@given(st.datetimes(), st.timezones())
def test_no_reading_in_a_zone_is_later_than_the_one_taken(moment: datetime, zone: timezone) -> None:
    """Whatever the fold, the instant is not earlier than what Python makes of it."""
    folds = []
    for fold in (0, 1):
        try:
            folds.append(from_datetime(moment.replace(tzinfo=zone, fold=fold).astimezone(UTC)))
        except OverflowError:
            return
    assert parse_time_text(moment.isoformat(" ", "microseconds"), str(zone)) == max(folds)


@given(st.datetimes(timezones=st.timezones()))
def test_what_python_writes_is_read_back(moment: datetime) -> None:
    """isoformat() with an offset of whole minutes."""
    offset = moment.utcoffset() or timedelta()
    if offset % timedelta(minutes=1):
        return
    assert parse_time_text(moment.isoformat(), "Asia/Tokyo") == from_datetime(moment)


def test_an_unknown_zone_is_a_policy_error() -> None:
    """It is said before any record is looked at."""
    for zone in ("Europe/Pariss", "../etc/passwd", ""):
        with pytest.raises(PolicyError, match="time zone"):
            check_zone(zone)


@pytest.mark.parametrize(
    ("number", "form", "instant"),
    [
        (0, TimeFormat.SECONDS, 0),
        (-1, TimeFormat.SECONDS, -SECOND),
        (1.0000005, TimeFormat.SECONDS, SECOND + 1000),
        (1.5, TimeFormat.MILLISECONDS, 1_500_000),
        (86_400_000_000, TimeFormat.MICROSECONDS, DAY),
        (7, TimeFormat.NANOSECONDS, 7),
        (11_644_473_600_000_000, TimeFormat.WEBKIT, 0),
        (2.0**80, TimeFormat.SECONDS, None),
        (float("inf"), TimeFormat.SECONDS, None),
        (float("nan"), TimeFormat.SECONDS, None),
        (1, TimeFormat.ISO, None),
    ],
)
def test_a_number_is_a_time_in_its_unit(number: float, form: TimeFormat, instant: int | None) -> None:
    """Integers exactly, others to the microsecond; what is no time is None."""
    assert number_instant(number, form) == instant


def test_examples_of_the_documentation_are_written_back() -> None:
    """The last nanosecond of a day, as people read it."""
    found = parse_time_text("2026-11-22", None)

    assert found is not None
    assert rfc3339(found) == "2026-11-22T23:59:59.999999999Z"
