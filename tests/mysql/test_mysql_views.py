"""What is no table of MariaDB is refused before a run begins, whatever it holds."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from lapse.cli.main import app
from servers.mariadb import MariadbServer

_POLICY = """\
version: 1
datasets:
  log: {{store: "{store}", table: seen, time: at, keep: 1 day, archive: none}}
"""


def test_a_view_is_a_refusal_not_nothing_to_do(tmp_path: Path, mariadb: MariadbServer, mariadb_database: str) -> None:
    """Exit 2 and the reason, for a run and a dry one; whoever meant to remove rows learns that none go."""
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE log (id bigint AUTO_INCREMENT PRIMARY KEY, at datetime)")
        cursor.execute("INSERT INTO log (at) VALUES (now() - INTERVAL 10 DAY)")
        cursor.execute("CREATE VIEW seen AS SELECT * FROM log")
        connection.commit()
    (tmp_path / "lapse.yaml").write_text(_POLICY.format(store=mariadb.socket_url(mariadb_database)))
    environment = {"LAPSE_STATE_DIR": str(tmp_path / "state")}

    for command in (["run"], ["run", "--dry-run"]):
        result = CliRunner().invoke(app, [*command, "--policy", str(tmp_path / "lapse.yaml")], env=environment)

        assert result.exit_code == 2, result.output
        assert "seen is a view, not a table" in result.stderr
