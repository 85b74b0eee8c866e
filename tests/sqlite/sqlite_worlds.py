"""SQLite files in several shapes, filled and disturbed from outside with the plain driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from lapse.instant import Nanos, rfc3339
from lapse.model.policy import TimeFormat
from lapse.stores.sqlite import SqliteStore
from lapse.testing.harness import Record, Traits, World

_COLUMNS = '"id", "at", "kind", "tenant", "level", "body"'


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program, committed and closed at the end."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


class SqliteWorld(World):
    """An INTEGER PRIMARY KEY, RFC 3339 texts of any length, a rollback journal."""

    store_class = SqliteStore
    journal: ClassVar[str] = "delete"
    definition: ClassVar[str] = (
        '"id" INTEGER PRIMARY KEY, "at" TEXT, "kind" TEXT COLLATE NOCASE, "tenant" TEXT COLLATE RTRIM, '
        '"level" INTEGER, "body" TEXT'
    )
    options: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "world.db"

    @property
    def address(self) -> str:
        """The file's address."""
        return f"sqlite:///{self.path}"

    def create(self, records: Sequence[Record]) -> None:
        """Make the file anew."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        with connected(self.path) as connection:
            connection.execute(f"PRAGMA journal_mode = {self.journal}")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f'CREATE TABLE "log" ({self.definition}) {self.options}')
            connection.execute('CREATE INDEX "by_tenant" ON "log" ("tenant", "at")')
            self._insert(connection, records)

    def _insert(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        rows = [(r.key, self.time(r.at), r.kind, r.tenant, r.level, r.body) for r in records]
        connection.execute("BEGIN")
        connection.executemany(f'INSERT INTO "log" ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)', rows)
        connection.execute("COMMIT")

    def time(self, at: Nanos | str | None) -> object:
        """The time as this world writes it."""
        return rfc3339(at) if isinstance(at, int) else at

    def add(self, *records: Record) -> bool:
        """Another writer."""
        with connected(self.path) as connection:
            self._insert(connection, records)
        return True

    def change(self, record: Record) -> bool:
        """Another writer replaces a row."""
        with connected(self.path) as connection:
            connection.execute('DELETE FROM "log" WHERE "id" = ?', (record.key,))
            self._insert(connection, [record])
        return True

    def snapshot(self) -> Mapping[int, object]:
        """Every row with the types of its cells."""
        types = ", ".join(f"typeof({name})" for name in _COLUMNS.split(", "))
        with connected(self.path) as connection:
            rows = connection.execute(f'SELECT {_COLUMNS}, {types} FROM "log" ORDER BY "id"').fetchall()
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: row for row in rows}

    def image(self) -> object:
        """The bytes of the file; what SQLite itself puts beside it is left out."""
        return self.path.read_bytes()


class SqliteWalWorld(SqliteWorld):
    """A write-ahead log, and naive texts with microseconds as Python writes them."""

    journal = "wal"
    traits = Traits(step=1000)

    def time(self, at: Nanos | str | None) -> object:
        """``2026-11-22 10:00:00.000000``."""
        if not isinstance(at, int):
            return at
        return f"{rfc3339(Nanos(at - at % 1_000_000_000))[:19].replace('T', ' ')}.{at % 1_000_000_000 // 1000:06d}"


class SqliteNumberWorld(SqliteWorld):
    """Unix milliseconds in a column without type, and a rowid that nobody declared."""

    traits = Traits(step=1_000_000, marked=False, keyed=False)
    time_format = TimeFormat.MILLISECONDS
    definition = '"id" INT, "at", "kind" TEXT, "tenant" TEXT, "level", "body" TEXT'

    def time(self, at: Nanos | str | None) -> object:
        """A number."""
        return at // 1_000_000 if isinstance(at, int) else at


class SqliteKeyedWorld(SqliteWorld):
    """WITHOUT ROWID, with a key of two columns."""

    traits = Traits(marked=False)
    definition = (
        '"tenant" TEXT, "id" INTEGER NOT NULL, "at" TEXT, "kind" TEXT, "level" INTEGER, "body" TEXT, '
        '"half" INTEGER NOT NULL DEFAULT 7, PRIMARY KEY ("half", "id")'
    )
    options = "WITHOUT ROWID"
