"""Where things lie in an archive target, as docs/format.md lays it down: one scheme for all who write or read."""

from __future__ import annotations

from urllib.parse import quote

from lapse.canonical import Digest
from lapse.instant import Nanos, to_datetime

MANIFEST_SUFFIX = ".manifest.json"
ENTRY_SUFFIX = ".entry.json"


def segment_path(
    *,
    ledger: str,
    dataset: str,
    now: Nanos,
    run: str,
    slice_name: str,
    part: int,
    digest: Digest,
    format_name: str,
) -> str:
    """The path of one segment: unique to its slice, so equal content in two slices never meets.

    Arguments:
        ledger: Ledger id.
        dataset: Dataset name, of any spelling.
        now: The run's ``now``; its year and month, UTC, are folders.
        run: Run id.
        slice_name: Slice name within the run.
        part: Number of the part within the slice, from 0; it shows from 1 on.
        digest: SHA-256 of the segment file.
        format_name: ``parquet`` or ``jsonl.zst``.
    """
    name = slice_name if part == 0 else f"{slice_name}.{part}"
    return f"{ledger}/{dataset_folder(dataset)}/{to_datetime(now):%Y/%m}/{run}/{name}-{digest}.{format_name}"


def dataset_folder(dataset: str) -> str:
    """The name of a dataset as one component of a path.

    Every character but ASCII letters, digits, ``_``, ``.``, ``-`` and ``~`` is percent-encoded as UTF-8
    (RFC 3986), and so is a dot at the beginning.
    """
    name = quote(dataset, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def manifest_path(segment: str) -> str:
    """The manifest beside a segment."""
    return segment + MANIFEST_SUFFIX


def entry_path(segment: str) -> str:
    """The signed ledger entry beside a segment; it makes the segment committed."""
    return segment + ENTRY_SUFFIX
