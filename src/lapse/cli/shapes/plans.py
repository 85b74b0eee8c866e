"""Plans and reports of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapse.model.growth import Growth
from lapse.model.guards import Guard
from lapse.model.reclaim import Space
from lapse.model.report import Status
from lapse.model.rotation import Step
from lapse.model.selection import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a dataset is incomplete.

    Attributes:
        message: What went wrong and where.
        hint: What to do next. Null if nothing can be said.
    """

    message: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGroup:
    """Records of a dataset with one verdict, one reason and one tenant.

    Attributes:
        verdict: What becomes of them.
        reason: Why, in words.
        rule: Number of the rule that decided, from 1. Null if none did.
        tenant: Their tenant. Null where there is none.
        records: How many.
        size: Bytes of their content.
        oldest: Earliest record time. Null if none could be read.
        newest: Latest record time. Null if none could be read.
        archives: Archives that hold them before they go; empty under a waiver. Null unless they lapsed.
    """

    verdict: Verdict
    reason: str
    rule: int | None
    tenant: str | None
    records: int
    size: int
    oldest: str | None
    newest: str | None
    archives: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusingGuard:
    """A guard that would refuse a run.

    Attributes:
        guard: Its name, by which `lapse run --allow` passes it by.
        finding: The figures and the limit, in words.
    """

    guard: Guard
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryShown:
    """The first slice under new rules, which was checked before the next one.

    Attributes:
        records: How many.
        rules: Names of the new rules.
        oldest: Earliest record time. Null if none had one.
        newest: Latest record time. Null if none had one.
    """

    records: int
    rules: Sequence[str]
    oldest: str | None
    newest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDataset:
    """What a run would do to one dataset.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        clock: Column or key of the record time, from which ages are counted.
        fingerprint: Which store, table and columns were looked at.
        cutoffs: For each rule the first instant it keeps. Null keeps for ever.
        groups: Every group of records, those that go first.
        records: All records.
        lapsed: Records that would go.
        lapsed_size: Bytes of those.
        segments: Archive segments that a run would write, about.
        notes: Remarks.
        refusal: Why nothing would be removed here whatever the rules say. Null if there is no obstacle.
        unsealable: Why this plan cannot be sealed. Null if it can.
        guards: Guards that would refuse a run.
    """

    dataset: str
    store: str
    clock: str
    fingerprint: str
    cutoffs: Sequence[str | None]
    groups: Sequence[PlannedGroup]
    records: int
    lapsed: int
    lapsed_size: int
    segments: int
    notes: Sequence[str]
    refusal: str | None
    unsealable: str | None
    guards: Sequence[RefusingGuard]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """Of `lapse plan`: what a run would do.

    Attributes:
        now: The instant that decides.
        policy: Hash of the policy.
        lapsed: Records that would go, over all datasets.
        datasets: In the order of the policy.
        sealed: File of the sealed plan. Null without `-o`.
    """

    now: str
    policy: str
    lapsed: int
    datasets: Sequence[PlannedDataset]
    sealed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationStep:
    """One step of the rotation of a log.

    Attributes:
        step: What was done, or is due.
        log: Path of the log.
        file: Path of the file with its lines afterwards.
        size: Bytes of that file.
        why: Why it was done, or what it waits for.
    """

    step: Step
    log: str
    file: str
    size: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDataset:
    """What a run did to one dataset.

    Attributes:
        dataset: Its name.
        status: How it ended.
        records: Records removed.
        size: Bytes of their content.
        rules: Records removed by rule.
        segments: Segments written, over all archives.
        slices: Committed slices.
        waived: Records removed without a copy, as the policy says.
        recovered: Disposals of an interrupted run that this run entered into the ledger.
        cleared: Orphan segments of an interrupted run that this run removed.
        files: Files removed after the rows that named them.
        files_left: Files that could not be removed, though their rows are gone.
        remaining: Lapsed records that are still there. Null if not counted.
        ended: Why the run ended before this dataset was done: a budget, a stop file, a signal. Null if it did not.
        canary: The first slice under new rules, once it was verified. Null if no rule was new.
        waited: Seconds in which the run waited for others.
        waited_for: What the longest of these waits was for. Null if there was none.
        rested: Seconds in which the run rested between slices, as the pace says.
        space: What the store's files hold afterwards. Null if nothing was removed, or the store cannot tell.
        rotation: Steps of rotations of its logs; in a dry run, what is due.
        growth: How its files grow. Null if its store has none of its own.
        seconds: Wall time.
        trouble: Why it is incomplete. Null if it is not.
        plan: What was planned. Null if the run did not get that far.
    """

    dataset: str
    status: Status
    records: int
    size: int
    rules: Mapping[str, int]
    segments: int
    slices: int
    waived: int
    recovered: int
    cleared: int
    files: int
    files_left: int
    remaining: int | None
    ended: str | None
    canary: CanaryShown | None
    waited: float
    waited_for: str | None
    rested: float
    space: Space | None
    rotation: Sequence[RotationStep]
    growth: Growth | None
    seconds: float
    trouble: Trouble | None
    plan: PlannedDataset | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Of `lapse run`: what a run did, or with `--dry-run` would do.

    Attributes:
        run: Run id.
        now: The instant that decided.
        dry: Whether it only looked: nothing was changed.
        records: Records removed.
        remaining: Lapsed records that are still there, as far as they were counted.
        ended: Why the run ended early. Null if it did not.
        datasets: In the order of the policy.
        seconds: Wall time.
        ledger_entries: Entries in the ledger afterwards. Null for a dry run.
        head: Hash of the ledger's last entry. Null for a dry run.
    """

    run: str
    now: str
    dry: bool
    records: int
    remaining: int
    ended: str | None
    datasets: Sequence[RunDataset]
    seconds: float
    ledger_entries: int | None
    head: str | None
