"""Legal holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A range of whole numbers.

    Attributes:
        first: The least of them. Null has no least.
        last: The largest of them. Null has no largest.
    """

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A field that a record must have one of some values in.

    Attributes:
        field: A role such as `type` or `tenant`, a column, or a path into JSON.
        values: Texts, any of which matches.
        globs: Patterns, any of which matches too.
        ranges: Ranges of whole numbers, any of which matches too.
        negated: Whether it is all other values that match, or none at all.
    """

    field: str
    values: Sequence[str]
    globs: Sequence[str]
    ranges: Sequence[Range]
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldShown:
    """An order to keep records.

    Attributes:
        matter: Case reference; names the hold.
        reason: Why.
        dataset: The dataset held. Null holds all.
        match: Conditions that its records fulfil; empty holds all of them.
        keys: Keys of its records; empty holds records whatever their key.
        since: From when the order applies. Null applies from always.
        until: From when it no longer does. Null while the hold is open.
        records_from: Holds only records of this time or later. Null has no such bound.
        records_before: Holds only records earlier than this. Null has no such bound.
        active: Whether it applies now.
        where: Where in the policy or in `holds/` it is written. Null if it was only found in a store.
        posted: Datasets in whose stores it lies, so that runs of other hosts see it; of `lapse hold list` only.
    """

    matter: str
    reason: str
    dataset: str | None
    match: Sequence[Condition]
    keys: Sequence[str]
    since: str | None
    until: str | None
    records_from: str | None
    records_before: str | None
    active: bool
    where: str | None
    posted: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldListResult:
    """Of `lapse hold list`.

    Attributes:
        holds: Those of the policy, then those of `holds/`, then those that other hosts have put into stores.
        complete: Whether the holds of every store could be read.
    """

    holds: Sequence[HoldShown]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAddResult:
    """Of `lapse hold add`.

    Attributes:
        hold: The new hold.
        folder: The folder its file lies in.
    """

    hold: HoldShown
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleaseResult:
    """Of `lapse hold release`.

    Attributes:
        matter: The hold that is no longer in force.
    """

    matter: str
