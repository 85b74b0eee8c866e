"""When the next slice may begin: the throttle of a run.

It never gives up and never decides what goes: others come first, and a run that waits goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lapse import clock
from lapse.engine.limits import Ending
from lapse.errors import BusyError
from lapse.model.pace import BURST, Pace, Tuning, rest_after
from lapse.ports import Burden, Burdened, Store

_STEP = 0.25
"""Seconds after which a run that waits or rests looks whether it is to end: a signal is answered at once."""
_LOOK = 0.5
"""Seconds for which an answer of the store, and what the operator said, hold."""
_SLOWEST_LOOK = 5.0
"""Seconds between two looks at a store that has made the run wait for long."""
_PAUSED = "paused by `lapse pace --pause`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Time in which a run did nothing for the sake of others.

    Attributes:
        waited: Seconds of waiting for others.
        waited_for: What the longest wait was for. None if there was none.
        rested: Seconds of resting between slices and inside of them, as the pace says.
    """

    waited: float = 0.0
    waited_for: str | None = None
    rested: float = 0.0


class Pacer:
    """The throttle of one dataset.

    Attributes:
        pace: How gently the store is treated now.
        ended: Why the run ended while it was asked. None while it goes on.
    """

    def __init__(
        self,
        pace: Pace,
        store: Store,
        *,
        tuning: Callable[[], Tuning],
        ending: Callable[[], Ending | None],
        tell: Callable[..., None],
    ) -> None:
        """Nothing is asked yet.

        Arguments:
            pace: What the policy says.
            store: Asked how others fare, if it can tell.
            tuning: Reads what the operator said.
            ending: Why the run is to end now.
            tell: Tells the hooks; takes an event's name, and ``reason`` or ``seconds``.
        """
        self.pace = pace
        self.ended: Ending | None = None
        self._written = pace
        self._store = store if isinstance(store, Burdened) else None
        self._tuning = tuning
        self._ending = ending
        self._tell = tell
        self._paused = False
        self._burden = Burden()
        self._told_at = self._looked_at = -_SLOWEST_LOOK + clock.monotonic()
        self._look_after = _LOOK
        self._began = self._finished = clock.monotonic()
        self._records = 0
        self._inside = self._rested_inside = 0.0
        self._waiting: _Waiting | None = None
        self._waited = self._rested = 0.0
        self._longest: tuple[float, str | None] = (0.0, None)

    @property
    def idle(self) -> Idle:
        """What was waited and rested so far."""
        return Idle(waited=self._waited, waited_for=self._longest[1], rested=self._rested)

    def did(self, records: int, *, began: float) -> None:
        """Note a slice that has just ended: what it removed, and when it began."""
        self._records, self._began, self._finished = records, began, clock.monotonic()
        self._rested_inside, self._inside = self._inside, 0.0

    def burst(self) -> float | None:
        """Seconds that a step of a slice should last at most; see `lapse.ports.Breaks`."""
        return BURST if self._share() > 0 else None

    def rest(self, seconds: float) -> None:
        """Rest inside of a slice, after a step of so many *seconds*; the rest after the slice is shorter by that."""
        due = clock.monotonic() + rest_after(seconds, self._share())
        while (left := due - clock.monotonic()) > 0:
            napped = _nap(left)
            self._inside += napped
            self._rested += napped

    def goes_on(self) -> bool:
        """Hear what was said, without waiting. False if the run is to end.

        Raises:
            StateError: If it cannot be read what the operator said.
        """
        self.ended = self._ending()
        if clock.monotonic() - self._told_at >= _LOOK:
            said = self._tuning()
            self.pace, self._paused, self._told_at = said.applied(self._written), said.paused, clock.monotonic()
        return self.ended is None

    def ready(self) -> bool:
        """Wait until the next slice may begin. False if the run is to end instead.

        Raises:
            StoreError: If the store cannot tell how others fare.
            StateError: If it cannot be read what the operator said.
        """
        try:
            while self.goes_on():
                if (rest := self._free_at() - clock.monotonic()) > 0:
                    self._rested += _nap(rest)
                elif (reason := self._reason()) is not None:
                    self._wait(reason)
                elif self._free_at() <= clock.monotonic():
                    return True
            return False
        finally:
            self._stop_waiting()

    def wait_until(self, due: float, reason: str) -> bool:
        """Wait until *due* on the monotonic clock, for *reason*. False if the run is to end instead."""
        waited = 0.0
        while (goes_on := self.goes_on()) and (left := due - clock.monotonic()) > 0:
            waited += _nap(left)
        self._count(waited, reason)
        return goes_on

    def _free_at(self) -> float:
        """From when on the throttle and the rest after the last slice let the next one begin."""
        rate = self.pace.rows_per_second
        paid = self._began + self._records / rate if rate is not None else self._began
        worked = self._finished - self._began - self._rested_inside
        return max(paid, self._finished + rest_after(worked, self._share()) - self._rested_inside)

    def _share(self) -> float:
        return self.pace.share(busy=self._burden.busy)

    def _reason(self) -> str | None:
        """Why to wait now; the store is asked more seldom the longer it makes the run wait."""
        if self._paused:
            return _PAUSED
        if self._store is not None and clock.monotonic() - self._looked_at >= self._look_after:
            self._burden = _burden(self._store)
            self._looked_at = clock.monotonic()
            longer = min(2 * self._look_after, _SLOWEST_LOOK)
            self._look_after = _LOOK if self._burden.wait is None else longer
        return self._burden.wait

    def _wait(self, reason: str) -> None:
        if self._waiting is None:
            self._waiting = _Waiting(since=clock.monotonic(), reason="")
        if self._waiting.reason != reason:
            self._waiting.reason = reason
            self._tell("run.waiting", reason=reason)
        _nap(_STEP)

    def _stop_waiting(self) -> None:
        if self._waiting is None:
            return
        seconds = clock.monotonic() - self._waiting.since
        self._count(seconds, self._waiting.reason)
        self._waiting = None
        if self.ended is None:
            self._tell("run.going_on", seconds=round(seconds, 3))

    def _count(self, seconds: float, reason: str) -> None:
        self._waited += seconds
        if seconds > self._longest[0]:
            self._longest = (seconds, reason)


@dataclass(slots=True)
class _Waiting:
    """A wait that is going on.

    Attributes:
        since: When it began, on the monotonic clock.
        reason: What was told last.
    """

    since: float
    reason: str


def _burden(store: Burdened) -> Burden:
    try:
        return store.burden()
    except BusyError as error:
        return Burden(wait=f"the store does not say how others fare: {error}", busy=True)


def _nap(seconds: float) -> float:
    """Sleep at most one step; returns how long it took."""
    began = clock.monotonic()
    clock.sleep(min(seconds, _STEP))
    return clock.monotonic() - began
