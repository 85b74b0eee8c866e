"""What a store remembers of its files between runs, so that it need not read all of them again.

Nothing depends on it: what is damaged, or was written by another version, counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lapse.canonical import sha256
from lapse.errors import StateError
from lapse.state.files import make_private, read_private, write_durably

_HEAD = b"lapse file index 1\n"
_FOLDER = "file-index"
_DIGEST = 64


class FileKey(msgspec.Struct, frozen=True, array_like=True):
    """Which file, whatever its name.

    Attributes:
        device: Its device.
        inode: Its inode.
    """

    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Notes:
    """What is remembered of the files of a dataset.

    Attributes:
        files: What is remembered of each, in the store's own form.
        runs: How many runs have relied on it since the last one that read every file.
    """

    files: Mapping[FileKey, bytes] = field(default_factory=dict)
    runs: int = 0


class _Content(msgspec.Struct, array_like=True):
    meaning: str
    runs: int
    files: list[tuple[FileKey, bytes]]


class FileIndex:
    """The notes of one dataset about its files."""

    def __init__(self, root: Path, name: str) -> None:
        """The index of the dataset *name* in the state folder *root*; nothing is read or made yet."""
        self.path = root / _FOLDER / f"{sha256(name.encode())[:16]}.idx"

    def read(self, meaning: str) -> Notes:
        """What is remembered; nothing if it depends on something else than *meaning*, or cannot be read."""
        try:
            data = read_private(self.path)
        except StateError:
            return Notes()
        body = None if data is None else _body(data)
        if body is None:
            return Notes()
        try:
            content = msgspec.msgpack.decode(body, type=_Content)
        except msgspec.MsgspecError:
            return Notes()
        return Notes(dict(content.files), content.runs) if content.meaning == meaning else Notes()

    def write(self, meaning: str, notes: Notes) -> None:
        """Put *notes*, which depend on *meaning*, in the place of what was there, durably.

        Raises:
            StateError: If they cannot be written.
        """
        body = msgspec.msgpack.encode(_Content(meaning, notes.runs, list(notes.files.items())))
        make_private(self.path.parent)
        write_durably(self.path, b"".join((_HEAD, sha256(body).encode(), b"\n", body)))


def _body(data: bytes) -> memoryview | None:
    """What *data* is about. None if it is damaged, or of another version."""
    start = len(_HEAD) + _DIGEST + 1
    digest = data[len(_HEAD) : start - 1]
    body = memoryview(data)[start:]
    return body if data.startswith(_HEAD) and digest == sha256(bytes(body)).encode() else None
