"""A policy, checked and in words; its values, its schema, and a new one proposed: their views."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.views.held import hold_shape, scope_of
from lapse.cli.wording import count, day, listed, optional_moment, short, size
from lapse.engine.checking import Checked
from lapse.engine.inspecting import Proposal
from lapse.instant import Nanos
from lapse.model.period import Kind
from lapse.model.policy import Dataset, Rule
from lapse.policyfile import EffectiveValue
from lapse.ports import Sketch


@dataclass(frozen=True, slots=True)
class CheckView(Done):
    """A policy that can be followed, at an instant."""

    checked: Checked
    now: Nanos

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a second look."""
        return self.checked.remarks

    def result(self) -> shapes.CheckResult:
        """The policy in outline for programs."""
        policy = self.checked.policy
        return shapes.CheckResult(
            file=policy.file,
            digest=policy.digest,
            datasets=[_dataset_shape(dataset) for dataset in policy.datasets.values()],
            archives={archive.name: archive.shown for archive in policy.archives.values()},
            floors=[
                shapes.FloorShown(
                    dataset=floor.dataset,
                    match=str(floor.match),
                    at_least=floor.at_least.text,
                    because=floor.because,
                )
                for floor in policy.floors
            ],
            holds=[hold_shape(hold, self.now) for hold in self.checked.holds],
        )

    def page(self) -> Iterator[Block]:
        """What the policy says, in words."""
        policy = self.checked.policy
        yield Line(f"{policy.file} can be followed: policy {short(policy.digest)}.", "bold")
        for dataset in policy.datasets.values():
            yield BLANK
            yield from _dataset(dataset)
        yield BLANK
        for archive in policy.archives.values():
            kept = f", segments kept {archive.keep.text}" if archive.keep else ""
            yield Line(f"Archive {archive.name}: {archive.shown}{kept}")
        for floor in policy.floors:
            where = "all datasets" if floor.dataset is None else floor.dataset
            yield Line(f"Floor: {where}, {floor.match}: {floor.at_least.text} at least, because of {floor.because}")
        for hold in self.checked.holds:
            state = "" if hold.active(self.now) else " (not in force now)"
            yield Line(f"Hold {hold.matter}{state}: {scope_of(hold)}")
        guards = policy.guards
        if guards.share is not None:
            yield Line(f"Guard: no run takes more than {100 * guards.share:g}% of a dataset")
        if guards.rows is not None:
            yield Line(f"Guard: no run takes more than {count(guards.rows)} records of a dataset")


def _dataset(dataset: Dataset) -> Iterator[Block]:
    table = f", table {dataset.table}" if dataset.table else ""
    yield Line(f"{dataset.name}: {dataset.shown}{table}", "bold")
    fields = [("time", dataset.time), ("type", dataset.type), ("tenant", dataset.tenant), ("key", dataset.key)]
    yield Line(listed([f"{role} {name}" for role, name in fields if name]), indent=2)
    yield from (Line(f"{rule.index + 1}. {_rule_words(rule)}", indent=2) for rule in dataset.rules)
    if not dataset.rules:
        yield Line("No rule: everything is kept.", indent=2)


def _rule_words(rule: Rule) -> str:
    if rule.keep.kind is Kind.FOREVER:
        return f"{rule.match}: kept for ever"
    then = "removed without a copy" if rule.waived else f"archived in {listed(rule.archives)} and removed"
    if rule.keep.kind is Kind.NO_TIME:
        return f"{rule.match}: {then}, whatever its age"
    return f"{rule.match}: kept {rule.keep.text}, then {then}"


def _dataset_shape(dataset: Dataset) -> shapes.CheckedDataset:
    return shapes.CheckedDataset(
        dataset=dataset.name,
        store=dataset.shown,
        table=dataset.table,
        time=dataset.time,
        type=dataset.type,
        tenant=dataset.tenant,
        rules=[
            shapes.CheckedRule(match=str(r.match), keep=r.keep.text, archives=r.archives, waived=r.waived)
            for r in dataset.rules
        ],
    )


@dataclass(frozen=True, slots=True)
class EffectiveView(Done):
    """Every value of a policy, with where it comes from."""

    values: tuple[EffectiveValue, ...]

    def result(self) -> shapes.EffectiveResult:
        """The values for programs."""
        return shapes.EffectiveResult(
            values=[
                shapes.EffectiveValue(
                    path=each.path, value=each.value, where=None if each.origin is None else str(each.origin)
                )
                for each in self.values
            ]
        )

    def page(self) -> Iterator[Block]:
        """A row for each value."""
        columns = (Column("value of"), Column("is", folds=True), Column("from"))
        rows = [Row((v.path, v.value, "default" if v.origin is None else str(v.origin))) for v in self.values]
        yield Table(columns, rows)


@dataclass(frozen=True, slots=True)
class SchemaView(Done):
    """The JSON Schema of a policy."""

    schema: Mapping[str, Any]

    def result(self) -> shapes.SchemaResult:
        """The schema for programs."""
        return shapes.SchemaResult(schema=self.schema)

    def page(self) -> Iterator[Block]:
        """The schema itself, so that it can be sent to a file."""
        yield from (Line(text) for text in json.dumps(self.schema, indent=2).splitlines())


@dataclass(frozen=True, slots=True)
class InitView(Done):
    """A policy that was proposed and written."""

    file: Path
    proposal: Proposal

    def result(self) -> shapes.InitResult:
        """What was found, for programs."""
        proposal = self.proposal
        return shapes.InitResult(
            file=str(self.file),
            text=proposal.text,
            datasets=[_sketch_shape(each.sketch, each.name) for each in proposal.datasets],
            others=[_sketch_shape(each, None) for each in proposal.others],
        )

    def page(self) -> Iterator[Block]:
        """What was found, and what to do with the file."""
        yield Line(f"{self.file} is written. As it stands it keeps everything.", "bold")
        yield BLANK
        yield Table(_FOUND, [_found(each.name, each.sketch) for each in self.proposal.datasets], indent=2)
        for each in self.proposal.datasets:
            yield from (Line(f"{each.name}: {note}", indent=2) for note in each.sketch.notes)
        if self.proposal.others:
            names = sorted({other.table or other.store for other in self.proposal.others})
            yield Line(f"Left out: {listed(names)}.", indent=2)
        yield BLANK
        yield Line(f"Edit its `keep:` lines, then: lapse check -p {self.file}; lapse plan -p {self.file}")


_FOUND = (
    Column("dataset", folds=True),
    Column("records", right=True),
    Column("size", right=True),
    Column("oldest"),
    Column("newest"),
    Column("time", folds=True),
    Column("type", folds=True),
    Column("tenant", folds=True),
    Column("actor", folds=True),
)


def _found(name: str, sketch: Sketch) -> Row:
    cells = (
        name,
        count(sketch.records),
        size(sketch.size),
        day(sketch.oldest),
        day(sketch.newest),
        sketch.time or "",
        sketch.type or "",
        sketch.tenant or "",
        sketch.actor or "",
    )
    return Row(cells)


def _sketch_shape(sketch: Sketch, name: str | None) -> shapes.Found:
    return shapes.Found(
        dataset=name,
        store=sketch.store,
        table=sketch.table,
        records=sketch.records,
        size=sketch.size,
        time=sketch.time,
        time_format=sketch.time_format.value,
        type=sketch.type,
        tenant=sketch.tenant,
        actor=sketch.actor,
        oldest=optional_moment(sketch.oldest),
        newest=optional_moment(sketch.newest),
        notes=sketch.notes,
    )
