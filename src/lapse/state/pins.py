"""Fingerprints of stores, pinned at the first run: a policy must not meet another database unnoticed."""

from __future__ import annotations

from pathlib import Path

from lapse.errors import StateError
from lapse.state.keyed_file import KeyedFile


class Pins:
    """The pinned fingerprint of each dataset, by its name."""

    def __init__(self, root: Path) -> None:
        """Pins in the state folder *root*; nothing is read or made yet."""
        self._file = KeyedFile(root / "pins.json", root / "state.lock")

    def pinned(self, name: str) -> str | None:
        """The fingerprint pinned for dataset *name*; None before its first run.

        Raises:
            StateError: If the pins cannot be read: then no fingerprint can be trusted.
        """
        fingerprint = self._file.all().get(name)
        if fingerprint is not None and not isinstance(fingerprint, str):
            raise StateError(
                f"the pinned fingerprint of dataset {name} is {fingerprint!r}",
                hint="Something else has changed pins.json. Look at the store, then accept it with `lapse trust`.",
            )
        return fingerprint

    def pin(self, name: str, fingerprint: str) -> None:
        """Pin *fingerprint* for dataset *name*, durably, in place of any former one.

        Raises:
            StateError: If it cannot be written.
        """
        self._file.put(name, fingerprint)
