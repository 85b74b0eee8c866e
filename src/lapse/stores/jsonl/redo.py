"""The redo journal of one commit. It lies beside its log; the commit is its rename into place, made durable.

There are two forms: `Redo` for a log that is replaced, `InPlace` for one that is changed where it is. After the commit
it says what is left to do, and when nothing is left it stays as the marker of the disposal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lapse.canonical import Digest, Json
from lapse.model.disposal import Disposal
from lapse.stores.jsonl import names
from lapse.stores.jsonl.disk import inode_of
from lapse.stores.jsonl.inplace import INPLACE_VERSION, InPlace
from lapse.stores.jsonl.journalling import names_with, put_in_one_step, read_back
from lapse.stores.jsonl.names import Kind, OwnName

REDO_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The file that takes the log's place.

    Attributes:
        inode: Its inode.
        size: Bytes, at the commit.
        digest: SHA-256 of the file, at the commit.
    """

    inode: int
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class LateLines:
    """Bytes on their way from the old file into the new one.

    Attributes:
        start: Offset in the old file.
        end: Offset behind them in the old file.
        at: Size of the new file before they were written; they stand there or later.
    """

    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redo:
    """What a commit does to one log file.

    Attributes:
        log: Name of the log in its folder.
        slice: Run and slice, as working files carry them.
        inode: Inode of the old file.
        judged: Bytes of the old file that were judged, from its beginning.
        consumed: Bytes of the old file that the new one covers.
        kept: Bytes at the beginning of the new file that stand for the judged ones.
        replacement: The new file. None if the log is removed.
        mode: Permissions of the log.
        uid: Its owner.
        gid: Its group.
        late: Late lines that were being moved. None if none were.
        disposal: What is recorded of it.
    """

    log: str
    slice: str
    inode: int
    judged: int
    consumed: int
    kept: int
    replacement: Replacement | None
    mode: int
    uid: int
    gid: int
    late: LateLines | None = None
    disposal: Disposal

    def path(self, folder: Path, kind: Kind) -> Path:
        """The path of one of its working files."""
        return folder / str(OwnName(self.log, self.slice, kind))

    def pending(self, folder: Path) -> bool:
        """Whether something is left to do: a working file is still there."""
        return any(inode_of(self.path(folder, kind)) is not None for kind in (Kind.TEMPORARY, Kind.ASIDE))

    def to_json(self) -> dict[str, Json]:
        """The journal as it is written. Inodes are text: they may be larger than JSON's integers."""
        new, late = self.replacement, self.late
        return {
            "lapse_journal": REDO_VERSION,
            "log": self.log,
            "slice": self.slice,
            "inode": str(self.inode),
            "judged": self.judged,
            "consumed": self.consumed,
            "kept": self.kept,
            "replacement": None if new is None else {"inode": str(new.inode), "size": new.size, "digest": new.digest},
            "mode": self.mode,
            "uid": self.uid,
            "gid": self.gid,
            "late": None if late is None else {"start": late.start, "end": late.end, "at": late.at},
            "disposal": self.disposal.to_json(),
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Redo:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If it is none, or of another version.
        """
        try:
            if facts["lapse_journal"] != REDO_VERSION:
                raise ValueError(f"journal version {facts['lapse_journal']} is unknown")
            new, late = facts["replacement"], facts["late"]
            return cls(
                inode=int(facts["inode"]),
                replacement=None if new is None else Replacement(**{**new, "inode": int(new["inode"])}),
                late=None if late is None else LateLines(**late),
                disposal=Disposal.from_json(facts["disposal"]),
                **{name: facts[name] for name in _PLAIN},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"journal is not complete: {error}") from error


Journalled: TypeAlias = "Redo | InPlace"
"""What a commit does to one log file, by either way."""

_PLAIN = ("log", "slice", "judged", "consumed", "kept", "mode", "uid", "gid")


def publish(folder: Path, redo: Journalled) -> None:
    """Write a journal in one step: after a crash it is there whole, as it was before, or not at all.

    OSErrors are the caller's: before the rename nothing has happened, after it everything is decided.
    """
    put_in_one_step(redo.path(folder, Kind.JOURNAL), redo.to_json(), draft=redo.path(folder, Kind.JOURNAL_DRAFT))


def working_files(folder: Path) -> list[OwnName]:
    """Every working file of removals in a folder, their journals among them, by log and slice.

    Raises:
        StoreError: If the folder cannot be read.
    """
    found = map(names.parse, names_with(folder, names.MARK))
    return [name for name in found if name is not None]


def journals(folder: Path) -> Iterator[Journalled]:
    """Every journal in a folder, in the order of their slices.

    Raises:
        StoreError: If one cannot be read, or is none.
    """
    for name in working_files(folder):
        if name.kind is Kind.JOURNAL:
            yield _read(folder / str(name))


def _read(path: Path) -> Journalled:
    def parse(facts: Any) -> Journalled:
        redo = _from_json(facts)
        if str(OwnName(redo.log, redo.slice, Kind.JOURNAL)) != path.name:
            raise ValueError("it belongs to another file")
        return redo

    hint = "It may hold an unfinished removal. Nothing was touched: look at it before you move it away."
    return read_back(path, parse, kind="journal", hint=hint)


def _from_json(facts: Any) -> Journalled:
    """Read back a journal of either form.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(facts, dict) and facts.get("lapse_journal") == INPLACE_VERSION:
        return InPlace.from_json(facts)
    return Redo.from_json(facts)
