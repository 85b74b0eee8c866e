"""What decides about one dataset in one run: a policy at a ``now``, and its outcome for a record.

The outcomes are numbered, so that a store can compile them into its own language and count by them.
`Selection.decide` is the definition; every compiled form must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lapse.canonical import Digest
from lapse.instant import SECOND, Nanos, rfc3339, rfc3339_second
from lapse.model.bounds import Bound as Bound
from lapse.model.bounds import CutoffTexts, EndingOf, Going, Rules, RuleTexts, Rulings, bind
from lapse.model.dispatch import Dispatch
from lapse.model.match import Condition, Match, text_of
from lapse.model.outcomes import FIRST_REQUIRED, Outcomes
from lapse.model.outcomes import Destination as Destination
from lapse.model.outcomes import Outcome as Outcome
from lapse.model.outcomes import Verdict as Verdict
from lapse.model.policy import Dataset, Floor, Hold, Rule
from lapse.model.rule import rules_digest

if TYPE_CHECKING:
    from lapse.model.posted import PostedHold

RECORD_KEY = "(key)"
"""Field that stands for what names a record in its store, where the dataset has no ``key``; no column is called so."""

SKEW = 300 * SECOND
"""Record times later than the real clock by more than this are doubtful."""


@dataclass(frozen=True, slots=True)
class HeldScope:
    """An active hold on this dataset.

    Attributes:
        match: Which records. Everything, where the dataset lacks a field the hold needs.
        records_from: First record time held. None has no such bound.
        records_before: First record time no longer held. None has no such bound.
        label: Name for reasons.
        keys: Only records of these keys, as text. None has no such bound.
        key_field: The field that the keys are values of: the dataset's, or `RECORD_KEY` for the store's own.
    """

    match: Match
    records_from: Nanos | None
    records_before: Nanos | None
    label: str
    keys: frozenset[str] | None = None
    key_field: str = RECORD_KEY

    def covers(self, instant: Nanos, read: Callable[[str], object]) -> bool:
        """Whether a record of this time is held."""
        begins = self.records_from is None or self.records_from <= instant
        ends = self.records_before is not None and self.records_before <= instant
        return begins and not ends and self.concerns(read)

    def concerns(self, read: Callable[[str], object]) -> bool:
        """Whether a record is held if its time is."""
        named = self.keys is None or text_of(read(self.key_field)) in self.keys
        return named and self.match.matches(read)


@dataclass(frozen=True)
class Selection:
    """Everything needed to decide about the records of one dataset.

    Attributes:
        dataset: The dataset; its columns and formats.
        now: The run's one ``now``.
        doubt_after: Last record time that is believed: the real clock plus `SKEW`, inclusive.
        holds: Active holds that can touch this dataset.
        floors: Floors that can touch it.
        sources: Its rules as the policy has them, in file order.
        posted: The holds that were found in its store; what they say is among *holds*.
    """

    dataset: Dataset
    now: Nanos
    doubt_after: Nanos
    holds: tuple[HeldScope, ...] = ()
    floors: tuple[Bound, ...] = ()
    sources: tuple[Rule, ...] = field(default=(), repr=False)
    posted: tuple[PostedHold, ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def rules(self) -> Rules:
        """Its rules with their cutoffs, index for index."""
        return bind(self.sources, self.now)

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
        doubts = ["no readable time", self._before_text(), f"time is later than {rfc3339_second(self.doubt_after)}"]
        return Outcomes(
            doubts=(*doubts, *(f"no {name}" for name in self.dataset.require)),
            holds=tuple(hold.label for hold in self.holds),
            floors=tuple(floor.label for floor in self.floors),
            rules=Rulings(self.rules),
        )

    def _before_text(self) -> str:
        before = self.dataset.doubt_before
        return "time is before any doubt" if before is None else f"time is before {rfc3339(before)}"

    @property
    def ruled_fields(self) -> tuple[str, ...]:
        """The fields that its rules look at, each once."""
        return self.rules.fields

    @property
    def dispatch(self) -> Dispatch:
        """Finds the first rule that matches."""
        return self.rules.dispatch

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
        code, cutoff = self.lapsed_code(index), self.rules.cutoff(index)
        if cutoff is None or instant >= cutoff:
            return code + 1
        for offset, floor in enumerate(self.floors):
            if (floor.cutoff is None or instant >= floor.cutoff) and floor.match.matches(read):
                return code + 2 + offset
        return code

    def destinations(self) -> tuple[Destination, ...]:
        """Where lapsed records can go, each destination once, in the order of the rules."""
        return tuple(self.rules.destinations)

    def goal(self, destination: Destination) -> int:
        """The number of one of the destinations, from 1."""
        return self.rules.destinations[destination]

    @cached_property
    def goals(self) -> Sequence[int]:
        """For each outcome, by its code, the number of the destination its records go to; 0 if they stay."""
        return self.ending.numbered([self.goal(ending.destination) for ending in self.rules.endings])

    def lapsed_codes(self, destination: Destination | None = None) -> Going:
        """Codes of lapsed records, ascending: those of one destination, or all."""
        return Going(self.rules, self.outcomes, destination)

    @cached_property
    def ending(self) -> EndingOf:
        """How records with a code lapsed; None if they did not."""
        rules, outcomes = self.rules, self.outcomes
        return EndingOf(outcomes.first_rule, outcomes.step, rules.endings, rules.ending_of)

    @property
    def rule_texts(self) -> Mapping[str, str]:
        """The text of each rule by its index, as disposals name them."""
        return RuleTexts(self.sources)

    @property
    def cutoff_texts(self) -> Mapping[str, str]:
        """The cutoff, RFC 3339, of each rule that has one, by its index, as disposals name them."""
        return CutoffTexts(self.rules)

    @property
    def rules_digest(self) -> Digest:
        """Hash of the dataset's rules, as ledger entries carry it."""
        return rules_digest(self.sources)


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
        sources=dataset.rules,
    )


def held_scopes(dataset: Dataset, holds: Iterable[Hold], instants: tuple[Nanos, ...]) -> tuple[HeldScope, ...]:
    """The holds that can touch *dataset* and are active at one of *instants*: a replay, too, removes for real."""
    return tuple(
        HeldScope(
            resolve(hold.match, dataset),
            hold.records_from,
            hold.records_before,
            _hold_label(hold, dataset),
            keys=frozenset(hold.keys) if hold.keys and _names_records(dataset) else None,
            key_field=dataset.key or RECORD_KEY,
        )
        for hold in holds
        if any(map(hold.active, instants)) and hold.dataset in (None, dataset.name)
    )


def _names_records(dataset: Dataset) -> bool:
    """Whether a record has a key that stays with it: a line of a text log has none but a field's."""
    return dataset.table is not None or dataset.key is not None


def _hold_label(hold: Hold, dataset: Dataset) -> str:
    unknown = [condition.role for condition in hold.match.conditions if _column(condition, dataset) is None]
    unknown += ["key"] if hold.keys and not _names_records(dataset) else []
    widened = f", all of it, as the dataset names no {' and no '.join(unknown)}" if unknown else ""
    return f"hold {hold.matter}{widened}"


def _column(condition: Condition, dataset: Dataset) -> str | None:
    """The dataset's column that a hold's or floor's condition speaks of. None if it has none."""
    return dataset.roles.get(condition.role, condition.field)


def resolve(match: Match, dataset: Dataset) -> Match:
    """Turn roles such as ``type`` and ``tenant`` into this dataset's columns.

    A dataset without such a column cannot be told apart by it, so the match widens to everything: a hold
    or floor may then keep too much, never too little. Only holds and floors may be resolved this way.
    """
    resolved = [(condition, _column(condition, dataset)) for condition in match.conditions]
    return Match(tuple(replace(condition, field=column) for condition, column in resolved if column is not None))
