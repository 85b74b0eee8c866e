"""Giving space back: what a store has allocated, what a rewrite would return, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lapse.errors import ExitCode
from lapse.instant import Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What the files of a dataset take up: its table, the indexes, and the tables that go with it.

    Attributes:
        allocated: Bytes the files have on disk.
        dead: Bytes of removed records that nothing can use before the store has cleaned up. None if not known.
        free: Bytes within the files that new records can use. None if not known.
        measured: How this was found out, for people.
    """

    allocated: int
    dead: int | None
    free: int | None
    measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a rewrite would do, before anything is done.

    Attributes:
        space: What is allocated now.
        returns: Bytes it would give back to the file system, about. 0 if it is not worth while.
        needs_free: Bytes it needs on disk meanwhile, beside what is allocated, at the utmost; where files lie on
            several disks, on the one where it is tightest.
        free: Bytes free on that disk. None if it cannot be seen from here.
        lock: What others cannot do meanwhile, for people.
        seconds: How long it takes, a guess from usual disks.
        blocked: Why it cannot be done at all. None if it can.
        notes: Remarks.
    """

    space: Space
    returns: int
    needs_free: int
    free: int | None
    lock: str
    seconds: float
    blocked: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rewrite is.

    Attributes:
        phase: What it does, for people.
        done: Bytes done in this phase. None if not known.
        total: Bytes to do in this phase. None if not known.
    """

    phase: str
    done: int | None = None
    total: int | None = None


class Reclaim(Enum):
    """How a dataset came out of ``lapse reclaim``."""

    PREDICTED = "predicted"
    REWRITTEN = "rewritten"
    NOTHING = "not worth while"
    NOT_OFFERED = "not offered"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReclaim:
    """What a rewrite of one dataset would do, or did.

    Attributes:
        dataset: Its name.
        outcome: How it came out.
        prediction: What was predicted. None if its store offers no rewrite.
        refusal: Why a rewrite would be refused. None if it would not.
        after: Bytes allocated afterwards. None if nothing was rewritten.
        seconds: Wall time of the rewrite.
        trouble: Why it is incomplete. None if it is not.
        hint: What to do next. None if there is nothing to say.
    """

    dataset: str
    outcome: Reclaim
    prediction: Prediction | None = None
    refusal: str | None = None
    after: int | None = None
    seconds: float = 0.0
    trouble: str | None = None
    hint: str | None = None

    @property
    def returned(self) -> int:
        """Bytes given back; negative if the files have grown."""
        if self.after is None or self.prediction is None:
            return 0
        return self.prediction.space.allocated - self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimReport:
    """What ``lapse reclaim`` predicts, or did.

    Attributes:
        at: Real time of its start.
        ran: Whether it was told to rewrite; else it only looked.
        datasets: In policy order.
        warnings: Remarks that do not change the outcome.
    """

    at: Nanos
    ran: bool
    datasets: tuple[DatasetReclaim, ...]
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """0, or 1 if a dataset is incomplete."""
        incomplete = any(each.outcome is Reclaim.INCOMPLETE for each in self.datasets)
        return ExitCode.INCOMPLETE if incomplete else ExitCode.DONE
