"""What is no table of PostgreSQL is refused before a run begins, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from lapse.cli.main import app

_POLICY = """\
version: 1
datasets:
  log: {{store: "{store}", table: seen, time: at, keep: 1 day, archive: none}}
"""
_KINDS = {
    "view": "CREATE VIEW seen AS SELECT * FROM log",
    "materialized view": "CREATE MATERIALIZED VIEW seen AS SELECT * FROM log",
}


def call(folder: Path, address: str, *arguments: str) -> Result:
    """Call the program with a policy that names the view."""
    (folder / "lapse.yaml").write_text(_POLICY.format(store=address))
    environment = {"LAPSE_STATE_DIR": str(folder / "state")}
    return CliRunner().invoke(app, [*arguments, "--policy", str(folder / "lapse.yaml")], env=environment)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_view_is_a_refusal_not_nothing_to_do(tmp_path: Path, pg_database: str, kind: str) -> None:
    """Exit 2 and the reason, for a run, a dry one and a plan; whoever meant to remove rows learns that none go."""
    with psycopg.connect(pg_database, autocommit=True) as session:
        session.execute("CREATE TABLE log (id bigserial PRIMARY KEY, at timestamptz)")
        session.execute("INSERT INTO log (at) VALUES (now() - interval '10 days')")
        session.execute(_KINDS[kind])

    for command in (["run"], ["run", "--dry-run"], ["plan"]):
        result = call(tmp_path, pg_database, *command)

        assert result.exit_code == 2, result.output
        assert f"seen is a {kind}: rows are removed from ordinary tables only" in result.stderr
        assert "lapse.yaml:3" in result.stderr
