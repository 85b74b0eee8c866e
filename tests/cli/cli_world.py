"""A small real world for commands to work on."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from calling import CALLS_AND_TOOLS, CalledWorld

_FLOOR_AND_HOLD = """\
floors:
  - {match: {dataset: calls, type: BILLED}, at least: 2 years, because: contract 7.2}
holds:
  - {matter: 2026-17, match: {dataset: calls, tenant: held}, reason: litigation}
"""
POLICY = CALLS_AND_TOOLS + _FLOOR_AND_HOLD


@dataclass(frozen=True)
class CliWorld(CalledWorld):
    """A folder with a policy, a call log of 12 rows and an audit file of 6 lines."""

    now: ClassVar[str] = "2025-06-01T00:00:00Z"

    def rows(self) -> list[int]:
        """Keys of the call log."""
        connection = sqlite3.connect(self.folder / "calls.db")
        try:
            return [row[0] for row in connection.execute("SELECT id FROM cel ORDER BY id")]
        finally:
            connection.close()


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
    return CliWorld(folder)
