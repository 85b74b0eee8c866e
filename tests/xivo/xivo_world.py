"""A telephony server's folders and database, small, and how to call the drop-in in this process."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from calling import parsed
from lapse import registry
from lapse.cli.main import app
from lapse.state.ledger import Ledger

ROOT = Path(__file__).parents[2]
TABLES = {
    "cel": "eventtime",
    "queue_log": "time",
    "stat_agent_periodic": "time",
    "stat_call_on_queue": "time",
    "stat_queue_periodic": "time",
    "stat_switchboard_queue": "time",
}
"""The six tables that are purged if nobody says otherwise, with the column of their time."""

OLD, YOUNG = 3, 2
"""Rows of each table that are 400 days old, and those of today."""


@dataclass(frozen=True)
class XivoWorld:
    """A folder with the configuration, a database and Lapse's state.

    Attributes:
        folder: Where everything is.
    """

    folder: Path

    @property
    def etc(self) -> Path:
        """The folder that is read as ``/etc``."""
        return self.folder / "etc"

    @property
    def conf(self) -> Path:
        """The folder of the configuration."""
        return self.etc / "wazo-purge-db"

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.folder / "asterisk.db"

    @property
    def store(self) -> str:
        """The database's address."""
        return f"sqlite:///{self.database}"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.folder / "purge.log"

    @property
    def pid_file(self) -> Path:
        """The pid file."""
        return self.folder / "purge.pid"

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.folder / "state" / "ledger")

    def config(self, text: str = "") -> None:
        """Write ``config.yml``: where the database and the files of the process are, and *text*."""
        self.conf.mkdir(parents=True, exist_ok=True)
        head = f"db_uri: sqlite:///{self.database}\nlog_file: {self.log}\npid_file: {self.pid_file}\n"
        (self.conf / "config.yml").write_text(head + text, encoding="utf-8")

    def extra(self, name: str, text: str) -> Path:
        """Write a file of ``conf.d``."""
        folder = self.conf / "conf.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    def env(self) -> dict[str, str]:
        """What the program is told through the environment."""
        return {"LAPSE_XIVO_ETC": str(self.etc), "LAPSE_STATE_DIR": str(self.folder / "state")}

    def call(self, *arguments: str) -> Result:
        """Call the drop-in; errors are told, not raised."""
        return CliRunner().invoke(app, ["as", "xivo-purge-db", *arguments], env=self.env())

    def json(self, *arguments: str) -> dict[str, Any]:
        """Call it with ``--json``; the one object on stdout, which fits the schema."""
        return parsed(self.call(*arguments, "--json"))

    def execute(self, *statements: str) -> None:
        """Change the database."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        with closing(sqlite3.connect(self.database)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in names
                if not name.startswith("lapse_")
            }

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the ledger's entries of one kind."""
        return [dict(entry.body) for entry in self.ledger.entries() if entry.kind.value == kind]


_PROGRAM = """
import sys

sys.path.insert(0, sys.argv.pop(1))
from lapse import registry
from lapse.cli.main import main

registry.STORES["sqlite"] = "telephony_double"
main()
"""
PROGRAM = (sys.executable, "-c", _PROGRAM, str(Path(__file__).parent), "as", "xivo-purge-db")
"""Begin of a command line that calls the drop-in in a process of its own."""

FULL = dict.fromkeys(TABLES, OLD + YOUNG)
PURGED = dict.fromkeys(TABLES, YOUNG)


def build(folder: Path) -> XivoWorld:
    """Make a world in *folder*: each of the six tables has rows 400 days old and rows of today."""
    world = XivoWorld(folder)
    world.config()
    now = datetime.now(UTC)
    times = [*(now - timedelta(days=400, hours=n) for n in range(OLD)), *(now - timedelta(minutes=n) for n in (5, 9))]
    with closing(sqlite3.connect(world.database)) as connection, connection:
        for table, column in TABLES.items():
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {column} TEXT)")
            rows = [(time.isoformat(),) for time in times]
            connection.executemany(f"INSERT INTO {table} ({column}) VALUES (?)", rows)
    return world


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> XivoWorld:
    """A small telephony server, on a store that plays PostgreSQL's part."""
    monkeypatch.setitem(registry.STORES, "sqlite", "telephony_double")
    return build(tmp_path)
