"""What becomes of a record, or became of it, with everything that was looked at to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lapse.instant import Nanos

DISPOSED = "disposed"
"""Verdict on a record that is not in its store, and of which a committed segment holds a copy."""
UNKNOWN = "unknown"
"""Verdict on a record that is not in its store, and of which nobody can say whether it ever was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One step of a decision, as `why` shows it.

    Attributes:
        name: What was looked at: doubt, a hold, a rule, a floor, the cutoff.
        finding: What was found there.
        decided: Whether this step decided.
    """

    name: str
    finding: str
    decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What a record's age is measured by.

    Attributes:
        field: Column or key of the record time.
        reading: How its values are read, where they do not say it themselves.
        now: The instant that decides.
    """

    field: str
    reading: str
    now: Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDisposal:
    """A disposal that a record went by, or may have gone by.

    Attributes:
        at: When it was committed, real time. None if the ledger does not have it.
        run: Run id.
        rules: Texts of the rules it can have lapsed under, in file order; one where that is certain.
        records: Records of the whole disposal.
        oldest: Earliest record time in it. None if none had one.
        newest: Latest record time in it. None if none had one.
        method: How the records were removed. None if the ledger does not have it.
        of_tenant: How many of them were of the tenant that was asked for. None if none was, or nobody knows.
        segment: Path of the segment with the copy. None if the policy waived one.
        archives: Names of the archives where that segment was found.
    """

    at: Nanos | None
    run: str
    rules: tuple[str, ...]
    records: int
    oldest: Nanos | None
    newest: Nanos | None
    method: str | None
    of_tenant: int | None = None
    segment: str | None = None
    archives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a record is still there, or what became of it.

    Attributes:
        dataset: Dataset name.
        key: The record, as the store names it; as it was asked for, where the store does not have it.
        instant: Its time. None if it cannot be read, or is not known.
        verdict: What becomes of it; `DISPOSED` or `UNKNOWN` where the store does not have it.
        reason: Why, in one phrase.
        lapses: When it lapses, or did, by its rule and every floor. None if never, or not known.
        layers: Every step looked at, in order.
        values: The fields that the policy uses.
        clock: What its age is measured by.
        disposals: Disposals of it, the earliest first: of a record that is gone, or that came back.
        unread: Archives and segments that could not be looked into, each with the reason.
    """

    dataset: str
    key: str
    instant: Nanos | None
    verdict: str
    reason: str
    lapses: Nanos | None
    layers: tuple[Layer, ...]
    values: Mapping[str, str | None]
    clock: Clock
    disposals: tuple[PastDisposal, ...] = ()
    unread: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The records that have some values, and what becomes of them.

    Attributes:
        dataset: Dataset name.
        asked: What was asked for, in words.
        counts: Records by verdict, those that go first; only verdicts that occur.
        shown: The first of them, in the order of the store.
    """

    dataset: str
    asked: str
    counts: Mapping[str, int]
    shown: tuple[Explanation, ...]

    @property
    def records(self) -> int:
        """All of them."""
        return sum(self.counts.values())
