"""Which runs are at work: each holds the lock of a file of its own, which is free again when its process is gone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lapse.state.files import make_private, safe_name, translated
from lapse.state.locks import open_locked


@contextmanager
def at_work(root: Path, run: str) -> Iterator[None]:
    """Say in the state folder *root* that *run* is at work, until the block is left or the process dies.

    Raises:
        StateError: If that cannot be written.
    """
    path = _folder(root) / safe_name(run)
    make_private(path.parent)
    with translated("lock", path):
        descriptor = open_locked(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):  # what stays is not locked, and so means nothing
            path.unlink()
        os.close(descriptor)


def working(root: Path) -> frozenset[str]:
    """The runs that are at work now. Nothing is made.

    Raises:
        StateError: If the folder cannot be read.
    """
    folder = _folder(root)
    with translated("read", folder):
        return frozenset(path.name for path in folder.glob("[!.]*") if _is_locked(path))


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # it has ended meanwhile
    try:
        # A shared lock, for an instant: the run takes its own before anybody can know the name.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _folder(root: Path) -> Path:
    return root / "runs" / "working"
