"""A new rule begins small: one slice that is checked once it is committed, and slices that double from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lapse.engine.remembered import Remembered
from lapse.engine.session import Session
from lapse.errors import VerificationError
from lapse.model.disposal import Disposal, Facts
from lapse.model.guards import Guards
from lapse.model.period import parse_period
from lapse.model.plan import DatasetPlan, merge
from lapse.model.ramp import STEADY, Canary, Climb, Ramp, RuleDigests, named_rules, store_of
from lapse.model.selection import Selection, Verdict
from lapse.ports import Budget, Store
from lapse.stages.recounting import Standing, missing, standings
from lapse.stages.verifying import intact


class CanaryError(VerificationError):
    """A first slice under a new rule after which the store or the archive is not as it should be.

    What the slice removed was sealed and read back before. Nothing more is removed of the dataset in this run.
    """


def ramp_of(selection: Selection, plan: DatasetPlan, guards: Guards, past: Remembered) -> Ramp | None:
    """The ramp that a run has to begin with. None if it has none: nothing is new, or the policy wants none."""
    if guards.ramp is None:
        return None
    lapsed = {g.outcome.rule for g in plan.groups if g.outcome.verdict is Verdict.LAPSED and g.tally.records}
    going = sorted(rule for rule in lapsed if rule is not None)
    if not going:
        return None
    reached = past.steps(plan.dataset, store_of(plan.identity.fingerprint.text))
    digests = RuleDigests(selection.sources)
    # Nothing is hashed where the ledger knows nothing yet: there may be very many rules.
    steps = {rule: reached.get(digests[str(rule)], 0) if reached else 0 for rule in going}
    new = tuple(rule for rule in going if steps[rule] < STEADY)
    if not new:
        return None
    begun = min(steps[rule] for rule in new)
    return Ramp(first=guards.ramp, rules=new, alone=len(new) == len(going), begun=begun)


def with_ramp(plan: DatasetPlan, selection: Selection, ramp: Ramp | None) -> DatasetPlan:
    """The plan with a note on its ramp."""
    if ramp is None:
        return plan
    notes = (*plan.identity.notes, announced(selection, ramp))
    return replace(plan, identity=replace(plan.identity, notes=notes))


def announced(selection: Selection, ramp: Ramp) -> str:
    """What a plan says of a ramp."""
    which = named_rules([selection.sources[rule].name for rule in ramp.rules])
    doubles = _doubles(selection)
    if ramp.begun and not doubles:
        return f"{which}: the canary has passed in an earlier run, and the rest follows"
    if ramp.begun:
        return f"{which}: slices of {ramp.rows(ramp.begun + 1):,} records double from run to run, as was begun"
    where = "the beginning of its table" if doubles else "the head of its log files"
    first = f"{which}: a canary of {ramp.first:,} records goes first, from {where}"
    return f"{first}, and is checked before {'slices double from there' if doubles else 'the rest follows'}"


def _doubles(selection: Selection) -> bool:
    """Whether slices grow step by step: of a log file, each step could mean to write all of it anew."""
    return selection.dataset.table is not None


class Ascent:
    """A ramp on its way up; without a ramp, everything is as usual from the beginning.

    Attributes:
        canary: The first slice, once it was checked. None before, and without one.
        step: Which step the next slice is, from 1.
    """

    def __init__(self, ramp: Ramp | None, *, usual: int) -> None:
        """Begin where an earlier run has ended.

        Arguments:
            ramp: None for none.
            usual: Records of a usual slice.
        """
        self.canary: Canary | None = None
        self.step = 1 if ramp is None else ramp.begun + 1
        self._ramp = ramp
        self._usual = usual
        self._left_out = False

    @property
    def ramp(self) -> Ramp | None:
        """The ramp, as long as it goes on. None without one, or once slices have their usual size."""
        ramp = self._ramp
        if ramp is None or self._left_out or (self.step > 1 and ramp.rows(self.step) >= self._usual):
            return None
        return ramp

    @property
    def at_canary(self) -> bool:
        """Whether the next slice is the canary."""
        return self.ramp is not None and self.step == 1

    def budget(self, usual: Budget) -> Budget:
        """How big the next slice may be, where *usual* is what it could have without the ramp."""
        ramp = self.ramp
        if ramp is None:
            return usual
        small = replace(usual, rows=min(usual.rows, ramp.rows(self.step)))
        return replace(small, canary=True) if self.at_canary else small

    def facts(self, facts: Facts) -> Facts:
        """What the next slices say of themselves."""
        return facts if self.ramp is None else replace(facts, ramp=self.step)

    def selection(self, selection: Selection) -> Selection:
        """What decides about the next slice: the canary is one of new rules alone."""
        ramp = self.ramp
        return selection if ramp is None or ramp.alone or not self.at_canary else only(selection, ramp.rules)

    def leave_out(self) -> None:
        """Go on as usual: nothing is there any more that the ramp was for."""
        self._left_out = True

    def climb(self) -> None:
        """Note that a slice of this step went through, and was checked if it is the canary."""
        if self.ramp is not None:
            self.step += 1

    def climbed(self, *, complete: bool) -> Climb | None:
        """How far it got, for the ledger. None if nothing was proven; *complete* if nothing lapsed was left behind."""
        if self._ramp is None or self._left_out or self.step == 1:
            return None
        return Climb(steps=self.step - 1, done=complete or self.ramp is None)


def only(selection: Selection, rules: Sequence[int]) -> Selection:
    """The same selection, in which nothing lapses but under these rules."""
    chosen, forever = frozenset(rules), parse_period("forever")
    return replace(
        selection,
        sources=tuple(
            rule if rule.index in chosen else replace(rule, keep=forever, last=None) for rule in selection.sources
        ),
    )


def count_now(store: Store, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None) -> Mapping[int, Standing]:
    """What a store holds, by outcome."""
    return standings(merge(store.survey(selection, mark)))


def check_canary(
    session: Session,
    selection: Selection,
    disposal: Disposal,
    *,
    before: Mapping[int, Standing],
    after: Mapping[int, Standing],
) -> None:
    """See that a committed canary did what it should, and nothing else.

    Arguments:
        session: Whose archives hold its segments.
        selection: What decided.
        disposal: What it removed.
        before: What the store held before it.
        after: What the store holds now.

    Raises:
        CanaryError: If a segment does not read back as sealed, or the store does not hold what it should.
    """
    dataset = selection.dataset.name
    for segment in disposal.segments:
        if not intact(segment, session.targets[segment.archive]):
            raise CanaryError(
                f"{dataset}: {segment.path} in archive {segment.archive} is no longer what was sealed there",
                hint="Nothing more was removed. Look with: lapse archive verify",
            )
    problem = missing(selection, before, after, removed=disposal.records)
    if problem is not None:
        raise CanaryError(
            f"{dataset}: after the first {disposal.records:,} records under a new rule, {problem}",
            hint="Nothing more was removed, and what was removed is sealed. If others remove or change records there,"
            " run again: the first slice comes once more. Else look at what is missing before the next run.",
        )


def canary_of(selection: Selection, ramp: Ramp, disposal: Disposal, *, last: bool) -> Canary:
    """What a report says of a checked canary; *last* if nothing was left after it."""
    rules = [index for index in ramp.rules if str(index) in disposal.counts]
    return Canary(
        records=disposal.records,
        rules=tuple(selection.sources[index].name for index in rules),
        oldest=disposal.oldest,
        newest=disposal.newest,
        last=last,
        doubles=_doubles(selection),
    )
