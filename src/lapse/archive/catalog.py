"""The catalog: what lies in an archive, segment by segment, and what of it cannot be made out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from itertools import groupby

import msgspec

from lapse.errors import TargetError, VerificationError
from lapse.instant import Nanos
from lapse.model.manifest import Manifest
from lapse.model.paths import ENTRY_SUFFIX, MANIFEST_SUFFIX, dataset_folder, entry_path, manifest_path
from lapse.ports import ArchiveTarget
from lapse.segments import JSONL_ZST, PARQUET

_DEPTH = 6
"""Components of a segment's path: ledger, dataset, year, month, run, name."""


class State(Enum):
    """Whether the records of a segment are known to be gone from their store."""

    PREPARED = "prepared"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which segments are meant; without any bound, all of them.

    Attributes:
        dataset: Only segments of this dataset. None takes all.
        run: Only segments of this run. None takes all.
        since: Only segments that may hold records of this time or later. None has no such bound.
        until: Only segments that may hold records earlier than this. None has no such bound.
    """

    dataset: str | None = None
    run: str | None = None
    since: Nanos | None = None
    until: Nanos | None = None

    def takes_path(self, path: str) -> bool:
        """Whether the segment at *path* can be meant, by its dataset and run."""
        _, dataset, _, _, run, _ = path.split("/")
        return (self.dataset is None or dataset == dataset_folder(self.dataset)) and self.run in (None, run)

    def takes(self, manifest: Manifest) -> bool:
        """Whether a segment is meant; one without record times may hold any."""
        if self.since is not None and manifest.newest is not None and manifest.newest < self.since:
            return False
        return self.until is None or manifest.oldest is None or manifest.oldest < self.until


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """One copy of a segment, with what its manifest says. Nothing but the manifest was read.

    Attributes:
        archive: Archive name.
        manifest: The statement beside it.
        state: Whether its ledger entry lies beside it.
        target: Where it lies.
    """

    archive: str
    manifest: Manifest
    state: State
    target: ArchiveTarget = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        """The segment's path in its target."""
        return self.manifest.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A copy of a segment that cannot be made out.

    Attributes:
        archive: Archive name.
        path: The segment's path in its target.
        state: Whether its ledger entry lies beside it.
        reason: What is wrong, without a full stop.
    """

    archive: str
    path: str
    state: State
    reason: str


def catalog(
    target: ArchiveTarget, *, archive_name: str, wanted: Wanted = EVERYTHING, include_prepared: bool = False
) -> Iterator[SegmentEntry | Unreadable]:
    """Every copy of a segment in *target*, in the order of their paths.

    Arguments:
        target: The archive.
        archive_name: Its name in the policy.
        wanted: Which segments are meant. One that cannot be made out counts as meant if its path does not
            say otherwise.
        include_prepared: Whether segments count whose disposal is not known to have been committed.

    Raises:
        TargetError: If the target cannot be listed.
    """
    for path, group in groupby(_segment_objects(target), key=_segment_of):
        objects = frozenset(group)
        state = State.COMMITTED if entry_path(path) in objects else State.PREPARED
        if not wanted.takes_path(path) or (state is State.PREPARED and not include_prepared):
            continue
        reason = _missing(path, objects)
        if reason is not None:
            yield Unreadable(archive=archive_name, path=path, state=state, reason=reason)
            continue
        found = _described(path, state, archive_name, target)
        if isinstance(found, Unreadable) or wanted.takes(found.manifest):
            yield found


def segments(
    target: ArchiveTarget, *, archive_name: str, wanted: Wanted = EVERYTHING, include_prepared: bool = False
) -> Iterator[SegmentEntry]:
    """The segments of *target*, for those who need every one of them to be in order; else as `catalog`.

    Raises:
        TargetError: If the target cannot be listed.
        VerificationError: If a segment cannot be made out.
    """
    for found in catalog(target, archive_name=archive_name, wanted=wanted, include_prepared=include_prepared):
        if isinstance(found, Unreadable):
            raise VerificationError(
                f"{found.path} in archive {found.archive}: {found.reason}",
                hint="Run `lapse archive verify` to see which copies are intact.",
            )
        yield found


def one_of_each(entries: Iterable[SegmentEntry]) -> Iterator[SegmentEntry]:
    """The first copy of each segment: the same segment may lie in several archives."""
    seen: set[str] = set()
    for entry in entries:
        if entry.path not in seen:
            seen.add(entry.path)
            yield entry


def _segment_objects(target: ArchiveTarget) -> Iterator[str]:
    """Segments and what lies beside them; a segment's objects come one after the other."""
    return (path for path in target.list("") if path.count("/") == _DEPTH - 1)


def _segment_of(path: str) -> str:
    return path.removesuffix(MANIFEST_SUFFIX).removesuffix(ENTRY_SUFFIX)


def _missing(path: str, objects: frozenset[str]) -> str | None:
    if manifest_path(path) not in objects:
        return "its manifest is missing"
    if path not in objects:
        return "the segment is missing, only its manifest is there"
    return None


def _described(path: str, state: State, archive: str, target: ArchiveTarget) -> SegmentEntry | Unreadable:
    """The segment with its manifest."""
    try:
        with target.open(manifest_path(path)) as file:
            manifest = Manifest.from_json(json.load(file))
        msgspec.convert(asdict(manifest), Manifest)  # from_json does not look at the types of the fields
    except (ValueError, AttributeError, TypeError, RecursionError, TargetError) as error:
        return Unreadable(archive=archive, path=path, state=state, reason=f"its manifest cannot be read: {error}")
    if manifest.path != path:
        reason = f"its manifest speaks of {manifest.path}"
        return Unreadable(archive=archive, path=path, state=state, reason=reason)
    if manifest.format not in (PARQUET, JSONL_ZST):
        reason = f"its format {manifest.format} is not known to this version"
        return Unreadable(archive=archive, path=path, state=state, reason=reason)
    return SegmentEntry(archive=archive, manifest=manifest, state=state, target=target)
