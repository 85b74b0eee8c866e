"""The archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentShown:
    """One copy of a segment.

    Attributes:
        archive: Archive name.
        path: The segment's path in its archive.
        state: `committed` if its records are known to be gone from their store, else `prepared`.
        dataset: Dataset name. Null if its manifest cannot be read, as everything below.
        run: Run id.
        format: `parquet` or `jsonl.zst`.
        digest: SHA-256 of the file.
        records: Number of records.
        size: Bytes of the file.
        oldest: Earliest record time. Null also if no record has one.
        newest: Latest record time. Null also if no record has one.
        problems: What is wrong with it, as far as was looked; empty if nothing is.
        holds: Matters of the holds that may keep a record in it, rather too many than too few. Null where nobody
            looked.
    """

    archive: str
    path: str
    state: str
    dataset: str | None
    run: str | None
    format: str | None
    digest: str | None
    records: int | None
    size: int | None
    oldest: str | None
    newest: str | None
    problems: Sequence[str]
    holds: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveListResult:
    """Of `lapse archive list`: only manifests were read.

    Attributes:
        segments: Every copy, by archive and path.
    """

    segments: Sequence[SegmentShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveVerifyResult:
    """Of `lapse archive verify`: every byte was read.

    Attributes:
        ok: Whether every copy is intact.
        segments: Every copy, by archive and path; what the ledger names and no archive has comes last.
    """

    ok: bool
    segments: Sequence[SegmentShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveQueryResult:
    """Of `lapse archive query`.

    Attributes:
        columns: Their names.
        rows: One list a row, a value a column: text, numbers, booleans, null, lists and objects as JSON has
            them. Times are RFC 3339 where they have a zone and ISO 8601 where not; decimals, and numbers that are
            no numbers, are text; bytes are hexadecimal text.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredSegment:
    """A segment whose records are back.

    Attributes:
        archive: Archive it was read from.
        path: Its path there.
        dataset: Dataset name.
        restored: Records written.
        present: Records that were there already, equal.
    """

    archive: str
    path: str
    dataset: str
    restored: int
    present: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRestoreResult:
    """Of `lapse archive restore`.

    Attributes:
        restored: Records written.
        present: Records that were there already, equal; not written again.
        segments: Every segment, in the order of restoring.
        stores: Addresses of the stores that were written to, secrets masked.
        hold: Matter of the hold on what came back. Null if there is none.
        held_until: When that hold ends. Null if there is none.
    """

    restored: int
    present: int
    segments: Sequence[RestoredSegment]
    stores: Sequence[str]
    hold: str | None
    held_until: str | None
