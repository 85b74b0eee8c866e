"""Wall clocks by plain arithmetic: what they show at an instant, and which instants a time on them can be.

All in whole seconds since 1970-01-01T00:00:00Z; a wall clock time counts as if it were UTC. Nothing here knows `lapse`.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
DAYS = range(0, 36_525 * DAY, DAY)
"""The first second of every day of the hundred years from 1970."""


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def offset(zone: str, second: int) -> int:
    """How far the clocks of a zone are ahead of UTC at an instant: read from UTC, where nothing is ambiguous."""
    ahead = (EPOCH + timedelta(seconds=second)).astimezone(_zone(zone)).utcoffset()
    assert ahead is not None
    return ahead // timedelta(seconds=1)


def readings(zone: str, wall: int) -> tuple[int, int]:
    """The earliest and the latest instant that a wall clock time can stand for.

    Where the clocks never showed it, the offsets before and after the change both count.
    """
    offsets = {offset(zone, wall + shift) for shift in (-26 * 3600, 26 * 3600)}
    shown = {wall - ahead for ahead in offsets if offset(zone, wall - ahead) == ahead}
    found = shown or {wall - ahead for ahead in offsets}
    return min(found), max(found)


@cache
def changes(zone: str) -> tuple[int, ...]:
    """The instants of those hundred years at which the clocks of a zone are changed."""
    found = []
    for day in DAYS:
        before = offset(zone, day)
        if before == offset(zone, day + DAY):
            continue
        low, high = day, day + DAY
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
        found.append(high)
    return tuple(found)


def months_back(second: int, months: int) -> int:
    """As many months before an instant in UTC, the day clamped to the month's end: by counting months from year 0."""
    moment = EPOCH + timedelta(seconds=second)
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return int((moment.replace(year=year, month=month + 1, day=day) - EPOCH).total_seconds())


def shown(wall: int) -> str:
    """A wall clock time as text, with a blank between date and time."""
    return (EPOCH + timedelta(seconds=wall)).strftime("%Y-%m-%d %H:%M:%S")
