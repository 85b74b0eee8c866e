"""The commands in the pages are commands of the program, and the tutorial can be followed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from lapse.cli.main import app

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(lapse [a-z][^`]*)`")
_BLOCK = re.compile(r"^```(console|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[object]:
    """Every command line of the hand-written pages, each once."""
    found: dict[str, str] = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if "reference" in page.parts:
            continue
        text = page.read_text(encoding="utf-8")
        lines = [line for block in _CONSOLE.findall(text) for line in block.splitlines()]
        lines = [line[line.index("lapse ") :] for line in lines if re.match(r"(\$ |[0-9* ]+)?lapse ", line)]
        for line in [*lines, *_INLINE.findall(text)]:
            found.setdefault(line, str(page.relative_to(ROOT)))
    return [pytest.param(line, id=f"{page}: {line}") for line, page in found.items()]


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_pages_exists_with_its_options(line: str) -> None:
    """The words lead to a command, and each option is one of its own."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.name != "lapse", f"no such command: {line}"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known


def test_the_tutorial_can_be_followed_to_its_end(tmp_path: Path) -> None:
    """Each of its commands ends with 0; its policy is written where the page says so; it ends with a restore."""
    folder, ran = tmp_path, []
    state = str(tmp_path / "demo-world" / "my-state")
    for kind, block in _BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if kind == "yaml":
            (folder / "mine.yaml").write_text(block, encoding="utf-8")
            continue
        for line in block.splitlines():
            if line.startswith("lapse "):
                ran.append(_run(line, folder, state))
            elif line.startswith("cd "):
                folder = folder / line.removeprefix("cd ")
    assert ran[-1] == "archive"
    assert {"demo", "init", "check", "plan", "why", "hold", "run", "ledger", "archive"} <= set(ran)


def _run(line: str, folder: Path, state: str) -> str:
    """Run a command line in *folder*; returns the command's name."""
    words = shlex.split(line)[1:]
    ended = subprocess.run(
        [sys.executable, "-m", "lapse", *words],
        cwd=folder, env={**os.environ, "LAPSE_STATE_DIR": state}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{line}: {ended.stderr}"
    return words[0]
