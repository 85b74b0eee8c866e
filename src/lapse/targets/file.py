"""A folder as an archive target: temporary names, fsync, create-only links, nothing outside the folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit

from lapse.errors import PolicyError, TargetError
from lapse.segments.disk import sync_folder, target_error

_STAGED = ".lapse-staging-"
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_PIECE = 1024 * 1024
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileTarget:
    """Objects are files below one folder, 0600 in folders of 0700.

    The folder itself may be a symbolic link that the user made; below it no link is followed.
    """

    scheme: ClassVar[str] = "file"

    def __init__(self, address: str) -> None:
        """Open the folder that *address* names, a path or a ``file://`` URL; nothing is made yet.

        Raises:
            PolicyError: If it is relative, or on another host.
        """
        self._root = _root(address)
        self._durable: set[str] = set()

    def location(self) -> Path:
        """The folder."""
        return self._root

    def staging(self, name: str) -> Path:
        """A hidden file in the folder itself, so that publishing stays within one file system.

        Raises:
            TargetError: If *name* is no plain file name, or the folder cannot be made.
        """
        staged = self._staged(name)
        self._make_root()
        return staged

    def discard(self, name: str) -> None:
        """Remove what is staged under *name*; no error if there is nothing.

        Raises:
            TargetError: If it cannot be removed.
        """
        with _doing(f"remove {name} in {self._root}"):
            self._staged(name).unlink(missing_ok=True)

    def publish(self, staged: Path, path: str) -> None:
        """Make a staged file the object *path*, durably, unless an object is there.

        Raises:
            TargetError: If another object is there, or the folder cannot be written.
        """
        with _doing(f"write {path} in {self._root}"):
            _sync_private(staged)
            with self._folder_of(path, make=True) as (folder, name):
                if not _settle(staged, folder, name):
                    self._require_equal(staged, path)
                    staged.unlink()
                os.fsync(folder)

    def put(self, path: str, data: bytes) -> None:
        """Write a small object durably, unless an object is there.

        Raises:
            TargetError: If another object is there, or the folder cannot be written.
        """
        with _doing(f"write {path} in {self._root}"):
            with self._folder_of(path, make=True) as (folder, name):
                placed = _place_unnamed(folder, name, data)
            if not placed:
                self._put_staged(path, data)

    def _put_staged(self, path: str, data: bytes) -> None:
        """Put through a staged file: a crash leaves it, and the next `put` or `remove` of *path* clears it."""
        staged = self.staging(_put_name(path))
        with _locked(staged) as file:
            try:
                file.write(data)
                file.flush()
                self.publish(staged, path)
            except BaseException:
                staged.unlink(missing_ok=True)
                raise

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading, seekable.

        Raises:
            TargetError: If it is not there, is no regular file, or cannot be read.
        """
        with _doing(f"read {path} in {self._root}"), self._folder_of(path) as (folder, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise TargetError(f"cannot read {path} in {self._root}: not a regular file")
        return os.fdopen(descriptor, "rb")

    def exists(self, path: str) -> bool:
        """Whether there is an object *path*.

        Raises:
            TargetError: If that cannot be found out.
        """
        with _doing(f"look at {path} in {self._root}"):
            try:
                with self._folder_of(path) as (folder, name):
                    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return False
        return stat.S_ISREG(mode)

    def list(self, prefix: str) -> Iterator[str]:
        """Paths of objects that begin with *prefix*, sorted. Staged files are no objects.

        Raises:
            TargetError: If a folder cannot be read.
        """
        with _doing(f"list {self._root}"):
            yield from _walk(self._root, "", prefix)

    def remove(self, path: str) -> None:
        """Remove an object, what an interrupted `put` of it left, and its folder if that is empty now.

        Raises:
            TargetError: If it cannot be removed.
        """
        self.discard(_put_name(path))
        with _doing(f"remove {path} in {self._root}"), suppress(FileNotFoundError):
            with self._folder_of(path) as (folder, name):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                os.fsync(folder)
            self._remove_empty(path.rpartition("/")[0])

    def _remove_empty(self, run_folder: str) -> None:
        """Remove a run's own folder if it is empty: no other run puts anything into it."""
        if run_folder:
            with self._folder_of(run_folder) as (folder, name), suppress(OSError):
                os.rmdir(name, dir_fd=folder)

    def _staged(self, name: str) -> Path:
        if "/" in name or "\0" in name or not name:
            raise TargetError(f"{name!r} cannot name a staged file", hint="Something has changed a journal.")
        return self._root / f"{_STAGED}{name}"

    def _make_root(self) -> None:
        with _doing(f"make the folder {self._root}"):
            if self._root.is_dir():
                return
            for missing in reversed([place for place in (self._root, *self._root.parents) if not place.exists()]):
                missing.mkdir(mode=0o700, exist_ok=True)
                sync_folder(missing.parent)

    @contextmanager
    def _folder_of(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of an object and its name there; no link is followed on the way down."""
        *folders, name = _parts(path)
        if make:
            self._make_root()
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for depth, folder in enumerate(folders, start=1):
                if make:
                    self._make_folder(descriptor, folder, path="/".join(folders[:depth]))
                below = os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _make_folder(self, parent: int, name: str, *, path: str) -> None:
        """Make a folder that lasts; one that is there may have been made by a process that died before its fsync."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if path in self._durable:
                return
        os.fsync(parent)
        self._durable.add(path)

    def _require_equal(self, staged: Path, path: str) -> None:
        with staged.open("rb") as one, self.open(path) as other:
            if _equal(one, other):
                return
        raise TargetError(
            f"another object is at {path} in {self._root}",
            hint="Nothing was overwritten. Run `lapse archive verify` and look at this object.",
        )


def _root(address: str) -> Path:
    """The folder that a path or a ``file://`` URL names.

    Raises:
        PolicyError: If it is relative, or on another host.
    """
    path = address
    if address.startswith("file://"):
        url = urlsplit(address)
        if url.netloc not in ("", "localhost"):
            raise PolicyError(
                f"archive address {address} names the host {url.netloc}", hint="Write file:///path, with three slashes."
            )
        path = unquote(url.path)
    if not path.startswith("/") or "\0" in path:
        raise PolicyError(f"archive folder {address!r} is not absolute", hint="Begin it with a slash.")
    return Path(path)


def _put_name(path: str) -> str:
    """The staging name of a `put`: always the same for a path, so that a retry finds what a crash left."""
    return f"put-{hashlib.sha256(path.encode()).hexdigest()[:32]}"


def _parts(path: str) -> tuple[str, ...]:
    """The components of an object's path.

    Raises:
        TargetError: If it could lead out of the folder, or hides.
    """
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts) or path.startswith("."):
        raise TargetError(f"{path!r} is no path of an object", hint="Something has changed a manifest or a journal.")
    return parts


def _walk(folder: Path, below: str, prefix: str) -> Iterator[str]:
    """Objects under *folder* in the order of their paths, links not followed."""
    try:
        with os.scandir(folder) as entries:
            paths = sorted(below + name for entry in entries if (name := _listed(entry)) is not None)
    except FileNotFoundError:
        return
    for path in paths:
        if path.endswith("/") and (path.startswith(prefix) or prefix.startswith(path)):
            yield from _walk(folder / path.removeprefix(below), path, prefix)
        elif path.startswith(prefix) and not path.endswith("/"):
            yield path


def _listed(entry: os.DirEntry[str]) -> str | None:
    """A folder's name ends with a slash, so that sorting names sorts paths. None for what holds no object."""
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return entry.name if entry.is_file(follow_symlinks=False) and not entry.name.startswith(_STAGED) else None


def _sync_private(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settle(staged: Path, folder: int, name: str) -> bool:
    """Move *staged* to its final name at once and whole; False if an object has that name."""
    try:
        os.link(staged, name, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return _replace_claim(staged, folder, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _claim(folder, name)
        return _replace_claim(staged, folder, name)
    staged.unlink()
    return True


def _place_unnamed(folder: int, name: str, data: bytes) -> bool:
    """Write a file that has no name until it is whole, so that a crash leaves nothing.

    Returns:
        Whether it has the name now; False if the name is taken, or the file system cannot do this.
    """
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        try:
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOENT, *_NO_LINKS}:  # ENOENT: there is no /proc
                raise
            return False
        os.fsync(folder)
    return True


def _claim(folder: int, name: str) -> None:
    """Where a file cannot have two names: take the name with an empty file. No object is ever empty."""
    with suppress(FileExistsError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder))


def _replace_claim(staged: Path, folder: int, name: str) -> bool:
    """Put *staged* in the place of an empty file that claims its name; False if an object is there."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_size:
        return False
    os.rename(staged, name, dst_dir_fd=folder)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """An empty private file, held against other processes that write the same."""
    descriptor = _open_locked(path)
    while not _is_named(descriptor, path):
        # Whoever held the lock has published or removed this file: begin again with a new one.
        os.close(descriptor)
        descriptor = _open_locked(path)
    with os.fdopen(descriptor, "wb") as file:
        file.truncate(0)
        yield file


def _open_locked(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _equal(one: BinaryIO, other: BinaryIO) -> bool:
    while True:
        left, right = one.read(_PIECE), other.read(_PIECE)
        if left != right:
            return False
        if not left:
            return True


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Turn an OSError of the block into a TargetError."""
    try:
        yield
    except OSError as error:
        raise target_error(what, error) from error


TARGET = FileTarget
