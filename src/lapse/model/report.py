"""What a run did, and what is known between runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lapse.errors import ExitCode
from lapse.instant import Nanos
from lapse.model.plan import DatasetPlan
from lapse.model.reclaim import Space


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
    """

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What a run did to one dataset.

    Attributes:
        dataset: Its name.
        status: How it ended.
        records: Records removed.
        size: Bytes of their content.
        rules: Records removed by rule text.
        segments: Segments written, over all archives.
        slices: Committed slices.
        waived: Records removed without a copy, as the policy says.
        recovered: Disposals of an earlier, interrupted run that this run completed in the ledger.
        cleared: Orphan segments of an earlier run that this run removed.
        files: Files removed after the rows that named them.
        files_left: Files that could not be removed, though their rows are gone.
        remaining: Lapsed records that are still there. None if not counted.
        ended: Why the run ended before this dataset was done: a budget, a stop file, a signal. None if it did not.
        waited: Seconds in which the run waited for others.
        waited_for: What the longest of these waits was for. None if there was none.
        rested: Seconds in which the run rested between slices, as the pace says.
        space: What the store's files hold afterwards. None if nothing was removed, or the store cannot tell.
        seconds: Wall time.
        trouble: Why it is incomplete. None if it is not.
        plan: What was planned.
    """

    dataset: str
    status: Status
    records: int = 0
    size: int = 0
    rules: Mapping[str, int] = field(default_factory=dict)
    segments: int = 0
    slices: int = 0
    waived: int = 0
    recovered: int = 0
    cleared: int = 0
    files: int = 0
    files_left: int = 0
    remaining: int | None = None
    ended: str | None = None
    waited: float = 0.0
    waited_for: str | None = None
    rested: float = 0.0
    space: Space | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One step of a decision, as `why` shows it.

    Attributes:
        name: What was looked at: doubt, holds, a rule, a floor, the cutoff.
        finding: What was found there.
        decided: Whether this step decided.
    """

    name: str
    finding: str
    decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a record is still there, or not.

    Attributes:
        dataset: Dataset name.
        key: The record, as the store names it.
        instant: Its time. None if it cannot be read.
        verdict: What becomes of it.
        reason: Why, in one phrase.
        lapses: When it lapses, or did. None if never, or not known.
        layers: Every step looked at, in order.
        values: The fields that the policy uses.
    """

    dataset: str
    key: str
    instant: Nanos | None
    verdict: str
    reason: str
    lapses: Nanos | None
    layers: tuple[Layer, ...]
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStatus:
    """What is known of a dataset between runs.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        last_run: Run id of the last run that touched it. None if there was none.
        last_status: How that ended. None if there was none.
        last_at: When it ended, RFC 3339. None if there was none.
        last_records: Records it removed.
        total_records: Records removed in all runs, by the ledger.
        pending: Slices of an interrupted run that the next run settles.
        trouble: Why the last run was incomplete. None if it was not.
    """

    dataset: str
    store: str
    last_run: str | None
    last_status: str | None
    last_at: str | None
    last_records: int
    total_records: int
    pending: int
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What is known between runs.

    Attributes:
        policy: Policy file.
        datasets: In policy order.
        holds: Matters of active holds.
        ledger: Ledger id. None if there is no ledger yet.
        ledger_entries: Number of entries.
        head: Hash of the last entry. None without a ledger.
        archives: By name, the number of the newest checkpoint there; None if there is none or it is out of reach.
        warnings: What someone should look at.
    """

    policy: str
    datasets: tuple[DatasetStatus, ...]
    holds: tuple[str, ...]
    ledger: str | None
    ledger_entries: int
    head: str | None
    archives: Mapping[str, int | None]
    warnings: tuple[str, ...]
