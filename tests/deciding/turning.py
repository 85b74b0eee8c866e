"""Where decisions turn: a `now` at an awkward moment, and every instant around which an outcome changes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lapse.instant import DAY, SECOND, Nanos, parse_rfc3339
from lapse.model.period import Period, parse_period
from lapse.model.selection import SKEW

HOUR = 3600 * SECOND

NOWS = (
    "2026-11-22T10:00:00Z",
    "2024-02-29T12:00:00.123456789Z",  # a leap day
    "2024-12-31T23:59:59.999999Z",  # the end of a leap year
    "2026-03-31T00:00:00Z",  # a month before it is no 31 February
    "2026-03-29T01:00:00Z",  # Berlin's clocks go forward now
    "2026-03-30T00:30:00.000001Z",  # a day after an hour that Berlin skipped
    "2026-10-26T01:30:00Z",  # a day after an hour that Berlin had twice
    "2026-11-01T06:00:00Z",  # New York's clocks go back now
    "2026-03-09T06:30:00.999999999Z",  # a day after an hour that New York skipped
    "2025-12-31T10:00:00Z",  # the year begins in Kiritimati
    "2000-03-01T00:00:00Z",  # a century's leap year
    "2100-03-31T23:59:59Z",  # a century without one
)
"""Moments at which periods are easily miscounted."""

ZONES = (None, "UTC", "Pacific/Kiritimati", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe")
"""None is what a dataset without `time zone:` has."""

PERIODS = (
    "1 second", "90 seconds", "5 minutes", "36 hours", "1 day", "30 days", "365 days", "2 weeks", "1 month",
    "12 months", "6 years", "P1Y6M", "P1M1D", "PT36H", "P2W", "P1Y2M3DT4H5M6S", "1 whole day", "30 whole days",
    "1 calendar day in Europe/Berlin", "30 calendar days in America/New_York",
    "7 calendar days in Pacific/Kiritimati", "2 calendar days in UTC", "9000 years", "no time", "forever",
)  # fmt: skip
"""Every form of a period that a policy knows."""

_SHIFTS = (
    *(0, 0, 1, -1, 1000, -1000, 999, -999, 10**6, -(10**6), SECOND, -SECOND, HOUR // 2, -HOUR // 2, HOUR, -HOUR),
    *(DAY, -DAY, DAY - 1, 1 - DAY, 14 * HOUR, -12 * HOUR, -400_000, -100_000),
)
_DOUBTS = (None, parse_rfc3339("1990-01-01T00:00:00Z"), parse_rfc3339("2020-02-29T23:59:59.999999999Z"))


@dataclass(frozen=True, kw_only=True)
class Turning:
    """One `now`, and what may be decided at it.

    Attributes:
        now: The run's one ``now``.
        real_now: The real time; later than *now* in a replay.
        periods: The periods that rules and floors choose from.
        windows: The bounds that holds choose from.
        doubt_before: Where doubt about old times ends. None doubts none for their age.
    """

    now: Nanos
    real_now: Nanos
    periods: tuple[Period, ...]
    windows: tuple[Nanos, ...]
    doubt_before: Nanos | None

    @property
    def edges(self) -> tuple[Nanos, ...]:
        """Every instant at which an outcome can change."""
        cutoffs = [period.cutoff(self.now) for period in self.periods]
        doubts = [self.doubt_before, Nanos(self.real_now + SKEW), Nanos(0)]
        return tuple(edge for edge in (*cutoffs, *self.windows, *doubts, self.now) if edge is not None)

    def instant(self, rng: Random) -> Nanos:
        """An instant at an edge, or near one."""
        return Nanos(rng.choice(self.edges) + rng.choice(_SHIFTS))


def turning(rng: Random) -> Turning:
    """A `now` with eight periods and four windows; `forever` and `no time` are always among the periods."""
    now = Nanos(parse_rfc3339(rng.choice(NOWS)) + rng.choice((0, 0, 1, 999, -1)))
    chosen = {*rng.sample(PERIODS[:-2], 6), *PERIODS[-2:]}
    return Turning(
        now=now,
        real_now=Nanos(now + rng.choice((0, 0, 40 * DAY))),
        periods=tuple(map(parse_period, sorted(chosen))),
        windows=tuple(sorted(Nanos(now - rng.randrange(400) * DAY // 4 - rng.choice((0, 1, 1000))) for _ in range(4))),
        doubt_before=rng.choice(_DOUBTS),
    )
