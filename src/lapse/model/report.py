"""What a run did, and what is known between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lapse.errors import ExitCode, LapseError
from lapse.instant import Nanos
from lapse.model.disposal import Share
from lapse.model.growth import Growth
from lapse.model.plan import DatasetPlan
from lapse.model.ramp import Canary
from lapse.model.reclaim import Space
from lapse.model.rotation import Turn


class Status(Enum):
    """How a dataset ended."""

    DONE = "done"
    NOTHING = "nothing to do"
    ENDED = "ended early"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """An error as reports carry it.

    Attributes:
        message: What and where.
        hint: What to do next. None if nothing can be said.
        kind: The class of the error. None if there was no error as such.
    """

    message: str
    hint: str | None = None
    kind: type[LapseError] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What a run did to one dataset.

    Attributes:
        dataset: Its name.
        status: How it ended.
        records: Records removed.
        size: Bytes of their content.
        rules: Records removed by rule text.
        shares: Records removed by rule and tenant.
        segments: Segments written, over all archives.
        slices: Committed slices.
        waived: Records removed without a copy, as the policy says.
        recovered: Disposals of an earlier, interrupted run that this run completed in the ledger.
        cleared: Orphan segments of an earlier run that this run removed.
        files: Files removed after the rows that named them.
        files_left: Files that could not be removed, though their rows are gone.
        remaining: Lapsed records that are still there. None if not counted.
        ended: Why the run ended before this dataset was done: a budget, a stop file, a signal. None if it did not.
        canary: The first slice under new rules, once it was checked. None if no rule was new.
        waited: Seconds in which the run waited for others.
        waited_for: What the longest of these waits was for. None if there was none.
        rested: Seconds in which the run rested between slices, as the pace says.
        space: What the store's files hold afterwards. None if nothing was removed, or the store cannot tell.
        turns: Steps of rotations, in order; of a dry run those that are due.
        growth: How its files grow. None if its store has none, or they could not be looked at.
        seconds: Wall time.
        trouble: Why it is incomplete. None if it is not.
        plan: What was planned.
    """

    dataset: str
    status: Status
    records: int = 0
    size: int = 0
    rules: Mapping[str, int] = field(default_factory=dict)
    shares: tuple[Share, ...] = field(default=(), repr=False)
    segments: int = 0
    slices: int = 0
    waived: int = 0
    recovered: int = 0
    cleared: int = 0
    files: int = 0
    files_left: int = 0
    remaining: int | None = None
    ended: str | None = None
    canary: Canary | None = None
    waited: float = 0.0
    waited_for: str | None = None
    rested: float = 0.0
    space: Space | None = None
    turns: tuple[Turn, ...] = ()
    growth: Growth | None = None
    seconds: float = 0.0
    trouble: Trouble | None = None
    plan: DatasetPlan | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did.

    Attributes:
        run: Run id.
        now: The instant that decided.
        dry: Whether it only looked.
        datasets: In policy order.
        warnings: Remarks that do not change the outcome.
        seconds: Wall time.
        ledger_entries: Entries in the ledger afterwards. None for a dry run.
        head: Hash of the ledger's last entry. None for a dry run.
    """

    run: str
    now: Nanos
    dry: bool
    datasets: tuple[DatasetReport, ...]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    ledger_entries: int | None = None
    head: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        """0, or 1 if a dataset is incomplete."""
        incomplete = any(report.status is Status.INCOMPLETE for report in self.datasets)
        return ExitCode.INCOMPLETE if incomplete else ExitCode.DONE

    @property
    def records(self) -> int:
        """Records removed."""
        return sum(report.records for report in self.datasets)

    @property
    def remaining(self) -> int:
        """Lapsed records that are still there, as far as they were counted."""
        return sum(report.remaining or 0 for report in self.datasets)

    @property
    def ended(self) -> str | None:
        """Why the run ended early. None if it did not."""
        return next((report.ended for report in self.datasets if report.ended is not None), None)
