"""lapse check --data on DuckDB, PostgreSQL and MariaDB: the same records give the same answer."""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg
import pytest

from lapse.engine.checking import check
from lapse.engine.looking import look
from lapse.engine.session import open_session
from servers.fixtures import pg_database as pg_database
from servers.fixtures import postgres as postgres
from servers.fixtures import postgres_pool as postgres_pool
from servers.mariadb import MariadbServer

TABLE = "CREATE TABLE log (id bigint PRIMARY KEY, happened {time}, kind varchar(20), site varchar(20), code int)"
ROWS = (
    "INSERT INTO log VALUES (1, '2026-01-01 00:00:00', 'LOGIN', 'acme', 404), (2, '1971-01-01 00:00:00', 'OLD',"
    " 'beta', NULL), (3, '2035-01-01 00:00:00', 'FUTURE', 'beta', 200), (4, NULL, 'UNDATED', 'nobody', 7)"
)
POLICY = """\
version: 1
datasets:
  log:
    store: "{store}"
    table: log
    time: happened
    time zone: UTC
    type: kind
    tenant: site
    archive: none
    tenants:
      acme: {{keep: [{{code: {{from: 400, to: 499}}, for: 1 day}}, {{type: LOGN, for: 1 day}}]}}
      Beta: {{keep: 1 day}}
      nobody: {{keep: 1 day}}
    keep:
      - {{type: [OLD, NEW], for: 1 day}}
      - {{type: {{not: "glob:F*"}}, for: forever}}
      - {{for: 1 year}}
floors:
  - {{match: {{type: FUTURE}}, at least: 2 years, because: A}}
  - {{match: {{dataset: log, type: FUTRUE}}, at least: 2 years, because: B}}
holds:
  - {{matter: H1, match: {{tenant: beta}}}}
  - {{matter: H2, match: {{tenant: beta, type: OLD}}}}
  - {{matter: H3, match: {{tenant: nobody}}}}
"""
IDLE = [
    "tenant Beta", "tenant acme, rule 2 (type LOGN: 1 day)", "rule 2 (type not glob:F*: forever)",
    "floor 'B' (type FUTRUE)", "hold H3 (tenant nobody)",
]  # fmt: skip


def idle(folder: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What selects no record in a store."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("LAPSE_NOW", "2026-11-01T00:00:00Z")
    (folder / "lapse.yaml").write_text(POLICY.format(store=store), encoding="utf-8")
    session = open_session(str(folder / "lapse.yaml"))
    found = look(session, check(session).holds)
    assert [(each.records, each.undated) for each in found.datasets] == [(4, 1)]
    return [each.name for each in found.idle]


def test_in_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times before any doubt and in the future are records like others."""
    with duckdb.connect(str(tmp_path / "log.duckdb")) as connection:
        connection.execute(TABLE.format(time="timestamp"))
        connection.execute(ROWS)
    assert idle(tmp_path, f"duckdb:///{tmp_path}/log.duckdb", monkeypatch) == IDLE


def test_in_postgresql(tmp_path: Path, pg_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every version that is installed."""
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute(TABLE.format(time="timestamp").encode())
        connection.execute(ROWS)
    assert idle(tmp_path, pg_database, monkeypatch) == IDLE


def test_in_mariadb(
    tmp_path: Path, mariadb: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its collation takes `Beta` for `beta`, Lapse does not."""
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE.format(time="datetime"))
        cursor.execute(ROWS)
        connection.commit()
    assert idle(tmp_path, mariadb.socket_url(mariadb_database), monkeypatch) == IDLE
