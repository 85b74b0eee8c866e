"""A slice taken in steps: short stretches of its places, with rests in between that let others through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lapse import clock
from lapse.ports import Breaks
from lapse.stores.postgresql.places import Leaf, Stretch

_FIRST = 300  # rows of the first step, about


class Steps:
    """Goes over the places of a slice once, in order, a step at a time.

    Each step is as long as the last ones allow. From *latest* on nothing rests any more: the transaction is open,
    and what is left goes in one step.
    """

    def __init__(self, stretch: Stretch, leaf: Leaf, breaks: Breaks, *, latest: float) -> None:
        """Nothing is done yet.

        Arguments:
            stretch: The places.
            leaf: Where they are.
            breaks: When to let others through.
            latest: Until when to rest, on the monotonic clock.
        """
        self._left: Stretch | None = stretch
        self._breaks = breaks
        self._latest = latest
        self._pages = max(1.0, _FIRST * leaf.pages / max(leaf.rows, leaf.pages))

    def stretches(self) -> Iterator[Stretch]:
        """What to do next, until everything is done."""
        while self._left is not None:
            burst = self._breaks.burst() if clock.monotonic() < self._latest else None
            step = self._left if burst is None else self._cut(self._left)
            self._left = None if step.last == self._left.last else Stretch(step.leaf, step.last, self._left.last)
            yield step

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step, that is, the block: others are let through behind it, unless it was the last one."""
        began = clock.monotonic()
        yield
        seconds = clock.monotonic() - began
        burst = self._breaks.burst()
        if self._left is None or burst is None:
            return
        self._pages = max(1.0, self._pages * min(2.0, max(0.5, burst / max(seconds, 0.0001))))
        if clock.monotonic() < self._latest:
            self._breaks.rest(seconds)

    def _cut(self, stretch: Stretch) -> Stretch:
        last = (stretch.first[0] + int(self._pages), 0)
        return Stretch(stretch.leaf, stretch.first, min(last, stretch.last))
