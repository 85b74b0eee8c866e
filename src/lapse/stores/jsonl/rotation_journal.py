"""The journal of one rotation. It lies beside the log from before the first step until nothing is left to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lapse.canonical import Digest, Json
from lapse.model.rotation import Packing
from lapse.stores.jsonl.disk import sync_folder
from lapse.stores.jsonl.journalling import names_with, put_in_one_step, read_back
from lapse.stores.jsonl.rotation_names import MARK, Kind, WorkingName, parse_rotated, parse_working

VERSION = 1


class Stage(Enum):
    """What of a rotation is done for certain."""

    BEGUN = "begun"
    PLACED = "placed"
    TOLD = "told"


@dataclass(frozen=True, slots=True)
class Content:
    """What a rotated file held when it was compressed.

    Attributes:
        inode: Its inode.
        size: Its bytes.
        digest: SHA-256 of them.
        packed: Inode of the compressed file.
    """

    inode: int
    size: int
    digest: Digest
    packed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationJournal:
    """How far the rotation of one log has come.

    Attributes:
        log: Name of the log in its folder.
        id: Which rotation of it; begins with its stamp.
        stamp: When, as it stands in names.
        inode: Inode of the file with the lines.
        packing: How it is to be compressed.
        stage: What is done.
        rotated: Name of the rotated file, once it has one.
        content: What was compressed. None until the compressed file is verified.
    """

    log: str
    id: str
    stamp: str
    inode: int
    packing: Packing
    stage: Stage = Stage.BEGUN
    rotated: str | None = None
    content: Content | None = None

    def path(self, folder: Path, kind: Kind) -> Path:
        """The path of one of its working files."""
        return folder / str(WorkingName(self.log, self.id, kind))

    def to_json(self) -> dict[str, Json]:
        """The journal as it is written. Inodes are text: they may be larger than JSON's integers."""
        content = self.content
        return {
            "lapse_rotation": VERSION,
            "log": self.log,
            "id": self.id,
            "stamp": self.stamp,
            "inode": str(self.inode),
            "packing": self.packing.value,
            "stage": self.stage.value,
            "rotated": self.rotated,
            "content": None
            if content is None
            else {
                "inode": str(content.inode),
                "size": content.size,
                "digest": content.digest,
                "packed": str(content.packed),
            },
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> RotationJournal:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If it is none, or of another version.
        """
        try:
            if facts["lapse_rotation"] != VERSION:
                raise ValueError(f"version {facts['lapse_rotation']} is unknown")
            return cls(
                log=facts["log"],
                id=facts["id"],
                stamp=_stamp(facts),
                inode=int(facts["inode"]),
                packing=Packing(facts["packing"]),
                stage=Stage(facts["stage"]),
                rotated=_rotated(facts),
                content=None if facts["content"] is None else _content(facts["content"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not complete: {error}") from error


def _stamp(facts: dict[str, Any]) -> str:
    if not re.fullmatch("[0-9]{8}T[0-9]{6}", facts["stamp"]):
        raise ValueError(f"{facts['stamp']!r} is no time")
    return str(facts["stamp"])


def _rotated(facts: dict[str, Any]) -> str | None:
    """The name of the rotated file, which leads nowhere else: whoever may write to the folder may write journals."""
    name = facts["rotated"]
    found = None if name is None else parse_rotated(name)
    if name is not None and (found is None or found.log != facts["log"] or "/" in name):
        raise ValueError(f"{name!r} is no name of a rotated {facts['log']}")
    return None if name is None else str(name)


def _content(facts: dict[str, Any]) -> Content:
    return Content(int(facts["inode"]), facts["size"], Digest(facts["digest"]), int(facts["packed"]))


def publish(folder: Path, journal: RotationJournal) -> None:
    """Write a journal in one step: after a crash it is there whole, as it was before, or not at all.

    OSErrors are the caller's.
    """
    draft = journal.path(folder, Kind.JOURNAL_DRAFT)
    put_in_one_step(journal.path(folder, Kind.JOURNAL), journal.to_json(), draft=draft)


def close(folder: Path, journal: RotationJournal) -> None:
    """Nothing is left to do: take it away. OSErrors are the caller's."""
    journal.path(folder, Kind.JOURNAL).unlink()
    sync_folder(folder)


def rotations(folder: Path) -> Iterator[RotationJournal]:
    """Every rotation of a folder that is not finished, oldest first.

    Raises:
        StoreError: If a journal cannot be read, or is none.
    """
    for name in working_files(folder):
        if name.kind is Kind.JOURNAL:
            yield _read(folder / str(name))


def working_files(folder: Path) -> list[WorkingName]:
    """Every working file of rotations in a folder, by log and age.

    Raises:
        StoreError: If the folder cannot be read.
    """
    found = map(parse_working, names_with(folder, MARK))
    return [name for name in found if name is not None]


def _read(path: Path) -> RotationJournal:
    def parse(facts: Any) -> RotationJournal:
        journal = RotationJournal.from_json(facts)
        if str(WorkingName(journal.log, journal.id, Kind.JOURNAL)) != path.name:  # as text: a path may lead elsewhere
            raise ValueError("it belongs to another log")
        return journal

    hint = "Nothing was touched. No line is lost: look at it before you move it away."
    return read_back(path, parse, kind="journal of a rotation", hint=hint)
