"""The newest records of each group: who is a member, and from when on the members of a group stay.

A rule with `Rule.last` decides by its period first. Of the records that lapsed under it, those stay that are among the
newest of their group. A group's *threshold* says which: the time of its N-th newest member, which stays with all that
are as new or newer. A group with fewer members has none and stays whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappush, heapreplace
from itertools import repeat
from typing import NamedTuple

from lapse.errors import StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.selection import Selection

Read = Callable[[str], object]
"""Gives a record's value of a field, None if it has none."""


class Group(NamedTuple):
    """Records of which the newest stay.

    Attributes:
        rule: Index of the rule that decides about them.
        value: The text they have in common. None for the records without one, or for all where the rule names no
            field.
    """

    rule: int
    value: str | None


def keeps_newest(selection: Selection, rule: int) -> bool:
    """Whether the rule of this index ever keeps a record for being new: what never lapses needs no such help."""
    rules = selection.rules
    return rules.endings[rules.ending_of[rule]].newest


def rules_with_newest(selection: Selection) -> tuple[int, ...]:
    """Indexes of the rules that keep the newest of their groups, ascending."""
    rules = selection.rules
    keeping = [ending.newest for ending in rules.endings]
    return tuple(index for index, ending in enumerate(rules.ending_of) if keeping[ending]) if any(keeping) else ()


def grouping_fields(selection: Selection) -> tuple[str, ...]:
    """The fields that tell groups apart, each once."""
    lasts = (ending.last for ending in selection.rules.endings)
    return tuple(dict.fromkeys(last.per for last in lasts if last is not None and last.per is not None))


def group_under(selection: Selection, rule: int, read: Read) -> Group:
    """The group of a record that the rule of this index decides about."""
    last = selection.sources[rule].last
    return Group(rule, None if last is None or last.per is None else text_of(read(last.per)))


def group_of(selection: Selection, instant: Nanos | None, read: Read) -> Group | None:
    """The group that a record is a member of. None if it is of none.

    That is a record that a rule with `Rule.last` decides about, held ones included. Doubtful ones are no members: a
    flood of records from the future pushes nothing out.
    """
    if selection.decide(instant, read) < selection.first_hold:
        return None
    rule = selection.dispatch.first(read)
    return None if rule is None or not keeps_newest(selection, rule) else group_under(selection, rule, read)


def nameless(selection: Selection, rule: int) -> StoreError:
    """What to raise where no member of the rule of this index has the field that tells its groups apart.

    A slip in the field's name would make one group of all, of which all but the newest few would go.
    """
    last = selection.sources[rule].last
    return StoreError(
        f"no record that {selection.rules[rule].label} decides about has the field {last.per if last else None}",
        hint="Nothing was removed. Look for a slip in its name, or leave `per` out if one group is meant.",
    )


@dataclass(frozen=True, slots=True)
class Newest:
    """From when on the members of each group stay, whatever their age.

    Attributes:
        thresholds: By rule and the group's value, the first time that stays. A group that is not here stays whole.
    """

    thresholds: Mapping[int, Mapping[str | None, Nanos]] = field(default_factory=dict)

    def since(self, group: Group) -> Nanos | None:
        """The first time that stays. None if all of the group does."""
        return self.thresholds.get(group.rule, {}).get(group.value)

    def keeps(self, group: Group, instant: Nanos) -> bool:
        """Whether a record of this time is one of those that stay."""
        since = self.since(group)
        return since is None or instant >= since

    def decide(self, selection: Selection, instant: Nanos | None, read: Read) -> int:
        """The outcome's code for one record, as `Selection.decide` gives it where the newest are known."""
        if instant is None:
            return selection.decide(instant, read)
        return selection.decide(
            instant, read, is_newest=lambda rule: self.keeps(group_under(selection, rule, read), instant)
        )


@dataclass(frozen=True, slots=True)
class KnownNewest:
    """The newest of each group under a selection.

    Attributes:
        selection: What decided who is a member.
        newest: From when on they stay.
    """

    selection: Selection
    newest: Newest

    def holds_for(self, selection: Selection) -> bool:
        """Whether another selection has the same members: holds and floors make no difference."""
        if selection is self.selection:
            return True
        mine, other = (replace(each, holds=(), floors=()) for each in (self.selection, selection))
        return mine == other


class Gathering:
    """Finds the thresholds: takes in the members in any order, and keeps so many times of each group as it needs.

    Times at or after a rule's cutoff count as the cutoff: what is not older stays anyway. So a threshold is never
    later than the cutoff.
    """

    def __init__(self, selection: Selection, *, most: int | None = None) -> None:
        """Begin without members.

        Arguments:
            selection: What decides.
            most: Times that are kept at once at most, of all groups together. None has no limit.
        """
        self._selection = selection
        self._most = most
        self._kept = 0
        self.times: dict[Group, list[Nanos]] = {}
        """The newest times of each group so far, in no order."""

    def add(self, group: Group, instants: Iterable[Nanos]) -> None:
        """Take in the times of some members.

        Raises:
            UnsupportedError: If there are more groups than can be told apart at once.
        """
        count, cutoff = self._count(group), self.cutoff(group)
        times = self.times.setdefault(group, [])
        for instant in instants:
            time = min(instant, cutoff)
            if len(times) < count:
                heappush(times, time)
                self._kept += 1
            elif time > times[0]:
                heapreplace(times, time)
        if self._most is not None and self._kept > self._most:
            raise UnsupportedError(
                f"{self._selection.rules[group.rule].label} has more than {self._most:,} newest records to keep apart",
                hint="Keep fewer per group, or group by a field with fewer values.",
            )

    def add_all(self, group: Group, instant: Nanos, members: int) -> None:
        """Take in so many members of one time; else as `add`."""
        self.add(group, repeat(instant, min(members, self._count(group))))

    def is_settled(self, group: Group, instant: Nanos) -> bool:
        """Whether members of this time and earlier ones can no longer change the group's threshold."""
        times = self.times.get(group, [])
        return len(times) >= self._count(group) and times[0] >= min(instant, self.cutoff(group))

    def check_names(self) -> None:
        """Refuse a field that no member of its rule has.

        Raises:
            StoreError: If there is one, and something could go.
        """
        named = {group.rule for group in self.times if group.value is not None}
        for group, times in self.times.items():
            last = self._selection.sources[group.rule].last
            has_field = last is None or last.per is None or group.rule in named
            if not has_field and len(times) >= self._count(group):
                raise nameless(self._selection, group.rule)

    def newest(self) -> Newest:
        """The thresholds of everything so far."""
        thresholds: dict[int, dict[str | None, Nanos]] = {}
        for group, times in self.times.items():
            if len(times) >= self._count(group):
                thresholds.setdefault(group.rule, {})[group.value] = times[0]
        return Newest(thresholds)

    def cutoff(self, group: Group) -> Nanos:
        """The first time that the group's rule keeps by itself."""
        cutoff = self._selection.rules.cutoff(group.rule)
        if cutoff is None:
            raise ValueError(f"rule {group.rule} keeps everything")
        return cutoff

    def _count(self, group: Group) -> int:
        last = self._selection.sources[group.rule].last
        if last is None:
            raise ValueError(f"rule {group.rule} keeps no newest")
        return last.count
