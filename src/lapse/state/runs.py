"""The last run's report of each dataset, for `lapse status`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lapse.canonical import Json
from lapse.state.keyed_file import KeyedFile


class LastRuns:
    """What the last run said about each dataset, by its name."""

    def __init__(self, root: Path) -> None:
        """Reports in the state folder *root*; nothing is read or made yet."""
        self._file = KeyedFile(root / "runs" / "last.json", root / "state.lock")

    def load(self, name: str) -> Mapping[str, Any] | None:
        """The last report on dataset *name*; None before its first run.

        Raises:
            StateError: If the reports cannot be read.
        """
        report: Mapping[str, Any] | None = self._file.all().get(name)
        return report

    def save(self, name: str, report: Mapping[str, Json]) -> None:
        """Keep *report* as the last one on dataset *name*, durably.

        Raises:
            StateError: If it cannot be written.
        """
        self._file.put(name, dict(report))
