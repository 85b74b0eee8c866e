"""Who writes to a log file: the kernel's answer, by a lease that nobody can have beside a writer."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from lapse import clock
from lapse.errors import StoreError
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.trouble import store_error

_PAUSE = 0.001
_CANNOT_TELL = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class Writers(Enum):
    """Whether some process has a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"

    @staticmethod
    def unknown(error: OSError) -> bool:
        """Whether an error says that this file system, or this user, gets no leases."""
        return error.errno in _CANNOT_TELL


@contextmanager
def write_lease(descriptor: int, path: Path, *, patience: float = 0) -> Iterator[Writers]:
    """Ask for a lease on a file that is open read-only; while it is held, whoever opens it to write waits.

    The kernel lets them wait 45 seconds (``/proc/sys/fs/lease-break-time``), then it takes the lease away.
    Unknown means that this file system, or this user, gets no leases. Who writes to it gets *patience* seconds to go.
    """
    deadline = clock.monotonic() + patience
    while (state := _acquire(descriptor, path)) is Writers.SOME and clock.monotonic() < deadline:
        time.sleep(_PAUSE)
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
        if Writers.unknown(error):
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
