"""How everything stands between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapse.model.drift import RuleChange
from lapse.model.status import Ended, Growth, ProblemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRun:
    """What one run meant for a dataset.

    Attributes:
        run: Run id.
        began: When the run began.
        at: When it ended.
        status: How it ended for the dataset.
        exit: Exit code of the run.
        records: Records removed.
        size: Bytes of their content.
        seconds: Wall time spent on the dataset.
        trouble: Why it is no success. Null if it is one.
        hint: What to do about that. Null if nothing can be said.
    """

    run: str
    began: str
    at: str
    status: Ended
    exit: int
    records: int
    size: int
    seconds: float
    trouble: str | None
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOverdue:
    """Records of one rule that should be gone.

    Attributes:
        rule: The rule.
        deadline: When the oldest of them lapsed. Null if there is none.
        seconds: For how long that is past by now; 0 if there is none.
        records: How many there were when it was measured.
    """

    rule: str
    deadline: str | None
    seconds: float
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMeasured:
    """What was found in the store.

    Attributes:
        at: When.
        records: All records.
        size: Bytes of their content.
        overdue: For each rule that ever removes anything, what is past its deadline.
        doubtful: Records that cannot be judged, and are kept.
        held: Records that a hold keeps.
        remaining: Lapsed records that are there.
    """

    at: str
    records: int
    size: int
    overdue: Sequence[StatusOverdue]
    doubtful: int
    held: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDrift:
    """How what decides about a dataset differs from what its last successful run followed.

    Attributes:
        run: Id of that run.
        began: When it began.
        policy_then: Hash of the policy that it followed.
        policy_now: Hash of the policy.
        rules: Rules that are not what they were, as far as they are not too many.
        besides: What else has changed, in words.
        lapsed_now: Records that have lapsed. Null if they were not counted: `--survey` counts them.
        lapsed_then: Those that would have lapsed by now, had nothing been changed. Null if they were not counted.
    """

    run: str
    began: str
    policy_then: str
    policy_now: str
    rules: Sequence[RuleChange]
    besides: Sequence[str]
    lapsed_now: int | None
    lapsed_then: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDataset:
    """What is known of a dataset.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        last: Its last run. Null if there was none.
        success: Its last run that was a success. Null if there was none.
        measured: What the last run found, or with `--survey` what is there now. Null if nothing was ever measured.
        missed: Due times at which no run succeeded; empty without a schedule.
        total_records: Records removed in all runs, by the ledger.
        pending: Slices of an interrupted run that the next run settles.
        growth: How its files grow. Null if that is not known.
        drift: What has changed in its rules since its last successful run. Null if nothing has, or if nobody knows.
    """

    dataset: str
    store: str
    last: StatusRun | None
    success: StatusRun | None
    measured: StatusMeasured | None
    missed: Sequence[str]
    total_records: int
    pending: int
    growth: Growth | None
    drift: StatusDrift | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusProblem:
    """Something that someone must look at.

    Attributes:
        kind: What kind of problem it is.
        dataset: The dataset concerned. Null if it is not about one.
        message: What.
        fix: The command that fixes it, or shows why it is so.
    """

    kind: ProblemKind
    dataset: str | None
    message: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusResult:
    """Of `lapse status`: how everything stands.

    Attributes:
        policy: Policy file, absolute.
        now: The instant for which deadlines are looked at.
        datasets: In the order of the policy.
        next_run: When the schedule wants the next run, jitter not counted. Null without a schedule.
        working: Ids of the runs that are at work.
        holds: Matters of active holds.
        ledger: Ledger id. Null if there is no ledger yet.
        ledger_entries: Number of entries.
        head: Hash of the last entry. Null without a ledger.
        archives: By name, the number of the newest checkpoint there; null if there is none or it is out of reach.
        problems: What someone must look at; the exit code is 1 if there is one.
    """

    policy: str
    now: str
    datasets: Sequence[StatusDataset]
    next_run: str | None
    working: Sequence[str]
    holds: Sequence[str]
    ledger: str | None
    ledger_entries: int
    head: str | None
    archives: Mapping[str, int | None]
    problems: Sequence[StatusProblem]
