"""Letting others through where no run is there to say when: while rows are counted, and while a run is tidied up."""

from __future__ import annotations

from lapse import clock
from lapse.model.pace import BURST, Pace, rest_after
from lapse.stores.postgresql.burdening import is_busy
from lapse.stores.postgresql.connection import Connection

_LOOK = 0.5
"""Seconds for which an answer of the server holds."""


class Courtesy:
    """The rests that a policy's pace asks for, by a look at the server of its own: `lapse.ports.Breaks`.

    A transaction must not be open while it is asked.
    """

    def __init__(self, connection: Connection, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace
        self._busy = False
        self._look_at = clock.monotonic()

    def share(self) -> float:
        """Share of the time to rest now."""
        if self._pace.rest is None and clock.monotonic() >= self._look_at:
            self._busy = is_busy(self._connection)
            self._look_at = clock.monotonic() + _LOOK
        return self._pace.share(busy=self._busy)

    def burst(self) -> float | None:
        """Seconds that a step should last at most. None: nobody is to be let through."""
        return BURST if self.share() > 0 else None

    def rest(self, seconds: float) -> None:
        """Rest after a step that took so many *seconds*."""
        pause = rest_after(seconds, self.share())
        if pause > 0:
            clock.sleep(pause)
