"""Records leave by `run`, by what calls it, and by nothing else: each other command leaves every record there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lapse.cli.main import app
from worlds import World, make

REMOVES = {"run", "daemon"}
"""The commands that remove what has lapsed; so do those of other systems, under `as`."""
OF_THEIR_OWN = {"demo"}
"""Commands that look at nobody's records."""
CALLS = [
    "init {store} --force --policy other.yaml",
    "check --data",
    "plan",
    "plan -o sealed.json",
    "run --dry-run",
    "run --dry-run --allow-empty",
    "why log --where tenant=held",
    "why --not log",
    "status --survey",
    "schedule systemd",
    "pace --pause",
    "pace --reset",
    "reclaim log",
    "reclaim log --run",
    "rotate --force",
    "trust log",
    "refreshed log totals",
    "hold add --matter M-9 --tenant held --reason x",
    "hold list",
    "hold release M-9",
    "archive list",
    "archive verify",
    "archive query 'select count(*) from log'",
    "archive restore --all",
    "ledger show",
    "ledger verify",
    "ledger adopt",
]
REFUSED = {"ledger adopt": 2, "status --survey": 1, "refreshed log totals": 2}
"""Those that do not end with 0: there is a ledger, records are past their deadline, and nothing is derived."""


def leaves(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that does something, with the words that call it."""
    inner = getattr(command, "commands", None)
    if not inner:
        yield " ".join(path)
        return
    for name, each in inner.items():
        yield from leaves(each, (*path, name))


def test_every_command_is_looked_at() -> None:
    """A new one belongs into this list, or among those that remove."""
    commands = {name for name in leaves(typer.main.get_command(app)) if not name.startswith("as ")}

    looked_at = {name for name in commands for call in CALLS if f"{call} ".startswith(f"{name} ")}
    assert commands - REMOVES - OF_THEIR_OWN == looked_at - REMOVES


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_only_a_run_removes_records(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that has lapsed is still there after every other command, and goes by a run."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    world = make(tmp_path / "world", kind, 120)
    world.session()
    monkeypatch.chdir(world.folder)
    scheduled(world)
    assert called("run --rows 20") == 0
    before = world.records()

    for call in CALLS:
        store = "sqlite:///data/log.db" if kind == "sqlite" else "data/log-*.jsonl"
        rotates = kind == "jsonl" or not call.startswith("rotate")
        assert called(call.format(store=store)) == (REFUSED.get(call, 0) if rotates else 2), call
        assert not before - world.records(), call

    assert called("run") == 0
    assert before - world.records()


def scheduled(world: World) -> None:
    """Let the policy say when runs are to happen, and when logs are rotated, so that there is something to do."""
    policy = world.folder / "lapse.yaml"
    rotation = "    rotate: {at: 100 GB}\n" if world.kind == "jsonl" else ""
    text = policy.read_text().replace(
        "holds:", f"{rotation}schedule: {{daily at: 02:00}}\nguards: {{ramp: off}}\nholds:"
    )
    policy.write_text(text)


def called(call: str) -> int:
    """How a command ends."""
    answer = CliRunner().invoke(app, shlex.split(call))
    print(call, answer.output)
    return answer.exit_code
