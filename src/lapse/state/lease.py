"""The lease of a store that is a file: an exclusive lock on a file beside it, gone when its holder is.

The lock is the kernel's, so `kill -9` frees it; the file that stays then is taken over by the next run. A
holder that ends well removes the file while it still has the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lapse.canonical import canonical
from lapse.errors import LeaseError, StoreError
from lapse.state.locks import names, open_locked

_LONGEST_NOTE = 4096
_LOCKS = Path("/proc/locks")


@dataclass(slots=True)
class _Held:
    descriptor: int
    users: int


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextmanager
def hold(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lease whose lock file is *path*, without waiting; within one process it can be held repeatedly.

    Arguments:
        path: The lock file, beside the store. Made 0600, removed at the end.
        what: Who holds it, such as a run's id: told to whoever comes second.

    Raises:
        LeaseError: If another process holds it.
        StoreError: If the lock file cannot be made.
    """
    # Two spellings of one folder are one lease; the file itself must not be a link.
    place = Path(os.path.realpath(path.parent)) / path.name
    with _guard:
        _take(place, what)
    try:
        yield
    finally:
        with _guard:
            _give_back(place)


def holder(path: Path) -> str | None:
    """Who holds the lease whose lock file is *path*, as it said of itself. None if nobody does. Takes no lock.

    The kernel lists its locks in ``/proc/locks``; where there is no such list, the process that the note names counts
    as long as it lives.
    """
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None  # no file, or none that this user may see: then there is nobody to name
    locks = _listed_locks()
    held = (found.st_dev, found.st_ino) in locks if locks else _names_living(path)
    return _holder(path) if held else None


def _listed_locks() -> frozenset[tuple[int, int]]:
    """Device and inode of every file that has a granted lock. Empty if the system does not list them."""
    try:
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return frozenset()
    places = (line.split()[5].split(":") for line in lines if "->" not in line)
    return frozenset((os.makedev(int(major, 16), int(minor, 16)), int(inode)) for major, minor, inode in places)


def _names_living(path: Path) -> bool:
    try:
        os.kill(int(json.loads(path.read_bytes()[:_LONGEST_NOTE])["pid"]), 0)
    except PermissionError:
        return True  # it lives, and is somebody else's
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _take(place: Path, what: str) -> None:
    held = _held.get(place)
    if held is not None:
        held.users += 1
        return
    descriptor = _lock(place)
    _held[place] = _Held(descriptor, 1)
    # The note is information only; the lease is the lock, so a full disk here changes nothing.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, canonical({"pid": os.getpid(), "what": what}), 0)


def _lock(place: Path) -> int:
    try:
        return open_locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LeaseError(
            f"{place}: another run holds the lease ({_holder(place)})",
            hint="Wait until it is done, or stop it: the lease ends with its process.",
        ) from error
    except OSError as error:
        raise StoreError(
            f"{place}: cannot make the lock file: {error.strerror or error}",
            hint="The store is not writable for this user: its folder must allow a lock file beside the store.",
        ) from error


def _holder(place: Path) -> str:
    """What the holder wrote about itself."""
    try:
        note = json.loads(place.read_bytes()[:_LONGEST_NOTE])
        return f"pid {note['pid']}, {note['what']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which"


def _give_back(place: Path) -> None:
    held = _held.get(place)
    if held is None:
        return  # in a child that was forked inside the block; the lease is its parent's
    held.users -= 1
    if held.users > 0:
        return
    del _held[place]
    # A lock file that cannot be removed (its folder is gone, or read-only by now) is taken over by the next run.
    with contextlib.suppress(OSError):
        if names(place, held.descriptor):
            place.unlink()
    os.close(held.descriptor)


def _forget_in_child() -> None:
    """A forked child has no lease: without its copy of the descriptor the lock ends with the parent."""
    global _guard
    _guard = threading.Lock()
    for held in _held.values():
        os.close(held.descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
