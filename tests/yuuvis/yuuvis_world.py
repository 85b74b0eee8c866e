"""Audit trails on SQLite and PostgreSQL, small, and how to call the drop-in in this process."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from typer.testing import CliRunner, Result

from lapse.cli.main import app
from lapse.state.ledger import Ledger
from servers.fixtures import PostgresPool
from servers.postgres import servers as postgres_versions

DDL = """
CREATE TABLE auditentry (
    objectid bigint PRIMARY KEY, referredobjectid varchar(36) NOT NULL, creationdate {time}, createdby varchar(256),
    tenant varchar(256), action int, traceid varchar(64), detail varchar(256), versionnumber int, subaction int
)
"""
EXAMPLE = {
    "audit": {
        "defaultCleanupAfterDays": 10,
        "actions": [
            {"comment": "OBJECT_CREATED", "action": 100, "cleanupAfterDays": -1},
            {"action": 400, "cleanupAfterDays": 1},
        ],
    }
}
"""The configuration of the documentation."""

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
"""What `LAPSE_NOW` says: clocks in Europe change here."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an audit trail.

    Attributes:
        age: How old it is at `NOW`.
        action: The code, or whatever stands in its place.
        tenant: The tenant.
        date: What stands in place of a date. None takes it from the age; an empty text is none at all.
    """

    age: timedelta = timedelta(days=1000)
    action: Any = 300
    tenant: str | None = "acme"
    date: str | None = None


def days(number: float) -> timedelta:
    """An age of that many days of 86,400 s."""
    return timedelta(seconds=number * 86_400)


class Trail(Protocol):
    """A database with an audit trail.

    Attributes:
        url: Its address.
        step: The least difference between two dates.
    """

    @property
    def url(self) -> str: ...

    @property
    def step(self) -> timedelta: ...

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, with ``?`` for values; its rows."""
        ...

    def date(self, moment: datetime) -> Any:
        """A moment as a date is written there."""
        ...


@dataclass(frozen=True, slots=True)
class SqliteTrail:
    """An audit trail in a file."""

    path: Path
    step: timedelta = timedelta(milliseconds=1)

    @property
    def url(self) -> str:
        """The address."""
        return f"sqlite:///{self.path}"

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return list(connection.execute(statement, values))

    def date(self, moment: datetime) -> str:
        """ISO 8601 with milliseconds and an offset."""
        return moment.isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class PostgresTrail:
    """An audit trail on a server."""

    url: str
    step: timedelta = timedelta(microseconds=1)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def date(self, moment: datetime) -> datetime:
        """The moment itself."""
        return moment


def make(trail: Trail) -> None:
    """Make the empty table."""
    trail.query(DDL.format(time="varchar(40)" if isinstance(trail, SqliteTrail) else "timestamptz"))


def fill(trail: Trail, *entries: Entry) -> None:
    """Add entries; their ids go on from the highest."""
    ((last,),) = trail.query("SELECT coalesce(max(objectid), 0) FROM auditentry")
    for number, entry in enumerate(entries, last + 1):
        date = trail.date(NOW - entry.age) if entry.date is None else entry.date or None
        trail.query(
            "INSERT INTO auditentry VALUES (?, 'r', ?, 'root', ?, ?, NULL, 'a;b', 1, NULL)",
            (number, date, entry.tenant, entry.action),
        )


def left(trail: Trail) -> list[int]:
    """The ids of the entries that are there."""
    return [int(number) for (number,) in trail.query("SELECT objectid FROM auditentry ORDER BY objectid")]


@dataclass(frozen=True, slots=True)
class World:
    """A working folder and Lapse's state.

    Attributes:
        folder: The working folder, in which the configuration lies.
        state: Lapse's state folder.
        trail: An audit trail.
    """

    folder: Path
    state: Path
    trail: Trail

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "config" / "system" / "cleanupConfiguration.json"

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.state / "ledger")

    def configure(self, content: object = EXAMPLE) -> None:
        """Write the configuration: bytes and text as they are, all else as JSON."""
        text = content if isinstance(content, bytes | str) else json.dumps(content)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Call the drop-in with these arguments alone; errors are told, not raised."""
        told = {"LAPSE_STATE_DIR": str(self.state), "LAPSE_NOW": NOW.isoformat(), **(env or {})}
        return CliRunner().invoke(app, ["as", "yuuvis", *arguments], env=told)

    def clean(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Clean the world's own audit trail up."""
        return self.call("audit", "cleanup", "--store", self.trail.url, *arguments, env=env)

    def answer(self, *arguments: str) -> dict[str, Any]:
        """The same, which is to go well; the object on stdout."""
        result = self.clean(*arguments, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def deleted(self, *arguments: str) -> dict[str, dict[str, int]]:
        """The same; what went, by tenant and action."""
        found: dict[str, dict[str, int]] = self.answer(*arguments)["deleted"]["by_tenant_and_action"]
        return found

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        """Everything there is in the folder and in the state, and when it was changed."""
        return {
            str(path): (facts.st_ino, facts.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted([*self.folder.rglob("*"), *self.state.rglob("*")])
            if (facts := path.lstat())
        }


def _world(folder: Path, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("LAPSE_STORE", "LAPSE_NOW"):
        monkeypatch.delenv(name, raising=False)
    world = World(folder / "service", folder / "state", trail)
    world.configure()
    make(trail)
    monkeypatch.chdir(world.folder)
    return world


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A service whose audit trail is a SQLite file; its folder is the working folder."""
    return _world(tmp_path, SqliteTrail(tmp_path / "audit.db"), monkeypatch)


@pytest.fixture(name="either", params=["sqlite", *(f"postgres{version}" for version in postgres_versions())])
def either_fixture(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_pool: PostgresPool
) -> Iterator[World]:
    """A service whose audit trail is a SQLite file, and then one on each version of PostgreSQL."""
    if request.param == "sqlite":
        yield _world(tmp_path, SqliteTrail(tmp_path / "audit.db"), monkeypatch)
        return
    server = postgres_pool.get(str(request.param).removeprefix("postgres"))
    name = f"yuuvis_{os.getpid()}_{abs(hash(tmp_path))}"
    try:
        yield _world(tmp_path, PostgresTrail(server.create_database(name)), monkeypatch)
    finally:
        server.drop_database(name)
