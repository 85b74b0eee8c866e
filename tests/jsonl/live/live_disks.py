"""File systems to write logs on: ext4, xfs and an overlay from images, tmpfs from memory.

They are mounted where only this process and those that it starts see them, so that nothing stays mounted when it
is killed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path

_NEW_MOUNTS = 0x0002_0000  # CLONE_NEWNS
_COLLAPSE = 0x08
_MEGABYTE = 1_000_000
_ROOM = 8000
_AS_STAT_SAYS = {"ext4": "ext2/ext3", "xfs": "xfs", "overlay": "overlayfs", "tmpfs": "tmpfs"}
_libc = ctypes.CDLL(None, use_errno=True)


class NotHereError(Exception):
    """This machine, or this user, cannot have such a file system; the message says why."""


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotHereError(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit {done.returncode}"]
        raise NotHereError(f"{command[0]}: {reason[0]}")


@cache
def own_mounts() -> None:
    """Leave the mounts that everybody sees. Processes that were started before do not see what is mounted later.

    Raises:
        NotHereError: If this user may not.
    """
    if _libc.unshare(_NEW_MOUNTS) != 0:
        raise NotHereError(f"no mounts of its own: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount something on *folder*, with the arguments of `mount`."""
    own_mounts()
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", *arguments, str(folder))
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


@contextmanager
def image(kind: str, folder: Path, *, megabytes: int = _ROOM) -> Iterator[Path]:
    """A file system in a sparse file, in memory where there is room; its name is gone once it is mounted."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack:
        with tempfile.NamedTemporaryFile(prefix="lapse-disk-", dir=where) as file:
            file.truncate(megabytes * _MEGABYTE)
            _run(f"mkfs.{kind}", "-q", file.name)
            stack.enter_context(mounted(folder, "-o", "loop", "-t", kind, file.name))
        yield folder


@contextmanager
def _overlay(folder: Path) -> Iterator[Path]:
    """An overlay as containers have it: the log is made in its upper folder, on ext4."""
    with image("ext4", folder / "below") as below:
        layers = [below / name for name in ("lower", "upper", "work")]
        for layer in layers:
            layer.mkdir()
        lower, upper, work = layers
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        with mounted(folder / "overlay", "-t", "overlay", "-o", options, "overlay") as merged:
            yield merged


@contextmanager
def _memory(folder: Path) -> Iterator[Path]:
    with mounted(folder, "-t", "tmpfs", "-o", f"size={_ROOM}m", "tmpfs"):
        yield folder


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Path]:
    """A folder on a file system of *kind*: ``ext4``, ``xfs``, ``overlay`` or ``tmpfs``.

    Where it cannot be mounted, a folder that is on one anyway does as well.

    Raises:
        NotHereError: If there can be none.
    """
    with ExitStack() as stack:
        try:
            place = stack.enter_context(_mount(kind, folder))
        except NotHereError:
            usual = _usual(kind, folder, stack)
            if usual is None:
                raise
            place = usual
        yield place


def _mount(kind: str, folder: Path) -> AbstractContextManager[Path]:
    if kind == "overlay":
        return _overlay(folder)
    return _memory(folder) if kind == "tmpfs" else image(kind, folder)


def _usual(kind: str, folder: Path, stack: ExitStack) -> Path | None:
    """An empty folder where this user has one of that kind. None if there is none."""
    for parent in (folder.parent, Path("/dev/shm")):
        if os.access(parent, os.W_OK) and _kind_of(parent) == _AS_STAT_SAYS[kind]:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent)))
    return None


def _kind_of(folder: Path) -> str:
    told = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return told.stdout.strip()


def collapses(folder: Path) -> bool:
    """Whether whole blocks can be taken off the head of a file there."""
    with tempfile.TemporaryFile(dir=folder) as file:
        block = os.fstatvfs(file.fileno()).f_bsize
        file.write(b"x" * (2 * block))
        file.flush()
        collapse = _libc.fallocate(file.fileno(), _COLLAPSE, ctypes.c_long(0), ctypes.c_long(block))
        return int(collapse) == 0
