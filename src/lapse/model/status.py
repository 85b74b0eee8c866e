"""How everything stands between runs: what the last runs did, what is overdue, what someone should look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lapse.errors import ExitCode
from lapse.instant import SECOND, Nanos
from lapse.model.drift import Drift, Terms
from lapse.model.growth import Growth as Growth
from lapse.model.report import Status


class Ended(Enum):
    """How a run ended for one dataset; the first three are successes."""

    DONE = Status.DONE.value
    NOTHING = Status.NOTHING.value
    EARLY = Status.ENDED.value
    INCOMPLETE = Status.INCOMPLETE.value
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def is_success(self) -> bool:
        """Whether the run did what it was to do, be it only as far as its budget went."""
        return self in (Ended.DONE, Ended.NOTHING, Ended.EARLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Records of one rule that should be gone.

    Attributes:
        rule: The rule's text.
        deadline: When the oldest of them lapsed. None if there is none.
        records: How many there were when it was measured.
    """

    rule: str
    deadline: Nanos | None = None
    records: int = 0

    def seconds(self, now: Nanos) -> float:
        """How long the oldest of them is past its deadline at *now*; 0 if there is none."""
        return 0.0 if self.deadline is None else max(0.0, (now - self.deadline) / SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found in a store.

    Attributes:
        at: When, real time.
        records: All records.
        size: Bytes of their content.
        overdue: One for each rule that ever removes anything, in policy order.
        doubtful: Records that cannot be judged, and are kept.
        held: Records that a hold keeps.
        remaining: Lapsed records that are there.
    """

    at: Nanos
    records: int
    size: int
    overdue: tuple[Overdue, ...]
    doubtful: int
    held: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """What one run meant for one dataset.

    Attributes:
        run: Run id.
        began: When the run began, real time.
        at: When it ended, real time.
        ended: How.
        exit: Exit code of the run.
        records: Records removed.
        size: Bytes of their content.
        seconds: Wall time spent on the dataset; 0 if the run did not come to it.
        trouble: Why it is no success. None if it is one.
        hint: What to do about that. None if nothing can be said.
        measured: What is there afterwards, as far as the run knows. None if it did not get so far.
        terms: What decided. None if it did not get so far.
    """

    run: str
    began: Nanos
    at: Nanos
    ended: Ended
    exit: ExitCode = ExitCode.DONE
    records: int = 0
    size: int = 0
    seconds: float = 0.0
    trouble: str | None = None
    hint: str | None = None
    measured: Measured | None = None
    terms: Terms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is remembered of a dataset.

    Attributes:
        last: Its last run. None if there was none.
        success: Its last run that was a success. None if there was none.
        measured: What was found last. None if nothing was ever measured.
    """

    last: PastRun | None = None
    success: PastRun | None = None
    measured: Measured | None = None

    def then(self, run: PastRun) -> Past:
        """The past once *run* has ended."""
        return Past(
            last=run, success=run if run.ended.is_success else self.success, measured=run.measured or self.measured
        )


class ProblemKind(Enum):
    """What kind of problem it is."""

    MISSED = "missed"
    FAILED = "failed"
    OVERDUE = "overdue"
    UNSETTLED = "unsettled"
    GROWTH = "growth"
    HOLDS = "holds"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that someone must look at.

    Attributes:
        kind: What kind.
        dataset: The dataset concerned. None if it is not about one.
        message: What, one sentence.
        fix: The command that fixes it, or shows why it is so.
    """

    kind: ProblemKind
    dataset: str | None
    message: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStatus:
    """What is known of a dataset between runs.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        past: What is remembered of its runs, or was measured just now.
        missed: Due times at which no run succeeded, the oldest first; empty without a schedule.
        total_records: Records removed in all runs, by the ledger.
        pending: Slices of an interrupted run that the next run settles.
        growth: How its files grow. None if that is not known.
        drift: What has changed in its rules since its last successful run. None if nothing has, or if nobody knows.
    """

    dataset: str
    store: str
    past: Past
    missed: tuple[Nanos, ...]
    total_records: int
    pending: int
    growth: Growth | None = None
    drift: Drift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What is known between runs.

    Attributes:
        policy: Policy file, absolute.
        now: The instant for which deadlines are looked at.
        datasets: In policy order.
        next_run: When the schedule wants the next run, jitter not counted. None without a schedule.
        working: Ids of the runs that are at work.
        holds: Matters of active holds.
        ledger: Ledger id. None if there is no ledger yet.
        ledger_entries: Number of entries.
        head: Hash of the last entry. None without a ledger.
        archives: By name, the number of the newest checkpoint there; None if there is none or it is out of reach.
        problems: What someone must look at, in policy order, then what is not about a dataset.
        warnings: Remarks that do not change the outcome.
    """

    policy: str
    now: Nanos
    datasets: tuple[DatasetStatus, ...]
    next_run: Nanos | None
    working: tuple[str, ...]
    holds: tuple[str, ...]
    ledger: str | None
    ledger_entries: int
    head: str | None
    archives: Mapping[str, int | None]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if there is a problem, else 0."""
        return ExitCode.INCOMPLETE if self.problems else ExitCode.DONE
