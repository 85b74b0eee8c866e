"""How far the clocks of a zone are ahead of UTC, as SQL: no time zone tables on the server are needed.

The definition is `lapse.model.timetext`: of a wall clock time that came twice or never, the later reading. The
smaller of the two offsets is then a function of the wall clock time alone, in steps.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from lapse.errors import PolicyError

_FIRST, _LAST = datetime(1850, 1, 1), datetime(2110, 1, 1)  # noqa: DTZ001 - wall clock times
_STRIDE = timedelta(days=7)
_SECOND = timedelta(seconds=1)
_MOST = 600
"""Steps at most; a zone with more of them is nobody's."""


def offset_sql(zone: str, moment: str) -> str:
    """The offset in microseconds at the wall clock time *moment*, an expression of type DATETIME.

    Raises:
        PolicyError: If *zone* is unknown.
    """
    return _search(_steps(zone), moment)


def _search(steps: tuple[tuple[datetime, int], ...], moment: str) -> str:
    """Nested comparisons: as many for a row as halving takes."""
    if len(steps) == 1:
        return str(steps[0][1])
    middle = len(steps) // 2
    border = steps[middle][0].strftime("%Y-%m-%d %H:%M:%S")
    return f"IF({moment} < '{border}', {_search(steps[:middle], moment)}, {_search(steps[middle:], moment)})"


@lru_cache(maxsize=16)
def _steps(zone: str) -> tuple[tuple[datetime, int], ...]:
    """Wall clock times from which an offset, in microseconds, holds; the first one holds before, too."""
    known = _zone(zone)
    found = [(_FIRST, _offset(known, _FIRST))]
    moment = _FIRST
    while moment < _LAST:
        following = moment + _STRIDE
        # Two changes within a stride are found one after the other.
        while (offset := found[-1][1]) != _offset(known, following):
            border = _border(known, found[-1][0] if found[-1][0] > moment else moment, following, offset)
            found.append((border, _offset(known, border)))
        moment = following
    return tuple(found[:_MOST])


def _border(zone: ZoneInfo, low: datetime, high: datetime, offset: int) -> datetime:
    """The first second after *low* whose offset is not *offset*."""
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: ZoneInfo, wall: datetime) -> int:
    local = wall.replace(tzinfo=zone)
    offsets = (local.utcoffset(), local.replace(fold=1).utcoffset())
    return min(offset for offset in offsets if offset is not None) // timedelta(microseconds=1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise PolicyError(
            f"time zone {name!r} is unknown", hint="Write an IANA name, like Europe/Paris or UTC."
        ) from error
