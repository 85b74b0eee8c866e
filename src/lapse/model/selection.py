"""What decides about one dataset in one run: a policy at a ``now``, and its outcome for a record.

The outcomes are numbered, so that a store can compile them into its own language and count by them.
`Selection.decide` is the definition; every compiled form must agree with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

from lapse.canonical import Digest, digest_of
from lapse.instant import SECOND, Nanos, rfc3339
from lapse.model.dispatch import Dispatch, dispatch
from lapse.model.match import Condition, Match
from lapse.model.outcomes import FIRST_REQUIRED, Outcomes, Ruling
from lapse.model.outcomes import Destination as Destination
from lapse.model.outcomes import Outcome as Outcome
from lapse.model.outcomes import Verdict as Verdict
from lapse.model.policy import Dataset, Floor, Hold, Rule

SKEW = 300 * SECOND
"""Record times later than the real clock by more than this are doubtful."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule or floor at this run's ``now``.

    Attributes:
        match: Which records.
        cutoff: First instant kept. None keeps all.
        label: Name for reasons.
    """

    match: Match
    cutoff: Nanos | None
    label: str


@dataclass(frozen=True, slots=True)
class HeldScope:
    """An active hold on this dataset.

    Attributes:
        match: Which records. Everything, where the dataset lacks a field the hold needs.
        records_from: First record time held. None has no such bound.
        records_before: First record time no longer held. None has no such bound.
        label: Name for reasons.
    """

    match: Match
    records_from: Nanos | None
    records_before: Nanos | None
    label: str

    def covers(self, instant: Nanos, read: Callable[[str], object]) -> bool:
        """Whether a record of this time is held."""
        begins = self.records_from is None or self.records_from <= instant
        ends = self.records_before is not None and self.records_before <= instant
        return begins and not ends and self.match.matches(read)


@dataclass(frozen=True, slots=True)
class _Rulings(Sequence[Ruling]):
    """The rules as outcomes speak of them, each made when it is asked for."""

    sources: Sequence[Rule]

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Ruling: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ruling, ...]: ...
    def __getitem__(self, index: int | slice) -> Ruling | tuple[Ruling, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        rule = self.sources[index]
        return Ruling(str(rule), destination_of(rule), None if rule.last is None else str(rule.last))


def destination_of(rule: Rule) -> Destination:
    """Where what lapsed under *rule* goes."""
    return Destination(tuple(sorted(rule.archives)))


@dataclass(frozen=True)
class Selection:
    """Everything needed to decide about the records of one dataset.

    Attributes:
        dataset: The dataset; its columns and formats.
        now: The run's one ``now``.
        doubt_after: Last record time that is believed: the real clock plus `SKEW`, inclusive.
        holds: Active holds that can touch this dataset.
        floors: Floors that can touch it.
        rules: Its rules with their cutoffs, in file order.
        sources: The rules as the policy has them, index for index.
    """

    dataset: Dataset
    now: Nanos
    doubt_after: Nanos
    holds: tuple[HeldScope, ...] = ()
    floors: tuple[Bound, ...] = ()
    rules: tuple[Bound, ...] = ()
    sources: tuple[Rule, ...] = field(default=(), repr=False)

    @property
    def first_required(self) -> int:
        """Code of the first required field."""
        return FIRST_REQUIRED

    @property
    def first_hold(self) -> int:
        """Code of the first hold."""
        return self.outcomes.first_hold

    def lapsed_code(self, rule: int) -> int:
        """Code of "lapsed under this rule"; +1 is kept by the rule, +2+f kept by floor f."""
        return self.outcomes.first_rule + rule * self.outcomes.step

    def newest_code(self, rule: int) -> int:
        """Code of "kept as one of the newest of its group, beyond this rule"."""
        return self.lapsed_code(rule) + self.outcomes.step - 1

    @property
    def unmatched_code(self) -> int:
        """Code of "no rule matches", the last."""
        return self.lapsed_code(len(self.rules))

    @cached_property
    def outcomes(self) -> Outcomes:
        """Every outcome; its position is its code."""
        doubts = ["no readable time", self._before_text(), f"time is later than {rfc3339(self.doubt_after)}"]
        return Outcomes(
            doubts=(*doubts, *(f"no {name}" for name in self.dataset.require)),
            holds=tuple(hold.label for hold in self.holds),
            floors=tuple(floor.label for floor in self.floors),
            rules=_Rulings(self.sources),
        )

    def _before_text(self) -> str:
        before = self.dataset.doubt_before
        return "time is before any doubt" if before is None else f"time is before {rfc3339(before)}"

    @cached_property
    def dispatch(self) -> Dispatch:
        """Finds the first rule that matches."""
        return dispatch([bound.match for bound in self.rules])

    def decide(
        self,
        instant: Nanos | None,
        read: Callable[[str], object],
        *,
        is_newest: Callable[[int], bool] = lambda _: True,
    ) -> int:
        """The outcome's code for one record.

        Arguments:
            instant: Its time. None if it has none that can be read.
            read: Gives the record's value of a field, None if it has none.
            is_newest: Whether it is one of the newest that a rule of this index keeps of its group; asked of rules
                that do. Where nobody knows, it is.
        """
        if instant is None:
            return 0
        if self.dataset.doubt_before is not None and instant < self.dataset.doubt_before:
            return 1
        if instant > self.doubt_after:
            return 2
        for offset, name in enumerate(self.dataset.require):
            if read(name) in (None, ""):
                return self.first_required + offset
        for offset, hold in enumerate(self.holds):
            if hold.covers(instant, read):
                return self.first_hold + offset
        rule = self.dispatch.first(read)
        if rule is None:
            return self.unmatched_code
        code = self._under_rule(rule, instant, read)
        keeps_newest = code == self.lapsed_code(rule) and self.sources[rule].last is not None and is_newest(rule)
        return self.newest_code(rule) if keeps_newest else code

    def _under_rule(self, index: int, instant: Nanos, read: Callable[[str], object]) -> int:
        code, cutoff = self.lapsed_code(index), self.rules[index].cutoff
        if cutoff is None or instant >= cutoff:
            return code + 1
        for offset, floor in enumerate(self.floors):
            if (floor.cutoff is None or instant >= floor.cutoff) and floor.match.matches(read):
                return code + 2 + offset
        return code

    def destinations(self) -> tuple[Destination, ...]:
        """Where lapsed records can go, each destination once, in the order of the rules."""
        return tuple(self._going)

    def lapsed_codes(self, destination: Destination | None = None) -> tuple[int, ...]:
        """Codes of lapsed records, ascending: those of one destination, or all."""
        if destination is not None:
            return self._going.get(destination, ())
        return tuple(map(self.lapsed_code, range(len(self.rules))))

    @cached_property
    def _going(self) -> Mapping[Destination, tuple[int, ...]]:
        found: defaultdict[Destination, list[int]] = defaultdict(list)
        for index, rule in enumerate(self.sources):
            found[destination_of(rule)].append(self.lapsed_code(index))
        return {destination: tuple(codes) for destination, codes in found.items()}

    @property
    def rules_digest(self) -> Digest:
        """Hash of the dataset's rules, as ledger entries carry it."""
        return digest_of([rule.facts() for rule in self.sources])


def select(
    dataset: Dataset,
    *,
    floors: Iterable[Floor],
    holds: Iterable[Hold],
    now: Nanos,
    real_now: Nanos,
    held_at: Iterable[Nanos] = (),
) -> Selection:
    """Bind a dataset's rules, floors and holds to this run's ``now``.

    Arguments:
        dataset: The dataset.
        floors: Every floor of the policy.
        holds: Every hold.
        now: What decides whether a record has lapsed.
        real_now: The real time: record times much later are doubtful.
        held_at: Further instants; a hold that is active at one of them, at *now* or at *real_now* counts.
    """
    return Selection(
        dataset=dataset,
        now=now,
        doubt_after=Nanos(real_now + SKEW),
        holds=held_scopes(dataset, holds, (now, real_now, *held_at)),
        floors=tuple(
            Bound(resolve(floor.match, dataset), floor.at_least.cutoff(now), f"floor {floor.because!r}")
            for floor in floors
            if floor.dataset in (None, dataset.name)
        ),
        rules=tuple(Bound(rule.match, rule.keep.cutoff(now), str(rule)) for rule in dataset.rules),
        sources=dataset.rules,
    )


def held_scopes(dataset: Dataset, holds: Iterable[Hold], instants: tuple[Nanos, ...]) -> tuple[HeldScope, ...]:
    """The holds that can touch *dataset* and are active at one of *instants*: a replay, too, removes for real."""
    return tuple(
        HeldScope(resolve(hold.match, dataset), hold.records_from, hold.records_before, _hold_label(hold, dataset))
        for hold in holds
        if any(map(hold.active, instants)) and hold.dataset in (None, dataset.name)
    )


def _hold_label(hold: Hold, dataset: Dataset) -> str:
    unknown = [condition.role for condition in hold.match.conditions if _column(condition, dataset) is None]
    widened = f", all of it, as the dataset names no {' and no '.join(unknown)}" if unknown else ""
    return f"hold {hold.matter}{widened}"


def _column(condition: Condition, dataset: Dataset) -> str | None:
    """The dataset's column that a hold's or floor's condition speaks of. None if it has none."""
    roles = {"type": dataset.type, "tenant": dataset.tenant}
    return roles.get(condition.role, condition.field)


def resolve(match: Match, dataset: Dataset) -> Match:
    """Turn the roles ``type`` and ``tenant`` into this dataset's columns.

    A dataset without such a column cannot be told apart by it, so the match widens to everything: a hold
    or floor may then keep too much, never too little. Only holds and floors may be resolved this way.
    """
    resolved = [(condition, _column(condition, dataset)) for condition in match.conditions]
    return Match(tuple(replace(condition, field=column) for condition, column in resolved if column is not None))
