"""A telephony database on a real PostgreSQL, of either era, filled by xivo_fixture.sql; and its own oracle."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from xivo_world import XivoWorld

from servers.postgres import PostgresServer, installed

FIXTURE = Path(__file__).with_name("xivo_fixture.sql")
ROWS = {
    "cel": 400, "qlog": 200, "calls": 100, "stats": 100, "switchboard": 60, "webhook": 80, "exports": 50,
}  # fmt: skip


@dataclass(frozen=True)
class Telephony(XivoWorld):
    """A folder with the configuration, and a database on a server.

    Attributes:
        address: The database's address.
        era: ``wazo`` or ``xivo``.
        version: The server's version.
    """

    address: str = ""
    era: str = "wazo"
    version: str = ""

    @property
    def store(self) -> str:
        """The database's address."""
        return self.address

    def config(self, text: str = "") -> None:
        """Write ``config.yml``."""
        self.conf.mkdir(parents=True, exist_ok=True)
        address = self.address.replace("postgresql://", "postgresql+psycopg2://")
        head = f"db_uri: {address}\nlog_file: {self.log}\npid_file: {self.pid_file}\n"
        (self.conf / "config.yml").write_text(head + text, encoding="utf-8")

    def fill(self, **values: object) -> None:
        """Make the tables of the era and fill them; *values* are variables of the fixture."""
        variables = {"era": self.era, **ROWS, **values}
        psql = str(installed()[self.version] / "psql")
        chosen = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.address, *chosen, "-f", str(FIXTURE)]
        subprocess.run(command, check=True, capture_output=True)

    def setting(self, name: str, value: str) -> None:
        """Give every session of the database this value of a setting."""
        database = self.address.rpartition("/")[2]
        self.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; its rows, if it has any."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def execute(self, *statements: str) -> None:
        """Change the database."""
        for statement in statements:
            self.query(statement)

    def expected(self, days: int) -> dict[str, int]:
        """What the original would keep, by table."""
        return {str(table): int(keep) for table, keep in self.query(f"SELECT tbl, to_keep FROM fx_expected({days})")}

    def counts(self) -> dict[str, int]:
        """Rows of the tables that are filled."""
        names = self.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        return {
            str(name): int(self.query(f"SELECT count(*) FROM {name}")[0][0])
            for (name,) in names
            if not name.startswith("lapse_")
        }


SIX = "cel", "queue_log", "stat_agent_periodic", "stat_call_on_queue", "stat_queue_periodic", "stat_switchboard_queue"
"""The tables that are purged if nobody says otherwise."""

DOUBTFUL = {"queue_log": 1}
"""Rows that the original would delete and Lapse keeps: of the time -infinity, or of an empty text."""


def kept(world: Telephony, days: int) -> dict[str, int]:
    """What Lapse must keep of the tables that the oracle knows."""
    return {table: count + DOUBTFUL.get(table, 0) for table, count in world.expected(days).items()}


def only(counts: Mapping[str, int], tables: Collection[str]) -> dict[str, int]:
    """The counts of some tables."""
    return {table: counts[table] for table in counts if table in tables}


@pytest.fixture(name="telephony")
def telephony_fixture(
    pg_database: str, postgres: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Telephony:
    """A database of the era that the test asks for, by default today's, on each version of the server in turn."""
    world = Telephony(tmp_path, address=pg_database, era=getattr(request, "param", "wazo"), version=postgres.version)
    world.config()
    return world
