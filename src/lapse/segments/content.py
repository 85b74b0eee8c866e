"""The content digest: the same for the same records, however they were cut into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from lapse.canonical import Digest
from lapse.errors import StoreError
from lapse.ports import Batch, LineBlock


class _Content(Protocol):
    records: int
    raw_size: int

    def update(self, batch: Batch) -> None: ...

    def digest(self) -> Digest: ...


class ContentDigest:
    """SHA-256 over the content of a part, as docs/format.md defines it under "Content digest"."""

    def __init__(self) -> None:
        self._content: _Content | None = None

    @property
    def records(self) -> int:
        """How many records were digested."""
        return 0 if self._content is None else self._content.records

    @property
    def raw_size(self) -> int:
        """Bytes of their content: lines as they are; of rows the values without padding and validity."""
        return 0 if self._content is None else self._content.raw_size

    def update(self, batch: Batch) -> None:
        """Digest the next records of the part.

        Raises:
            StoreError: If a column's type may not stand in a segment, or the columns changed.
        """
        if self._content is None:
            self._content = _content_for(batch)
        self._content.update(batch)

    def digest(self) -> Digest:
        """The digest of all records so far; SHA-256 of nothing before the first batch."""
        return Digest(hashlib.sha256().hexdigest()) if self._content is None else self._content.digest()


def _content_for(batch: Batch) -> _Content:
    if isinstance(batch, LineBlock):
        return _LineContent()
    from lapse.segments.rows import RowContent

    return RowContent(batch.schema)


def pieces_digest(pieces: Iterable[bytes]) -> Digest:
    """SHA-256 over *pieces*, one after the other; of lines, that is their content digest."""
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return Digest(hasher.hexdigest())


class _LineContent:
    """Lines: SHA-256 over their bytes, one after the other."""

    def __init__(self) -> None:
        self.records = 0
        self.raw_size = 0
        self._hasher = hashlib.sha256()

    def update(self, batch: Batch) -> None:
        if not isinstance(batch, LineBlock):
            raise StoreError("rows follow lines in one part", hint="A part holds either. Report this as a bug.")
        self.records += batch.records
        self.raw_size += len(batch.data)
        self._hasher.update(batch.data)

    def digest(self) -> Digest:
        return Digest(self._hasher.hexdigest())
