"""Locks on files that can vanish: an open, exclusive or shared flock on the file that a path names now."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_locked(path: Path, operation: int, *, flags: int = 0) -> int:
    """Open *path*, made 0600 where it is missing, and lock it; closing the descriptor unlocks it.

    A holder may rename or unlink the file while others wait for it. Whoever gets the lock of a file that the
    path no longer names tries again, so that two holders of one path never exist.

    Arguments:
        path: The file. A symbolic link in its place is refused.
        operation: ``fcntl.LOCK_EX`` or ``LOCK_SH``, with ``LOCK_NB`` so as not to wait.
        flags: Further flags for ``os.open``.

    Raises:
        BlockingIOError: With ``LOCK_NB``, if another one holds it.
        OSError: If it cannot be opened or locked, or is no regular file.
    """
    while True:
        descriptor = os.open(path, _OPEN | flags, 0o600)
        try:
            require_regular(descriptor, path)
            fcntl.flock(descriptor, operation)
            if names(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def names(path: Path, descriptor: int) -> bool:
    """Whether *path* still names the open file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def require_regular(descriptor: int, path: Path) -> None:
    """Refuse pipes, devices and folders in place of a file.

    Raises:
        OSError: EINVAL, if it is no regular file.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(EINVAL, "not a regular file", str(path))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of *path* for a short while; waits for whoever has it. The file stays.

    Raises:
        OSError: If it cannot be opened or locked.
    """
    descriptor = open_locked(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)
