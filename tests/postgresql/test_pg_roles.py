"""The role that the documentation describes can do what it promises, and nothing beyond."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pg_looking import CEL, as_role, connected, identity, run

from lapse.engine.planning import plan
from lapse.engine.running import Wishes
from lapse.engine.running import run as engine_run
from lapse.engine.session import Session, open_session
from lapse.model.selection import Verdict
from lapse.stores.postgresql.inspecting import sketches
from lapse.stores.postgresql.marking import Marking
from servers.postgres import PostgresServer

PAGE = Path(__file__).parents[2] / "docs" / "stores" / "postgresql.md"
_SQL = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
POLICY = """\
version: 1
archives:
  cold: {{to: {folder}/archive}}
datasets:
  call-events: {{store: "{store}", table: cel, time: eventtime, keep: 365 days, archive: cold}}
"""


def recipe() -> list[str]:
    """The statements of the page."""
    (block,) = _SQL.findall(PAGE.read_text(encoding="utf-8"))
    return [statement.strip() for statement in block.split(";") if statement.strip()]


@pytest.fixture
def asterisk(postgres: PostgresServer) -> Iterator[str]:
    """The page's database with three calls, two of them old; the page's role as its only reader beside the owner."""
    url = postgres.create_database("asterisk")
    run(
        url,
        "REVOKE ALL ON DATABASE asterisk FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        CEL,
        "INSERT INTO cel (eventtime, eventtype) VALUES ('2020-01-01Z', 'A'), ('2020-01-02Z', 'B'), (now(), 'C')",
    )
    run(url, *recipe())
    yield as_role(url, "lapse")
    postgres.drop_database("asterisk")
    postgres.execute("DROP ROLE lapse")


@pytest.fixture
def session(asterisk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A policy on it, opened as commands do."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    policy = tmp_path / "lapse.yaml"
    policy.write_text(POLICY.format(folder=tmp_path, store=asterisk), encoding="utf-8")
    return open_session(str(policy))


def test_the_role_may_do_what_a_run_needs(asterisk: str) -> None:
    """The identity finds nothing missing, and markers can be written."""
    found = identity(asterisk)

    assert found.refusal is None
    assert found.fingerprint.parts[0].isdecimal()
    with connected(asterisk) as connection:
        assert Marking(connection).may_mark()


def test_the_role_may_do_nothing_else(asterisk: str) -> None:
    """It can neither change nor add a record, nor make tables, nor empty one at once."""
    for statement in (
        "UPDATE cel SET eventtype = 'x'",
        "INSERT INTO cel (eventtime, eventtype) VALUES (now(), 'x')",
        "TRUNCATE cel",
        "CREATE TABLE other (id int)",
        "DROP TABLE lapse_disposals",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(asterisk, statement)


def test_the_role_may_plan_and_run(asterisk: str, session: Session) -> None:
    """Old calls go into the archive and out of the table; the marker is gone again; the new call stays."""
    report = engine_run(session, Wishes())

    with psycopg.connect(asterisk) as connection:
        left = connection.execute("SELECT eventtype FROM cel").fetchall()
        markers = connection.execute("SELECT count(*) FROM lapse_disposals").fetchall()
    assert report.exit_code == 0
    assert left == [("C",)]
    assert markers == [(0,)]


def test_the_role_may_take_children_along_with_the_grants_of_the_page(
    postgres: PostgresServer, asterisk: str, session: Session
) -> None:
    """Rows of both tables are locked before they are removed, which takes UPDATE on one column."""
    for statement in (
        "CREATE TABLE note (cel int REFERENCES cel ON DELETE CASCADE)",
        "INSERT INTO note SELECT id FROM cel",
        "GRANT SELECT, DELETE, UPDATE ON note TO lapse",
        "GRANT UPDATE (id) ON cel TO lapse",
    ):
        postgres.execute(statement, "asterisk")

    assert identity(asterisk).refusal is None
    assert engine_run(session, Wishes()).exit_code == 0
    assert postgres.execute("SELECT cel FROM note", "asterisk") == [(3,)]


def test_the_role_may_run_without_the_table_of_markers(
    postgres: PostgresServer, asterisk: str, session: Session
) -> None:
    """Then the server is asked what became of a transaction."""
    postgres.execute("DROP TABLE lapse_disposals", "asterisk")

    assert engine_run(session, Wishes()).exit_code == 0
    assert postgres.execute("SELECT eventtype FROM cel", "asterisk") == [("C",)]


def test_a_role_for_reading_may_plan(postgres: PostgresServer, asterisk: str, session: Session) -> None:
    """The plan counts what has lapsed, and says that a run would remove nothing and why."""
    postgres.execute("REVOKE DELETE ON cel FROM lapse", "asterisk")

    [planned] = plan(session).datasets

    assert planned.records(Verdict.LAPSED) == 2
    assert "GRANT DELETE ON cel" in (planned.identity.refusal or "")


def test_the_role_may_look_around(asterisk: str) -> None:
    """`lapse init` finds the table, and not Lapse's own."""
    with connected(asterisk, read_only=True) as connection:
        assert [sketch.table for sketch in sketches(connection, asterisk)] == ["cel"]
