"""Legal holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
