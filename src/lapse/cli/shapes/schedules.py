"""Schedules and the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleUnit:
    """One file to put somewhere.

    Attributes:
        name: Its name.
        text: Its content.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleResult:
    """Of `lapse schedule`.

    Attributes:
        form: What starts the runs.
        units: What was made; empty for `--uninstall`.
        installed: Files that were written; empty without `--install`.
        removed: Files that were removed; empty without `--uninstall`.
        calls: Commands that were called for it.
    """

    form: str
    units: Sequence[ScheduleUnit]
    installed: Sequence[str]
    removed: Sequence[str]
    calls: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonResult:
    """Of `lapse daemon`, once it has ended, or with `--check`.

    Attributes:
        alive: Whether a daemon is at work on the policy.
        trouble: Why there is none. Null if there is one, or if this was it.
    """

    alive: bool
    trouble: str | None
