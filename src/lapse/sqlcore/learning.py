"""How many rows one transaction may have, learnt from how long the last ones took."""

from __future__ import annotations

_FIRST = 10_000
_AIM = 0.6
"""Share of the target to aim at: transactions differ, and the target is for the longest."""


class Learner:
    """The size of the next transaction of a store that keeps it open while a slice is sealed.

    Attributes:
        target: Seconds that a transaction should last at most.
    """

    def __init__(self, *, least: int) -> None:
        """Begin with a guess; *least* rows are always allowed, as smaller transactions tell nothing."""
        self.target = 1.0
        self._least = least
        self._rows = _FIRST

    def learn(self, rows: int, seconds: float) -> None:
        """Take note of a transaction that removed *rows* in *seconds*. Growth is cautious, shrinking is not."""
        if rows < self._least and seconds < self.target:
            return
        wanted = int(rows * self.target * _AIM / max(seconds, 0.001))
        self._rows = max(self._least, min(wanted, self._rows * 2))

    def shrink(self) -> None:
        """Take note of a transaction that had to be given up."""
        self._rows = max(self._least, self._rows // 2)

    def limit(self, most: int) -> int:
        """Rows for the next transaction, *most* at the utmost."""
        return max(1, min(most, self._rows))
