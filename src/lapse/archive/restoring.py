"""Restoring: intact segments in, records back in a store. The engine keeps the ledger and the holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lapse.archive.catalog import SegmentEntry, State
from lapse.archive.tables import Tables
from lapse.archive.verifying import check
from lapse.errors import UsageError, VerificationError
from lapse.ports import Part, Restorable, RestoreCount
from lapse.segments import read_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One segment whose records are back.

    Attributes:
        entry: The copy that was read.
        count: What its store did with the records.
    """

    entry: SegmentEntry
    count: RestoreCount


def restore(
    entries: Iterable[SegmentEntry], store: Restorable, *, keys: Mapping[str, bytes], include_prepared: bool = False
) -> Iterator[Restored]:
    """Put the records of segments back into *store*, one segment after the other, oldest path first.

    Rows that went along with others come after those: what a part names is in its table.

    Of several copies of a segment the first intact one is read. Running it again restores nothing twice.

    Arguments:
        entries: Copies of segments; the same segment may be in several archives.
        store: Where the records go: the store they came from, or another.
        keys: Raw Ed25519 public keys by key id.
        include_prepared: Whether segments may be restored whose disposal is not known to have been committed.

    Raises:
        UsageError: If a segment is not committed; nothing was written.
        VerificationError: If no copy of a segment is intact. Segments before it stay restored.
        StoreError: If the store has another record of the same key.
    """
    copies: dict[str, list[SegmentEntry]] = {}
    for entry in entries:
        if entry.state is State.PREPARED and not include_prepared:
            raise UsageError(
                f"{entry.path} is not committed: its records may still be in their store",
                hint="Run `lapse run` to settle it, or restore it anyway with --include-prepared.",
            )
        copies.setdefault(entry.path, []).append(entry)
    tables = Tables(entry for found in copies.values() for entry in found)
    for path in sorted(copies, key=lambda path: (tables.rank(copies[path][0].manifest), path)):
        entry = _intact(copies[path], keys)
        yield Restored(entry=entry, count=_feed(entry, store))


def _intact(copies: list[SegmentEntry], keys: Mapping[str, bytes]) -> SegmentEntry:
    problems: list[str] = []
    for entry in copies:
        checked = check(entry, keys=keys)
        if checked.intact:
            return entry
        problems += [f"in archive {entry.archive}, {problem}" for problem in checked.problems]
    raise VerificationError(
        f"{copies[0].path}: no copy is intact: {'; '.join(problems)}",
        hint="Nothing of this segment was restored. Look for another copy of the archive.",
    )


def _feed(entry: SegmentEntry, store: Restorable) -> RestoreCount:
    manifest = entry.manifest
    with entry.target.open(entry.path) as file:
        part = Part(
            table=manifest.table,
            columns=manifest.columns,
            odd_column=manifest.odd_column,
            batches=read_segment(manifest.format, file),
        )
        return store.restore(part)
