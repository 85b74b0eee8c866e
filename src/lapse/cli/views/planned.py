"""What would go, what stays, and why: the views of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import nlargest
from itertools import groupby
from pathlib import Path

from msgspec import structs

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import count, day, moment, optional_moment, second, share, short, size, some
from lapse.model.plan import DatasetPlan, Group, Plan, Tally
from lapse.model.selection import Verdict

_MOST_RULES = 20  # whose cutoffs are all shown
_MOST_GROUPS = 20  # of one verdict; of more, the largest are shown, and what the others come to
_STYLES = {Verdict.LAPSED: "bold", Verdict.DOUBTFUL: "yellow", Verdict.HELD: "cyan"}
_COLUMNS = (
    Column("verdict"),
    Column("why", folds=True),
    Column("tenant", folds=True),
    Column("records", right=True),
    Column("size", right=True),
    Column("oldest"),
    Column("newest"),
)


@dataclass(frozen=True, slots=True)
class PlanView(Done):
    """A plan.

    Attributes:
        plan: What a run would do.
        sealed: File that it was sealed into. None if it was not.
    """

    plan: Plan
    sealed: Path | None = None

    def result(self) -> shapes.PlanResult:
        """The plan for programs."""
        return shapes.PlanResult(
            now=moment(self.plan.now),
            policy=self.plan.policy_digest,
            lapsed=sum(each.records(Verdict.LAPSED) for each in self.plan.datasets),
            datasets=[planned_shape(each) for each in self.plan.datasets],
            sealed=None if self.sealed is None else str(self.sealed),
        )

    def page(self) -> Iterator[Block]:
        """A table for each dataset, then what it comes to."""
        yield Line(f"Plan at {second(self.plan.now)}, policy {short(self.plan.policy_digest)}")
        yield BLANK
        for each in self.plan.datasets:
            yield from planned_blocks(each)
        yield Line(closing(self.plan.datasets), "bold")
        if self.sealed is not None:
            yield Line(f"Sealed into {self.sealed}. Follow it with: lapse run --plan {self.sealed}")


def planned_blocks(plan: DatasetPlan) -> Iterator[Block]:
    """What would become of one dataset, and a blank line."""
    yield Line(f"{plan.dataset}: {plan.store}", "bold")
    if plan.groups:
        yield Table(_COLUMNS, list(_rows(plan.groups)), indent=2)
    yield from (Line(text, indent=2) for text in _cutoffs(plan))
    yield from (Line(f"Note: {text}", "yellow", indent=2) for text in plan.identity.notes)
    if plan.identity.refusal is not None:
        yield Line(f"Refused: {plan.identity.refusal}", "bold red", indent=2)
    yield from (Line(f"A run would be refused: {over.finding}", "bold red", indent=2) for over in plan.over)
    yield Line(_sum(plan), indent=2)
    yield BLANK


def closing(plans: tuple[DatasetPlan, ...]) -> str:
    """One sentence on everything that would go."""
    lapsed = sum(plan.records(Verdict.LAPSED) for plan in plans)
    where = f"in {some(len(plans), 'dataset')}"
    if not plans:
        return "The policy has no dataset: nothing would go."
    if not lapsed:
        return f"No record has lapsed {where}."
    records = sum(plan.records() for plan in plans)
    bytes_ = size(sum(plan.size(Verdict.LAPSED) for plan in plans))
    return f"{count(lapsed)} of {some(records, 'record')} would go ({share(lapsed, records)}, {bytes_}) {where}."


def _shown(groups: Sequence[Group]) -> Iterator[tuple[Sequence[Group], Sequence[Group]]]:
    """Of each verdict the groups that are shown, in their order, and those that are only summed up."""
    for _, found in groupby(groups, key=lambda group: group.outcome.verdict):
        alike = list(found)
        largest = nlargest(_MOST_GROUPS, range(len(alike)), key=lambda place: alike[place].tally.records)
        others = set(range(len(alike))) - set(largest) if len(alike) > _MOST_GROUPS + 1 else set[int]()
        yield [each for place, each in enumerate(alike) if place not in others], [alike[place] for place in others]


def _rows(groups: Sequence[Group]) -> Iterator[Row]:
    for shown, others in _shown(groups):
        yield from (_row(group.outcome.verdict, _why(group), group.tally) for group in shown)
        if others:
            whole = reduce(Tally.merged, (group.tally for group in others))
            rules = {group.outcome.rule for group in others} - {None, *(group.outcome.rule for group in shown)}
            what = f"… and {some(len(others), 'more group')}"
            what += f", of {some(len(rules), 'more rule')}" if rules else ""
            yield _row(others[0].outcome.verdict, what, structs.replace(whole, tenant=None))


def _row(verdict: Verdict, why: str, tally: Tally) -> Row:
    cells = (
        verdict.value,
        why,
        tally.tenant or "",
        count(tally.records),
        size(tally.size),
        day(tally.oldest),
        day(tally.newest),
    )
    return Row(cells, _STYLES.get(verdict))


def _why(group: Group) -> str:
    """The reason without what its row says already."""
    reason = group.outcome.reason
    return reason.removeprefix("lapsed under ").removeprefix("kept by ")


def _cutoffs(plan: DatasetPlan) -> Iterator[str]:
    """From when on each rule keeps, and by which clock; of many rules, only those that decide about what is shown."""
    by = f", by {plan.clock}" if plan.clock else ""
    deciding = {group.outcome.rule for shown, _ in _shown(plan.groups) for group in shown}
    for index, cutoff in enumerate(plan.cutoffs):
        if len(plan.cutoffs) > _MOST_RULES and index not in deciding:
            continue
        name = plan.rules[index].name if plan.rules else f"rule {index + 1}"
        until = "for ever" if cutoff is None else f"from {second(cutoff)} on{by}"
        yield f"{name[0].upper()}{name[1:]} keeps {until}."


def _sum(plan: DatasetPlan) -> str:
    lapsed, records = plan.records(Verdict.LAPSED), plan.records()
    if not records:
        return "Nothing is in it."
    if not lapsed:
        return f"Nothing of {some(records, 'record')} has lapsed."
    head = f"{count(lapsed)} of {some(records, 'record')} would go ({share(lapsed, records)})"
    return f"{head}{_destination(plan)}."


def _destination(plan: DatasetPlan) -> str:
    going = [g for g in plan.groups if g.outcome.verdict is Verdict.LAPSED and g.outcome.destination is not None]
    archives = sorted({name for g in going if g.outcome.destination for name in g.outcome.destination.archives})
    waived = sum(g.tally.records for g in going if g.outcome.destination and not g.outcome.destination.archives)
    parts = []
    if archives:
        parts.append(f" to {' and '.join(archives)} in {some(plan.segments, 'segment')} or more")
    if waived:
        parts.append(f", {count(waived)} of them without a copy, as the policy says")
    return "".join(parts)


def planned_shape(plan: DatasetPlan) -> shapes.PlannedDataset:
    """One dataset's plan for programs."""
    return shapes.PlannedDataset(
        dataset=plan.dataset,
        store=plan.store,
        clock=plan.clock,
        fingerprint=plan.identity.fingerprint.text,
        cutoffs=[optional_moment(cutoff) for cutoff in plan.cutoffs],
        groups=[_group_shape(group) for group in plan.groups],
        records=plan.records(),
        lapsed=plan.records(Verdict.LAPSED),
        lapsed_size=plan.size(Verdict.LAPSED),
        segments=plan.segments,
        notes=plan.identity.notes,
        refusal=plan.identity.refusal,
        unsealable=plan.identity.unmarked,
        guards=[shapes.RefusingGuard(guard=over.guard, finding=over.finding) for over in plan.over],
    )


def _group_shape(group: Group) -> shapes.PlannedGroup:
    outcome, tally = group.outcome, group.tally
    return shapes.PlannedGroup(
        verdict=outcome.verdict,
        reason=outcome.reason,
        rule=None if outcome.rule is None else outcome.rule + 1,
        tenant=tally.tenant,
        records=tally.records,
        size=tally.size,
        oldest=optional_moment(tally.oldest),
        newest=optional_moment(tally.newest),
        archives=None if outcome.destination is None else outcome.destination.archives,
    )
