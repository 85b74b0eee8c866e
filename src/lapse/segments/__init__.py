"""Records to bytes and back: Parquet for rows, zstd-compressed lines for text logs.

The formats are specified in docs/format.md. Text logs import no pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from lapse.canonical import Digest
from lapse.errors import MissingDriverError, StoreError, UsageError
from lapse.ports import Batch, Content, Part
from lapse.segments.content import ContentDigest, pieces_digest
from lapse.segments.merkle import MerkleTree
from lapse.segments.overlapping import ahead
from lapse.segments.records import leaf_hashes, record_bytes

__all__ = [
    "JSONL_ZST",
    "PARQUET",
    "ContentDigest",
    "Contents",
    "Measure",
    "MerkleTree",
    "SegmentWriter",
    "content_digest",
    "file_digest",
    "format_of",
    "leaf_hashes",
    "open_writer",
    "read_segment",
    "record_bytes",
]

PARQUET = "parquet"
JSONL_ZST = "jsonl.zst"
_PIECE = 1024 * 1024


class SegmentWriter(Protocol):
    """A segment file being written. Leaving the ``with`` block without an error completes and syncs it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, batch: Batch) -> None:
        """Append records.

        Raises:
            StoreError: If they cannot be held exactly.
            TargetError: If the file cannot be written.
        """
        ...


def format_of(part: Part) -> str:
    """The format of a part's segment, which is also its path's suffix: lines have no columns."""
    return PARQUET if part.columns else JSONL_ZST


def open_writer(format_name: str, path: Path, part: Part) -> SegmentWriter:
    """Begin a segment file for *part* at *path*; an unfinished one that lies there is overwritten.

    Raises:
        MissingDriverError: If the format's library is not installed.
        TargetError: If the file cannot be created.
    """
    if format_name == JSONL_ZST:
        from lapse.segments.jsonl_zst import LineWriter

        return LineWriter(path, part)
    _require_parquet(format_name)
    from lapse.segments.parquet import ParquetWriter

    return ParquetWriter(path, part)


def read_segment(format_name: str, file: BinaryIO) -> Iterator[Batch]:
    """The records of a segment in order, in batches of bounded size.

    Raises:
        MissingDriverError: If the format's library is not installed.
        VerificationError: While reading, if the file is damaged.
    """
    if format_name == JSONL_ZST:
        from lapse.segments.jsonl_zst import read as read_lines

        return read_lines(file)
    _require_parquet(format_name)
    from lapse.segments.parquet import read as read_rows

    return read_rows(file)


def content_digest(format_name: str, file: BinaryIO) -> Digest:
    """The content digest of what a segment holds, as `ContentDigest` makes it of the records. Two threads share it.

    Raises:
        MissingDriverError: If the format's library is not installed.
        VerificationError: If the file is damaged.
    """
    if format_name == JSONL_ZST:
        from lapse.segments.jsonl_zst import content as read_content

        return pieces_digest(ahead(read_content(file)))
    content = ContentDigest()
    for batch in ahead(read_segment(format_name, file)):
        content.update(batch)
    return content.digest()


def _require_parquet(format_name: str) -> None:
    if format_name != PARQUET:
        raise UsageError(f"{format_name!r} is no segment format", hint=f"The formats are {PARQUET} and {JSONL_ZST}.")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingDriverError("pyarrow", extra="parquet") from error


def file_digest(file: BinaryIO) -> Digest:
    """SHA-256 over a file from where it stands to its end, as ``sha256sum`` prints it."""
    return pieces_digest(iter(lambda: file.read(_PIECE), b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a segment holds, as its manifest states it.

    Attributes:
        records: Number of records.
        raw_size: Bytes of their content before compression.
        content: Content digest.
        merkle_root: Root over the salted record digests.
    """

    records: int
    raw_size: int
    content: Digest
    merkle_root: Digest


class Measure:
    """Takes the measure of records while they pass: counts, content digest and Merkle root."""

    def __init__(self, salt: bytes, content: Content | None = None) -> None:
        """A measure whose leaves have that *salt*.

        Arguments:
            salt: Of the segment.
            content: What whoever yields the records says they are; what is read back from an archive is compared with
                it. None: they are digested here.
        """
        self._salt = salt
        self._said = content
        self._own = ContentDigest()
        self._tree = MerkleTree()

    def add(self, batch: Batch) -> None:
        """Take in the next records.

        Raises:
            StoreError: If they cannot stand in a segment.
        """
        if self._said is None:
            self._own.update(batch)
        for leaves in leaf_hashes(batch, self._salt):
            self._tree.add_leaves(leaves)

    def contents(self) -> Contents:
        """The measure of all records so far.

        Raises:
            StoreError: If they are not as many as was said.
        """
        content = self._own if self._said is None else self._said
        if content.records != self._tree.size:
            raise StoreError(
                f"{self._tree.size:,} records came, and {content.records:,} were said to come",
                hint="Nothing was removed. Report this as a bug.",
            )
        return Contents(
            records=content.records,
            raw_size=content.raw_size,
            content=content.digest(),
            merkle_root=Digest(self._tree.root().hex()),
        )
