"""What an archive target and a hook promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from lapse.canonical import Json


class ArchiveTarget(Protocol):
    """A place for segments. Objects are written once and never changed."""

    scheme: ClassVar[str]

    def __init__(self, address: str) -> None: ...

    def staging(self, name: str) -> Path:
        """The local path where a segment is written before it is published; *name* is unique.

        The same name gives the same path in every process, so that a journal entry is enough to clear it.
        """
        ...

    def discard(self, name: str) -> None:
        """Remove what is staged under *name*; no error if there is nothing."""
        ...

    def publish(self, staged: Path, path: str) -> None:
        """Make a staged file the object *path*, durably, unless an object is there.

        An object with equal bytes is this call's own retry and counts as done.

        Raises:
            TargetError: If another object is there, or the target cannot be written.
        """
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a small object durably; the promises of `publish` hold."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading, seekable.

        Raises:
            TargetError: If it is not there or cannot be read.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether there is an object *path*."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Paths of objects below *prefix*, sorted. For reading only: nothing is deleted from a listing."""
        ...

    def remove(self, path: str) -> None:
        """Remove an object that the journal proves to be an orphan; no error if it is gone."""
        ...

    def location(self) -> Path | None:
        """The local folder it writes into. None where it is not local."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for hooks: a name with keys, never a record's body.

    Attributes:
        name: Such as ``disposal.committed``.
        facts: Its keys.
    """

    name: str
    facts: Mapping[str, Json]


class Hook(Protocol):
    """Something that watches a run: a log, a progress bar, metrics."""

    def on(self, event: Event) -> None:
        """Take note of *event*. An error here stops the dataset."""
        ...
