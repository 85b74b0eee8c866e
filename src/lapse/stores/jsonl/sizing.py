"""Sums in, bytes by where the lines go out: few numbers, however many outcomes there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lapse.stores.jsonl.manysums import Sums, apart

Goals = Sequence[int]
"""For each outcome, by its code, the number of the destination its lines go to; 0 if they stay."""

Sizes = Mapping[int, int]
"""Bytes of lines by the number of the destination they go to, 0 for those that stay."""


def add_sizes(found: dict[int, int], sums: Sums, goals: Goals) -> None:
    """Add the bytes of some lines to what was *found* before."""
    named, others = apart(sums)
    if named is not None:
        from lapse.stores.jsonl.columncounts import sizes_of  # whoever made columns has loaded it

        for goal, size in sizes_of(named.columns, goals):
            found[goal] = found.get(goal, 0) + size
    for item in others:
        goal = goals[item.code]
        found[goal] = found.get(goal, 0) + item.size
