"""Tallies merged as they come, so that memory grows with outcomes and tenants and not with what is counted."""

from __future__ import annotations

from collections.abc import Iterable

from lapse.model.plan import Tally, merge


class Running:
    """The tallies of a survey so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str | None], Tally] = {}

    def add(self, tallies: Iterable[Tally]) -> None:
        """Take in more tallies."""
        found = self._found
        for tally in tallies:
            key = (tally.code, tally.tenant)
            known = found.get(key)
            found[key] = tally if known is None else known.merged(tally)

    def merged(self) -> tuple[Tally, ...]:
        """All of them, one for each code and tenant."""
        return merge(self._found.values())
