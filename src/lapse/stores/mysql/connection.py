"""One connection: statements in, rows out, in a session whose every setting that matters is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lapse.errors import (
    BusyError,
    ChangedError,
    CommitUnknownError,
    LapseError,
    StoreError,
    StoreMissingError,
    UnsupportedError,
)
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.address import Address
from lapse.stores.mysql.driver import Driver

LOCK_WAIT = 3
"""Seconds to wait for a row that somebody else has locked."""

_SESSION = (
    # Quotation marks quote names, as everywhere in SQL; nothing is cut to fit without a word.
    "sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "time_zone = '+00:00'",
    f"innodb_lock_wait_timeout = {LOCK_WAIT}",
    f"lock_wait_timeout = {LOCK_WAIT}",
    # A run may work for hours on another dataset while this connection has the lease.
    "wait_timeout = 2147483",
    "sql_select_limit = DEFAULT",
    "sql_safe_updates = 0",
    "sql_big_selects = 1",
)
_LOCKED = {1205: "somebody has a row locked", 1213: "a deadlock", 1451: "somebody refers to a row since just now"}
_LONG = (1969, 3024)
_UNSAFE = 1592  # for a log of statements; at READ COMMITTED rows are logged
_GONE = (0, 2002, 2003, 2006, 2013, 2014, 2055, 4031, 1053, 1927)
_DENIED = (1044, 1045, 1142, 1143, 1227, 1370)
_MISSING = (1049, 1146, 1054)
_PARTED = (1735, 1747)  # no such partition, or no partitions at all


class TooLongError(BusyError):
    """A statement that took longer than it may: again it would take as long, so it should be cut."""


class Connection:
    """A session on one server.

    Attributes:
        is_mariadb: Whether the server is MariaDB.
        version: Its version, such as ``(10, 11, 18)``.
    """

    def __init__(self, address: Address, *, shown: str, read_only: bool) -> None:
        self._shown = shown
        self._driver = Driver()
        self._connection: Any = None
        with self._translated():
            self._connection = self._driver.connect(address)
        try:
            self._prepare(read_only)
        except BaseException:
            self.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        ((version, comment),) = self.rows("SELECT VERSION(), @@version_comment")
        self.is_mariadb = "mariadb" in f"{version} {comment}".lower()
        self.version = _numbers(str(version))
        self.run("SET NAMES utf8mb4 COLLATE utf8mb4_bin")
        self.run("SET SESSION " + ", ".join(_SESSION))
        if self.is_mariadb:
            # What a subquery answered is remembered by the column's collation, and given for other names, too.
            exact = "optimizer_switch = 'subquery_cache=off'"
            self.run(f"SET SESSION max_statement_time = 0, default_regex_flags = '', {exact}")
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if read_only:
            self.run("SET SESSION TRANSACTION READ ONLY")

    def close(self) -> None:
        """End the session; what was not committed is undone, locks and leases are given back."""
        if self._connection is None:
            return
        with suppress(*self._driver.errors):  # the server may have closed it already
            self._connection.close()
        self._connection = None

    @property
    def is_open(self) -> bool:
        """Whether the server still answers."""
        try:
            self.rows("SELECT 1")
        except StoreError:
            return False
        return True

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run a statement and give the number of rows that it changed."""
        with self._translated(), self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values))
            return int(cursor.rowcount)

    def change(self, fragment: Fragment) -> int:
        """Run a fragment and give the number of rows that it changed."""
        return self.run(fragment.sql, fragment.values)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a statement."""
        with self._translated(), self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values))
            return list(cursor.fetchall())

    def variable(self, name: str) -> str | None:
        """A setting of the server. None if this server does not know it."""
        found = self.rows("SHOW GLOBAL VARIABLES LIKE %s", (name.replace("_", "\\_"),))
        return str(found[0][1]) if found else None

    def named_rows(self, sql: str | Fragment) -> list[dict[str, Any]]:
        """All rows of a statement whose columns differ from server to server, by their names."""
        statement = Fragment(sql) if isinstance(sql, str) else sql
        with self._translated(), self._connection.cursor() as cursor:
            cursor.execute(statement.sql, tuple(statement.values))
            names = [str(column[0]) for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def query(self, fragment: Fragment) -> list[Any]:
        """All rows of a fragment."""
        return self.rows(fragment.sql, fragment.values)

    def texts(self, fragment: Fragment) -> Iterator[list[bytes | None]]:
        """The rows of a fragment with one column of bytes, as they come, some at a time.

        No other statement can be run before they are read through.
        """
        with self._translated():
            cursor = self._connection.cursor(self._driver.streaming)
            try:
                cursor.execute(fragment.sql, tuple(fragment.values))
                yield from self._driver.texts(cursor)
            finally:
                cursor.close()

    def warnings(self) -> list[str]:
        """What the server warned of in the statement before this one; what it merely notes is left out."""
        ((count,),) = self.rows("SELECT @@warning_count")
        if not count:
            return []
        found = self.rows("SHOW WARNINGS")
        return [str(text) for level, number, text in found if level != "Note" and number != _UNSAFE]

    # Transactions

    def begin(self) -> None:
        """Begin a transaction."""
        self.run("START TRANSACTION")

    def begin_snapshot(self) -> None:
        """Begin a transaction that only reads, and sees everything as it is now."""
        self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    @contextmanager
    def waiting(self, seconds: int) -> Iterator[None]:
        """Wait so long at most for the lock of a table that others use."""
        self.run(f"SET SESSION lock_wait_timeout = {seconds}")
        try:
            yield
        finally:
            if self.is_open:
                self.run(f"SET SESSION lock_wait_timeout = {LOCK_WAIT}")

    def commit(self, what: str) -> None:
        """Commit; *what* is told where nobody knows whether it did.

        Raises:
            CommitUnknownError: If the server did not say that it did.
        """
        try:
            with self._translated():
                self._connection.commit()
        except LapseError as error:
            raise CommitUnknownError(
                f"{what}: the server did not confirm the commit: {error.message}",
                hint="Run again: the next run finds out what became of it.",
            ) from error

    def roll_back(self) -> None:
        """End the transaction without a trace; no error if the server has ended it with the connection."""
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except self._driver.errors:
            self.close()  # the server undoes what a session leaves behind

    @contextmanager
    def transaction(self, what: str) -> Iterator[None]:
        """One transaction: committed if the block ends, rolled back if it is left by an error."""
        self.begin()
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.commit(what)

    # Errors

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._connection is None and hasattr(self, "version"):
            raise StoreError(f"{self._shown}: the connection is gone", hint="Run again.")
        try:
            yield
        except self._driver.errors as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> LapseError:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else None
        text = f"{self._shown}: {error.args[-1] if error.args else error}"
        if number in _LOCKED:
            return BusyError(f"{text} ({_LOCKED[number]})", hint="Nothing of it was removed. Run again.")
        if number in _LONG:
            return TooLongError(text, hint="Nothing of it was removed. Run again.")
        if number in _GONE:
            return StoreError(text, hint="The server is away, or it ended the connection. Run again when it is back.")
        if number in _DENIED:
            return UnsupportedError(text, hint="Check the user's rights with SHOW GRANTS.")
        if number in _MISSING:
            return StoreMissingError(text, hint="Check `store:` and `table:` in the policy.")
        if number in _PARTED:
            return ChangedError(text, hint="Somebody changed the partitions. Nothing of it was removed. Run again.")
        if number == 1792:
            return StoreError(f"{self._shown} is open for reading only", hint="Open it for writing.")
        return StoreError(text, hint="Nothing was removed by this statement.")


def _numbers(version: str) -> tuple[int, ...]:
    """``10.11.18-MariaDB`` as ``(10, 11, 18)``."""
    found = version.partition("-")[0].split(".")
    return tuple(int(part) for part in found if part.isdecimal())
