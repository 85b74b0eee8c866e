"""What one slice of a log is about, besides the file."""

from __future__ import annotations

from dataclasses import dataclass

from lapse.ports import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a slice is about, besides the file.

    Attributes:
        table: Path of the log within its dataset.
        removable: Whether the file may be removed once it has wholly lapsed.
        expected: Bytes of lapsed lines known to be there. 0 if that is not known.
        rewrite: Whether a new file is wanted in any case.
        most: Lapsed lines to take at most. None takes all.
    """

    table: str
    removable: bool
    expected: int
    rewrite: bool
    most: int | None


def task_of(piece: Slice, table: str) -> Task:
    """What the bounds of a slice say."""
    *_, removable, expected, rewrite, most = piece.bounds
    assert isinstance(expected, int) and not isinstance(most, str)  # noqa: S101, PT018 - ours
    return Task(table=table, removable=bool(removable), expected=expected, rewrite=bool(rewrite), most=most)
