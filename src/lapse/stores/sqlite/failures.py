"""The driver's errors, translated once: what happened to which file, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from lapse.errors import BusyError, StoreError

_UNDECODABLE = "Could not decode to UTF-8"
_LOCKED = ("is locked by another program", "Run again when it is idle; nothing was changed.")
_HINTS = {
    sqlite3.SQLITE_NOTADB: ("is no SQLite database, or it is encrypted", "Check the path."),
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: ("cannot be written", "The file and its folder must be writable for this user."),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "The file must be readable, and its folder writable where SQLite needs a journal beside it.",
    ),
    sqlite3.SQLITE_PERM: ("may not be opened", "Check the permissions of the file and its folder."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "Check it with `PRAGMA integrity_check` and restore a backup."),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Make room, then run again; nothing was changed."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk, then run again."),
    sqlite3.SQLITE_CONSTRAINT: (
        "refused the change by a constraint",
        "Rows elsewhere may refer to these. Remove or re-point them first.",
    ),
}


class UndecodableTextError(StoreError):
    """A text cell that is no UTF-8; it must be read as bytes."""


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn the driver's errors into StoreError, a lock of others into BusyError. *shown* names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, shown) from error


def translate(error: sqlite3.Error, shown: str) -> StoreError:
    """The error to raise for one of the driver's own."""
    message = str(error)
    if message.startswith(_UNDECODABLE):
        # The driver's message quotes the cell; a record's content must not get into ours.
        return UndecodableTextError(f"{shown}: a text is no UTF-8")
    known = _HINTS.get(primary_code(error))
    if known is None:
        return StoreError(f"{shown}: {message}", hint="Check the database with `PRAGMA integrity_check`.")
    what, hint = known
    kind = BusyError if known is _LOCKED else StoreError
    return kind(f"{shown} {what}: {message}", hint=hint)


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code. 0 where the driver itself raised the error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return 0 if code is None else code & 0xFF
