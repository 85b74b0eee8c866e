"""Small files that last: written whole or not at all, private to their owner, never through a symbolic link.

Every OSError becomes a StateError here, once, with what to do about it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapse.errors import StateError
from lapse.state.locks import names, open_locked, require_regular

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_FULL = "Free some space on this file system, then run again."
_DENIED = "Run as the user that owns it, or set LAPSE_STATE_DIR to a folder of your own."
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "The file system is read-only. Set LAPSE_STATE_DIR to a folder that can be written.",
    errno.ELOOP: "A symbolic link stands where Lapse keeps a file of its own. Look who made it, then remove it.",
    errno.EINVAL: "Something else than a file stands where Lapse keeps one of its own. Look who made it.",
    errno.EISDIR: "A folder stands where Lapse keeps a file of its own. Look who made it, then move it away.",
    errno.ENOLCK: "This file system cannot lock files. Set LAPSE_STATE_DIR to a folder on a local one.",
}
_OTHER_HINT = "Look at the disk and the folder, then run again."


@contextmanager
def translated(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StateError that says what could not be done to *path*."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = _HINTS.get(error.errno or 0, _OTHER_HINT)
        raise StateError(f"cannot {action} {path}: {reason}", hint=hint) from error


def safe_name(text: str) -> str:
    """*text*, if it can be a file's name and nothing else.

    Raises:
        StateError: If it could lead elsewhere.
    """
    if not _NAME.fullmatch(text):
        raise StateError(
            f"{text!r} cannot name a file of Lapse's state",
            hint="Runs and slices are named with letters, digits, '.', '_' and '-'. Look where this name came from.",
        )
    return text


def make_private(folder: Path) -> str | None:
    """Make *folder* and what is missing above it, 0700 and durable.

    Returns:
        A warning if it was there and others can get into it; None if all is well.

    Raises:
        StateError: If it cannot be made.
    """
    with translated("make the folder", folder):
        for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(missing.parent)
        mode = folder.stat().st_mode & 0o777
    return _too_wide(folder, mode, 0o700)


def permission_warning(path: Path) -> str | None:
    """A warning if others than its owner can get at the file *path*; None if not, or if it is not there."""
    with translated("look at", path):
        try:
            mode = path.stat(follow_symlinks=False).st_mode & 0o777
        except FileNotFoundError:
            return None
    return _too_wide(path, mode, 0o600)


def _too_wide(path: Path, mode: int, wanted: int) -> str | None:
    if mode & 0o077 == 0:
        return None
    return f"{path} is open to other users (mode {mode:04o}); close it with: chmod {wanted:o} {path}"


def read_private(path: Path) -> bytes | None:
    """The bytes of *path*; None if it is not there. A symbolic link is refused.

    Raises:
        StateError: If it cannot be read.
    """
    with translated("read", path):
        try:
            descriptor = open_for_reading(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()


def open_for_reading(path: Path) -> int:
    """A descriptor for the regular file *path*, not through a symbolic link. OSErrors are the caller's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        require_regular(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_durably(path: Path, data: bytes) -> None:
    """Make *data* the content of *path*, 0600: after a crash it is all there, or what was there before.

    Raises:
        StateError: If it cannot be written.
    """
    with translated("write", path), _staged(path) as descriptor:
        _publish(descriptor, path, data)


def create_durably(path: Path, data: bytes) -> bool:
    """Like `write_durably`, but only where nothing is there; of several processes one wins.

    Returns:
        Whether this call wrote it.

    Raises:
        StateError: If it cannot be written.
    """
    with translated("write", path), _staged(path) as descriptor:
        if os.path.lexists(path):
            return False
        _publish(descriptor, path, data)
        return True


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def _staged(path: Path) -> Iterator[int]:
    """The locked temporary file of *path*.

    Its name is always the same: what a killed writer left is used up by the next one.
    """
    descriptor = open_locked(_temporary(path), fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        if names(_temporary(path), descriptor):
            _temporary(path).unlink()
        os.close(descriptor)


def _publish(descriptor: int, path: Path, data: bytes) -> None:
    os.ftruncate(descriptor, 0)
    write_all(descriptor, data)
    os.fsync(descriptor)
    _temporary(path).replace(path)
    fsync_folder(path.parent)


def remove_durably(path: Path) -> None:
    """Remove *path*; no error if it is gone.

    Raises:
        StateError: If it cannot be removed.
    """
    with translated("remove", path):
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in *folder* last. OSErrors are the caller's."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*, however little the system takes at a time. OSErrors are the caller's."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
