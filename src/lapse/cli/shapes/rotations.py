"""Rotation of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapse.cli.shapes.plans import RotationStep, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedDataset:
    """What came of rotating one dataset's logs.

    Attributes:
        dataset: Its name.
        steps: What was done, in order; in a dry run, what is due.
        seconds: Wall time.
        trouble: What could not be done. Null if nothing failed.
    """

    dataset: str
    steps: Sequence[RotationStep]
    seconds: float
    trouble: Trouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateResult:
    """Of `lapse rotate`: what was set aside, or with `--dry-run` would be.

    Attributes:
        at: The instant that decided.
        dry: Whether it only looked: nothing was changed.
        datasets: Those with a rotation, in the order of the policy.
    """

    at: str
    dry: bool
    datasets: Sequence[RotatedDataset]
