"""Which of a dataset's segments hold its own table, and which hold rows of other tables that went along with them.

The parts of a slice stand in the order in which their rows were removed: what refers to other rows before those, the
dataset's own rows last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lapse.archive.catalog import SegmentEntry
from lapse.model.manifest import Manifest
from lapse.segments import JSONL_ZST


class Tables:
    """The tables of datasets, by how far they are from the dataset's own."""

    def __init__(self, entries: Iterable[SegmentEntry]) -> None:
        """*entries* are to be whole slices."""
        slices: dict[tuple[str, str, str, str], dict[int, str]] = defaultdict(dict)
        for entry in entries:
            found = entry.manifest
            if found.format != JSONL_ZST:  # the parts of a slice of lines are files, each on its own
                slices[found.dataset, found.ledger, found.run, found.slice][found.part] = found.table
        self._ranks: dict[tuple[str, str], int] = {}
        for (dataset, *_), parts in slices.items():
            last = max(parts)
            for part, table in parts.items():
                self._ranks[dataset, table] = max(last - part, self._ranks.get((dataset, table), 0))

    def rank(self, manifest: Manifest) -> int:
        """0 for the dataset's own table; of the others those with less are referred to by those with more."""
        return self._ranks.get((manifest.dataset, manifest.table), 0)

    def is_own(self, dataset: str, table: str) -> bool:
        """Whether *table* is the dataset's own."""
        return self._ranks.get((dataset, table), 0) == 0

    def view(self, manifest: Manifest) -> str:
        """The name by which a query knows a segment's records: the dataset, or ``dataset.table``."""
        return manifest.dataset if self.rank(manifest) == 0 else f"{manifest.dataset}.{manifest.table}"
