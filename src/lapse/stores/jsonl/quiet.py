"""Who writes to a log file: the kernel's answer, by a lease that nobody can have beside a writer."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from lapse.errors import StoreError, UnsupportedError
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.trouble import store_error

_CANNOT_TELL = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_PROMISED = "none"


class Writers(Enum):
    """Whether some process has a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@contextmanager
def write_lease(descriptor: int, path: Path) -> Iterator[Writers]:
    """Ask for a lease on a file that is open read-only; while it is held, whoever opens it to write waits.

    The kernel lets them wait 45 seconds (``/proc/sys/fs/lease-break-time``), then it takes the lease away.
    Unknown means that this file system, or this user, gets no leases.
    """
    state = _acquire(descriptor, path)
    try:
        yield state
    finally:
        if state is Writers.NONE:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _acquire(descriptor: int, path: Path) -> Writers:
    try:
        # The default signal would end the process; this one does nothing unless somebody asked for it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return Writers.SOME
    except OSError as error:
        if error.errno in _CANNOT_TELL:
            return Writers.UNKNOWN
        raise store_error("ask who writes to it", path, error) from error
    return Writers.NONE


def is_written(path: Path) -> bool:
    """Whether somebody has the file open for writing, as far as can be told. False if it cannot be opened."""
    try:
        descriptor = open_log(path)
    except (OSError, StoreError):
        return False  # whoever reads it next says what is wrong
    try:
        with write_lease(descriptor, path) as writers:
            return writers is Writers.SOME
    finally:
        os.close(descriptor)


def is_awaited(descriptor: int) -> bool:
    """Whether somebody waits for the lease on this descriptor to end, so that they can write."""
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def refusal(state: Writers, descriptor: int, path: Path, *, promise: str | None) -> StoreError | None:
    """Why a file may not be changed in place. None if it may.

    Arguments:
        state: What the lease said.
        descriptor: The file.
        path: Its path.
        promise: The dataset's ``writers:``; ``none`` is believed where the system cannot tell.
    """
    if state is Writers.NONE or (state is Writers.UNKNOWN and promise == _PROMISED):
        return None
    if state is Writers.SOME:
        pids = ", ".join(map(str, writers_of(descriptor))) or "one that this user cannot see"
        return StoreError(
            f"{path} is open for writing (pid {pids}), and lines could be lost: nothing was removed from it",
            hint="Live writers are not supported in place. Rotate the file, or stop the writer, then run again.",
        )
    return UnsupportedError(
        f"{path}: this file system, or this user, cannot tell whether somebody writes to the file",
        hint="Run as the owner of the file. If it is certain that nobody writes, say `writers: none` in the dataset.",
    )


def writers_of(descriptor: int) -> tuple[int, ...]:
    """Processes that have the file open for writing, as far as this user may look."""
    wanted = os.fstat(descriptor)
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            facts = link.stat()
            if (facts.st_ino, facts.st_dev) == (wanted.st_ino, wanted.st_dev) and _is_for_writing(link):
                found.add(int(link.parts[2]))
        except OSError:
            continue  # the process ended, or belongs to someone else
    return tuple(sorted(found))


def _is_for_writing(link: Path) -> bool:
    facts = (link.parent.parent / "fdinfo" / link.name).read_text(encoding="ascii").split()
    return int(facts[facts.index("flags:") + 1], 8) & os.O_ACCMODE != os.O_RDONLY
