"""What PostgreSQL says went wrong, as Lapse's own errors, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from lapse.errors import BusyError, LapseError, StoreError, StoreMissingError

_NOTHING = "Nothing was removed by this statement."
_BUSY: dict[type[psycopg.Error], str] = {
    errors.LockNotAvailable: "a lock was not to be had in time",
    errors.QueryCanceled: "the statement took longer than it may",
    errors.DeadlockDetected: "a deadlock was broken",
    errors.SerializationFailure: "another transaction came in between",
    errors.TransactionTimeout: "the transaction took longer than it may",
}
_MISSING = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidCatalogName,
    errors.InvalidSchemaName,
)


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Within this block the driver's errors become Lapse's; *shown* names the database, secrets masked."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, shown) from error


def translate(error: psycopg.Error, shown: str) -> LapseError:
    """The error of Lapse's own that says what *error* says."""
    text = first_line(error)
    for kind, meaning in _BUSY.items():
        if isinstance(error, kind):
            return BusyError(
                f"{shown}: {meaning}: {text}", hint="Nothing was removed. It is tried again, or run again."
            )
    if isinstance(error, _MISSING):
        return StoreMissingError(f"{shown}: {text}", hint="Check `store:`, `table:` and the columns in the policy.")
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreError(f"{shown}: {text}", hint="Grant it; docs/stores/postgresql.md lists what Lapse needs.")
    if isinstance(error, errors.CharacterNotInRepertoire | errors.UntranslatableCharacter):
        hint = "The database holds bytes that are no text in its encoding. Mend them, or keep these records."
        return StoreError(f"{shown}: {text}", hint=hint)
    if isinstance(error, errors.DiskFull):
        return StoreError(f"{shown}: {text}", hint="Make room on the server, then run again.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StoreError(f"{shown}: {text}", hint="This session or server is for reading only.")
    if isinstance(error, psycopg.OperationalError) and "FATAL:" in text:
        hint = "The server answers: check user, password and database, or wait until it is ready."
        return StoreError(f"{shown}: {text}", hint=hint)
    if isinstance(error, psycopg.OperationalError):
        return StoreError(f"{shown}: {text}", hint="Check that the server runs and can be reached, then run again.")
    return StoreError(f"{shown}: {text}", hint=_NOTHING)


def still_referred_to(error: StoreError) -> bool:
    """Whether it says that other rows refer to those that were to be removed: they came while these were looked at."""
    return isinstance(error.__cause__, errors.ForeignKeyViolation | errors.RestrictViolation)


def first_line(error: Exception) -> str:
    """What the server says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
