"""What a caller allows a run, from the words of the command line."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

from lapse import clock
from lapse.engine.limits import Limits
from lapse.errors import PolicyError, UsageError
from lapse.instant import SECOND, Nanos, parse_rfc3339, rfc3339, to_datetime
from lapse.model.span import parse_span

_WALL = re.compile(r"(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])")


def limits_of(
    *, rows: int | None, lasting: str | None, until: str | None, stop_file: Path | None, real_now: Nanos
) -> Limits:
    """The limits of a run; None is no limit.

    Arguments:
        rows: Of ``--rows``.
        lasting: Of ``--for``.
        until: Of ``--until``.
        stop_file: Of ``--stop-file``.
        real_now: The real time.

    Raises:
        UsageError: If one of them cannot be read, or is over already.
    """
    return Limits(
        rows=rows,
        seconds=None if lasting is None else span_of("--for", lasting),
        until=None if until is None else _until(until, real_now),
        stop_file=stop_file,
    )


def wait_at_random(jitter: str | None, *, stopping: Callable[[], bool]) -> None:
    """Wait for up to the span of ``--jitter``, so that many machines do not begin at once; a signal ends it.

    Raises:
        UsageError: If it is no span.
    """
    if jitter is None:
        return
    begin = clock.monotonic() + random_share(span_of("--jitter", jitter))
    while not stopping() and (left := begin - clock.monotonic()) > 0:
        clock.sleep(min(1.0, left))


def random_share(seconds: float) -> float:
    """A random part of *seconds*, to the millisecond."""
    return secrets.randbelow(round(seconds * 1000) + 1) / 1000


def span_of(option: str, text: str) -> float:
    """Seconds of a span that was written on the command line.

    Raises:
        UsageError: If it is none.
    """
    try:
        return parse_span(text)
    except PolicyError as error:
        raise UsageError(f"{option}: {error.message}", hint=error.hint) from error


def _until(text: str, real_now: Nanos) -> Nanos:
    """The next time the machine's clock on the wall shows *text*, or the instant that it names."""
    if wall := _WALL.fullmatch(text.strip()):
        return _next(time(int(wall["hour"]), int(wall["minute"])), real_now)
    try:
        instant = parse_rfc3339(text.strip())
    except ValueError as error:
        raise UsageError(
            f"--until: {text!r} is no time of day and no instant",
            hint="Write it like 06:00, or with its date and zone like 2026-11-22T06:00:00Z.",
        ) from error
    if instant <= real_now:
        raise UsageError(f"--until: {text} is over: it is {rfc3339(real_now)}", hint="Write an instant to come.")
    return instant


def _next(wall: time, real_now: Nanos) -> Nanos:
    """Where the clock shows it twice, the first; where it jumps over it, as if it had not jumped yet."""
    today = to_datetime(real_now).astimezone().date()
    days = (today + timedelta(days=number) for number in range(3))
    instants = (Nanos(int(datetime.combine(day, wall).timestamp()) * SECOND) for day in days)
    return next(instant for instant in instants if instant > real_now)
