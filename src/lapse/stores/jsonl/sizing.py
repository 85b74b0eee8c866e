"""Sums in, bytes by outcome out."""

from __future__ import annotations

from typing import Any

from lapse.stores.jsonl.manysums import Sums, apart

_WAITING = 100_000
"""Sums that wait at least before they are added up."""


class Sizes:
    """Bytes of lines by outcome, added up as they come."""

    def __init__(self) -> None:
        self._found: dict[int, int] = {}
        self._many: list[tuple[Any, Any]] = []
        self._waiting = self._summed = 0

    def add(self, sums: Sums) -> None:
        """Take in the next lines."""
        named, others = apart(sums)
        if named is not None:
            self._many.append((named.columns.codes, named.columns.sizes))
            self._waiting += len(named.columns)
            if self._waiting > max(_WAITING, self._summed):
                self._add_up()
        found = self._found
        for item in others:
            found[item.code] = found.get(item.code, 0) + item.size

    def total(self) -> dict[int, int]:
        """The bytes of each outcome."""
        if not self._many:
            return self._found
        self._add_up()
        codes, sizes = self._many[0]
        found = dict(zip(codes.tolist(), sizes.tolist(), strict=True))
        for code, size in self._found.items():
            found[code] = found.get(code, 0) + size
        return found

    def _add_up(self) -> None:
        from lapse.stores.jsonl.columncounts import sizes_of  # whoever made columns has loaded it

        self._many = [sizes_of(self._many)]
        self._summed, self._waiting = len(self._many[0][0]), 0
