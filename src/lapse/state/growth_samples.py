"""How large each dataset's files were at its last runs, for `lapse status`: one small private file, replaced whole."""

from __future__ import annotations

from pathlib import Path

from lapse.errors import StateError
from lapse.instant import Nanos
from lapse.model.growth import Sample
from lapse.state.keyed_file import KeyedFile

_KEPT = 30
"""Samples of a dataset: what came in over its last thirty runs makes the average."""


class GrowthSamples:
    """The last samples of each dataset, by the name that the state folder knows it by."""

    def __init__(self, root: Path) -> None:
        """Samples in the state folder *root*; nothing is read or made yet."""
        self._file = KeyedFile(root / "runs" / "growth.json", root / "state.lock")

    def of(self, name: str) -> tuple[Sample, ...]:
        """The samples of a dataset, oldest first; empty before its first run.

        Raises:
            StateError: If they cannot be read.
        """
        found = self._file.all().get(name, [])
        try:
            return tuple(Sample(Nanos(int(at)), int(before), int(after)) for at, before, after in found)
        except (TypeError, ValueError) as error:
            hint = "Remove this file, the next run writes it anew: nothing but `lapse status` needs it."
            raise StateError(f"{self._file.path} is not what Lapse wrote: {error}", hint=hint) from error

    def add(self, name: str, sample: Sample) -> None:
        """Remember one more, durably.

        Raises:
            StateError: If it cannot be read or written.
        """
        kept = [*self.of(name), sample][-_KEPT:]
        # Text, since they may be larger than JSON's integers.
        self._file.put(name, [[str(each.at), str(each.before), str(each.after)] for each in kept])
