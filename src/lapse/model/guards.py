"""Guards: how much a run may remove of a dataset and of one tenant, and how gently a new rule begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line knows the names of guards, and must start quickly
    from collections.abc import Mapping

    from lapse.canonical import Json


class Guard(Enum):
    """What can refuse a run for what its plan would remove; the names by which it is allowed."""

    EMPTY = "empty"
    SHARE = "share"
    ROWS = "rows"
    TENANTS = "tenants"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many of a body of records may go in one run.

    Attributes:
        share: Largest share that may go, 0 to 1 inclusive. None has no limit.
        rows: Most records that may go. None has no limit.
    """

    share: float | None = None
    rows: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.share is not None or self.rows is not None

    def allows_share(self, going: int, total: int) -> bool:
        """Whether *going* of *total* records are within the share; *total* is 1 or more."""
        return self.share is None or going / total <= self.share

    def allows_rows(self, going: int) -> bool:
        """Whether so many records are within the number."""
        return self.rows is None or going <= self.rows

    def allows(self, going: int, total: int) -> bool:
        """Whether *going* of *total* records are within both; *total* is 1 or more."""
        return self.allows_share(going, total) and self.allows_rows(going)

    def __str__(self) -> str:
        share = [] if self.share is None else [f"{100 * self.share:g}%"]
        rows = [] if self.rows is None else [f"{self.rows:,} records"]
        return " and ".join([*share, *rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards(Limit):
    """Limits of a run on one dataset; over one of them nothing is removed at all.

    Attributes:
        tenants: What may go of any one tenant.
        ramp: Records of the first slice that a new rule removes; later ones double from there. None begins with
            slices of the usual size. It decides how, never what, so it is no part of the policy's hash.
    """

    tenants: Limit = field(default_factory=Limit)
    ramp: int | None = None

    def facts(self) -> Json:
        """What they decide, for the policy's hash."""
        facts = _facts(self)
        # What is not said leaves the hash as it always was.
        return [*facts, *_facts(self.tenants)] if self.tenants.is_set else facts


def _facts(limit: Limit) -> list[Json]:
    return [None if limit.share is None else str(limit.share), limit.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A guard that a plan goes over.

    Attributes:
        guard: Which one.
        finding: The figures and the limit, for people; may name tenants.
        remedy: What the policy may raise if the figures are right. Empty if nothing.
        command: What to call once its cause is mended. Empty if nothing has to be.
        figures: The same for the ledger; numbers and limits only, never a tenant.
    """

    guard: Guard
    finding: str
    remedy: str
    figures: Mapping[str, Json]
    command: str = ""
