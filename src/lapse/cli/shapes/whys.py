"""Why a record is still there, and why nothing goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapse.model.why import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyClock:
    """What a record's age is measured by.

    Attributes:
        field: Column or key of the record time.
        reading: How its values are read, where they do not say it themselves.
        now: The instant that decides.
    """

    field: str
    reading: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyDisposal:
    """A disposal that a record went by, or may have gone by.

    Attributes:
        at: When. Null if the ledger does not have it.
        run: Run id.
        rules: The rules it can have lapsed under; one where that is certain.
        records: Records of the segment, or of the whole disposal where there is no copy.
        oldest: Earliest record time among them. Null if none had one.
        newest: Latest record time among them. Null if none had one.
        method: How they were removed. Null if the ledger does not have it.
        of_tenant: How many of them were of the tenant that was asked for. Null if none was, or nobody knows.
        segment: Path of the segment that holds the copy. Null if the policy waived one.
        archives: Archives where that segment was found.
    """

    at: str | None
    run: str
    rules: Sequence[str]
    records: int
    oldest: str | None
    newest: str | None
    method: str | None
    of_tenant: int | None
    segment: str | None
    archives: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why one record is still there, or what became of it.

    Attributes:
        dataset: Dataset name.
        key: The record, as its store names it.
        time: Its time. Null if it cannot be read, or is not known.
        verdict: What becomes of it; `disposed` where only the archive has it, `unknown` where nobody can say.
        reason: Why, in words.
        lapses: When it lapses by rule and floors, or did. Null if never, or not known.
        layers: Every step that was looked at, in order; at most one of them decided.
        values: The fields that the policy uses, as text.
        clock: What its age is measured by.
        disposals: Its disposals, the earliest first; of an `unknown` record those that left no copy, the latest first.
        unread: What could not be looked into, each with the reason.
    """

    dataset: str
    key: str
    time: str | None
    verdict: str
    reason: str
    lapses: str | None
    layers: Sequence[Layer]
    values: Mapping[str, str | None]
    clock: WhyClock
    disposals: Sequence[WhyDisposal]
    unread: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyResult:
    """Of `lapse why` with a key: every record that has it.

    Attributes:
        records: At least one.
    """

    records: Sequence[Explained]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyListing:
    """Of `lapse why --where`: the records that have some values.

    Attributes:
        dataset: Dataset name.
        asked: What was asked for, in words.
        verdicts: Records by verdict.
        records: The first of them, in the order of the store.
    """

    dataset: str
    asked: str
    verdicts: Mapping[str, int]
    records: Sequence[Explained]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyCause:
    """One reason why records are still there.

    Attributes:
        kind: What kind.
        weight: `blocks` stops the next run, `stopped` stopped earlier ones or kept them from beginning, `keeps` keeps
            records, `slows` makes runs slow, `hints` explains.
        message: What is so.
        fix: A command that changes it, or shows more of it.
        records: How many records it keeps. Null if it is not about certain records.
    """

    kind: str
    weight: str
    message: str
    fix: str
    records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNotResult:
    """Of `lapse why --not`: what keeps a dataset's records.

    Attributes:
        dataset: Dataset name.
        now: The instant that decides.
        records: All records. Null if they could not be counted.
        lapsed: Those that have lapsed. Null if they could not be counted.
        blocked: Whether the next run would remove nothing.
        causes: What stops runs first, then what keeps most records.
    """

    dataset: str
    now: str
    records: int | None
    lapsed: int | None
    blocked: bool
    causes: Sequence[WhyCause]
