"""Causes that keep records, each with how many, from what a plan counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lapse.engine.causes.scene import Scene
from lapse.instant import Nanos, beginning
from lapse.model.causes import Cause, CauseKind, Weight
from lapse.model.period import Kind
from lapse.model.plan import Group
from lapse.model.policy import Rule
from lapse.model.selection import Verdict, resolve
from lapse.sqlcore.partitions import LEFT_ASIDE

_STAYING = re.compile(r"(?P<records>[0-9,]+) lapsed rows stay\b")
_LINES_STAY = "and its lines stay: "
_KEEPING = re.compile(r"[0-9,]+ rows of .* keep the rows they refer to\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Records that one part of the decision keeps.

    Attributes:
        records: How many.
        oldest: Earliest record time among them. None if none could be read.
    """

    records: int
    oldest: Nanos | None


def held(scene: Scene) -> Iterator[Cause]:
    """An active hold."""
    reasons = {f"hold {hold.matter}": hold.reason for hold in scene.every_hold}
    for label, kept in _by_reason(scene, Verdict.HELD):
        because = reasons.get(label.partition(", all of it")[0])
        message = f"{label} keeps {_records(kept)}" + (f": {because}" if because else "")
        yield _keeps(CauseKind.HOLD, message, kept, "lapse hold list")


def doubted(scene: Scene) -> Iterator[Cause]:
    """Nobody can judge them; each kind of doubt by itself."""
    for reason, kept in _by_reason(scene, Verdict.DOUBTFUL):
        message = f"{_records(kept)} in doubt, which nobody can judge: {reason}"
        yield _keeps(CauseKind.DOUBT, message, kept, f"lapse plan {scene.name}")


def unmatched(scene: Scene) -> Iterator[Cause]:
    """No rule matches."""
    for _, kept in _by_reason(scene, Verdict.UNMATCHED):
        rules = "none matches" if scene.dataset.rules else "the dataset has none"
        message = f"{_records(kept)} without a rule: {rules}"
        yield _keeps(CauseKind.UNMATCHED, message, kept, "lapse check --effective")


def under_a_floor(scene: Scene) -> Iterator[Cause]:
    """A floor lengthens what the rule says."""
    for offset, floor in enumerate(scene.selection.floors):
        kept = _sum(group for group in _kept(scene) if _way(scene, group) == 2 + offset)
        if kept.records:
            message = f"{floor.label} keeps {_records(kept)} that their rules would let go"
            yield _keeps(CauseKind.FLOOR, message, kept, "lapse check")


def among_the_newest(scene: Scene) -> Iterator[Cause]:
    """``keep last`` keeps the newest of each group."""
    last = scene.selection.outcomes.step - 1
    kept = _sum(group for group in _kept(scene) if _way(scene, group) == last)
    if kept.records:
        message = f"{_records(kept)} old enough to go, kept as the newest of their group (`keep last`)"
        yield _keeps(CauseKind.NEWEST, message, kept, f"lapse plan {scene.name}")


def for_ever(scene: Scene) -> Iterator[Cause]:
    """A rule of ``forever``."""
    groups = [group for group in _by_rule(scene) if _rule(scene, group).keep.kind is Kind.FOREVER]
    if groups:
        kept = _sum(groups)
        message = f"{_records(kept)} kept for ever by {_named(scene, groups)}"
        yield _keeps(CauseKind.FOREVER, message, kept, "lapse check")


def not_yet(scene: Scene) -> Iterator[Cause]:
    """Their time has not come; with the day on which the first of them lapses."""
    groups = [group for group in _by_rule(scene) if _rule(scene, group).keep.kind is not Kind.FOREVER]
    if groups:
        kept = _sum(groups)
        first = _first_to_lapse(scene, groups)
        when = "" if first is None else f"; the first lapses {beginning(first)}"
        message = f"{_records(kept)} not lapsed yet by {_named(scene, groups)}{when}"
        yield _keeps(CauseKind.NOT_YET, message, kept, f"lapse plan {scene.name}")


def tied(scene: Scene) -> Iterator[Cause]:
    """Rows of other tables keep rows that have lapsed, as the store remarks."""
    notes = scene.planned.identity.notes if scene.planned is not None else ()
    for note in notes:
        staying = _STAYING.match(note)
        if staying is not None or _KEEPING.match(note):
            records = None if staying is None else int(staying["records"].replace(",", ""))
            fix = f"lapse plan {scene.name}"
            yield Cause(kind=CauseKind.DEPENDENTS, weight=Weight.KEEPS, message=note, fix=fix, records=records)


def writers_refuse(scene: Scene) -> Iterator[Cause]:
    """A log file that others write to in a way which lets no line go, as the store remarks."""
    for note in scene.planned.identity.notes if scene.planned is not None else ():
        if _LINES_STAY in note:
            fix = f"lapse plan {scene.name}"
            yield Cause(kind=CauseKind.WRITERS, weight=Weight.STOPPED, message=note, fix=fix)


def left_aside(scene: Scene) -> Iterator[Cause]:
    """Rows of a partition that an interrupted run left where no answer of their table shows them."""
    notes = scene.planned.identity.notes if scene.planned is not None else ()
    for found in filter(None, map(LEFT_ASIDE.match, notes)):
        fix, records = f"lapse run {scene.name}", int(found["records"].replace(",", ""))
        yield Cause(
            kind=CauseKind.UNSETTLED, weight=Weight.KEEPS, message=found.string, fix=fix, records=records
        )  # fmt: skip


def _by_reason(scene: Scene, verdict: Verdict) -> Iterator[tuple[str, Kept]]:
    """What has *verdict*, by its reason."""
    groups = [] if scene.planned is None else [g for g in scene.planned.groups if g.outcome.verdict is verdict]
    for reason in dict.fromkeys(group.outcome.reason for group in groups):
        yield reason, _sum(group for group in groups if group.outcome.reason == reason)


def _kept(scene: Scene) -> Iterator[Group]:
    groups = () if scene.planned is None else scene.planned.groups
    return (group for group in groups if group.outcome.verdict is Verdict.KEPT)


def _by_rule(scene: Scene) -> Iterator[Group]:
    """What a rule keeps by itself."""
    return (group for group in _kept(scene) if _way(scene, group) == 1)


def _way(scene: Scene, group: Group) -> int | None:
    """Which part of the decision under a rule it was: 1 the rule, 2 + f floor f, the last ``keep last``."""
    rule = group.outcome.rule
    return None if rule is None else group.outcome.code - scene.selection.lapsed_code(rule)


def _rule(scene: Scene, group: Group) -> Rule:
    return scene.dataset.rules[group.outcome.rule or 0]


def _sum(groups: Iterable[Group]) -> Kept:
    tallies = [group.tally for group in groups]
    oldest = min((tally.oldest for tally in tallies if tally.oldest is not None), default=None)
    return Kept(records=sum(tally.records for tally in tallies), oldest=oldest)


def _named(scene: Scene, groups: Sequence[Group]) -> str:
    """The rule that keeps most of them, and how many others do."""
    records: Counter[int] = Counter()
    for group in groups:
        records[group.outcome.rule or 0] += group.tally.records
    most, _ = records.most_common(1)[0]
    others = len(records) - 1
    more = "" if not others else " and another rule" if others == 1 else f" and {others:,} other rules"
    return f"{scene.dataset.rules[most]}{more}"


def _first_to_lapse(scene: Scene, groups: Sequence[Group]) -> Nanos | None:
    """When the first of them lapses, if no record has a longer floor than all have. None if none ever does."""
    floors = [
        floor.at_least
        for floor in scene.session.policy.floors
        if floor.dataset in (None, scene.name) and not resolve(floor.match, scene.dataset).conditions
    ]
    found = []
    for group in groups:
        if group.tally.oldest is not None:
            deadlines = [period.deadline(group.tally.oldest) for period in (_rule(scene, group).keep, *floors)]
            found += [] if None in deadlines else [max(each for each in deadlines if each is not None)]
    return min(found, default=None)


def _records(kept: Kept) -> str:
    return "1 record" if kept.records == 1 else f"{kept.records:,} records"


def _keeps(kind: CauseKind, message: str, kept: Kept, fix: str) -> Cause:
    return Cause(kind=kind, weight=Weight.KEEPS, message=message, fix=fix, records=kept.records)


KEEPING = (
    held,
    under_a_floor,
    for_ever,
    among_the_newest,
    not_yet,
    unmatched,
    doubted,
    tied,
    writers_refuse,
    left_aside,
)
