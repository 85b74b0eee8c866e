"""A small durable file of named values: one JSON object, replaced whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapse.canonical import Json, canonical
from lapse.errors import StateError
from lapse.state.files import make_private, read_private, translated, write_durably
from lapse.state.locks import locked


@dataclass(frozen=True, slots=True)
class KeyedFile:
    """Values by name in one file.

    Attributes:
        path: The file; need not exist.
        lock: Lock file that orders the writers.
    """

    path: Path
    lock: Path

    def all(self) -> Mapping[str, Any]:
        """Every value by its name; empty if the file is not there.

        Raises:
            StateError: If it cannot be read.
        """
        data = read_private(self.path)
        try:
            values = {} if data is None else json.loads(data)
        except ValueError as error:
            raise self._unreadable() from error
        if not isinstance(values, dict):
            raise self._unreadable()
        return values

    def put(self, name: str, value: Json) -> None:
        """Set one value, durably.

        Raises:
            StateError: If the file cannot be read or written.
        """
        make_private(self.path.parent)
        with translated("lock", self.lock), locked(self.lock):
            write_durably(self.path, canonical({**self.all(), name: value}) + b"\n")

    def _unreadable(self) -> StateError:
        return StateError(
            f"{self.path} is not readable as JSON",
            hint="Lapse writes this file whole, so something else has changed it. Put it back from a backup.",
        )
