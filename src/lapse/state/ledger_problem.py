"""What a check of the ledger can find, each thing named as what it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ProblemKind(Enum):
    """What was done to a ledger, as far as it shows."""

    EDITED = "edited"
    REMOVED = "removed"
    REORDERED = "reordered"
    INSERTED = "inserted"
    CUT_TAIL = "cut tail"
    BAD_SIGNATURE = "bad signature"
    UNREADABLE = "unreadable"
    UNFINISHED_LINE = "unfinished line"
    SIDECAR_CHANGED = "sidecar changed"
    SIDECAR_MISSING = "sidecar missing"
    KEY_UNKNOWN = "key unknown"
    WHOLE_LEDGER_GONE = "whole ledger gone"
    CHECKPOINT_MISMATCH = "checkpoint mismatch"

    @property
    def is_failure(self) -> bool:
        """Whether it speaks against the ledger; a crash explains an unfinished last line."""
        return self is not ProblemKind.UNFINISHED_LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a ledger.

    Attributes:
        kind: What it is.
        message: What and where, one sentence.
        entry: Number of the first entry it is about, from 0. None if it is about no entry.
        line: Line of the file where it shows, from 1. None if it shows on no line.
    """

    kind: ProblemKind
    message: str
    entry: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.message}"


def entries_text(first: int, last: int) -> str:
    """``entry 5`` or ``entries 5 to 7``; *last* is included."""
    return f"entry {first}" if first == last else f"entries {first} to {last}"
