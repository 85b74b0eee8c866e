"""A tree of the right shape to the values of the model, each with its place."""

from __future__ import annotations

from dataclasses import replace

from lapse.errors import Origin
from lapse.model.match import Match
from lapse.model.pace import Pace
from lapse.model.policy import Archive, Dataset, Floor, Hold, RowFiles, TimeFormat
from lapse.policyfile.addresses import Address
from lapse.policyfile.fields import ROLES, match_of
from lapse.policyfile.models import (
    ArchiveShape,
    DatasetShape,
    FloorShape,
    HoldShape,
    PaceShape,
    ScopeShape,
)
from lapse.policyfile.ruling import rules_of
from lapse.policyfile.tree import Entry, children
from lapse.policyfile.words import CRLF, NEVER, REQUIRED


def archive_of(entry: Entry, shape: ArchiveShape, to: Address) -> Archive:
    """An archive at its resolved address."""
    return Archive(
        name=entry.key, to=to.full, shown=to.shown, format=shape.format, keep=shape.keep, origin=entry.origin
    )


def dataset_of(entry: Entry, shape: DatasetShape, store: Address, *, under: Address | None) -> Dataset:
    """A dataset at its resolved address, its roles replaced by columns. Its pace is that of no policy.

    Arguments:
        entry: Where it is written.
        shape: What is written there.
        store: Its address.
        under: The folder of its files. None where the dataset names none.
    """
    named = zip(ROLES, (shape.type, shape.subtype, shape.tenant, shape.actor), strict=True)
    columns = {role: column for role, column in named if column}
    # A line has no column whose type or server could be asked, so naive times in it stay until a zone is named.
    zone = shape.time_zone or (None if store.is_database else REQUIRED)
    return Dataset(
        name=entry.key,
        store=store.full,
        shown=store.shown,
        table=shape.table,
        time=shape.time,
        time_format=TimeFormat(shape.time_format),
        zone=None if zone == REQUIRED else zone,
        zone_required=zone == REQUIRED,
        type=shape.type,
        subtype=shape.subtype,
        tenant=shape.tenant,
        actor=shape.actor,
        key=shape.key,
        rules=rules_of(entry.node, shape, columns),
        require=tuple(dict.fromkeys(columns.get(name, name) for name in shape.require or ())),
        doubt_before=shape.doubt_before.instant,
        crlf_allowed=CRLF in (shape.allow or ()),
        empty_is_oldest=shape.empty_time == "oldest",
        expect=shape.expect,
        writers=shape.writers,
        pace=pace_of(shape.pace),
        files=_files(shape, under),
        origins={"": entry.origin, **{each.key: each.origin for each in children(entry.node)}},
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
        keys=tuple(dict.fromkeys(shape.keys or ())),
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


def pace_of(*shapes: PaceShape) -> Pace:
    """What the shapes say; of two that say something, the last."""
    pace = Pace()
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
    return RowFiles(column=shape.files.column, under=under.full, ending=shape.files.ending)
