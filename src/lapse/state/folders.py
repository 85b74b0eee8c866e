"""Where Lapse keeps its state: one root folder, and what lies where in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import StateError
from lapse.state.files import make_private

SYSTEM_ROOT = Path("/var/lib/lapse")


def state_root() -> Path:
    """The state folder, absolute: ``LAPSE_STATE_DIR``; else ``/var/lib/lapse`` for root; else the user's own.

    The user's own is ``$XDG_STATE_HOME/lapse`` (an absolute path, or it does not count) or
    ``~/.local/state/lapse``. Nothing is created.

    Raises:
        StateError: If the user has no home folder.
    """
    chosen = os.environ.get("LAPSE_STATE_DIR")
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return SYSTEM_ROOT
    xdg = Path(os.environ.get("XDG_STATE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "lapse"
    try:
        return Path.home() / ".local" / "state" / "lapse"
    except RuntimeError as error:
        raise StateError("this user has no home folder for Lapse's state", hint="Set LAPSE_STATE_DIR.") from error


@dataclass(frozen=True, slots=True)
class StateFolders:
    """What lies where.

    Attributes:
        root: The state folder.
        ledger_folder: The ledger's folder from the policy. None keeps it in the root.
    """

    root: Path
    ledger_folder: Path | None = None

    @property
    def ledger(self) -> Path:
        """Folder of the ledger and its sidecars."""
        return self.ledger_folder or self.root / "ledger"

    @property
    def keys(self) -> Path:
        """Folder of the signing key and of every public key."""
        return self.root / "keys"

    def prepare(self) -> tuple[str, ...]:
        """Make the root and the ledger's folder; returns warnings about folders that others can get into.

        Raises:
            StateError: If they cannot be made.
        """
        warnings = [make_private(folder) for folder in (self.root, self.ledger)]
        return tuple(warning for warning in warnings if warning is not None)
