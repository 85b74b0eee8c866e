"""A tree of the right shape to the values of the model, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lapse.errors import Origin
from lapse.model.match import Match
from lapse.model.pace import Pace
from lapse.model.period import Period
from lapse.model.policy import Archive, Dataset, Floor, Guards, Hold, RowFiles, Rule, TimeFormat
from lapse.policyfile.addresses import Address
from lapse.policyfile.fields import ROLES, match_of
from lapse.policyfile.models import (
    ArchiveShape,
    DatasetShape,
    FloorShape,
    GuardsShape,
    HoldShape,
    PaceShape,
    ScopeShape,
)
from lapse.policyfile.references import WAIVER
from lapse.policyfile.tree import Entry, Node, children, items
from lapse.policyfile.words import NEVER, REQUIRED


def archive_of(entry: Entry, shape: ArchiveShape, to: Address) -> Archive:
    """An archive at its resolved address."""
    return Archive(
        name=entry.key, to=to.full, shown=to.shown, format=shape.format, keep=shape.keep, origin=entry.origin
    )


def dataset_of(entry: Entry, shape: DatasetShape, store: Address, *, pace: PaceShape, under: Address | None) -> Dataset:
    """A dataset at its resolved address, its roles replaced by columns.

    Arguments:
        entry: Where it is written.
        shape: What is written there.
        store: Its address.
        pace: The policy's own.
        under: The folder of its files. None where the dataset names none.
    """
    columns = {role: column for role, column in zip(ROLES, (shape.type, shape.tenant), strict=True) if column}
    return Dataset(
        name=entry.key,
        store=store.full,
        shown=store.shown,
        table=shape.table,
        time=shape.time,
        time_format=TimeFormat(shape.time_format),
        zone=None if shape.time_zone == REQUIRED else shape.time_zone,
        zone_required=shape.time_zone == REQUIRED,
        type=shape.type,
        tenant=shape.tenant,
        key=shape.key,
        rules=_rules(entry, shape, columns),
        require=tuple(dict.fromkeys(columns.get(name, name) for name in shape.require or ())),
        doubt_before=shape.doubt_before.instant,
        empty_is_oldest=shape.empty_time == "oldest",
        expect=shape.expect,
        writers=shape.writers,
        pace=_pace(Pace(), pace, shape.pace),
        files=_files(shape, under),
        origins={"": entry.origin, **{each.key: each.origin for each in children(entry.node)}},
    )


def _rules(entry: Entry, shape: DatasetShape, columns: Mapping[str, str]) -> tuple[Rule, ...]:
    keep = next((each.node for each in children(entry.node) if each.key == "keep"), None)
    if shape.keep is None or keep is None:
        return ()
    if isinstance(shape.keep, Period):
        return (_rule(0, Match(), shape.keep, shape.archive, keep),)
    nodes = items(keep)
    return tuple(
        _rule(index, match_of(rule.model_extra, columns), rule.for_, rule.archive or shape.archive, nodes[index])
        for index, rule in enumerate(shape.keep)
    )


def _rule(index: int, match: Match, keep: Period, archive: str | list[str] | None, node: Node) -> Rule:
    names = [archive] if isinstance(archive, str) else archive or []
    return Rule(
        index=index,
        match=match,
        keep=keep,
        archives=tuple(name for name in names if name != WAIVER),
        waived=WAIVER in names,
        origin=node.origin,
    )


def floor_of(shape: FloorShape, origin: Origin) -> Floor:
    """A floor; its roles stay roles, since each dataset has its own columns."""
    dataset, match = _scope(shape.match)
    return Floor(dataset=dataset, match=match, at_least=shape.at_least, because=shape.because, origin=origin)


def hold_of(shape: HoldShape, origin: Origin) -> Hold:
    """A hold; its roles stay roles, since each dataset has its own columns."""
    dataset, match = _scope(shape.match)
    return Hold(
        matter=shape.matter,
        reason=shape.reason or "",
        dataset=dataset,
        match=match,
        since=shape.since,
        until=shape.until,
        records_from=shape.records_from,
        records_before=shape.records_before,
        origin=origin,
    )


def _scope(match: str | ScopeShape) -> tuple[str | None, Match]:
    if isinstance(match, str):
        return None, Match()
    return match.dataset, match_of(match.model_extra, {role: role for role in ROLES})


def _pace(pace: Pace, *shapes: PaceShape) -> Pace:
    """*pace* with what each of the shapes says, the last one first."""
    settings = ("transaction", "rows_per_second", "rest", "max_lag")
    for shape in shapes:
        said = {name: setting.value for name in settings if (setting := getattr(shape, name)) is not None}
        pace = replace(pace, **said)
        if shape.pause_while is not None:
            pace = replace(pace, pause_while=None if shape.pause_while == NEVER else shape.pause_while)
    return pace


def _files(shape: DatasetShape, under: Address | None) -> RowFiles | None:
    if shape.files is None or under is None:
        return None
    return RowFiles(column=shape.files.column, under=under.full)


def guards_of(shape: GuardsShape) -> Guards:
    """The limits of a run."""
    return Guards(share=shape.share, rows=shape.rows)
