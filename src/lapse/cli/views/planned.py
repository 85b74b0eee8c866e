"""What would go, what stays, and why: the views of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import count, day, moment, optional_moment, second, share, short, size, some
from lapse.model.plan import DatasetPlan, Group, Plan
from lapse.model.selection import Verdict

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
        yield Table(_COLUMNS, [_row(group) for group in plan.groups], indent=2)
    yield from (Line(text, indent=2) for text in _cutoffs(plan))
    yield from (Line(f"Note: {text}", "yellow", indent=2) for text in plan.identity.notes)
    if plan.identity.refusal is not None:
        yield Line(f"Refused: {plan.identity.refusal}", "bold red", indent=2)
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


def _row(group: Group) -> Row:
    tally, verdict = group.tally, group.outcome.verdict
    cells = (
        verdict.value,
        _why(group),
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
    for number, cutoff in enumerate(plan.cutoffs, start=1):
        if cutoff is None:
            yield f"Rule {number} keeps for ever."
        else:
            yield f"Rule {number} keeps from {second(cutoff)} on."


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
        parts.append(f" {count(waived)} of them without a copy, as the policy says")
    return ",".join(parts)


def planned_shape(plan: DatasetPlan) -> shapes.PlannedDataset:
    """One dataset's plan for programs."""
    return shapes.PlannedDataset(
        dataset=plan.dataset,
        store=plan.store,
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
