"""Values as people read them: counts, sizes, shares, times. Pure functions from a value to a text."""

from __future__ import annotations

import re

from lapse.instant import Nanos, rfc3339, rfc3339_second
from lapse.model.bytesize import size_text

NOTHING = "-"
"""Stands in a table cell that has no value."""

size = size_text
"""Bytes in binary units with one decimal: ``12.1 MiB``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text on one line, with control characters and half characters as escapes: data must not steer a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def count(number: int) -> str:
    """``1,234``."""
    return f"{number:,}"


def some(number: int, noun: str) -> str:
    """``1 record``, ``1,234 records``, ``no records``."""
    amount = "no" if number == 0 else count(number)
    return f"{amount} {noun}" if number == 1 else f"{amount} {_plural(noun)}"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def share(part: int, whole: int) -> str:
    """``40.6%`` of *whole*; never rounded to a bare 0% or 100% that is not true."""
    if part in (0, whole):
        return "100%" if part else "0%"
    percent = 100 * part / whole
    return "under 0.1%" if percent < 0.1 else f"{min(percent, 99.9):.1f}%"


def day(instant: Nanos | None) -> str:
    """The UTC date; `NOTHING` for None."""
    return NOTHING if instant is None else rfc3339(instant)[:10]


def moment(instant: Nanos | None, otherwise: str = NOTHING) -> str:
    """RFC 3339, exact; *otherwise* for None."""
    return otherwise if instant is None else rfc3339(instant)


def second(instant: Nanos) -> str:
    """RFC 3339 to the second, which is begun: for reading, where `moment` is for comparing."""
    return rfc3339_second(instant)


def optional_moment(instant: Nanos | None) -> str | None:
    """RFC 3339, exact; None stays None."""
    return None if instant is None else rfc3339(instant)


def duration(seconds: float) -> str:
    """``0.3 s``, ``2 min 05 s``, ``3 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def listed(names: tuple[str, ...] | list[str], otherwise: str = NOTHING) -> str:
    """``a, b, c``; *otherwise* for none."""
    return ", ".join(names) or otherwise


def short(digest: str | None) -> str:
    """The first twelve digits of a hash; `NOTHING` for None."""
    return NOTHING if digest is None else digest[:12]
