"""The groups of which the newest records stay, found by trying every rule on every record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.period import FOREVER
from lapse.model.selection import Selection


class Fielded(Protocol):
    """A record with its value of every field that policies name."""

    @property
    def fields(self) -> Mapping[str, object]: ...


class Group(NamedTuple):
    """Records of which the newest stay.

    Attributes:
        rule: Index of their rule.
        value: The text they have in common. None for those without one.
    """

    rule: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of which the newest stay: found by trying every rule on every record.

    Attributes:
        selection: What decides.
        times: The times of the members of each group, the newest first.
    """

    selection: Selection
    times: Mapping[Group, Sequence[Nanos]]

    def of(self, rule: int, seen: Fielded) -> Group:
        """The group of a record under a rule."""
        last = self.selection.sources[rule].last
        return Group(rule, None if last is None or last.per is None else text_of(seen.fields.get(last.per)))

    def count(self, rule: int) -> int:
        """How many stay."""
        last = self.selection.sources[rule].last
        return 0 if last is None else last.count

    def keep(self, group: Group, instant: Nanos | None) -> bool:
        """Whether a record of a time is one of those that stay."""
        times, count = self.times[group], self.count(group[0])
        return instant is None or len(times) <= count or instant >= times[count - 1]

    @property
    def unnamed(self) -> Sequence[Group]:
        """The groups of rules whose records have nothing that would name a group, if any could go."""
        named = {group.rule for group in self.times if group.value is not None}
        rules = [rule for rule in self.selection.sources if rule.last is not None and rule.last.per is not None]
        found = [Group(rule.index, None) for rule in rules if rule.keep != FOREVER and rule.index not in named]
        return [group for group in found if len(self.times.get(group, ())) >= self.count(group.rule)]

    def goes(self, group: Group) -> bool:
        """Whether some of a group goes."""
        times, cutoff = self.times[group], self.selection.rules.cutoff(group.rule)
        return cutoff is not None and times[-1] < min(times[self.count(group.rule) - 1], cutoff)


def groups_of(selection: Selection, instants: Sequence[Nanos | None], seen: Sequence[Fielded]) -> Groups:
    """The groups of some records."""
    times: defaultdict[Group, list[Nanos]] = defaultdict(list)
    groups = Groups(selection, times)
    if not keeps_newest(selection):
        return groups
    for instant, each in zip(instants, seen, strict=True):
        rule = next((rule for rule in selection.sources if rule.match.matches(each.fields.get)), None)
        doubtful = selection.decide(instant, each.fields.get) < selection.first_hold
        if rule is not None and rule.last is not None and instant is not None and not doubtful:
            times[groups.of(rule.index, each)].append(instant)
    for found in times.values():
        found.sort(reverse=True)
    return groups


def keeps_newest(selection: Selection) -> bool:
    """Whether some rule keeps the newest of each group."""
    return any(rule.last is not None for rule in selection.sources)
