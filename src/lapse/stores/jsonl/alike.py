"""Values that decide alike: of a field that only ranges ask for, one number stands for all between two ends."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from lapse.model.match import Condition
from lapse.model.newest import grouping_fields
from lapse.model.ranges import whole_number
from lapse.model.selection import Selection


def ranged_fields(selection: Selection) -> Mapping[str, Sequence[int]]:
    """Fields that decide by ranges alone, with the numbers at which the answer can change, ascending."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    others = {*selection.dataset.require, selection.dataset.tenant, *grouping_fields(selection)}
    others |= {hold.key_field for hold in selection.holds if hold.keys is not None}
    for condition in _conditions(selection):
        if condition.values or condition.globs or condition.numbers:
            others.add(condition.field)
        for each in condition.ranges:
            ends = (each.first, None if each.last is None else each.last + 1)
            found[condition.field].update(end for end in ends if end is not None)
    return {field: sorted(ends) for field, ends in found.items() if field not in others}


def _conditions(selection: Selection) -> Iterator[Condition]:
    kept = (hold.match for hold in selection.holds), (floor.match for floor in selection.floors)
    for match in chain(*kept, (rule.match for rule in selection.sources)):
        yield from match.conditions


def standing_for(value: object, ends: Sequence[int]) -> int | tuple[()]:
    """The number that stands for *value* in all ranges that have *ends*; an empty tuple for what is in none of any."""
    number = whole_number(value)
    if number is None:
        return ()
    place = bisect_right(ends, number)
    return ends[place - 1] if place else ends[0] - 1
