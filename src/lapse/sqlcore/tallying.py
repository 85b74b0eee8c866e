"""Tallies merged as they come, so that memory grows with outcomes and tenants and not with what is counted."""

from __future__ import annotations

from collections.abc import Iterable

from lapse.model.plan import Tally, merge

_AT_ONCE = 10_000


class Running:
    """The tallies of a survey so far."""

    def __init__(self) -> None:
        self._merged: tuple[Tally, ...] = ()
        self._pending: list[Tally] = []

    def add(self, tallies: Iterable[Tally]) -> None:
        """Take in more tallies."""
        self._pending += tallies
        if len(self._pending) > _AT_ONCE + len(self._merged):
            self.merged()

    def merged(self) -> tuple[Tally, ...]:
        """All of them, one for each code and tenant."""
        self._merged = merge([*self._merged, *self._pending])
        self._pending = []
        return self._merged
