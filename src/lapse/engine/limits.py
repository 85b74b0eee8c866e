"""What ends a run early: a budget of records or time, a stop file, a signal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse import clock
from lapse.instant import Nanos, rfc3339
from lapse.state.files import translated

STOP_FILE = "stop"
"""Name of the stop file in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a run may do.

    Attributes:
        rows: Records it removes at most. None has no limit.
        seconds: How long it may last, from its start. None has no limit.
        until: Instant at which it ends. None has no limit.
        stop_file: A file whose existence ends it, beside the one in the state folder. None for none.
    """

    rows: int | None = None
    seconds: float | None = None
    until: Nanos | None = None
    stop_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a run ends before everything is done.

    Attributes:
        reason: For people.
        ordered: Whether this was agreed on beforehand, so that the run did what it should. Else a signal came.
    """

    reason: str
    ordered: bool = True


class Allowance:
    """What is left of a run's limits. Asked between slices and while a run waits.

    Attributes:
        removed: Records that the run has removed so far.
    """

    def __init__(self, limits: Limits, *, stop_file: Path, stopping: Callable[[], bool], started: float) -> None:
        """Everything is left.

        Arguments:
            limits: What the caller allows.
            stop_file: The one in the state folder.
            stopping: Whether a signal came.
            started: When the run began, on the monotonic clock.
        """
        self._limits = limits
        self._stop_files = tuple(file for file in (limits.stop_file, stop_file) if file is not None)
        self._stopping = stopping
        self._started = started
        self._left = limits.rows
        self.removed = 0
        self._cut: int | None = None

    @property
    def counts(self) -> bool:
        """Whether the run may remove so many records and no more."""
        return self._left is not None

    def spend(self, records: int) -> None:
        """Note that records were removed."""
        self.removed += records
        if self._left is not None:
            self._left = max(0, self._left - records)

    def slice_rows(self, wanted: int) -> int:
        """Records that a slice may have now: at most *wanted*, and never more than are left.

        The answer changes a logarithmic number of times: after the first cut to what is left, each further one
        halves, since a store begins anew with every change and its slices may be small.
        """
        rows = wanted if self._cut is None else min(wanted, self._cut)
        if self._left is None or rows <= self._left:
            return rows
        self._cut = self._left if self._cut is None else -(-self._left // 2)
        return max(1, min(wanted, self._cut))

    def stopped(self) -> bool:
        """Whether a signal came, so that nothing else is begun."""
        return self._stopping()

    def ending(self) -> Ending | None:
        """Why the run is to end now. None if it may go on."""
        if self._left == 0 and not self.stopped():
            return Ending(reason=f"the budget of {self._limits.rows:,} records is spent")
        return self.pressing()

    def pressing(self) -> Ending | None:
        """Why the run is to end and do nothing else either, such as to tidy up. None if it may."""
        if self.stopped():
            return Ending(reason="the run was asked to stop", ordered=False)
        limits = self._limits
        if limits.seconds is not None and clock.monotonic() - self._started >= limits.seconds:
            return Ending(reason=f"its time of {limits.seconds:,.0f} s is over")
        if limits.until is not None and clock.real_now() >= limits.until:
            return Ending(reason=f"it is {rfc3339(limits.until)}")
        stop = next(self._standing(), None)
        return None if stop is None else Ending(reason=f"the stop file {stop} is there")

    def left_behind(self) -> tuple[str, ...]:
        """Warnings: a stop file that stays there ends every run to come."""
        return tuple(stop_warning(file) for file in self._standing())

    def _standing(self) -> Iterator[Path]:
        """The stop files that are there."""
        for file in self._stop_files:
            with translated("look at", file):
                there = file.exists()
            if there:
                yield file


def stop_warning(file: Path) -> str:
    """What to say where a stop file stands."""
    return f"the stop file {file} is there: every run ends before it begins, until it is removed"
