"""A policy, checked and in words; its values, its schema, and a new one proposed: their views."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.views.held import hold_shape, scope_of
from lapse.cli.wording import count, day, listed, optional_moment, short, size, some
from lapse.engine.checking import Checked
from lapse.engine.inspecting import Proposal
from lapse.engine.looking import Idle, Look, Looks
from lapse.errors import ExitCode
from lapse.instant import Nanos
from lapse.model.period import Kind
from lapse.model.policy import Dataset, Guards, Rule
from lapse.policyfile import EffectiveValue
from lapse.ports import Sketch


@dataclass(frozen=True, slots=True)
class CheckView(Done):
    """A policy that can be followed, at an instant."""

    checked: Checked
    now: Nanos
    looks: Looks | None = None

    @property
    def _idle(self) -> tuple[Idle, ...]:
        return () if self.looks is None else self.looks.idle

    @property
    def exit_code(self) -> ExitCode:
        """2 if something that is there to keep records selects none."""
        return ExitCode.USAGE if any(each.keeps for each in self._idle) else ExitCode.DONE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a second look."""
        return (*self.checked.remarks, *(str(each) for each in self._idle if not each.keeps))

    def result(self) -> shapes.CheckResult:
        """The policy in outline for programs."""
        policy = self.checked.policy
        return shapes.CheckResult(
            file=policy.file,
            digest=policy.digest,
            datasets=[
                _dataset_shape(dataset, policy.guards_of(dataset), self.checked.notes[dataset.name])
                for dataset in policy.datasets.values()
            ],
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
            records=None if self.looks is None else [_records_shape(each) for each in self.looks.datasets],
            idle=None if self.looks is None else [_idle_shape(each) for each in self.looks.idle],
        )

    def page(self) -> Iterator[Block]:
        """What the policy says, in words."""
        policy = self.checked.policy
        yield Line(f"{policy.file} can be followed: policy {short(policy.digest)}.", "bold")
        for dataset in policy.datasets.values():
            yield BLANK
            yield from _dataset(dataset)
            yield from (Line(note, indent=2) for note in self.checked.notes[dataset.name])
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
        yield from (Line(f"Guard: {text}") for text in guard_texts(policy.guards, "a dataset"))
        for dataset in policy.datasets.values():
            if dataset.guards is not None:
                texts = guard_texts(dataset.guards, dataset.name)
                yield from (Line(f"Guard of {dataset.name}: {text}") for text in texts)
        if self.looks is not None:
            yield from _looks(self.looks)


def guard_texts(guards: Guards, where: str) -> Iterator[str]:
    """The limits of a run on *where*, a sentence each."""
    if guards.share is not None:
        yield f"no run takes more than {100 * guards.share:g}% of {where}"
    if guards.rows is not None:
        yield f"no run takes more than {count(guards.rows)} records of {where}"
    if guards.tenants.is_set:
        yield f"no run takes more than {guards.tenants} of one tenant of {where}"
    if guards.ramp is not None:
        yield f"a new rule begins with {some(guards.ramp, 'record')} of {where}, which are checked"


def _guards_shape(guards: Guards) -> shapes.GuardsShown:
    return shapes.GuardsShown(
        share=guards.share,
        rows=guards.rows,
        tenant_share=guards.tenants.share,
        tenant_rows=guards.tenants.rows,
        ramp=guards.ramp,
    )


def _looks(looks: Looks) -> Iterator[Block]:
    yield BLANK
    for each in looks.datasets:
        undated = f", {some(each.undated, 'record')} without a time that can be read" if each.undated else ""
        yield Line(f"{each.dataset}: {some(each.records, 'record')} now{undated}")
    lost = [each for each in looks.idle if each.keeps]
    if lost:
        yield BLANK
        yield Line(f"{some(len(lost), 'selector')} that should keep records {_select(len(lost))} none:", "error")
        yield from (Line(str(each), indent=2) for each in lost)
        yield Line("Correct the name, or remove it: what a slip leaves out is not kept.", "hint")


def _select(number: int) -> str:
    return "selects" if number == 1 else "select"


def _dataset(dataset: Dataset) -> Iterator[Block]:
    table = f", table {dataset.table}" if dataset.table else ""
    yield Line(f"{dataset.name}: {dataset.shown}{table}", "bold")
    fields = [("time", dataset.time), *dataset.roles.items(), ("key", dataset.key)]
    yield Line(listed([f"{role} {name}" for role, name in fields if name]), indent=2)
    for tenant, rules in groupby(dataset.rules, key=lambda rule: rule.tenant):
        if tenant is not None:
            yield Line(f"Tenant {tenant}:", indent=2)
        elif dataset.rules[0].tenant is not None:
            yield Line("All others, and what is left:", indent=2)
        yield from (Line(f"{rule.number}. {_rule_words(rule)}", indent=2) for rule in rules)
    if not dataset.rules:
        yield Line("No rule: everything is kept.", indent=2)


def _rule_words(rule: Rule) -> str:
    if rule.keep.kind is Kind.FOREVER:
        return f"{rule.own_match}: kept for ever"
    then = "removed without a copy" if rule.waived else f"archived in {listed(rule.archives)} and removed"
    if rule.keep.kind is Kind.NO_TIME:
        return f"{rule.own_match}: {then}, whatever its age"
    return f"{rule.own_match}: kept {rule.keep.text}, then {then}"


def _dataset_shape(dataset: Dataset, guards: Guards, notes: tuple[str, ...]) -> shapes.CheckedDataset:
    return shapes.CheckedDataset(
        dataset=dataset.name,
        store=dataset.shown,
        table=dataset.table,
        time=dataset.time,
        type=dataset.type,
        subtype=dataset.subtype,
        tenant=dataset.tenant,
        actor=dataset.actor,
        rules=[
            shapes.CheckedRule(
                match=str(r.match),
                keep=r.keep.text,
                archives=r.archives,
                waived=r.waived,
                tenant=r.tenant,
                where=None if r.origin is None else str(r.origin),
            )
            for r in dataset.rules
        ],
        guards=_guards_shape(guards),
        notes=notes,
    )


def _records_shape(look: Look) -> shapes.CheckedRecords:
    return shapes.CheckedRecords(dataset=look.dataset, records=look.records, undated=look.undated)


def _idle_shape(idle: Idle) -> shapes.IdleSelector:
    return shapes.IdleSelector(
        selector=idle.selector.value,
        dataset=idle.dataset,
        name=idle.name,
        keeps=idle.keeps,
        meant=idle.meant,
        where=None if idle.origin is None else str(idle.origin),
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
