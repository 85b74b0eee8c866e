"""Calls in PostgreSQL that name files in a spool, and a role that may do little."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pg_looking import as_role
from pg_runs import PgWorld

from lapse.model.report import DatasetReport
from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from worlds import NOW

_NUMBERS = itertools.count(1)
_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  calls:
    store: {store}
    table: {table}
    time: at
    tenant: tenant
    keep: 90 days
    archive: {archive}
    pace: {{rest: none}}
    files: {{column: {column}, under: {under}}}
holds:
  - {{matter: M-1, match: {{dataset: calls, tenant: held}}, reason: litigation}}
"""
_TABLES = """
CREATE TABLE call (id bigserial PRIMARY KEY, at timestamptz, tenant text, path text);
CREATE TABLE recording (id bigserial PRIMARY KEY, path varchar(200),
    call_id bigint NOT NULL REFERENCES call ON DELETE CASCADE);
CREATE INDEX ON recording (call_id);
"""


@dataclass(frozen=True)
class Calls(PgWorld):
    """Calls that name files in a spool, or have recordings that do."""

    @property
    def spool(self) -> Path:
        """The folder of the files."""
        return self.folder / "spool"

    def policy(
        self, *, column: str = "path", table: str = "call", archive: str = "cold", under: str = "spool", store: str = ""
    ) -> None:
        """Write the policy."""
        text = _POLICY.format(store=store or self.url, table=table, column=column, archive=archive, under=under)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def file(self, name: str) -> Path:
        """A file in the spool."""
        path = self.spool / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
        return path

    def call(self, path: str | None, *, days: int = 100, tenant: str = "a") -> int:
        """A call of some days ago."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(
                "INSERT INTO call (at, tenant, path) VALUES (%s, %s, %s) RETURNING id",
                (NOW - timedelta(days=days), tenant, path),
            ).fetchone()
        assert found is not None
        return int(found[0])

    def recording(self, path: str, *, days: int = 100, tenant: str = "a") -> None:
        """A call with a recording."""
        call = self.call(None, days=days, tenant=tenant)
        with psycopg.connect(self.url) as connection:
            connection.execute("INSERT INTO recording (path, call_id) VALUES (%s, %s)", (path, call))

    def calls(self) -> int:
        """How many calls are left that a test made."""
        return int(self.execute("SELECT count(*) FROM call WHERE tenant <> 'kept'")[0][0])

    def pending(self) -> list[str]:
        """The files that wait."""
        if self.execute("SELECT to_regclass('lapse_files') IS NULL")[0][0]:
            return []
        return [path for (path,) in self.execute("SELECT path FROM lapse_files ORDER BY path")]

    def purge(self, rows: int = 50) -> DatasetReport:
        """Run, and say what became of the calls."""
        (report,) = self.run(rows).datasets
        return report


def calls_in(folder: Path, url: str) -> Calls:
    world = Calls(folder, "postgresql", url)
    world.spool.mkdir(parents=True)
    world.execute(_TABLES)
    world.policy()
    world.call(None, days=1, tenant="kept")  # a dataset is not emptied unasked
    return world


@pytest.fixture
def world(postgres_pool: PostgresPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Calls in a database of the newest server."""
    server, name = postgres_pool.get(servers()[-1]), f"files_{os.getpid()}_{next(_NUMBERS)}"
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "world" / "state"))
    yield calls_in(tmp_path / "world", server.create_database(name))
    server.drop_database(name)


@pytest.fixture
def stranger(postgres_pool: PostgresPool, world: Calls) -> Iterator[Calls]:
    """The same calls, for a role with the rights of the documentation and no more."""
    server: PostgresServer = postgres_pool.get(servers()[-1])
    server.execute("CREATE ROLE files_stranger LOGIN")
    world.execute(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT SELECT, DELETE ON call, recording TO files_stranger"
    )
    world.policy(store=as_role(world.url, "files_stranger"))
    yield world
    world.execute("DROP OWNED BY files_stranger")
    server.execute("DROP ROLE files_stranger")
