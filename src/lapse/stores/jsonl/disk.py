"""Single steps on the disk that the commit of a log file is made of. OSErrors are the caller's."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from pathlib import Path

from lapse.errors import ChangedError, StoreError

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP}
_COLLAPSE_RANGE = 8
_NO_COLLAPSE = {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ETXTBSY, errno.ENODEV}
_CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HEAD = 8192
_LONG_HEAD = 1024 * 1024
_SEARCHED = 64 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


def create(path: Path) -> int:
    """A descriptor for writing and reading a new file, 0600; fails if anything is there."""
    return os.open(path, os.O_RDWR | _CREATE, 0o600)


def open_log(path: Path, inode: int | None = None) -> int:
    """A read-only descriptor of the regular file *path*, never through a symbolic link.

    Arguments:
        path: The file.
        inode: The inode it must have. None takes any.

    Raises:
        StoreError: If another kind of file stands there, or another file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no regular file", hint="Narrow the glob so that it names log files only.")
        if inode not in (None, found.st_ino):
            raise StoreError(f"{path} was replaced while Lapse looked at it", hint="Run again.")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_anew(descriptor: int, path: Path, flags: int) -> None:
    """Open the file of a descriptor anew, with other access, under the same number; what was open before is closed.

    Raises:
        StoreError: If another file stands at *path* by now. The descriptor is as it was.
    """
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        here, there = os.fstat(descriptor), os.fstat(opened)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise ChangedError(f"{path} was replaced while Lapse looked at it", hint="Run again.")
        os.dup2(opened, descriptor, inheritable=False)
    finally:
        os.close(opened)


def inode_of(path: Path) -> int | None:
    """The inode that *path* names, itself if it is a link. None if nothing is there."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def blanks_at_head(descriptor: int, size: int) -> int:
    """How many blanks a plain file of *size* bytes begins with; those beyond a mebibyte are not counted.

    A removal in place leaves up to a block of them before the first line, of which they are no part.
    """
    found = os.pread(descriptor, min(size, _HEAD), 0)
    if found[:1] != b" ":
        return 0
    if not found.strip(b" "):
        found = os.pread(descriptor, min(size, _LONG_HEAD), 0)
    return len(found) - len(found.lstrip(b" "))


def line_end(descriptor: int, start: int, limit: int) -> int:
    """Where the line ends that offset *start* is in; *limit* if that is beyond it."""
    while start < limit:
        data = os.pread(descriptor, min(_SEARCHED, limit - start), start)
        if not data:
            break
        if (found := data.find(b"\n")) >= 0:
            return start + found + 1
        start += len(data)
    return limit


def line_start(descriptor: int, before: int) -> int:
    """Where the line begins that reaches up to *before*; that itself, if one ends there."""
    while before > 0:
        start = max(0, before - _SEARCHED)
        data = os.pread(descriptor, before - start, start)
        if (found := data.rfind(b"\n")) >= 0:
            return start + found + 1
        before = start
    return 0


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*, in as many writes as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change their files in one step. False where the file system cannot."""
    return _renamed(one, other, _RENAME_EXCHANGE)


def rename_new(one: Path, other: Path) -> bool:
    """Give a file the name *other*, unless something has it already. False if so."""
    try:
        if not _renamed(one, other, _RENAME_NOREPLACE):
            os.link(one, other, follow_symlinks=False)
            one.unlink()
    except FileExistsError:
        if inode_of(other) != inode_of(one):
            return False
        one.unlink()  # it was given the name already, by a link whose other end is to go
    return True


def _renamed(one: Path, other: Path, how: int) -> bool:
    """Rename in a special way. False where the file system does not know it."""
    if not hasattr(_libc, "renameat2"):
        return False
    if _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), how) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one))


def collapse(descriptor: int, size: int, *, start: int = 0) -> bool:
    """Take *size* bytes out of a file, in place and in one step. False where the file system cannot.

    It is never tried again by itself, whatever comes of it: where it was interrupted it may be done (see `gaps`).

    Arguments:
        descriptor: The file, open for writing.
        size: A multiple of the file system's block size; something must be left behind it.
        start: The first byte to take out, another multiple.
    """
    if not hasattr(_libc, "fallocate"):
        return False
    if _libc.fallocate(descriptor, _COLLAPSE_RANGE, ctypes.c_int64(start), ctypes.c_int64(size)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_COLLAPSE:
        return False
    raise OSError(code, os.strerror(code))


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of *data* at *offset*, in as many writes as it takes. Not for descriptors that append."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def dress(descriptor: int, model: int) -> None:
    """Give a new file the owner, mode, extended attributes and times of another.

    Raises:
        OSError: If the owner or an attribute cannot be set: the file would not be what it was.
    """
    facts = os.fstat(model)
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (facts.st_uid, facts.st_gid):
        os.fchown(descriptor, facts.st_uid, facts.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(facts.st_mode))
    _copy_attributes(descriptor, model)
    os.utime(descriptor, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _copy_attributes(descriptor: int, model: int) -> None:
    try:
        names = os.listxattr(model)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
            return
        raise
    for name in names:
        if name.startswith("security."):
            # Labels are given by the system when the file is made; only a privileged user may set them.
            with contextlib.suppress(PermissionError, OSError):
                os.setxattr(descriptor, name, os.getxattr(model, name))
            continue
        os.setxattr(descriptor, name, os.getxattr(model, name))
