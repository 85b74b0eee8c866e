"""Many small files judged at once, as if their lines stood one after the other in one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from lapse.stores.jsonl.bulk import Bulk, Together
from lapse.stores.jsonl.parts import FilePart
from lapse.stores.jsonl.scanning import Counts
from lapse.stores.jsonl.sizing import Goals


class Batch:
    """Whole lines of some files, until there are enough of them to be judged at once."""

    def __init__(self, bulk: Bulk, goals: Goals, counts: Counts) -> None:
        self._bulk = bulk
        self._goals = np.frombuffer(goals, np.uint32)  # type: ignore[call-overload]
        self._counts = counts
        self._parts: list[FilePart] = []
        self._lines: list[int] = []
        self._data: list[bytes] = []
        self.size = 0
        """Bytes that wait."""

    def add(self, part: FilePart, data: bytes) -> None:
        """Take in a file's whole lines. Its part is told how many they are at once, and all else by `flush`."""
        if data:
            lines = data.count(b"\n")
            part.lines += lines
            self._parts.append(part)
            self._lines.append(lines)
            self._data.append(data)
            self.size += len(data)

    def flush(self) -> None:
        """Judge what waits."""
        ends = list(accumulate(self._lines))
        base = 0
        for judgement in self._bulk.judge(b"".join(self._data)) if self._data else ():
            self._share(judgement, base, ends)
            self._counts.add_sums(judgement.sums())
            base += judgement.records
        self._parts, self._lines, self._data, self.size = [], [], [], 0

    def _share(self, judgement: Together, base: int, ends: Sequence[int]) -> None:
        """Tell each file where its lines go; *base* is the number of the first line, *ends* where each file's end."""
        goals = self._goals[np.asarray(judgement.codes)]
        whose = np.searchsorted(ends, np.arange(base, base + len(goals)), side="right")
        for goal in np.unique(goals).tolist():
            for place in np.unique(whose[goals == goal]).tolist():
                self._parts[place].sizes.setdefault(goal, 0)
        for number, kind in judgement.doubts():
            place = bisect_right(ends, base + number)
            self._parts[place].doubt(kind, base + number - ends[place] + self._lines[place])
