"""Giving space back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapse.cli.shapes.plans import Trouble
from lapse.model.reclaim import Reclaim, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimDataset:
    """What writing one dataset's files anew would do, or did.

    Attributes:
        dataset: Its name.
        outcome: How it came out.
        space: What its files held before. Null if its store offers no rewrite.
        returns: Bytes that a rewrite gives back, about; 0 if it is not worth while. Null if there is none.
        needs_free: Bytes of disk that it needs meanwhile. Null if there is none.
        free: Bytes free there. Null if that cannot be seen from here.
        lock: What others cannot do meanwhile. Null if there is none.
        estimated_seconds: How long it takes, a guess from usual disks. Null if there is none.
        refusal: Why it would be refused. Null if it would not.
        allocated_after: Bytes that its files have afterwards. Null if nothing was done.
        seconds: Wall time of the rewrite.
        notes: Remarks.
        trouble: Why it is incomplete. Null if it is not.
    """

    dataset: str
    outcome: Reclaim
    space: Space | None
    returns: int | None
    needs_free: int | None
    free: int | None
    lock: str | None
    estimated_seconds: float | None
    refusal: str | None
    allocated_after: int | None
    seconds: float
    notes: Sequence[str]
    trouble: Trouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimResult:
    """Of `lapse reclaim`: what giving space back would take, or with `--run` what it came to.

    Attributes:
        at: Real time.
        ran: Whether it was done; else this only predicts.
        datasets: In the order of the policy.
    """

    at: str
    ran: bool
    datasets: Sequence[ReclaimDataset]
