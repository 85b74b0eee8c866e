"""A selection as a function of time: for records with the same fields, their outcome between any two cutoffs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

from lapse.instant import Nanos
from lapse.model import newest
from lapse.model.match import text_of
from lapse.model.newest import Read
from lapse.stores.jsonl.judging import Judge, Values

_MOST_GROUPS = 1 << 15
ALWAYS, NEVER = -(2**63), 2**63 - 1
"""The first time that stays of a group of which all do, and of one of which nothing does for being new."""


@dataclass(frozen=True, slots=True)
class Course:
    """How an outcome goes with time, whatever the number of the rule.

    Attributes:
        number: Its own number.
        codes: The outcome at each of the places of `Timeline.places`.
        times: How often the first code of the rule is to be added to it: once or not at all.
        cutoff: The first time that the rule keeps; of no matter where it keeps all, or there is none.
        newest: Whether the rule keeps the newest of its groups.
    """

    number: int
    codes: tuple[int, ...]
    times: tuple[int, ...]
    cutoff: int
    newest: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Records with the same values of the fields that decide.

    Attributes:
        values: Those values, as `Judge.values` tells them.
        tenant: The tenant they are counted under.
        course: How their outcome goes with time.
        base: What the codes of their rule are counted from.
        newest: The group of which the newest stay. None if their rule keeps none.
        since: The time from which on they are among these.
    """

    values: Values
    tenant: str | None
    course: Course
    base: int
    newest: newest.Group | None = None
    since: int = NEVER

    def code(self, place: int) -> int:
        """The outcome at one of the places of `Timeline.places`."""
        return self.course.codes[place] + self.course.times[place] * self.base


class Timeline:
    """Outcomes by time. `Selection.decide` is asked once for each stretch in which its answer cannot change."""

    def __init__(self, judge: Judge) -> None:
        selection = judge.selection
        edges = {selection.doubt_after + 1, selection.dataset.doubt_before}
        edges |= {edge for hold in selection.holds for edge in (hold.records_from, hold.records_before)}
        edges |= {floor.cutoff for floor in selection.floors}
        self.edges: Sequence[int] = sorted(edge for edge in edges if edge is not None)
        """Instants at which an outcome can change whatever the rule, ascending; never empty."""
        self.untimed = selection.decide(None, lambda _: None)
        """The outcome of what has no time that can be read."""
        self.keeps_newest = bool(newest.rules_with_newest(selection))
        """Whether some rule keeps the newest of its groups."""
        self.first_member = selection.first_hold
        """The first outcome that is no doubt."""
        self.goals = selection.goals
        """For each outcome the number of the destination it goes to; 0 if it stays."""
        self._selection = selection
        self._first, self._step = selection.lapsed_code(0), selection.outcomes.step
        self._ending_of = selection.rules.ending_of
        self._newest = judge.newest
        self._names = judge.deciding
        self._time = selection.dataset.time
        self._has_tenant = selection.dataset.tenant is not None
        self._is_plain = not (selection.holds or selection.floors or selection.dataset.require)
        # Where each rule is about a few values only, as many are told apart as there are rules.
        self.most_groups = max(_MOST_GROUPS, 2 * len(selection.sources))
        """How many groups are told apart before they are forgotten."""
        self._courses: dict[object, Course] = {}
        self.courses: list[Course] = []
        """Every course so far, by its number."""
        self._groups: dict[tuple[object, ...], Group] = {}

    @property
    def places(self) -> int:
        """How many outcomes a group has.

        For each stretch of time between two edges one before the cutoff of its rule and one from there on; then all of
        that again for those that are among the newest of their group, where some rule keeps these.
        """
        return 2 * (len(self.edges) + 1) * (2 if self.keeps_newest else 1)

    def group(self, values: Values) -> Group:
        """The group of these values."""
        key = _key(values)
        found = self._groups.get(key)
        if found is None:
            if len(self._groups) >= self.most_groups:
                self._groups.clear()
            found = self._groups[key] = self.decided(values)
        return found

    def decided(self, values: Values) -> Group:
        """The group of these values, told anew."""
        selection, read = self._selection, self._fields(values).get
        rule, base, ending = selection.dispatch.first(read), 0, None
        if rule is not None:
            base, ending = self._first + rule * self._step, self._ending_of[rule]
        kind = ending if self._is_plain else (ending, self._concerns(read))
        course = self._courses.get(kind) or self._course(kind, read, base, ending)
        tenant = text_of(values[0]) if self._has_tenant else None
        if rule is None or not course.newest:
            return Group(values, tenant, course, base)
        group = newest.group_under(selection, rule, read)
        since = self._newest.since(group)
        return Group(values, tenant, course, base, group, ALWAYS if since is None else since)

    def tenants(self, found: Sequence[Values]) -> list[str | None]:
        """The tenant that records of each of some values are counted under."""
        return [text_of(values[0]) for values in found] if self._has_tenant else [None] * len(found)

    @property
    def simple(self) -> bool:
        """Whether nothing but its rule and its time decides about a record."""
        return self._is_plain and not self.keeps_newest

    def ruled(self, found: Sequence[Values]) -> tuple[list[Course], list[int]]:
        """The course and the base of the group of each of some values, where that is `simple`: as `decided` says."""
        first, step = self._first, self._step
        courses: list[Course] = []
        bases: list[int] = []
        for values, rule in zip(found, self._rules(found), strict=True):
            ending, base = (None, 0) if rule is None else (self._ending_of[rule], first + rule * step)
            course = self._courses.get(ending) or self._course(ending, self._fields(values).get, base, ending)
            courses.append(course)
            bases.append(base)
        return courses, bases

    def _rules(self, found: Sequence[Values]) -> Iterator[int | None]:
        """The rule of records of each of some values: what `Dispatch.first` says, but of many at once."""
        dispatch = self._selection.dispatch
        bests: list[int | None] = [None] * len(found)
        for lookup in dispatch.lookups:
            texts = [self._texts(name, found) for name in lookup.fields]
            rules = map(lookup.firsts.get, zip(*texts, strict=True))  # with a None in it, it is no key
            bests = [
                rule if best is None or (rule is not None and rule < best) else best
                for best, rule in zip(bests, rules, strict=True)
            ]
        for values, best in zip(found, bests, strict=True):
            if dispatch.singles and (best is None or dispatch.singles[0][0] < best):
                yield dispatch.first(self._fields(values).get)
            else:
                yield best

    def _texts(self, name: str, found: Sequence[Values]) -> list[str | None]:
        """The text of a field in each of some values."""
        if name not in self._names:
            return [None] * len(found)
        place = self._names.index(name)
        return [text_of(values[place]) for values in found]

    def _fields(self, values: Values) -> dict[str, object]:
        """The values by field. The time itself is required of a record at most, and these have one."""
        return {self._time: (), **dict(zip(self._names, values, strict=True))}

    def codes(self, group: Group, oldest: int, latest: int) -> AbstractSet[int]:
        """Every outcome that records of a group can have from a time to another, both included."""
        places = self._between(group.course.cutoff, oldest, latest)
        again = self.places // 2
        # NEVER and ALWAYS are not compared: records can have these times, and times beyond them.
        has_older = group.since == NEVER or (group.since != ALWAYS and oldest < group.since)
        has_newer = group.since == ALWAYS or (group.since != NEVER and latest >= group.since)
        found = {group.code(place) for place in places} if has_older else set()
        if has_newer:
            found.update(group.code(again + place) for place in places)
        return found

    def _between(self, cutoff: int, oldest: int, latest: int) -> list[int]:
        """The places of times from one to another, both included."""
        first, last = bisect_right(self.edges, oldest), bisect_right(self.edges, latest)
        found = []
        for stretch in range(first, last + 1):
            begin = oldest if stretch == first else self.edges[stretch - 1]
            end = latest if stretch == last else self.edges[stretch] - 1
            found += [2 * stretch] if begin < cutoff else []
            found += [2 * stretch + 1] if end >= cutoff else []
        return found

    def _concerns(self, read: Read) -> tuple[object, ...]:
        """What decides about a record beside its time and its rule: what it lacks, and who holds and keeps it."""
        selection = self._selection
        lacking = (place for place, name in enumerate(selection.dataset.require) if read(name) in (None, ""))
        held = (hold.concerns(read) for hold in selection.holds)
        return (next(lacking, None), *held, *(floor.match.matches(read) for floor in selection.floors))

    def _course(self, kind: object, read: Read, base: int, ending: int | None) -> Course:
        """The course of records of a *kind*, found by one of them."""
        own = None if ending is None else self._selection.rules.endings[ending]
        cutoff = None if own is None or own.cutoff is None else min(max(own.cutoff, ALWAYS), NEVER)
        codes = tuple(self._outcomes(read, cutoff))
        times = tuple(int(self._selection.outcomes.rule_of(code) is not None) for code in codes)
        found = Course(
            number=len(self.courses),
            codes=tuple(code - base * under for code, under in zip(codes, times, strict=True)),
            times=times,
            cutoff=0 if cutoff is None else cutoff,
            newest=cutoff is not None and own is not None and own.newest,
        )
        self.courses.append(found)
        self._courses[kind] = found
        return found

    def _outcomes(self, read: Read, cutoff: int | None) -> Iterator[int]:
        """The outcomes of a record, asked for a time of each place."""
        instants = list(self._instants(cutoff))
        for instant in instants:
            yield self._selection.decide(instant, read, is_newest=lambda _: False)
        if self.keeps_newest:
            for instant in instants:
                yield self._selection.decide(instant, read)

    def _instants(self, cutoff: int | None) -> Iterator[Nanos]:
        """A time of each place; a place that has none is as the one beside it."""
        edges, middle = self.edges, self.edges[0] if cutoff is None else cutoff
        for begin, end in pairwise((min(edges[0], middle) - 1, *edges, max(edges[-1], middle) + 1)):
            yield Nanos(begin if begin < middle else max(begin, middle))
            yield Nanos(max(begin, middle) if middle < end else begin)


def _key(values: Values) -> tuple[object, ...]:
    return (*map(type, values), *values)
