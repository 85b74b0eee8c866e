"""Record times as stores write them, texts and numbers, to instants; what is not certain is None.

Where a text leaves room, the later instant is taken: a record is then kept longer, never shorter.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from lapse.errors import PolicyError
from lapse.instant import DAY, MAX, MIN, SECOND, Nanos, from_datetime
from lapse.model.policy import TimeFormat

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)

_ZONED = re.compile(r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)$")


def is_naive(text: str) -> bool:
    """Whether a time text says no zone; a date alone says none either."""
    return _ZONED.search(text[10:]) is None


def parse_time_text(text: str, zone: str | None) -> Nanos | None:
    """The instant that an ISO 8601 text names.

    Accepted: ``YYYY-MM-DD``, which stands for the last nanosecond of that day; and the same with ``T`` or a
    blank, ``HH:MM:SS``, a fraction of one to nine digits after ``.`` or ``,``, and ``Z`` or an offset.

    Arguments:
        text: The text, nothing around it.
        zone: IANA zone of texts without offset. None reads them as UTC.

    Returns:
        The instant, exactly; of a wall clock time that came twice or never, the later reading. None if the
        text is anything else, or no time of the calendar (24:00 and leap seconds included; in UTC, too).

    Raises:
        PolicyError: If *zone* is unknown.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, off_hour, off_minute = found.groups()
    try:
        if hour is None:
            return _end_of_day(date(int(year), int(month), int(day)), zone)
        wall = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    nanos = int(fraction.ljust(9, "0")) if fraction else 0
    if zulu:
        return Nanos(from_datetime(wall) + nanos)
    if sign:
        offset = _offset(sign, off_hour, off_minute)
        return None if offset is None else _in_calendar(from_datetime(wall) - offset + nanos)
    return _in_calendar(_in_zone(wall, zone) + nanos)


def _in_calendar(instant: int) -> Nanos | None:
    """The instant, if it lies in the years 1 to 9999 in UTC, too."""
    return Nanos(instant) if MIN <= instant < MAX + SECOND else None


def _offset(sign: str, hours: str, minutes: str | None) -> int | None:
    hour, minute = int(hours), int(minutes or 0)
    if hour > 23 or minute > 59:
        return None
    return (hour * 60 + minute) * 60 * SECOND * (-1 if sign == "-" else 1)


def _end_of_day(day: date, zone: str | None) -> Nanos:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if zone is None or day == date.max:
        return Nanos(from_datetime(midnight) + DAY - 1)
    return Nanos(_in_zone(midnight + timedelta(days=1), zone) - 1)


def _in_zone(wall: datetime, zone: str | None) -> Nanos:
    """The instant at which clocks in *zone* show *wall*; the later of two readings."""
    instant = from_datetime(wall)
    if zone is None:
        return instant
    local = wall.replace(tzinfo=_zone(zone))
    offsets = (local.utcoffset(), local.replace(fold=1).utcoffset())
    least = min(offset for offset in offsets if offset is not None)
    return Nanos(instant - least // timedelta(microseconds=1) * 1000)


def check_zone(zone: str | None) -> None:
    """See that *zone* is known. None is UTC.

    Raises:
        PolicyError: If it is not.
    """
    if zone is not None:
        _zone(zone)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise PolicyError(
            f"time zone {name!r} is unknown", hint="Write an IANA name, like Europe/Paris or UTC."
        ) from error


_BELIEVED = 2**62


def number_instant(number: int | float, time_format: TimeFormat) -> Nanos | None:
    """The instant that a number names in a numeric format.

    Floating point numbers are rounded to the microsecond.

    Returns:
        The instant. None if the format is no numeric one, or the number is infinite, not a number, or no
        integer of 64 bits once counted in microseconds.
    """
    unit = time_format.unit
    if unit is None:
        return None
    if isinstance(number, int):
        return Nanos(number * unit + time_format.epoch)
    micros = number * (unit / 1000)
    if not math.isfinite(micros) or abs(micros) >= _BELIEVED:
        return None
    return Nanos(round_half_away(micros) * 1000 + time_format.epoch)


def round_half_away(number: float) -> int:
    """To the nearest integer, halves away from zero, as SQL rounds."""
    if abs(number) >= 2**52:  # an integer already; a half more would round to a neighbour
        return int(number)
    return int(number + math.copysign(0.5, number))
