"""Retention periods: text such as ``90 days`` in, a cutoff for a given ``now`` out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from whenever import Instant, TimeZoneNotFoundError

from lapse.errors import PolicyError
from lapse.instant import DAY, MAX, MIN, SECOND, Nanos, from_datetime, to_datetime

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_MONTHS = {"month": 1, "year": 12}
_UNIT = "|".join([*_SECONDS, *_MONTHS])
_PHRASE = re.compile(rf"(?P<count>[1-9][0-9]*) ?(?P<unit>{_UNIT})s?")
_WHOLE = re.compile(r"(?P<count>[1-9][0-9]*) whole days?")
_CALENDAR = re.compile(r"(?P<count>[1-9][0-9]*) calendar days? in (?P<zone>[A-Za-z0-9_+\-/]+)")
_ISO = re.compile(
    r"P(?=[0-9T])(?:(?P<years>[0-9]+)Y)?(?:(?P<months>[0-9]+)M)?(?:(?P<weeks>[0-9]+)W)?(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+)S)?)?"
)
_EXAMPLES = "Write it with its unit, like `90 days`, `6 years`, `P90D` or `forever`."
_MONTH = 2_629_746 * SECOND  # of average length
_QUARTER = 900 * SECOND
_TOO_LONG = 10_000  # years; beyond it a cutoff would leave the calendar


class Kind(Enum):
    """How a period counts."""

    ELAPSED = "elapsed"
    CALENDAR_DAYS = "calendar days"
    WHOLE_DAYS = "whole days"
    FOREVER = "forever"
    NO_TIME = "no time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """How long a record is kept.

    Attributes:
        text: As the policy wrote it.
        kind: How it counts.
        months: Calendar months in UTC, clamped to the month's end; a year is twelve.
        seconds: Elapsed seconds; a day is 86,400.
        zone: IANA zone of calendar days. None for every other kind.
    """

    text: str
    kind: Kind
    months: int = 0
    seconds: int = 0
    zone: str | None = None

    def cutoff(self, now: Nanos) -> Nanos | None:
        """The first instant that is kept at *now*. None keeps everything.

        Whole days follow ``floor(age in days) > N``, so a record goes when it is N + 1 times 86,400 s old
        to the nanosecond; the cutoff is one nanosecond later to say so with a strict comparison.
        """
        match self.kind:
            case Kind.FOREVER:
                return None
            case Kind.NO_TIME:
                return now
            case Kind.WHOLE_DAYS:
                return Nanos(now - self.seconds * SECOND - DAY + 1)
            case Kind.CALENDAR_DAYS:
                return self._calendar_days(now)
            case Kind.ELAPSED:
                return self._elapsed(now)

    def deadline(self, instant: Nanos) -> Nanos | None:
        """The first moment, to the nanosecond, at which a record of *instant* has lapsed. None if it never does."""
        for begin, end in self._stretches(instant):
            if self._has_lapsed(instant, Nanos(end - 1)):
                turning = self._turning(instant, Nanos(begin - 1), Nanos(end - 1))
                return turning if turning <= MAX else None
        return None

    def _stretches(self, instant: Nanos) -> Iterator[tuple[int, int]]:
        """Stretches of time in which a record of *instant* may lapse, each with the first moment after it.

        Within each the cutoff never goes back. From one to the next it may: on the last days of March it runs
        through 28 February again and again, and through an hour again when clocks are put back.
        """
        about = instant + self.seconds * SECOND + self.months * _MONTH
        if self.kind is Kind.FOREVER:
            return
        if self.kind is not Kind.CALENDAR_DAYS and not self.months:
            yield instant, about + 3 * DAY
            return
        # Months differ from each other by days, and clocks are changed at quarters of an hour, by a day at most.
        size, reach = (DAY, 6 * DAY) if self.months else (_QUARTER, 27 * 4 * _QUARTER)
        for begin in range((about - reach) // size * size, about + reach, size):
            yield begin, begin + size

    def _has_lapsed(self, instant: Nanos, now: Nanos) -> bool:
        cutoff = self.cutoff(now)
        return cutoff is not None and instant < cutoff

    def _turning(self, instant: Nanos, kept: Nanos, lapsed: Nanos) -> Nanos:
        """The first moment of *lapsed*'s stretch at which a record has lapsed; *kept* is before the stretch."""
        while lapsed - kept > 1:
            middle = Nanos((kept + lapsed) // 2)
            kept, lapsed = (kept, middle) if self._has_lapsed(instant, middle) else (middle, lapsed)
        return lapsed

    def _elapsed(self, now: Nanos) -> Nanos:
        moment = now
        if self.months:
            try:
                zoned = Instant.from_timestamp(now, unit="nanosecond").to_tz("UTC").subtract(months=self.months)
                moment = Nanos(zoned.to_instant().timestamp(unit="nanosecond"))
            except (ValueError, OverflowError):
                return MIN
        return Nanos(max(MIN, moment - self.seconds * SECOND))

    def _calendar_days(self, now: Nanos) -> Nanos:
        days, zone = timedelta(seconds=self.seconds), ZoneInfo(self.zone or "UTC")
        try:
            wall = to_datetime(now).astimezone(zone).replace(tzinfo=None) - days
            # Where the wall clock showed this time twice, or never, the earlier reading keeps more.
            moment = min(from_datetime(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
        except (ValueError, OverflowError):
            return MIN
        return Nanos(max(MIN, moment + now % 1000))


FOREVER = Period(text="forever", kind=Kind.FOREVER)


def parse_period(value: object) -> Period:
    """Read a period from the policy.

    Accepted: ``90 days`` and its like (second to year), ISO 8601 ``P1Y6M``, ``forever``, ``N whole days``,
    ``N calendar days in ZONE``, ``no time``.

    Raises:
        PolicyError: For anything else; a bare number has no unit, and zero or less means opposite things
            in different tools.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        raise PolicyError(f"{_show(value)} is not a retention period{_why_not(value)}", hint=_EXAMPLES)
    text = " ".join(value.split())
    lower = text.lower()
    if lower == "forever":
        return FOREVER
    if lower == "no time":
        return Period(text=text, kind=Kind.NO_TIME)
    period = _phrase(text, lower) or _special(text) or _iso(text)
    if period is None:
        raise PolicyError(f"{_show(value)} is not a retention period{_why_not(value)}", hint=_EXAMPLES)
    if period.months / 12 + period.seconds / 31_556_952 > _TOO_LONG:
        raise PolicyError(f"{text!r} is longer than {_TOO_LONG} years", hint="Write `forever` instead.")
    return period


def _phrase(text: str, lower: str) -> Period | None:
    found = _PHRASE.fullmatch(lower)
    if found is None:
        return None
    count, unit = int(found["count"]), found["unit"]
    return Period(
        text=text, kind=Kind.ELAPSED, months=count * _MONTHS.get(unit, 0), seconds=count * _SECONDS.get(unit, 0)
    )


def _special(text: str) -> Period | None:
    if whole := _WHOLE.fullmatch(text):
        return Period(text=text, kind=Kind.WHOLE_DAYS, seconds=int(whole["count"]) * 86_400)
    calendar = _CALENDAR.fullmatch(text)
    if calendar is None:
        return None
    zone = calendar["zone"]
    try:
        Instant.from_timestamp(0).to_tz(zone)
    except (TimeZoneNotFoundError, ValueError) as error:
        raise PolicyError(f"there is no time zone {zone!r}", hint="Use an IANA name, like Europe/Paris.") from error
    return Period(text=text, kind=Kind.CALENDAR_DAYS, seconds=int(calendar["count"]) * 86_400, zone=zone)


def _iso(text: str) -> Period | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    part = {name: int(digits or 0) for name, digits in found.groupdict().items()}
    months = part["years"] * 12 + part["months"]
    days = part["weeks"] * 7 + part["days"]
    seconds = days * 86_400 + part["hours"] * 3600 + part["minutes"] * 60 + part["seconds"]
    return Period(text=text, kind=Kind.ELAPSED, months=months, seconds=seconds) if months or seconds else None


def _show(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return repr(value)
        case _:
            return str(value)


def _why_not(value: object) -> str:
    match value:
        case None:
            return ": nothing is written there"
        case bool():
            return ""
        case int() | float():
            return ": a bare number has no unit"
        case str() if not value.strip():
            return ": it is empty"
        case str() if re.fullmatch(r"\s*[-+]?[0-9.]+\s*", value):
            return ": a bare number has no unit"
        case str() if re.match(r"\s*(-|0+(\s|$|[a-zA-Z]))", value):
            return ": zero and negative periods mean different things in different tools"
        case _:
            return ""
