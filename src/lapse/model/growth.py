"""How large a dataset's files are, how fast they grow, and what that comes to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lapse.instant import DAY, Nanos

SHORTEST = 3600 * 1_000_000_000
"""Nanoseconds: over less than an hour, what came in says little about a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a look at a dataset's files tells.

    Attributes:
        size: Bytes of all of them.
        files: How many.
        free: Bytes free on their disk for this user. None if it cannot be seen.
        line: Bytes of a line on average, in the newest file. None if there is none.
        rate: Bytes that came into the newest file a day, by the times of its first and last records. None if
            that cannot be told, or if they are less than an hour apart.
    """

    size: int
    files: int
    free: int | None
    line: float | None
    rate: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The size of a dataset's files around something that Lapse did to them.

    Attributes:
        at: When, real time.
        before: Bytes before it.
        after: Bytes after it.
    """

    at: Nanos
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a dataset's files grow.

    Attributes:
        size: Bytes they have now.
        files: How many there are. None if that is not known.
        lines_a_day: Lines that come in a day, on average. None if that is not known yet.
        bytes_a_day: Bytes that come in a day, on average. None if that is not known yet.
        days_to_full: Days until the disk is full at that rate. None if it does not fill up, or is not known.
        warn_at: Bytes from which the policy wants a warning. None if it wants none.
    """

    size: int
    files: int | None = None
    lines_a_day: float | None = None
    bytes_a_day: float | None = None
    days_to_full: float | None = None
    warn_at: int | None = None

    @property
    def over(self) -> bool:
        """Whether the size has come to what the policy warns at."""
        return self.warn_at is not None and self.size >= self.warn_at


def bytes_a_day(samples: Sequence[Sample], *, size: int, at: Nanos) -> float | None:
    """Bytes that come in a day: what the files grew by from one sample to the next, and since the last one.

    Arguments:
        samples: In the order of their times.
        size: Bytes of the files now.
        at: Now.

    Returns:
        The average. None if the samples cover less than an hour.
    """
    seen = [*samples, Sample(at, size, size)]
    span = at - seen[0].at
    if span < SHORTEST:
        return None
    # Where a file was taken away by others, less is there than before: that is no growth, and no shrinking either.
    grown = sum(max(0, later.before - earlier.after) for earlier, later in itertools.pairwise(seen))
    return grown * DAY / span
