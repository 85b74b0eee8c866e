"""The bytes of a file that may be missing; what is broken is never taken for missing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lapse.errors import Complaint, Origin, PolicyError


def data_of(file: Path) -> bytes | None:
    """All of a file. None if its very name does not exist.

    Raises:
        PolicyError: If the name is there, or a link on the way to it, and no file can be read by it.
    """
    if is_missing(file):
        return None
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise _unreadable(file, "this is no file" if not file.is_dir() else "this is a folder")
        return file.read_bytes()
    except OSError as error:
        reason = "this is a link that leads nowhere" if isinstance(error, FileNotFoundError) else "this cannot be read"
        raise _unreadable(file, f"{reason}: {error.strerror}") from error


def is_missing(file: Path) -> bool:
    """Whether the name does not exist, with every folder on the way to it being there or missing likewise.

    Raises:
        PolicyError: If that cannot be told.
    """
    for each in (*reversed(file.parents), file):
        try:
            os.lstat(each)
        except FileNotFoundError:
            return not _is_below_dangling(each)
        except OSError as error:
            raise _unreadable(file, f"this cannot be read: {error.strerror}") from error
    return False


def _is_below_dangling(missing: Path) -> bool:
    """Whether a name is missing since a link above it leads nowhere."""
    parent = missing.parent
    return os.path.lexists(parent) and not parent.exists()


def _unreadable(file: Path, what: str) -> PolicyError:
    hint = "Let the user that lapse runs as read it, or take it away: then nothing is removed."
    complaint = Complaint(Origin(str(file), 1, 1), what, hint)
    return PolicyError(f"{file} cannot be followed: nothing is removed", complaints=[complaint])
