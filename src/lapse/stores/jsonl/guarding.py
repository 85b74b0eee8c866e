"""Nobody gets between while a log file is changed in place: a lease, or another look right before each step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path
from types import TracebackType

from lapse import clock
from lapse.errors import StoreError
from lapse.stores.jsonl.quiet import Writers
from lapse.stores.jsonl.trouble import store_error
from lapse.stores.jsonl.writers import NO_WRITERS, look, why_not

_BREAK_TIME = Path("/proc/sys/fs/lease-break-time")
_TRIES = 10
_PAUSE = 0.02


class Guard:
    """Watches over a file that is open for reading and writing, by this descriptor only as far as we go.

    With a write lease, whoever opens the file waits until the block ends. Without one, others have it open
    already; then `trouble` looks at each of them again.
    """

    def __init__(self, descriptor: int, path: Path, *, promise: str | None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._promise = promise
        self._until: float | None = None

    def __enter__(self) -> Guard:
        for _ in range(_TRIES):
            self._ask()
            if self._until is not None or self.trouble() is None:
                break
            time.sleep(_PAUSE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._until is not None:
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            self._until = None

    @property
    def alone(self) -> bool:
        """Whether nobody else has the file open, and whoever wants to waits."""
        return self._until is not None and clock.monotonic() < self._until

    def trouble(self) -> str | None:
        """Why the file cannot be changed in place at this moment. None if it can."""
        if self.alone:
            return None
        sight = look(self._descriptor)
        seen = bool(sight.appending or sight.reading) or self._promise == NO_WRITERS
        return why_not(sight, self._promise, seen=seen)

    def _ask(self) -> None:
        try:
            # The default signal would end the process; this one does nothing unless somebody asked for it.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError:
            return
        except OSError as error:
            if not Writers.unknown(error):
                raise store_error("ask who has it open", self._path, error) from error
            return
        # The kernel lets others wait for so long; half of it is left to them.
        self._until = clock.monotonic() + _break_time() / 2


def _break_time() -> float:
    try:
        return float(_BREAK_TIME.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


def lock(descriptor: int, path: Path, *, patience: float) -> None:
    """Keep those out who lock the file before they write to it, until `unlock`, or the descriptor is closed.

    Raises:
        StoreError: If somebody else keeps it locked for *patience* seconds.
    """
    holders = _lock_shared(descriptor, patience=patience)
    if holders is not None:
        pids = ", ".join(map(str, holders)) or "one that this user cannot see"
        raise StoreError(
            f"{path} is locked by pid {pids}: nothing was removed from it",
            hint="Wait until the lock is released, or stop the process; then run again.",
        )


def _lock_shared(descriptor: int, *, patience: float) -> tuple[int, ...] | None:
    """Ask for the lock for *patience* seconds.

    Returns:
        None once it is locked. Who else keeps it locked after *patience* seconds, as far as they can be seen.
    """
    deadline = clock.monotonic() + patience
    while (holders := _lock_holders(descriptor)) or not _lock(descriptor):
        if clock.monotonic() >= deadline:
            return holders
        time.sleep(_PAUSE)
    return None


def unlock(descriptor: int) -> None:
    """Let them in again."""
    with contextlib.suppress(OSError):  # a file system without such locks
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without such locks
    return True


def _lock_holders(descriptor: int) -> tuple[int, ...]:
    """Pids that hold an exclusive lock on a file, of either kind, as far as they can be seen."""
    facts = os.fstat(descriptor)
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    found = (line.split() for line in lines if place in line and "->" not in line)
    return tuple(
        sorted({int(words[4]) for words in found if words[3] == "WRITE" and words[5] == place and words[1] != "LEASE"})
    )
