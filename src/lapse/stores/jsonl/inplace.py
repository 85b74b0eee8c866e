"""What a commit in place does to a log file, as its journal says it: the layout, its phases, how to tell them apart.

Lapsed lines and kept ones before `end` become: blanks, then the kept ones, right before what follows. Then whole
blocks of blanks are cut off the head. Bytes from `end` on are never written to, so that writers may append meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lapse.canonical import Digest, Json
from lapse.model.disposal import Disposal
from lapse.stores.jsonl.disk import inode_of
from lapse.stores.jsonl.names import Kind, OwnName

INPLACE_VERSION = 2

BLANK = b" "
"""What stands before the first kept line afterwards: JSON readers skip it."""

MARK = b"\t"
"""What fills the first block while it is still to be cut off: neither blanks nor any line."""

_SECTOR = 512


class Phase(Enum):
    """How far a commit in place is."""

    WRITING = "writing"
    COLLAPSING = "collapsing"
    DONE = "done"


class HeadState(Enum):
    """What the first block of the file says."""

    WRITABLE = "not yet marked"
    MARKED = "marked"
    AFTER = "cut off"
    STRANGE = "strange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things stand in the file, in bytes from its beginning before the commit.

    Attributes:
        end: End of the last line that goes. From here on nothing changes.
        kept: Bytes of lines before `end` that stay; they are moved to right before it.
        block: Size of the blocks that can be cut off.
        cut: What is cut off: whole blocks, all before the moved lines; 0 if less than a block is free.
        mark: End of the marked beginning; 0 if nothing is cut off.
        blanks: Where the blanks before the moved lines begin.
    """

    end: int
    kept: int
    block: int
    cut: int
    mark: int
    blanks: int

    @property
    def dead(self) -> int:
        """Bytes before the moved lines: what goes."""
        return self.end - self.kept


def cut_of(dead: int, *, block: int, size: int) -> int:
    """How many bytes can be cut off the head of a file of *size* bytes of which the first *dead* are free.

    The kernel refuses to cut up to the end of the file.
    """
    cut = dead - dead % block
    return cut - block if cut >= size else cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How the phases can be told by the file itself.

    Attributes:
        before: Digest of each sector of the first block, before the commit.
        after: Digest of each sector of the first block after the commit, as far as it is certain.
        after_size: How many bytes that are.
        tail: Digest of the last bytes that were judged, and stay. They move along.
        tail_size: How many bytes that are; 0 if all that was judged goes.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    after_size: int
    tail: str
    tail_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlace:
    """The journal of a commit in place.

    Attributes:
        log: Name of the log in its folder.
        slice: Run and slice, as working files carry them.
        inode: Inode of the file.
        judged: Bytes that were judged, from its beginning.
        size: Bytes of the file at the commit.
        mtime_ns: Its modification time then, nanoseconds since the epoch.
        layout: What is done to it.
        heads: How far that is.
        side: SHA-256 of the working file with the kept lines. None if there are none to move.
        phase: What is known to be done.
        disposal: What is recorded of it.
    """

    log: str
    slice: str
    inode: int
    judged: int
    size: int
    mtime_ns: int
    layout: Layout
    heads: Heads
    side: Digest | None
    phase: Phase = Phase.WRITING
    disposal: Disposal

    def path(self, folder: Path, kind: Kind) -> Path:
        """The path of one of its working files."""
        return folder / str(OwnName(self.log, self.slice, kind))

    def pending(self, folder: Path) -> bool:
        """Whether something is left to do."""
        return self.phase is not Phase.DONE or inode_of(self.path(folder, Kind.TEMPORARY)) is not None

    @property
    def phases_differ(self) -> bool:
        """Whether the marked block can be told from what comes to stand there; a line of tabs only cannot."""
        return not self.layout.cut or self.heads.after != sector_digests(MARK * self.heads.after_size)

    def tell(self, head: bytes) -> HeadState:
        """How far the file is, by its first block, or all there is of it."""
        if self.layout.cut and head == MARK * self.layout.block:
            return HeadState.MARKED
        if self.phase is Phase.COLLAPSING:
            after = sector_digests(head[: self.heads.after_size])
            return HeadState.AFTER if after == self.heads.after else HeadState.STRANGE
        found = _sectors(head[: min(self.layout.block, self.judged)])
        if len(found) != len(self.heads.before):
            return HeadState.STRANGE
        known = all(self._is_ours(index, sector) for index, sector in enumerate(found))
        return HeadState.WRITABLE if known else HeadState.STRANGE

    def _is_ours(self, index: int, sector: bytes) -> bool:
        """Whether a sector of the first block is as it was, or as we write it."""
        digest = digest_of_bytes(sector)
        if digest == self.heads.before[index]:
            return True
        return sector == MARK * len(sector) if self.layout.cut else digest == self.heads.after[index]

    def to_json(self) -> dict[str, Json]:
        """The journal as it is written. Inodes and times are text: they may be larger than JSON's integers."""
        layout, heads = self.layout, self.heads
        return {
            "lapse_journal": INPLACE_VERSION,
            "kind": "in place",
            "log": self.log,
            "slice": self.slice,
            "inode": str(self.inode),
            "judged": self.judged,
            "size": self.size,
            "mtime_ns": str(self.mtime_ns),
            "layout": {name: getattr(layout, name) for name in Layout.__slots__},
            "heads": {name: getattr(heads, name) for name in Heads.__slots__},
            "side": self.side,
            "phase": self.phase.value,
            "disposal": self.disposal.to_json(),
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> InPlace:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If it is none, or of another kind.
        """
        try:
            if facts["kind"] != "in place":
                raise ValueError(f"journals of kind {facts['kind']} are unknown")
            heads = facts["heads"]
            return cls(
                inode=int(facts["inode"]),
                mtime_ns=int(facts["mtime_ns"]),
                layout=Layout(**facts["layout"]),
                heads=Heads(**{**heads, "before": tuple(heads["before"]), "after": tuple(heads["after"])}),
                phase=Phase(facts["phase"]),
                disposal=Disposal.from_json(facts["disposal"]),
                **{name: facts[name] for name in ("log", "slice", "judged", "size", "side")},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"journal is not complete: {error}") from error


def _sectors(head: bytes) -> list[bytes]:
    return [head[start : start + _SECTOR] for start in range(0, len(head), _SECTOR)]


def sector_digests(head: bytes) -> tuple[str, ...]:
    """A digest of each sector of a block, which a disk writes whole or not at all."""
    return tuple(digest_of_bytes(sector) for sector in _sectors(head))


def digest_of_bytes(data: bytes) -> str:
    """SHA-256 of some bytes, as text."""
    return hashlib.sha256(data).hexdigest()
