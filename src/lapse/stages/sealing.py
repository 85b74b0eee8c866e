"""Sealing: the parts of a take in, segments with manifests in every archive out."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from lapse.canonical import Digest, canonical
from lapse.model.manifest import Manifest
from lapse.model.paths import manifest_path, segment_path
from lapse.model.plan import Tally
from lapse.ports import ArchiveTarget, Batch, LineBlock, Part, Slice, Take
from lapse.segments import Contents, Measure, file_digest, format_of, open_writer
from lapse.segments.disk import create, target_error
from lapse.segments.overlapping import Behind
from lapse.state.journal import Journal
from lapse.state.journal_record import ObjectKind, SegmentIntent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A slice's segments, published in every archive of its destination but not read back yet.

    Attributes:
        slice: Slice name.
        manifests: One for each part, in order.
        tallies: Counts of all records, by code and tenant.
    """

    slice: str
    manifests: tuple[Manifest, ...]
    tallies: Sequence[Tally]

    @property
    def records(self) -> int:
        """Records in all parts."""
        return sum(manifest.records for manifest in self.manifests)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """A segment file that is complete, still under its temporary name.

    Attributes:
        path: Where it was written.
        part: Number of the part.
        manifest: What it holds; counts, times and path not filled in yet.
    """

    path: Path
    part: int
    manifest: Manifest


def staging_name(piece: Slice, part: int) -> str:
    """The temporary name of a part's segment: it carries run and slice, so that recovery can find it."""
    return f"{piece.facts.owner.run}-{piece.name}.{part}"


def seal(taken: Take, piece: Slice, *, targets: Mapping[str, ArchiveTarget], journal: Journal) -> Sealed | None:
    """Write what *taken* yields into a segment for each part, and publish them in every target.

    The exact path of every object is in the journal before the object exists.

    Arguments:
        taken: The open take.
        piece: Its slice.
        targets: The archives of its destination, by name, at least one.
        journal: The run's journal; the slice has begun there.

    Returns:
        What was sealed. None if there was nothing to take.

    Raises:
        TargetError: If an archive cannot be written.
    """
    staged = [
        written
        for number, part in enumerate(taken.parts())
        if (written := _stage(part, piece, number, targets, journal)) is not None
    ]
    if not staged:
        return None
    tallies = taken.tallies()
    manifests = tuple(_completed(item.manifest, piece, tallies) for item in staged)
    for name, target in reversed(list(targets.items())):
        for item, manifest in zip(staged, manifests, strict=True):
            _publish(item, manifest, piece, archive=name, target=target, journal=journal)
    return Sealed(slice=piece.name, manifests=manifests, tallies=tallies)


def _stage(
    part: Part, piece: Slice, number: int, targets: Mapping[str, ArchiveTarget], journal: Journal
) -> _Staged | None:
    """Write one part's records to the first target's staging. None, and no file, if it has no record."""
    name = staging_name(piece, number)
    if number > 0:  # the journal's first line of the slice names part 0
        journal.segment(
            piece.name,
            *(SegmentIntent(archive=archive, kind=ObjectKind.SEGMENT, staged=name) for archive in targets),
        )
    salt = secrets.token_bytes(32)
    measure = Measure(salt, part.content)
    batches = filter(_has_records, part.batches)
    first = next(batches, None)
    if first is None:
        return None
    path = next(iter(targets.values())).staging(name)
    with open_writer(format_of(part), path, part) as writer, Behind(measure.add) as measuring:
        for batch in chain((first,), batches):
            writer.write(batch)
            measuring.take(batch)
    digest, size = _measured(path)
    manifest = _manifest(part, piece, number, measure.contents(), salt=salt, digest=digest, size=size)
    return _Staged(path=path, part=number, manifest=manifest)


def _measured(path: Path) -> tuple[Digest, int]:
    """Digest and size of a staged file."""
    try:
        with path.open("rb") as file:
            return file_digest(file), file.tell()
    except OSError as error:
        raise target_error(f"read {path}", error) from error


def _has_records(batch: Batch) -> bool:
    return (batch.records if isinstance(batch, LineBlock) else batch.num_rows) > 0


def _manifest(
    part: Part, piece: Slice, number: int, contents: Contents, *, salt: bytes, digest: Digest, size: int
) -> Manifest:
    owner, kind = piece.facts.owner, format_of(part)
    return Manifest(
        ledger=owner.ledger,
        run=owner.run,
        slice=piece.name,
        part=number,
        dataset=piece.dataset.name,
        fingerprint=piece.facts.fingerprint,
        table=part.table,
        format=kind,
        path=segment_path(
            ledger=owner.ledger,
            dataset=piece.dataset.name,
            now=piece.facts.now,
            run=owner.run,
            slice_name=piece.name,
            part=number,
            digest=digest,
            format_name=kind,
        ),
        digest=digest,
        size=size,
        records=contents.records,
        raw_size=contents.raw_size,
        content=contents.content,
        merkle_root=contents.merkle_root,
        salt=salt.hex(),
        oldest=None,
        newest=None,
        columns=part.columns,
        odd_column=part.odd_column,
        rules={},
        counts={},
        policy=piece.facts.policy,
    )


def _copy(source: Path, staged: Path) -> None:
    """Copy a staged file to another target's staging, private from its first byte on."""
    try:
        with source.open("rb") as file, create(staged) as copy:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise target_error(f"write {staged}", error) from error


def _completed(manifest: Manifest, piece: Slice, tallies: Sequence[Tally]) -> Manifest:
    """Add counts and times, which the store knows once every part is read."""
    counts: dict[str, int] = {}
    for tally in tallies:
        rule = str(piece.selection.outcomes.rule_of(tally.code))
        counts[rule] = counts.get(rule, 0) + tally.records
    return replace(
        manifest,
        oldest=min((t.oldest for t in tallies if t.oldest is not None), default=None),
        newest=max((t.newest for t in tallies if t.newest is not None), default=None),
        rules={rule: piece.facts.rules[rule] for rule in counts},
        counts=counts,
    )


def _publish(
    item: _Staged, manifest: Manifest, piece: Slice, *, archive: str, target: ArchiveTarget, journal: Journal
) -> None:
    """Publish segment and manifest; the archive whose staging was written to comes last and moves it."""
    name, beside = staging_name(piece, item.part), manifest_path(manifest.path)
    journal.segment(
        piece.name,
        SegmentIntent(
            archive=archive,
            kind=ObjectKind.SEGMENT,
            path=manifest.path,
            staged=name,
            digest=manifest.digest,
            size=manifest.size,
        ),
        SegmentIntent(archive=archive, kind=ObjectKind.MANIFEST, path=beside),
    )
    staged = target.staging(name)
    if staged != item.path:
        _copy(item.path, staged)
    target.publish(staged, manifest.path)
    target.put(beside, canonical(manifest.to_json()))
