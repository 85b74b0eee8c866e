"""Instants as integers: nanoseconds since 1970-01-01T00:00:00Z, so every store's full precision fits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType

Nanos = NewType("Nanos", int)
"""Nanoseconds since the Unix epoch, UTC, leap seconds not counted. May be negative."""

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MIN = Nanos(int((datetime.min.replace(tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)) * SECOND)
MAX = Nanos(int((datetime.max.replace(tzinfo=UTC, microsecond=0) - _EPOCH) / timedelta(seconds=1)) * SECOND)


def from_datetime(moment: datetime) -> Nanos:
    """The instant of an aware datetime, exactly.

    Raises:
        ValueError: If *moment* has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return Nanos(((moment - _EPOCH) // _MICROSECOND) * 1000)


def to_datetime(instant: Nanos) -> datetime:
    """The aware UTC datetime at or just before *instant* (microseconds)."""
    return _EPOCH + timedelta(microseconds=instant // 1000)


def rfc3339(instant: Nanos) -> str:
    """``2026-11-22T10:00:00Z``, with as many fraction digits as the instant needs (0, 3, 6 or 9)."""
    whole, fraction = divmod(instant, SECOND)
    text = (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    if fraction == 0:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    for width in (3, 6):
        if digits[width:].strip("0") == "":
            return f"{text}.{digits[:width]}Z"
    return f"{text}.{digits}Z"


def rfc3339_second(instant: Nanos) -> str:
    """`rfc3339` to the second, which is begun: for reading, not for comparing."""
    return rfc3339(Nanos(instant - instant % SECOND))


def beginning(first: Nanos) -> str:
    """``at …`` for the first instant of something; ``after …`` where that is the very next one after a rounder one."""
    return f"after {rfc3339(Nanos(first - 1))}" if first % 1000 == 1 else f"at {rfc3339(first)}"


def parse_rfc3339(text: str) -> Nanos:
    """The instant that `rfc3339` wrote, or any RFC 3339 text with an offset and up to nine fraction digits.

    Raises:
        ValueError: If *text* is no RFC 3339 date and time.
    """
    head, dot, rest = text.partition(".")
    if not dot:
        return from_datetime(datetime.fromisoformat(text))
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not 1 <= len(digits) <= 9:
        raise ValueError(f"{text!r} has no fraction of 1 to 9 digits")
    whole = from_datetime(datetime.fromisoformat(head + rest[len(digits) :]))
    return Nanos(whole + int(digits.ljust(9, "0")))
