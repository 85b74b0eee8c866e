"""Writing files that must last: made private, synced, and with a next step when the disk says no."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lapse.errors import TargetError

_HINTS = {
    errno.ENOSPC: "The disk is full: free some space and run again.",
    errno.EDQUOT: "The disk quota is used up: free some space and run again.",
    errno.EFBIG: "The file would be larger than the system allows (ulimit -f).",
    errno.EACCES: "Let the user that runs lapse write there.",
    errno.EPERM: "Let the user that runs lapse write there.",
    errno.EROFS: "The file system is mounted read-only: mount it for writing.",
    errno.ELOOP: "A symbolic link stands there, and links inside an archive are not followed: remove it.",
    errno.ENOTDIR: "A file stands where a folder is needed: move it away.",
    errno.EIO: "The disk reports an error: look at the system log.",
}


def target_error(doing: str, error: OSError) -> TargetError:
    """The error of an archive target that could not do *doing*, with what to do about it."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return TargetError(f"cannot {doing}: {reason}", hint=_HINTS.get(error.errno or 0))


def create(path: Path) -> BinaryIO:
    """Open a private file for writing, emptied if it is there; a symbolic link is refused.

    Raises:
        TargetError: If that cannot be done.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise target_error(f"create {path}", error) from error
    return os.fdopen(descriptor, "wb")


def give_up(file: BinaryIO) -> None:
    """Close a file that was synced, or that is abandoned: what its buffer could not write does not matter."""
    with suppress(OSError):
        file.close()


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* last. OSErrors pass."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
