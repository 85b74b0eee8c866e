"""Whether a process can be the one that a file names: numbers of processes are used again."""

from __future__ import annotations

import os
from pathlib import Path

from lapse.instant import SECOND

_PROC = Path("/proc")
_START = 19
"""Place of the start in ``/proc/PID/stat``, counted from what stands behind the name of the program."""
_ROUNDING = 2 * SECOND
"""When the system began is told in whole seconds."""


def is_younger(process: int, file: Path) -> bool:
    """Whether a process began after a file was last written, so that the file cannot mean it.

    False where that cannot be told.
    """
    try:
        written = file.stat().st_mtime_ns
        return _began(process) > written + _ROUNDING
    except (OSError, ValueError, IndexError):
        return False


def _began(process: int) -> int:
    """When a process began, as nanoseconds of real time."""
    # The name in brackets is the program's own choice, and may have brackets and blanks in it.
    fields = (_PROC / str(process) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return _booted() + int(fields[_START]) * SECOND // os.sysconf("SC_CLK_TCK")


def _booted() -> int:
    for line in (_PROC / "stat").read_text(errors="replace").splitlines():
        name, _, seconds = line.partition(" ")
        if name == "btime":
            return int(seconds) * SECOND
    raise ValueError("the system does not say when it began")


def has_open(process: int, file: Path) -> bool:
    """Whether a process has a file open. False where this user may not see that."""
    try:
        wanted = file.stat()
        descriptors = list((_PROC / str(process) / "fd").iterdir())
    except OSError:
        return False
    return any(_is_same(descriptor, wanted) for descriptor in descriptors)


def _is_same(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), wanted)
    except OSError:
        return False  # closed meanwhile, or no file
