"""Slices that the store was too busy for come again: later, smaller, and not for ever."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from lapse import clock
from lapse.errors import BusyError, StoreError
from lapse.ports import Divisible, Slice, Store

TRIES = 6
"""How often a slice, or what it was cut into, comes again before it is skipped."""
_FIRST_DELAY = 0.5
_STALLED = 4
"""So many slices that fail without a success in between, and no fresh one is begun before they had their turn."""
_PATIENCE = 60.0
"""Seconds after which a dataset is given up in which so many slices fail without a success in between."""


@dataclass(frozen=True, slots=True, order=True)
class Try:
    """A slice to be tried.

    Attributes:
        due: From when on, on the monotonic clock.
        number: Order among those that are due at once.
        origin: Number of the fresh slice that it is, or was cut from.
        failures: How often it, or the slice that it was cut from, has failed.
        piece: The slice.
        reason: Why it failed last. Empty if it has not failed.
    """

    due: float
    number: int
    origin: int = field(compare=False)
    failures: int = field(compare=False)
    piece: Slice = field(compare=False)
    reason: str = field(compare=False, default="")


class Slices:
    """What is left of one pass over a dataset: fresh slices, and those that come again.

    Each failure either raises the count of its slice, which is bounded, or ends the dataset: a pass ends.

    Attributes:
        skipped: Why slices were skipped, one reason each.
    """

    def __init__(self, fresh: Iterator[Slice], store: Store) -> None:
        self.skipped: list[str] = []
        self._fresh = fresh
        self._store = store
        self._late: list[Try] = []
        self._number = 0
        self._failing: set[int] = set()
        self._failing_since = 0.0
        self._late_had_its_turn = False

    def next(self) -> Try | None:
        """What to try next, which may be due only later. None if nothing is left.

        Raises:
            BusyError: If the store was too busy to cut a fresh slice.
        """
        is_due = bool(self._late) and self._late[0].due <= clock.monotonic()
        if self._late and (len(self._failing) >= _STALLED or (is_due and not self._late_had_its_turn)):
            self._late_had_its_turn = True
            return heapq.heappop(self._late)
        self._late_had_its_turn = False
        fresh = next(self._fresh, None)
        if fresh is not None:
            self._number += 1
            return Try(due=clock.monotonic(), number=self._number, origin=self._number, failures=0, piece=fresh)
        return heapq.heappop(self._late) if self._late else None

    def succeeded(self) -> None:
        """Note that a slice went through."""
        self._failing.clear()

    def failed(self, failed: Try, error: BusyError) -> None:
        """Let a slice come again, in halves if the store can cut it; or skip it, if it has failed too often.

        Raises:
            StoreError: If nothing at all has gone through for long.
        """
        if not self._failing:
            self._failing_since = failed.due
        self._failing.add(failed.origin)
        seconds = clock.monotonic() - self._failing_since
        if len(self._failing) >= _STALLED and seconds >= _PATIENCE:
            raise StoreError(
                f"nothing could be removed for {seconds:,.0f} s: {error}",
                hint=error.hint or "Run again when the store is less busy: it goes on where it stopped.",
            ) from error
        if failed.failures == TRIES:
            self.skipped.append(str(error))
            return
        due = clock.monotonic() + delay(failed.failures)
        for piece in _smaller(failed.piece, self._store):
            self._number += 1
            again = Try(
                due=due,
                number=self._number,
                origin=failed.origin,
                failures=failed.failures + 1,
                piece=piece,
                reason=str(error),
            )
            heapq.heappush(self._late, again)


def delay(failures: int) -> float:
    """Seconds to wait after so many earlier failures: doubled each time, and never the same for two runs."""
    return _FIRST_DELAY * 2.0**failures * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards no secret


def _smaller(piece: Slice, store: Store) -> tuple[Slice, ...]:
    halves = store.halves(piece) if isinstance(store, Divisible) else ()
    return halves if len(halves) > 1 else (piece,)
