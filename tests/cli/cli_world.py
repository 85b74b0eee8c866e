"""Small real worlds for commands to work on, and how to call the program in this process."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from typer.testing import CliRunner, Result

from lapse.cli.main import app

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "output.schema.json").read_text(encoding="utf-8"))
NOW = "2025-06-01T00:00:00Z"

POLICY = """\
version: 1
archives:
  cold: {to: ./archive}
datasets:
  calls:
    store: sqlite:///calls.db
    table: cel
    time: at
    type: kind
    tenant: tenant
    key: id
    keep:
      - {type: BILLED, for: 1 year}
      - {for: 90 days}
    archive: cold
  tools:
    store: logs/audit*.jsonl
    time: timestamp
    type: schema
    keep: 90 days
    archive: cold
floors:
  - {match: {dataset: calls, type: BILLED}, at least: 2 years, because: contract 7.2}
holds:
  - {matter: 2026-17, match: {dataset: calls, tenant: held}, reason: litigation}
"""


@dataclass(frozen=True)
class CliWorld:
    """A folder with a policy, a call log of 12 rows and an audit file of 6 lines.

    Attributes:
        folder: Where it is.
        state: Where Lapse's state goes.
    """

    folder: Path
    state: Path

    def env(self) -> dict[str, str]:
        """What the program is told through the environment."""
        return {"LAPSE_STATE_DIR": str(self.state), "LAPSE_NOW": NOW, "LAPSE_POLICY": str(self.folder / "lapse.yaml")}

    def call(self, *arguments: str) -> Result:
        """Call the program; errors are told, not raised."""
        return CliRunner().invoke(app, list(arguments), env=self.env())

    def json(self, *arguments: str) -> dict[str, Any]:
        """Call the program with ``--json``; the one object it printed, which fits the schema."""
        result = self.call(*arguments, "--json")
        return parsed(result)

    def policy(self, text: str) -> None:
        """Write another policy."""
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def rows(self) -> list[int]:
        """Keys of the call log."""
        connection = sqlite3.connect(self.folder / "calls.db")
        try:
            return [row[0] for row in connection.execute("SELECT id FROM cel ORDER BY id")]
        finally:
            connection.close()


def parsed(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout; it fits the published schema and says the exit code."""
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert found["exit"] == result.exit_code
    return found


def build(folder: Path) -> CliWorld:
    """Make a world in *folder*: of the calls 6 have lapsed, 2 are held, 1 lies under the floor, 1 is doubtful."""
    (folder / "logs").mkdir()
    (folder / "lapse.yaml").write_text(POLICY, encoding="utf-8")
    connection = sqlite3.connect(folder / "calls.db")
    with connection:
        connection.execute("CREATE TABLE cel (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)")
        connection.executemany(
            "INSERT INTO cel VALUES (?, ?, ?, ?)",
            [
                *((n, f"2024-0{n}-01T00:00:00Z", "CALL", "acme") for n in range(1, 7)),
                (7, "2024-07-01T00:00:00Z", "CALL", "held"),
                (8, "2024-08-01T00:00:00Z", "CALL", "held"),
                (9, "2024-01-15T00:00:00Z", "BILLED", "acme"),
                (10, None, "CALL", "acme"),
                (11, "2025-05-30T00:00:00Z", "CALL", "acme"),
                (12, "2025-05-31T00:00:00Z", "CALL", "zoë [bold]"),
            ],
        )
    connection.close()
    lines = [
        {"timestamp": f"2025-0{n}-01T00:00:00Z", "schema": "auth" if n % 2 else "query", "record": n}
        for n in range(1, 7)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "logs" / "audit.jsonl").write_text(text, encoding="utf-8")
    return CliWorld(folder, folder / "state")
