"""Worlds of the real stores: their files, filled and disturbed from outside with plain drivers."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from lapse.instant import Nanos, rfc3339
from lapse.model.policy import TimeFormat
from lapse.stores.duckdb import DuckdbStore
from lapse.stores.jsonl import JsonlStore
from lapse.stores.sqlite.store import SqliteStore
from lapse.testing.harness import Record, Traits, World

_COLUMNS = '"id", "at", "kind", "tenant", "level", "body"'


class DuckdbWorld(World):
    """A DuckDB file with one table."""

    store_class = DuckdbStore
    traits: ClassVar[Traits] = Traits(step=1000, garbage=False)
    time_type: ClassVar[str] = "TIMESTAMP"
    key: ClassVar[str] = "BIGINT PRIMARY KEY"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "world.duckdb"

    @property
    def address(self) -> str:
        """The file's address."""
        return f"duckdb:///{self._path}"

    def create(self, records: Sequence[Record]) -> None:
        """Make the file anew."""
        for path in (self._path, Path(f"{self._path}.wal")):
            path.unlink(missing_ok=True)
        with duckdb.connect(str(self._path)) as connection:
            connection.execute(
                f'CREATE TABLE "log" ("id" {self.key}, "at" {self.time_type}, "kind" VARCHAR, '
                '"tenant" VARCHAR COLLATE NOCASE, "level" BIGINT, "body" VARCHAR)'
            )
            self._insert(connection, records)

    def _insert(self, connection: Any, records: Sequence[Record]) -> None:
        if not records:
            return
        rows = ", ".join([f"(?, CAST(? AS {self.time_type}), ?, ?, ?, ?)"] * len(records))
        values = [cell for r in records for cell in (r.key, self.time(r.at), r.kind, r.tenant, r.level, r.body)]
        connection.execute(f'INSERT INTO "log" ({_COLUMNS}) VALUES {rows}', values)

    def time(self, at: Nanos | str | None) -> str | None:
        """The time as this column's type reads it."""
        return rfc3339(at).removesuffix("Z") if isinstance(at, int) else at

    def add(self, *records: Record) -> bool:
        """Another writer of this process; refused while the store is open."""
        try:
            connection = duckdb.connect(str(self._path))
        except duckdb.ConnectionException:
            return False
        with connection:
            self._insert(connection, records)
        return True

    def change(self, record: Record) -> bool:
        """Replace a row."""
        try:
            connection = duckdb.connect(str(self._path))
        except duckdb.ConnectionException:
            return False
        with connection:
            connection.execute('DELETE FROM "log" WHERE "id" = ?', [record.key])
            self._insert(connection, [record])
        return True

    def snapshot(self) -> Mapping[int, object]:
        """Every row as text."""
        with duckdb.connect(str(self._path), read_only=True) as connection:
            rows = connection.execute('SELECT "id", CAST("log" AS VARCHAR) FROM "log" ORDER BY 1').fetchall()
        assert len({key for key, _ in rows}) == len(rows)
        return dict(rows)

    def image(self) -> object:
        """The bytes of the file, and the names beside it."""
        return self._path.read_bytes(), sorted(path.name for path in self._path.parent.iterdir())


class DuckdbNanosWorld(DuckdbWorld):
    """Nanoseconds, and no key at all."""

    traits = Traits(step=1, garbage=False, marked=False, keyed=False)
    time_type = "TIMESTAMP_NS"
    key = "BIGINT"


class DuckdbTextWorld(DuckdbWorld):
    """ISO texts with every digit."""

    traits = Traits(step=1)
    time_type = "VARCHAR"

    def time(self, at: Nanos | str | None) -> str | None:
        """RFC 3339."""
        return rfc3339(at) if isinstance(at, int) else at


class SqliteWorld(World):
    """A SQLite file in WAL mode with ISO texts."""

    store_class = SqliteStore
    mode: ClassVar[str] = "WAL"
    time_type: ClassVar[str] = "TEXT"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "world.db"

    @property
    def address(self) -> str:
        """The file's address."""
        return f"sqlite:///{self._path}"

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=0.2)) as connection, connection:
            yield connection

    def create(self, records: Sequence[Record]) -> None:
        """Make the file anew."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {self.mode}")
            connection.execute(
                f'CREATE TABLE "log" ("id" INTEGER PRIMARY KEY, "at" {self.time_type}, "kind" TEXT, '
                '"tenant" TEXT COLLATE NOCASE, "level" INTEGER, "body" TEXT)'
            )
            connection.commit()
        self.add(*records)

    def add(self, *records: Record) -> bool:
        """Insert rows over a connection of its own."""
        return self._write("INSERT", records)

    def change(self, record: Record) -> bool:
        """Replace a row."""
        return self._write("INSERT OR REPLACE", [record])

    def _write(self, verb: str, records: Sequence[Record]) -> bool:
        rows = [(r.key, self.time(r.at), r.kind, r.tenant, r.level, r.body) for r in records]
        try:
            with self._connected() as connection:
                connection.executemany(f'{verb} INTO "log" ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)', rows)
        except sqlite3.OperationalError:
            return False
        return True

    def time(self, at: Nanos | str | None) -> str | int | None:
        """The time as this column has it."""
        return rfc3339(at) if isinstance(at, int) else at

    def snapshot(self) -> Mapping[int, object]:
        """Every row."""
        with self._connected() as connection:
            rows = connection.execute(f'SELECT {_COLUMNS} FROM "log"').fetchall()
        return {row[0]: row for row in rows}

    def image(self) -> object:
        """The bytes of the main file, and of a write-ahead log that has anything in it."""
        log = Path(f"{self._path}-wal")
        return self._path.read_bytes(), log.read_bytes() if log.exists() else b""


class SqliteMillisWorld(SqliteWorld):
    """Rollback journal, times as milliseconds."""

    mode = "DELETE"
    time_type = "INTEGER"
    traits = Traits(step=1_000_000)
    time_format = TimeFormat.MILLISECONDS

    def time(self, at: Nanos | str | None) -> str | int | None:
        """Milliseconds since 1970."""
        return at // 1_000_000 if isinstance(at, int) else at


class JsonlWorld(World):
    """One JSON lines file."""

    store_class = JsonlStore
    table = None
    traits: ClassVar[Traits] = Traits(keyed=False, divisible=False)

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "logs"
        self._path = self._folder / "audit.jsonl"

    @property
    def address(self) -> str:
        """A glob."""
        return str(self._folder / "*.jsonl")

    def create(self, records: Sequence[Record]) -> None:
        """Make the folder anew."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._path.touch()
        self.add(*records)

    def add(self, *records: Record) -> bool:
        """Append lines."""
        with self._path.open("ab") as file:
            for record in records:
                file.write(_line(record))
        return True

    def change(self, record: Record) -> bool:
        """Rewrite the line where it lies."""
        lines = self._path.read_bytes().splitlines(keepends=True)
        self._path.write_bytes(b"".join(_line(record) if json.loads(x)["id"] == record.key else x for x in lines))
        return True

    def snapshot(self) -> Mapping[int, object]:
        """Every line."""
        files = sorted(self._folder.glob("*.jsonl"))
        lines = [line for path in files for line in path.read_bytes().splitlines(keepends=True)]
        found = {json.loads(line)["id"]: line for line in lines}
        assert len(found) == len(lines)
        return found

    def image(self) -> object:
        """The bytes and names of all files."""
        return {path.name: path.read_bytes() for path in self._folder.iterdir()}


def _line(record: Record) -> bytes:
    values = {
        "id": record.key,
        "at": rfc3339(record.at) if isinstance(record.at, int) else record.at,
        "kind": record.kind,
        "tenant": record.tenant,
        "level": record.level,
        "body": record.body,
    }
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"
