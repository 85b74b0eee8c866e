"""Spans of time on a clock: text such as ``500 ms`` or ``1h30m`` in, seconds out."""

from __future__ import annotations

import re

from lapse.errors import PolicyError
from lapse.model.period import Kind, parse_period

_PARTS = re.compile(r"(?:[0-9]+(?:\.[0-9]{1,3})? ?(?:ms|s|m|min|h|d) ?)+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]{1,3})?) ?(ms|min|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_LONGEST = 366 * 86_400
_EXAMPLES = "Write it with its unit, like `500 ms`, `10 s`, `90m`, `1h30m` or `2 hours`."


def parse_span(value: object) -> float:
    """Seconds of a span: short forms (``500 ms``, ``90m``, ``1h30m``), or a retention period without months.

    Raises:
        PolicyError: For anything else: a bare number, zero, more than a year.
    """
    seconds = _seconds(value)
    if not seconds:
        shown = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
        raise PolicyError(f"{shown} is not a span of time", hint=_EXAMPLES)
    if seconds > _LONGEST:
        raise PolicyError(f"{value!r} is longer than a year", hint=_EXAMPLES)
    return seconds


def _seconds(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    text = " ".join(value.split())
    if _PARTS.fullmatch(text):
        return float(sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    try:
        period = parse_period(text)
    except PolicyError:
        return None  # the caller's message names what a span may be
    return float(period.seconds) if period.kind is Kind.ELAPSED and not period.months else None


def span_text(seconds: float) -> str:
    """The span as a policy could write it: ``500 ms``, ``10 s``."""
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def days_and_hours(seconds: float) -> str:
    """A long span for people, in its two largest units: ``3 d 4 h``, ``5 h 12 min``, ``40 s``."""
    left, parts = int(seconds), []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"
