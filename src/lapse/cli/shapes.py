"""The JSON that ``--json`` prints: one envelope for every command, and what stands in its ``result``.

These classes are the documented form; docs/reference/output.schema.json is generated from them. Instants are
RFC 3339 in UTC with up to nine fraction digits, sizes are bytes, and what has no value is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Layer, Status, StatusReport
from lapse.model.selection import Verdict

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong with a policy.

    Attributes:
        where: File, line and column.
        message: What is wrong, with the offending text.
        hint: What to write instead. Null if there is nothing to say.
    """

    where: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a command could not give a result.

    Attributes:
        kind: Class of the error, such as `PolicyError`.
        message: What went wrong, one sentence.
        hint: What to do next. Null if nothing can be said.
        where: File, line and column of the policy that asked for it. Null where no policy is involved.
        complaints: Everything that is wrong with the policy, in file order; empty for any other error.
    """

    kind: str
    message: str
    hint: str | None
    where: str | None
    complaints: Sequence[Complaint]


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
class PlannedDataset:
    """What a run would do to one dataset.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
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
    """

    dataset: str
    store: str
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
        remaining: Lapsed records that are still there. Null if not counted.
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
    remaining: int | None
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
        datasets: In the order of the policy.
        seconds: Wall time.
        ledger_entries: Entries in the ledger afterwards. Null for a dry run.
        head: Hash of the ledger's last entry. Null for a dry run.
    """

    run: str
    now: str
    dry: bool
    records: int
    datasets: Sequence[RunDataset]
    seconds: float
    ledger_entries: int | None
    head: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why one record is still there.

    Attributes:
        dataset: Dataset name.
        key: The record, as its store names it.
        time: Its time. Null if it cannot be read.
        verdict: What becomes of it.
        reason: Why, in words.
        lapses: When it lapses, or did. Null if never, or not known.
        layers: Every step that was looked at, in order; at most one of them decided.
        values: The fields that the policy uses, as text.
    """

    dataset: str
    key: str
    time: str | None
    verdict: str
    reason: str
    lapses: str | None
    layers: Sequence[Layer]
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyResult:
    """Of `lapse why`: every record that has the key.

    Attributes:
        records: At least one.
    """

    records: Sequence[Explained]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A field that a record must have one of some values in.

    Attributes:
        field: The role `type` or `tenant`, a column, or a path into JSON.
        values: Texts, any of which matches.
        globs: Patterns, any of which matches too.
    """

    field: str
    values: Sequence[str]
    globs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldShown:
    """An order to keep records.

    Attributes:
        matter: Case reference; names the hold.
        reason: Why.
        dataset: The dataset held. Null holds all.
        match: Conditions that its records fulfil; empty holds all of them.
        since: From when the order applies. Null applies from always.
        until: From when it no longer does. Null while the hold is open.
        records_from: Holds only records of this time or later. Null has no such bound.
        records_before: Holds only records earlier than this. Null has no such bound.
        active: Whether it applies now.
        where: Where in the policy or in `holds/` it is written. Null if that is not known.
    """

    matter: str
    reason: str
    dataset: str | None
    match: Sequence[Condition]
    since: str | None
    until: str | None
    records_from: str | None
    records_before: str | None
    active: bool
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldListResult:
    """Of `lapse hold list`.

    Attributes:
        holds: Those of the policy, then those of `holds/`.
    """

    holds: Sequence[HoldShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAddResult:
    """Of `lapse hold add`.

    Attributes:
        hold: The new hold, in force.
        file: The folder its file lies in.
    """

    hold: HoldShown
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleaseResult:
    """Of `lapse hold release`.

    Attributes:
        matter: The hold that is no longer in force.
    """

    matter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One entry of the ledger, as it is written there.

    Attributes:
        n: Its number, from 0.
        prev: Hash of the entry before it.
        ledger: Ledger id.
        kind: What it is about.
        at: Real time.
        body: The facts; docs/format.md describes them for each kind.
        key: Id of the signing key.
        hash: SHA-256 of the entry.
        signature: Ed25519 over that hash.
    """

    n: int
    prev: str
    ledger: str
    kind: EntryKind
    at: str
    body: Mapping[str, Any]
    key: str
    hash: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerShowResult:
    """Of `lapse ledger show`.

    Attributes:
        entries: In order, the oldest first.
    """

    entries: Sequence[LedgerLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustResult:
    """Of `lapse trust`.

    Attributes:
        dataset: Dataset name.
        fingerprint: What is trusted from now on.
    """

    dataset: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionResult:
    """Of `lapse --version`.

    Attributes:
        version: Version of the program.
    """

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every command prints with `--json`: exactly one object, whatever happens.

    Attributes:
        lapse: Version of this form.
        command: The command, such as `archive query`; empty if none was recognised.
        exit: The exit code, as the process answers it.
        result: What the command found or did. Null if it failed before it could say.
        warnings: Remarks that do not change the outcome.
        error: Why there is no result. Null if there is one.
    """

    lapse: Literal[1] = 1
    command: str
    exit: int
    result: Any
    warnings: Sequence[str]
    error: Failure | None


RESULTS: Mapping[str, type] = {
    "plan": PlanResult,
    "run": RunResult,
    "why": WhyResult,
    "status": StatusReport,
    "hold add": HoldAddResult,
    "hold release": HoldReleaseResult,
    "hold list": HoldListResult,
    "ledger show": LedgerShowResult,
    "trust": TrustResult,
    "": VersionResult,
}
"""The class of `result` by command."""
