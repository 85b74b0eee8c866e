"""Small real worlds to ask `lapse why` about: a folder with a policy, a SQLite table and a log."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer

from calling import CalledWorld
from lapse.cli.main import app
from lapse.engine.hindering import why_not
from lapse.engine.session import Session, open_session
from lapse.model.causes import Cause, CauseKind, WhyNot
from lapse.model.why import Explanation

Row = tuple[int, str | None, str | None, str | None]

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
    keep:
      - {type: BILLED, for: 1 year}
      - {for: 90 days}
    archive: cold
"""


@dataclass(frozen=True)
class WhyWorld(CalledWorld):
    """A folder with a policy, its store and Lapse's state."""

    now: ClassVar[str] = "2026-06-01T00:00:00Z"

    def policy(self, text: str) -> None:
        """Write another policy."""
        self.write(text)

    def rows(self, rows: Iterable[Row]) -> None:
        """Put rows into the table, which is made where it is missing."""
        connection = sqlite3.connect(self.folder / "calls.db")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS cel (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)"
            )
            connection.executemany("INSERT INTO cel VALUES (?, ?, ?, ?)", rows)
        connection.close()

    def lines(self, name: str, lines: Iterable[Mapping[str, object]]) -> None:
        """Write a log file."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / name).write_text(text, encoding="utf-8")

    def done(self, *arguments: str) -> str:
        """What the program prints, which must do what it is asked."""
        result = self.call(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: str, **more: str) -> dict[str, Any]:
        """Its result with ``--json``, which fits the published schema."""
        result: dict[str, Any] = super().json(*arguments, **more)["result"]
        return result

    def session(self) -> Session:
        """Open it as a command does; the environment is set by the fixture."""
        return open_session(str(self.folder / "lapse.yaml"))

    def why_not(self, name: str = "calls") -> WhyNot:
        """The causes found; what each tells to call can be called."""
        found = why_not(self.session(), name)
        for cause in found.causes:
            assert not cause.fix.startswith("lapse ") or is_command(cause.fix), cause.fix
        return found

    def causes(self, name: str = "calls") -> dict[CauseKind, Cause]:
        """The causes found, by kind; the first of each."""
        found: dict[CauseKind, Cause] = {}
        for cause in self.why_not(name).causes:
            found.setdefault(cause.kind, cause)
        return found


def is_command(line: str) -> bool:
    """Whether a line that begins with ``lapse`` can be called: a command, options of its own, the words it takes."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    try:
        command.make_context(command.name, words)
    except typer.TyperException:
        return False
    return not getattr(command, "commands", {})


def old(first: int, last: int, *, kind: str = "CALL", tenant: str = "acme") -> Sequence[Row]:
    """Rows of those keys, a day apart in January 2026, long lapsed after 90 days."""
    return [(key, f"2026-01-{1 + key % 28:02}T00:00:00Z", kind, tenant) for key in range(first, last + 1)]


def fresh(first: int, last: int, *, kind: str = "CALL", tenant: str = "acme") -> Sequence[Row]:
    """Rows of those keys of 30 May 2026, which no rule here lets go."""
    return [(key, "2026-05-30T00:00:00Z", kind, tenant) for key in range(first, last + 1)]


def decided(explanation: Explanation) -> str | None:
    """The layer that decided."""
    return next((layer.name for layer in explanation.layers if layer.decided), None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WhyWorld:
    """An empty world with a policy, which is also the working folder; no variable leads out of it."""
    found = WhyWorld(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name, value in found.env().items():
        monkeypatch.setenv(name, value)
    found.policy(POLICY)
    return found
