"""One connection to a SQLite file: statements, transactions and the version of what it saw."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.msgpack import Ext

from lapse import clock
from lapse.errors import CommitUnknownError, StoreError, UnsupportedError
from lapse.stores.sqlite.address import check_file, path_of, uri_of
from lapse.stores.sqlite.failures import primary_code, translate, translated
from lapse.stores.sqlite.functions import register

_OLDEST = (3, 38, 0)  # unixepoch()
_WAIT = 5.0
_CACHE_KIB = 65_536
INVALID_TEXT = 1
"""MessagePack extension type of a text that is no UTF-8; its data are the raw bytes."""


class Database:
    """A SQLite file, opened at its first use.

    Attributes:
        path: The file, links followed.
        shown: Its address for messages.
        held: Seconds for which the last transaction that was committed held the write lock.
    """

    def __init__(
        self, address: str, *, shown: str, read_only: bool, zone: str | None = None, zone_required: bool = False
    ) -> None:
        self.path: Path = path_of(address)
        self.shown = shown
        self._read_only = read_only
        self._zone = zone
        self._zone_required = zone_required
        self._open: sqlite3.Connection | None = None
        self._keeps_journal = self._has_wal = False
        self.held = 0.0

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._open is not None:
            if self._keeps_journal:
                with contextlib.suppress(sqlite3.Error):  # the next connection that writes removes it
                    self._open.execute("PRAGMA journal_mode = DELETE")
            self._open.close()
            self._open = None

    def create(self) -> None:
        """Make the file where it is missing; a restore may begin with none.

        Raises:
            StoreError: If that fails.
        """
        if not self._read_only and self._open is None and not self.path.exists():
            self._open = self._connect("rwc")

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            check_file(self.path, self.shown)
            self._open = self._connect("ro" if self._read_only else "rw")
        return self._open

    def _connect(self, mode: str) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise UnsupportedError(
                f"SQLite {sqlite3.sqlite_version} is too old", hint="Lapse needs 3.38 or later: use a newer Python."
            )
        with translated(self.shown):
            connection = sqlite3.connect(uri_of(self.path, mode), uri=True, timeout=_WAIT, isolation_level=None)
        try:
            with translated(self.shown):
                encoding = connection.execute("PRAGMA encoding").fetchone()[0]
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = EXTRA")  # the ledger must not outlive a commit
                connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                if mode == "ro":
                    connection.execute("PRAGMA query_only = ON")
                else:
                    self._tune_journal(connection)
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the first that reads the file
                register(connection, zone=self._zone, zone_required=self._zone_required, encoding=encoding)
        except StoreError:
            connection.close()
            raise
        return connection

    def _tune_journal(self, connection: sqlite3.Connection) -> None:
        """Keep the write lock short: overwrite one journal file instead of making and removing one a commit.

        This is a matter of this connection alone; the file's own journal mode is somebody's choice and stays.
        """
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        self._keeps_journal, self._has_wal = mode == "delete", mode == "wal"
        if self._keeps_journal:
            connection.execute("PRAGMA journal_mode = PERSIST")
        if self._has_wal:
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # see _checkpoint

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a statement.

        Raises:
            UndecodableTextError: If a text is no UTF-8.
            StoreError: If SQLite refuses.
        """
        connection = self._connection
        with translated(self.shown):
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[object] = ()) -> Any:
        """The first row of a statement, None if it has none."""
        connection = self._connection
        with translated(self.shown):
            return connection.execute(sql, values).fetchone()

    def change(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows a statement removed or wrote, not counting those of triggers."""
        connection = self._connection
        with translated(self.shown):
            return connection.execute(sql, values).rowcount

    def change_many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each of *values*."""
        connection = self._connection
        with translated(self.shown):
            connection.executemany(sql, values)

    def stream(self, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
        """The rows of a statement, one after the other. Its transaction lasts until the last one is read."""
        connection = self._connection
        with translated(self.shown):
            yield from connection.execute(sql, values)

    @contextmanager
    def marking_invalid_text(self) -> Iterator[None]:
        """Within this block a text that is no UTF-8 is read as `Ext` with its raw bytes."""
        connection = self._connection
        connection.text_factory = _text_or_ext
        try:
            yield
        finally:
            connection.text_factory = str

    @contextmanager
    def replacing_invalid_text(self) -> Iterator[None]:
        """Within this block bytes that are no UTF-8 are read as U+FFFD."""
        connection = self._connection
        connection.text_factory = lambda data: data.decode(errors="replace")
        try:
            yield
        finally:
            connection.text_factory = str

    def version(self) -> int:
        """A number that is another one once anybody else has committed a change, as far as this one has seen."""
        return int(self.row("PRAGMA data_version")[0])

    def lets_others_write(self) -> bool:
        """Whether others can commit while this one reads: the file has a write-ahead log."""
        return bool(self.row("PRAGMA journal_mode")[0] == "wal")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One snapshot for the statements of this block."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            self.rollback()  # nothing was written

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction that can write; committed at the end of the block, undone if the block raises.

        Raises:
            CommitUnknownError: If SQLite did not say whether it committed.
            StoreError: If another program has the file, or the commit was refused.
        """
        self.rows("BEGIN IMMEDIATE")
        began = clock.monotonic()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self._commit()
        self.held = clock.monotonic() - began
        self._checkpoint()

    @contextmanager
    def writing_beside(self) -> Iterator[None]:
        """One transaction on temporary tables alone, which a connection for reading only may have, too."""
        if self._read_only:
            self.rows("PRAGMA query_only = OFF")  # the file itself was opened so that it cannot be written
        try:
            self.rows("BEGIN")
            try:
                yield
            except BaseException:
                self.rollback()
                raise
            self.rows("COMMIT")
        finally:
            if self._read_only:
                self.rows("PRAGMA query_only = ON")

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the file, which SQLite would do within the commit but needs no lock for."""
        if self._has_wal:
            with contextlib.suppress(StoreError):  # the commit stands; the next one, or anybody's, does it
                self.rows("PRAGMA wal_checkpoint(PASSIVE)")

    def _commit(self) -> None:
        connection = self._connection
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            refused = primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL)
            with contextlib.suppress(StoreError):  # the first error says more
                self.rollback()
            if refused:
                raise translate(error, self.shown) from error
            raise CommitUnknownError(
                f"{self.shown}: SQLite did not confirm the commit: {error}",
                hint="Run again: the marker in the store tells whether the records are gone.",
            ) from error

    def rollback(self) -> None:
        """Undo the open transaction. SQLite may have done so already."""
        connection = self._connection
        if connection.in_transaction:
            with translated(self.shown):
                connection.execute("ROLLBACK")


def _text_or_ext(data: bytes) -> str | Ext:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Ext(INVALID_TEXT, data)
