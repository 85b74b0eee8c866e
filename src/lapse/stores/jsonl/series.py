"""The files of a log whose writer begins a new one now and then, named after the time at which it did.

``audit{segments}.jsonl`` means ``audit.jsonl``, ``audit-20261122T020000.jsonl`` and ``audit-20261122T020000-2.jsonl``,
and no other name: ``audit-eu.jsonl`` is somebody else's.
"""

from __future__ import annotations

import re

from lapse.errors import PolicyError

SEGMENTS = "{segments}"
"""What stands in an address for nothing, or for the time of a segment."""

_ESCAPED = re.compile(r"\[([*?\[{])\]")
_WILD = re.compile(r"[*?\[]")
_NO_TIME = "19700101T000000"
_SEGMENT = r"-(?P<time>[0-9]{8}T[0-9]{6})(?:-(?P<number>[0-9]+))?"


class Series:
    """The names that one file name with ``{segments}`` in it means."""

    def __init__(self, pattern: str) -> None:
        """Understand *pattern*, a file name; ``[*]`` and its like stand for the character itself.

        Raises:
            PolicyError: If it has wildcards beside the segments.
        """
        if pattern.count(SEGMENTS) != 1 or _WILD.search(_ESCAPED.sub("", pattern)):
            raise PolicyError(
                f"{pattern!r} has wildcards beside {SEGMENTS}",
                hint=f"Write the name of one log, like audit{SEGMENTS}.jsonl, and a dataset for each log.",
            )
        head, tail = (_ESCAPED.sub(r"\1", part) for part in pattern.split(SEGMENTS))
        self.first = head + tail
        """The name without a time."""
        self._head, self._tail = head, tail
        self._segment = re.compile(re.escape(head) + _SEGMENT + re.escape(tail), re.ASCII)

    def has(self, name: str) -> bool:
        """Whether it is a name of the series."""
        return name == self.first or self._segment.fullmatch(name) is not None

    def age(self, name: str) -> tuple[str, int]:
        """Names in the order in which their files were begun; the one without a time, and any other, is the first."""
        found = self._segment.fullmatch(name)
        return ("", 0) if found is None else (found["time"], int(found["number"] or 0))

    def numbered(self, name: str, number: int) -> str:
        """A segment's name: of the time at which the file *name* was begun, with *number* behind it."""
        return f"{self._head}-{self.age(name)[0] or _NO_TIME}-{number}{self._tail}"
