"""The lock between holds and commits: no hold is added between a run's last look at them and its commit."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapse.clock import monotonic
from lapse.errors import HoldsError
from lapse.state.files import translated
from lapse.state.locks import open_locked

_PAUSE = 0.02


@contextmanager
def shared(root: Path, *, seconds: float = 60.0) -> Iterator[None]:
    """Keep holds as they are, from the recheck of holds until the commit has returned. Runs do not exclude each other.

    Arguments:
        root: State folder.
        seconds: How long to wait for a hold that is being added.

    Raises:
        HoldsError: If it is still being added by then.
        StateError: If the lock file cannot be made.
    """
    hint = "Another process is changing holds. Let it finish, then run again."
    descriptor = _wait(root, fcntl.LOCK_SH, seconds=seconds, hint=hint)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(root: Path, *, seconds: float = 30.0) -> Iterator[None]:
    """Change holds while no run stands between its recheck and its commit.

    Arguments:
        root: State folder.
        seconds: How long to wait for commits under way.

    Raises:
        HoldsError: If they are not done by then.
        StateError: If the lock file cannot be made.
    """
    hint = "A run is in the middle of a commit. Try again in a moment, or stop the run first."
    descriptor = _wait(root, fcntl.LOCK_EX, seconds=seconds, hint=hint)
    try:
        yield
    finally:
        os.close(descriptor)


def _wait(root: Path, operation: int, *, seconds: float, hint: str) -> int:
    path = root / "holds.lock"
    deadline = monotonic() + seconds
    while (descriptor := _try(path, operation)) is None:
        if monotonic() >= deadline:
            raise HoldsError(f"{path} is still locked by another process after {seconds:g} s", hint=hint)
        time.sleep(_PAUSE)
    return descriptor


def _try(path: Path, operation: int) -> int | None:
    with translated("lock", path):
        try:
            return open_locked(path, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
