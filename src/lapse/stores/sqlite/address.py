"""``sqlite:////absolute/path.db`` in, a path or a connection URI out."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from lapse.errors import PolicyError, StoreError, StoreMissingError, UnsupportedError

_PREFIX = "sqlite:///"


def path_of(address: str) -> Path:
    """The path that *address* names; links are followed, since the user named them.

    Raises:
        PolicyError: If it names no file.
    """
    text = address.removeprefix(_PREFIX) if "://" in address else address
    if not text or "://" in text or text == ":memory:":
        raise PolicyError(
            f"{address!r} names no SQLite file",
            hint="Write it like sqlite:////var/lib/app/log.db, or sqlite:///log.db.",
        )
    return Path(os.path.realpath(text))


def check_file(path: Path, shown: str) -> None:
    """See by ``stat`` alone that a database can be there: opening it here would drop SQLite's own locks.

    Raises:
        StoreMissingError: If there is nothing.
        UnsupportedError: If it is no regular file, or has a second name.
        StoreError: If it is not readable.
    """
    try:
        links = path.stat().st_nlink
    except FileNotFoundError as error:
        raise StoreMissingError(
            f"{shown}: there is no such file", hint="Check the path; relative ones start at the policy's folder."
        ) from error
    except OSError as error:
        raise StoreError(f"{shown}: {error.strerror}", hint="Check the permissions of its folders.") from error
    if not path.is_file():
        raise UnsupportedError(f"{shown}: not a regular file", hint="A SQLite store is one file.")
    if links > 1:
        raise UnsupportedError(
            f"{shown}: the file has {links} names",
            hint="Under two names SQLite's locks do not hold. Remove one of them.",
        )
    if not os.access(path, os.R_OK):
        raise StoreError(f"{shown}: not readable for this user", hint="Run as a user who may read it.")


def uri_of(path: Path, mode: str) -> str:
    """The URI that SQLite opens *path* by, in mode ``ro``, ``rw`` or ``rwc``."""
    return f"file:{quote(str(path))}?mode={mode}"
