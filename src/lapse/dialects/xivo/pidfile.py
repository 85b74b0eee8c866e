"""The file with the process number, which keeps a second purge on this machine away."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapse.errors import LeaseError, StateError
from lapse.state.locks import open_locked
from lapse.state.processes import is_younger

_LONGEST = 32


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Hold *path* with this process's number in it until the block is left.

    The number of a process that has ended is taken over, also if a process that began later has it by now. The
    file of the original counts, too: it holds the number of a process that is alive.

    Raises:
        LeaseError: If another purge is at work.
        StateError: If the file cannot be written.
    """
    descriptor = _locked(path)
    try:
        _refuse_living(path, descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    try:
        return open_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LeaseError(f"another purge is running: it holds {path}", hint="Wait until it is done.") from error
    except OSError as error:
        raise StateError(
            f"the pid file {path} cannot be written: {error.strerror}",
            hint="Run as a user who may write it, or set `pid_file` in the configuration.",
        ) from error


def _refuse_living(path: Path, descriptor: int) -> None:
    text = os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace").strip()
    if text.isdigit() and int(text) != os.getpid() and _lives(int(text)) and not is_younger(int(text), path):
        raise LeaseError(
            f"another purge is running: {path} has the number of process {text}, which is alive",
            hint="Wait until it is done. If that process is no purge, remove the file.",
        )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # it is somebody else's
    return True
