"""The program, called on a small world in this process: what it is told, what it prints, and the schema of that."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
from typer.testing import CliRunner, Result

from lapse.cli.main import app

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "output.schema.json").read_text(encoding="utf-8"))
CALLS_AND_TOOLS = """\
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
"""


@dataclass(frozen=True)
class CalledWorld:
    """A folder with a policy, on which the program is called.

    Attributes:
        folder: Where it is.
        now: The time that the program is told. Empty for the clock's.
    """

    folder: Path
    now: ClassVar[str] = ""

    @property
    def state(self) -> Path:
        """Lapse's state folder."""
        return self.folder / "state"

    @property
    def policy_file(self) -> Path:
        """The policy."""
        return self.folder / "lapse.yaml"

    def write(self, text: str) -> None:
        """Write another policy."""
        self.policy_file.write_text(text, encoding="utf-8")

    def env(self, **more: str) -> dict[str, str]:
        """What the program is told through the environment."""
        told = {"LAPSE_STATE_DIR": str(self.state), "LAPSE_POLICY": str(self.policy_file), **more}
        return {"LAPSE_NOW": self.now, **told} if self.now else told

    def call(self, *arguments: str, **more: str) -> Result:
        """Call the program, with *more* in its environment; errors are told, not raised."""
        return CliRunner().invoke(app, list(arguments), env=self.env(**more))

    def json(self, *arguments: str, **more: str) -> dict[str, Any]:
        """Call it with ``--json``: the one object that it printed, which fits the schema."""
        return parsed(self.call(*arguments, "--json", **more))


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    """What holds answers against the schema, which is itself sound; finding that out takes longer than most answers."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def parsed(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout; it fits the published schema and says the exit code."""
    found: dict[str, Any] = json.loads(result.stdout)
    _validator().validate(found)
    assert found["exit"] == result.exit_code
    return found
