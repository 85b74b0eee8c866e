"""When runs are to happen: words of a policy in, instants and the fields of a cron line out.

Every schedule is five cron fields with a jitter, so that systemd, cron, Kubernetes and the daemon mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice, pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from lapse.errors import PolicyError
from lapse.instant import SECOND, Nanos, from_datetime, to_datetime
from lapse.model.span import parse_span

if TYPE_CHECKING:
    from cronsim import CronSim

SLACK = 2 * 3600.0
"""Seconds that a run may be late, and last, before it counts as missed, unless the policy says otherwise."""
_WALL = re.compile(r"(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])")
_FIELDS = re.compile(r"[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}")
_EXTENSIONS = re.compile(r"(?i)(^|[ ,])L|[0-9]L|LW")
_EVERY = "Write minutes that divide an hour or hours that divide a day: `15 minutes`, `6 hours`; else use `cron`."
_MOST_COUNTED = 1000
_LEAP_DAY = datetime(2024, 2, 29, tzinfo=UTC)
_LOOKED_AT = 400  # due times, enough to meet the shortest gap of any schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When runs are to happen.

    Attributes:
        text: As the policy says it, such as ``daily at 02:00``.
        cron: Five cron fields, separated by single spaces.
        jitter: Seconds by which a start may be moved back at random, 0 for none.
        slack: Seconds that a run may take or be late, the jitter aside, before it counts as missed.
        zone: IANA zone of the fields. None is the machine's own.
    """

    text: str
    cron: str
    jitter: float = 0.0
    slack: float = SLACK
    zone: str | None = None

    def next_after(self, instant: Nanos, *, local: tzinfo) -> Nanos:
        """The first due time later than *instant*, jitter not counted; *local* is the machine's zone."""
        return next(self._due(instant, local))

    def last_until(self, instant: Nanos, *, local: tzinfo) -> Nanos:
        """The last due time that is not later than *instant*, jitter not counted; *local* is the machine's zone."""
        return next(due for due in self._due(Nanos(instant + SECOND), local, reverse=True) if due <= instant)

    def missed(self, *, since: Nanos, now: Nanos, local: tzinfo) -> tuple[Nanos, ...]:
        """Due times after *since* at which a run should be over by *now*, the oldest first; 1,000 at most."""
        settled = now - round((self.jitter + self.slack) * SECOND)
        found = []
        for due in islice(self._due(since, local), _MOST_COUNTED):
            if due > settled:
                break
            found.append(due)
        return tuple(found)

    def shortest_gap(self) -> float:
        """Seconds between the two due times of a year or so that lie closest."""
        due = islice(self._due(from_datetime(_LEAP_DAY), UTC), _LOOKED_AT)
        return min((later - earlier) / SECOND for earlier, later in pairwise(due))

    def _due(self, instant: Nanos, local: tzinfo, *, reverse: bool = False) -> Iterator[Nanos]:
        zone = local if self.zone is None else ZoneInfo(self.zone)
        start = to_datetime(instant).astimezone(zone)
        return (from_datetime(each.astimezone(UTC)) for each in _simulated(self.cron, start, reverse=reverse))


def _simulated(fields: str, start: datetime, *, reverse: bool = False) -> CronSim:
    from cronsim import CronSim

    return CronSim(fields, start, reverse=reverse)


def parse_daily(value: object) -> str:
    """The cron fields of a time of day such as ``02:00``.

    Raises:
        PolicyError: For anything else.
    """
    found = _WALL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise PolicyError(f"{_shown(value)} is no time of day", hint="Write it like `02:00`, from 00:00 to 23:59.")
    return f"{int(found['minute'])} {int(found['hour'])} * * *"


def parse_every(value: object) -> str:
    """The cron fields of a span that divides an hour or a day; it counts from midnight.

    Raises:
        PolicyError: For anything else.
    """
    seconds = parse_span(value)
    minutes, odd = divmod(seconds, 60)
    hours, rest = divmod(int(minutes), 60)
    if not odd and minutes < 60 and 60 % minutes == 0:
        return f"*/{int(minutes)} * * * *" if minutes > 1 else "* * * * *"
    if not odd and not rest and hours < 24 and 24 % hours == 0:
        return f"0 */{hours} * * *" if hours > 1 else "0 * * * *"
    if seconds == 86_400:
        return "0 0 * * *"
    raise PolicyError(f"{_shown(value)} does not divide a day into equal parts", hint=_EVERY)


def parse_cron(value: object) -> str:
    """Five cron fields that every cron reads, single spaces between them.

    Raises:
        PolicyError: For anything else: a nickname such as ``@daily``, six fields, ``L``, ``#``, a day that never comes.
    """
    from cronsim import CronSimError

    hint = "Write minute, hour, day of month, month and day of week, like `0 2 * * *`."
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not _FIELDS.fullmatch(text) or _EXTENSIONS.search(text):
        raise PolicyError(f"{_shown(value)} is not five fields that every cron reads", hint=hint)
    try:
        next(_simulated(text, _LEAP_DAY))
    except StopIteration:
        raise PolicyError(f"{_shown(value)} names a day that never comes", hint=hint) from None
    except CronSimError as error:
        raise PolicyError(f"{_shown(value)} is no cron line: {str(error).lower()}", hint=hint) from error
    return text


def _shown(value: object) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)
