"""The only reader of the time. Everything else is handed a ``now``."""

from __future__ import annotations

import os
import time
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lapse.errors import UsageError
from lapse.instant import Nanos, parse_rfc3339, rfc3339_second


def real_now() -> Nanos:
    """The machine's real time, UTC."""
    return Nanos(time.time_ns())


def run_now() -> Nanos:
    """The one ``now`` of a run: ``LAPSE_NOW`` (RFC 3339) if set, else the real time.

    Raises:
        UsageError: If ``LAPSE_NOW`` is unreadable or later than the real time.
    """
    text = os.environ.get("LAPSE_NOW")
    real = real_now()
    if text is None:
        return real
    try:
        chosen = parse_rfc3339(text.strip())
    except ValueError as error:
        raise UsageError(
            f"LAPSE_NOW={text!r} is not an RFC 3339 instant", hint="Write it like 2026-11-22T10:00:00Z."
        ) from error
    if chosen > real:
        raise UsageError(
            f"LAPSE_NOW={text} is later than the real time {rfc3339_second(real)}",
            hint="LAPSE_NOW replays the past; it cannot bring deadlines forward.",
        )
    return chosen


def monotonic() -> float:
    """Seconds on a clock that only goes forward, for durations and budgets."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Do nothing for that long; a signal handler that raises ends it."""
    time.sleep(seconds)


def local_zone() -> tzinfo:
    """The machine's time zone, with its changes of the clock: ``TZ``, else ``/etc/localtime``, else UTC."""
    try:
        name = os.environ.get("TZ", "").removeprefix(":")
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
