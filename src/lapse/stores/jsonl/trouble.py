"""What the system refuses, turned into a StoreError with a next step, once."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapse.errors import StoreError, StoreMissingError

_ROOM = "Nothing was removed. A rewrite needs room for the lines that stay, beside the log: free some, then run again."
_RIGHTS = "Run as the user that owns the log. Its folder must be writable too: the new file is made beside the old one."
_HINTS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "The file system is mounted read-only.",
    errno.ELOOP: "A symbolic link stands where a log file was found before. Look who put it there.",
    errno.EMFILE: "Too many folders at once: raise the limit of open files (ulimit -n), or narrow the glob.",
    errno.ENAMETOOLONG: "The log's name leaves no room for the name of a working file beside it: shorten it.",
}
_OTHER = "Look at the file and its disk, then run again."


def store_error(action: str, path: Path | str, error: OSError) -> StoreError:
    """The StoreError that says what could not be done to *path*, why, and what to do about it."""
    reason = error.strerror or str(error)
    kind = StoreMissingError if isinstance(error, FileNotFoundError) else StoreError
    return kind(f"{path}: cannot {action}: {reason}", hint=_HINTS.get(error.errno or 0, _OTHER))


@contextmanager
def translated(action: str, path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError."""
    try:
        yield
    except OSError as error:
        raise store_error(action, path, error) from error
