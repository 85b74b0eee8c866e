"""The full check of segments: every byte is read, every statement about it is compared. Problems are values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from lapse.archive.catalog import EVERYTHING, SegmentEntry, State, Unreadable, Wanted, catalog
from lapse.errors import StoreError, TargetError, VerificationError
from lapse.instant import rfc3339
from lapse.model.disposal import SealedSegment
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.model.manifest import Manifest
from lapse.model.paths import entry_path
from lapse.ports import ArchiveTarget, Batch, LineBlock
from lapse.segments import Measure, file_digest, read_segment
from lapse.state.keys import verify as is_signed_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of checking one copy of a segment.

    Attributes:
        archive: Archive name.
        path: The segment's path in its target.
        state: Whether its ledger entry lies beside it.
        manifest: What its manifest says. None if that cannot be read.
        problems: What is wrong, each without a full stop; empty for an intact copy.
    """

    archive: str
    path: str
    state: State
    manifest: Manifest | None
    problems: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems


def verify(
    targets: Mapping[str, ArchiveTarget],
    *,
    keys: Mapping[str, bytes],
    wanted: Wanted = EVERYTHING,
    include_prepared: bool = False,
) -> Iterator[Checked]:
    """Check every copy of every segment in every archive.

    Arguments:
        targets: The archives by name.
        keys: Raw Ed25519 public keys by key id, as ledger entries name them.
        wanted: Which segments are meant.
        include_prepared: Whether to check segments too whose disposal is not known to have been committed.

    Raises:
        TargetError: If an archive cannot be listed.
    """
    for name, target in targets.items():
        for found in catalog(target, archive_name=name, wanted=wanted, include_prepared=include_prepared):
            yield _unreadable(found) if isinstance(found, Unreadable) else check(found, keys=keys)


def missing(expected: Iterable[SealedSegment], targets: Mapping[str, ArchiveTarget]) -> Iterator[Checked]:
    """The segments that a ledger names but that are not in their archive, or stand there without their entry.

    Archives not in *targets* are left out.

    Raises:
        TargetError: If an archive cannot be asked.
    """
    for segment in expected:
        target = targets.get(segment.archive)
        problem = None if target is None else _absence(segment.path, target)
        if problem is not None:
            yield Checked(
                archive=segment.archive, path=segment.path, state=State.COMMITTED, manifest=None, problems=(problem,)
            )


def _absence(path: str, target: ArchiveTarget) -> str | None:
    if not target.exists(path):
        return "the ledger names this segment, but it is not there"
    if not target.exists(entry_path(path)):
        return (
            "the ledger names this segment, but its ledger entry is not beside it;"
            " if a run was interrupted, the next one puts it there"
        )
    return None


def check(entry: SegmentEntry, *, keys: Mapping[str, bytes]) -> Checked:
    """Check one copy: file, content, Merkle root, and the ledger entry beside it if it is committed."""
    problems = [*_file_problems(entry)]
    if entry.state is State.COMMITTED:
        problems += _entry_problems(entry, keys)
    return Checked(
        archive=entry.archive,
        path=entry.path,
        state=entry.state,
        manifest=entry.manifest,
        problems=tuple(problems),
    )


def _unreadable(found: Unreadable) -> Checked:
    return Checked(archive=found.archive, path=found.path, state=found.state, manifest=None, problems=(found.reason,))


def _file_problems(entry: SegmentEntry) -> Iterator[str]:
    manifest = entry.manifest
    try:
        with entry.target.open(entry.path) as file:
            digest, size = file_digest(file), file.tell()
        if (digest, size) != (manifest.digest, manifest.size):
            yield _differs("the file", f"{digest} of {size} bytes", f"{manifest.digest} of {manifest.size} bytes")
        if str(manifest.digest) not in entry.path:
            yield "its name does not carry the digest of its manifest"
        yield from _content_problems(entry)
    except (TargetError, VerificationError, StoreError) as error:
        yield str(error)


def _content_problems(entry: SegmentEntry) -> Iterator[str]:
    try:
        salt = bytes.fromhex(entry.manifest.salt)
    except ValueError:
        yield "its manifest has a salt that is not hexadecimal"
        return
    measure, columns = Measure(salt), _stated_columns(entry.manifest)
    with entry.target.open(entry.path) as file:
        for batch in read_segment(entry.manifest.format, file):
            measure.add(batch)
            columns = _columns(batch)
    if columns != _stated_columns(entry.manifest):
        yield _differs("the list of columns", columns, _stated_columns(entry.manifest))
    for name, value in asdict(measure.contents()).items():
        if value != getattr(entry.manifest, name):
            yield _differs(name.replace("_", " "), value, getattr(entry.manifest, name))


def _columns(batch: Batch) -> list[tuple[str, str]]:
    """Names and types; every batch of a segment has the same."""
    return [] if isinstance(batch, LineBlock) else [(field.name, str(field.type)) for field in batch.schema]


def _stated_columns(manifest: Manifest) -> list[tuple[str, str]]:
    odd = [] if manifest.odd_column is None else [(manifest.odd_column, "binary")]
    return [*((column.name, column.arrow) for column in manifest.columns), *odd]


def _differs(what: str, found: object, stated: object) -> str:
    return f"{what} is {found}, the manifest says {stated}"


def _entry_problems(entry: SegmentEntry, keys: Mapping[str, bytes]) -> Iterator[str]:
    """What is wrong with the ledger entry beside a segment, or with what it says of it."""
    try:
        with entry.target.open(entry_path(entry.path)) as file:
            ledger_entry = LedgerEntry.from_json(json.load(file))
        computed = ledger_entry.computed_hash()
    except (ValueError, AttributeError, TypeError, RecursionError, TargetError) as error:
        yield f"its ledger entry cannot be read: {error}"
        return
    if computed != ledger_entry.hash:
        yield "its ledger entry was changed: the hash does not match"
    elif ledger_entry.key not in keys:
        yield f"its ledger entry is signed with the key {ledger_entry.key}, which is not known here"
    elif not is_signed_by(keys[ledger_entry.key], ledger_entry.hash, ledger_entry.signature):
        yield "its ledger entry was changed: the signature does not match"
    else:
        yield from _statement_problems(ledger_entry, entry.manifest)


def _statement_problems(ledger_entry: LedgerEntry, manifest: Manifest) -> Iterator[str]:
    """Where an entry that is known to be genuine says something else than the manifest."""
    body = ledger_entry.body
    named = body.get("segments")
    if ledger_entry.kind is not EntryKind.DISPOSAL or not isinstance(named, list):
        yield f"its ledger entry is of no disposal but a {ledger_entry.kind.value}"
        return
    mine = [segment for segment in named if isinstance(segment, dict) and segment.get("path") == manifest.path]
    if not mine:
        yield "its ledger entry does not name this segment"
        return
    stated = {**_disposal_facts(manifest), **_segment_facts(manifest)}
    signed = {**body, **mine[0], "ledger": ledger_entry.ledger}
    for name, value in stated.items():
        if signed.get(name) != value:
            yield f"{name.replace('_', ' ')} is {value} in the manifest, the ledger entry says {signed.get(name)}"


def _segment_facts(manifest: Manifest) -> dict[str, object]:
    return {
        "digest": manifest.digest,
        "size": manifest.size,
        "records": manifest.records,
        "merkle_root": manifest.merkle_root,
        "manifest": manifest.statement_digest(),
    }


def _disposal_facts(manifest: Manifest) -> dict[str, object]:
    return {
        "ledger": manifest.ledger,
        "run": manifest.run,
        "slice": manifest.slice,
        "dataset": manifest.dataset,
        "fingerprint": manifest.fingerprint,
        "policy": manifest.policy,
        "rules": dict(manifest.rules),
        "counts": dict(manifest.counts),
        "oldest": None if manifest.oldest is None else rfc3339(manifest.oldest),
        "newest": None if manifest.newest is None else rfc3339(manifest.newest),
    }
