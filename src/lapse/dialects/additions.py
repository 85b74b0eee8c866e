"""What Lapse adds to the command lines of drop-ins: an archive, and a folder for the ledger."""

from __future__ import annotations

import os
from pathlib import Path

from lapse.errors import UsageError
from lapse.model.policy import Archive

ARCHIVE = "archive"
"""Name of the archive that is added."""


def archive_at(address: str | None, folder: Path) -> Archive | None:
    """The archive at *address*, which is below *folder* if it is relative. None for None: there is no copy.

    Raises:
        AddressError: If the address cannot be followed.
    """
    if address is None:
        return None
    from lapse.policyfile.addresses import target_address
    from lapse.registry import target_schemes

    target = target_address(address, folder, target_schemes())
    return Archive(name=ARCHIVE, to=target.full, shown=target.shown)


def ledger_at(path: str | None, folder: Path) -> str | None:
    """The folder of the ledger, absolute; *folder* is where a relative one begins. None for None: the state folder.

    Raises:
        UsageError: If the path is blank: that must not mean *folder* itself.
    """
    if path is not None and not path.strip():
        raise UsageError("option '--ledger' is blank", hint="Name a folder, or leave the option out.")
    return None if path is None else os.path.normpath(folder / path)
