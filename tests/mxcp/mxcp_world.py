"""An MXCP site in a folder, small, and how to call the drop-in in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lapse.cli.main import app
from lapse.state.ledger import Ledger

SITE = """\
mxcp: 1
project: shop
profile: default
profiles:
  default:
    audit: {enabled: true}
"""
ENDPOINTS = "mxcp.endpoints"
OLD, YOUNG = 120, 3
"""Days: an age at which records go that are kept for 90 days, and one at which they stay."""


@dataclass(frozen=True)
class Site:
    """A folder with a site file, an audit trail and Lapse's state.

    Attributes:
        folder: The site's folder.
        state: Lapse's state folder.
    """

    folder: Path
    state: Path

    @property
    def log(self) -> Path:
        """The log of the default profile."""
        return self.folder / "audit" / "logs-default.jsonl"

    @property
    def registry(self) -> Path:
        """Its schema registry."""
        return self.folder / "audit" / "logs-default_schemas.jsonl"

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.state / "ledger")

    def configure(self, text: str) -> None:
        """Write the site file."""
        (self.folder / "mxcp-site.yml").write_text(text, encoding="utf-8")

    def register(self, *schemas: Mapping[str, Any] | str) -> None:
        """Write the registry."""
        lines = (each if isinstance(each, str) else json.dumps(each) for each in schemas)
        self.registry.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def write(self, *lines: str, to: str = "logs-default.jsonl") -> Path:
        """Write a log, or one of its segments."""
        path = self.folder / "audit" / to
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
        return path

    def lines(self, name: str = "logs-default.jsonl") -> list[str]:
        """The lines of a log, without their ends."""
        return (self.folder / "audit" / name).read_text(encoding="utf-8").splitlines()

    def names(self) -> list[str]:
        """The files beside the log that are nobody's working files."""
        return sorted(path.name for path in (self.folder / "audit").iterdir() if not path.name.startswith("."))

    def env(self) -> dict[str, str]:
        """What the program is told through the environment."""
        return {"LAPSE_STATE_DIR": str(self.state), "HOME": str(self.folder.parent / "home")}

    def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Call the drop-in; errors are told, not raised."""
        return CliRunner().invoke(app, ["as", "mxcp", *arguments], env={**self.env(), **(env or {})})

    def clean(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Call ``log-cleanup``."""
        return self.call("log-cleanup", *arguments, env=env)

    def deleted(self, *arguments: str) -> dict[str, int]:
        """Call ``log-cleanup`` and expect that it goes well; what went, by schema."""
        result = self.clean(*arguments, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, int] = json.loads(result.stdout)["result"]["deleted_per_schema"]
        return found

    def process(
        self, *arguments: str, program: tuple[str, ...] = (sys.executable, "-m", "lapse", "as", "mxcp"),
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Call the drop-in in a process of its own."""
        return subprocess.run(
            [*program, *arguments], cwd=cwd or self.folder, capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **self.env()},
        )  # fmt: skip

    def tree(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Everything there is in the folder and in the state, and when it was changed."""
        return {
            str(path): (facts.st_ino, facts.st_mode, facts.st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
            for path in sorted([*self.folder.rglob("*"), *self.state.rglob("*")])
            if (facts := path.lstat())
        }


def schema(name: str = ENDPOINTS, version: int = 2, days: int | None = 90, **more: Any) -> dict[str, Any]:
    """A line of the registry."""
    return {"schema_name": name, "version": version, "retention_days": days, "active": True, **more}


def record(age: float = OLD, *, name: str = ENDPOINTS, version: Any = 2, **more: Any) -> str:
    """A record of that many days, as the server writes it."""
    moment = (datetime.now(UTC) - timedelta(days=age)).isoformat().replace("+00:00", "Z")
    found = {"schema_name": name, "schema_version": version, "record_id": f"r-{age}", "timestamp": moment}
    return json.dumps(
        {**found, "operation_type": "tool", "input_data": {"region": "Zürich"}, **more}, ensure_ascii=False
    )


def build(folder: Path) -> Site:
    """Make a site in *folder* with one schema that keeps for 90 days, and no log."""
    site = Site(folder / "site", folder / "state")
    (site.folder / "audit").mkdir(parents=True)
    site.configure(SITE)
    site.register(schema())
    return site


@pytest.fixture(name="site")
def site_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site, which is the working folder."""
    for name in ("MXCP_PROFILE", "MXCP_AUDIT_ENABLED", "MXCP_CONFIG", "LAPSE_NOW"):
        monkeypatch.delenv(name, raising=False)
    site = build(tmp_path)
    monkeypatch.chdir(site.folder)
    return site
