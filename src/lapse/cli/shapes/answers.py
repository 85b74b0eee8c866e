"""Answers to questions, and small ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
class RefreshedResult:
    """Of `lapse refreshed`.

    Attributes:
        dataset: Dataset name.
        derived: What is made of its records.
        until: The time before which it holds all of them, RFC 3339.
    """

    dataset: str
    derived: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedDataset:
    """How gently runs treat one dataset now.

    Attributes:
        dataset: Dataset name.
        transaction: Seconds that one transaction lasts at most.
        rows_per_second: Records removed a second at most. Null does not throttle.
        rest: Share of the time in which a run rests, 0 to below 1. Null rests while others are busy.
        max_lag: Seconds by which a replica may be behind before a run waits. Null asks no replica.
        pause_while: Query that makes a run wait. Null asks nothing.
    """

    dataset: str
    transaction: float
    rows_per_second: int | None
    rest: float | None
    max_lag: float | None
    pause_while: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceResult:
    """Of `lapse pace`.

    Attributes:
        paused: Whether runs wait.
        changes: What `lapse pace` has changed, one setting each, spelled as in a policy.
        datasets: How gently runs treat each dataset now.
    """

    paused: bool
    changes: Sequence[str]
    datasets: Sequence[PacedDataset]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionResult:
    """Of `lapse --version`.

    Attributes:
        version: Version of the program.
    """

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCommand:
    """One command of the demo.

    Attributes:
        arguments: After `lapse`.
        shows: What its output shows.
        exit: Its exit code.
        seconds: Wall time.
    """

    arguments: Sequence[str]
    shows: str
    exit: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Of `lapse demo`.

    Attributes:
        folder: Where the demo's world is.
        commands: In order; the last of them is the one that failed, if one did.
    """

    folder: str
    commands: Sequence[DemoCommand]
