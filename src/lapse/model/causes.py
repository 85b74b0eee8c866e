"""Why less is removed from a dataset than someone expects: causes, ranked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lapse.instant import Nanos


class Weight(Enum):
    """What a cause does; in the order in which causes are told."""

    BLOCKS = "blocks"
    STOPPED = "stopped"
    KEEPS = "keeps"
    SLOWS = "slows"
    HINTS = "hints"


class CauseKind(Enum):
    """What kind of cause it is."""

    STORE = "store cannot be read"
    REFUSED = "store refused"
    CHANGED = "store changed"
    GUARD = "guard"
    CLOCK = "clock"
    LEDGER = "ledger"
    HOLDS = "holds"
    STATE = "state"
    ARCHIVE = "archive"
    LEASE = "lease"
    STOP_FILE = "stop file"
    PAUSED = "paused"
    WAITS = "waits for others"
    UNSETTLED = "unsettled"
    FAILED = "last run failed"
    HOLD = "hold"
    FLOOR = "floor"
    FOREVER = "forever"
    NEWEST = "keep last"
    WRITERS = "writers"
    NOT_YET = "not lapsed yet"
    UNMATCHED = "no rule matches"
    DOUBT = "doubtful"
    DEPENDENTS = "dependents"
    RAMP = "ramp"
    BUDGET = "budget"
    THROTTLE = "throttle"
    INDEX = "index"
    MISSED = "missed runs"
    UNSCHEDULED = "not scheduled"
    NEVER_RUN = "never run"
    DRIFT = "rules changed"
    EMPTY = "no records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why records are still there.

    Attributes:
        kind: What kind.
        weight: Whether it stops the next run, stopped earlier ones, keeps records, makes runs slow, or only explains.
        message: What is so, one sentence without a full stop.
        fix: A command that changes it, or shows more of it.
        records: How many records it keeps. None if it is not about certain records.
    """

    kind: CauseKind
    weight: Weight
    message: str
    fix: str
    records: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Why nothing, or less than expected, is being removed from a dataset.

    Attributes:
        dataset: Its name.
        now: The instant that decides.
        records: All records. None if they could not be counted.
        lapsed: Those that have lapsed. None if they could not be counted.
        causes: What stands in the way: what stops runs first, then what keeps most records.
    """

    dataset: str
    now: Nanos
    records: int | None
    lapsed: int | None
    causes: tuple[Cause, ...]

    @property
    def blocked(self) -> bool:
        """Whether the next run would remove nothing because of a cause that stops it."""
        return any(cause.weight is Weight.BLOCKS for cause in self.causes)


def ranked(causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """*causes* with those that stop runs first, then by how many records they keep; else in the order found."""
    order = list(Weight)
    return tuple(sorted(causes, key=lambda cause: (order.index(cause.weight), -(cause.records or 0))))
