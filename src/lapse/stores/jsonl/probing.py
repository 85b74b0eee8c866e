"""Whether the file system of a folder can take blocks off the head of a file; asked once for each device.

Files can be collapsed on ext4, xfs and a few others. A run finds out by a file of its own that it makes and removes;
whoever may write nothing goes by the name of the file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from functools import lru_cache
from pathlib import Path

from lapse.stores.jsonl.disk import collapse, create, write_all
from lapse.stores.jsonl.trouble import translated

_KNOWN = frozenset({"ext4", "xfs"})
_PROBE = ".lapse-probe-{pid}"
_GET_FLAGS = 0x80086601
_JOURNALS_DATA = 0x4000
_ENCRYPTED = 0x800
_ODD = _JOURNALS_DATA | _ENCRYPTED


def block_to_collapse(folder: Path, *, read_only: bool) -> int | None:
    """Block size of a file system that can collapse files, in bytes. None if it cannot.

    Arguments:
        folder: A folder of logs.
        read_only: Whether nothing may be written to find out.

    Raises:
        StoreError: If the folder cannot be looked at, or no file can be made there.
    """
    with translated("look at the folder", folder):
        device = folder.stat().st_dev
        return _by_name(device, folder) if read_only else _by_trial(device, folder)


def is_odd(descriptor: int) -> bool:
    """Whether a file has attributes with which some kernels do not collapse it, such as journalled data."""
    answer = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _GET_FLAGS, answer)
    except OSError:
        return False  # no such attributes here
    return bool(struct.unpack_from("=I", answer)[0] & _ODD)


@lru_cache(maxsize=256)
def _by_name(device: int, folder: Path) -> int | None:
    found = _file_system(device)
    return os.statvfs(folder).f_bsize if found in _KNOWN else None


def _file_system(device: int) -> str | None:
    """Name of the file system with that device number, as ``/proc/self/mountinfo`` has it."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2:3] == [wanted]:
                return after.split()[0]
    return None


_tried: dict[int, int | None] = {}


def _by_trial(device: int, folder: Path) -> int | None:
    if device not in _tried:
        _tried[device] = _try(folder)
    return _tried[device]


def _try(folder: Path) -> int | None:
    """Collapse a file of two blocks and a byte, and see that what is left is the end of it."""
    path = folder / _PROBE.format(pid=os.getpid())
    path.unlink(missing_ok=True)
    descriptor = create(path)
    try:
        path.unlink()
        block = os.fstat(descriptor).st_blksize
        write_all(descriptor, b"1" * block + b"2" * block + b"3")
        worked = collapse(descriptor, block) and os.pread(descriptor, 2 * block + 1, 0) == b"2" * block + b"3"
        return block if worked else None
    finally:
        os.close(descriptor)
