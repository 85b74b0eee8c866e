"""What the README shows is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lapse.demo import World, build_world

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ELIDED = "…"


@dataclass(frozen=True)
class Shown:
    """A command in the README.

    Attributes:
        line: The command line.
        output: The lines of output below it.
    """

    line: str
    output: tuple[str, ...]


def shown() -> list[Shown]:
    """Every command of the README, in order."""
    found = []
    for block in _BLOCK.findall(README):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *output = part.splitlines()
            found.append(Shown(line, tuple(text for text in output if text.strip())))
    return found


def normal(line: str) -> str:
    """A line without what differs from run to run: digits, digests, widths, rules of tables."""
    line = re.sub(r"\b[0-9a-f]{6,}\b", "#", line)
    line = re.sub(r"[0-9]+([.,:T-][0-9]+)*Z?", "#", line)
    line = re.sub(r"\b(ms|s|min|kB|MB|GB|B)\b", "~", line)
    return " ".join(re.sub(r"[─━]+", "─", line).split())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world that `lapse demo` builds, in the folder the README names."""
    return build_world(tmp_path_factory.mktemp("readme") / "demo-world")


def test_every_command_gives_the_output_that_is_shown(world: World) -> None:
    """Each `$ lapse …` runs in the demo's world, in order, ends with 0 and prints the lines shown, in order."""
    environment = {**os.environ, "LAPSE_STATE_DIR": str(world.state), "COLUMNS": "110"}
    commands = [command for command in shown() if command.line.startswith("lapse ")]
    assert len(commands) > 3
    for command in commands:
        arguments = shlex.split(command.line, comments=True)[1:]
        ended = subprocess.run(
            [sys.executable, "-m", "lapse", *arguments],
            cwd=world.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        printed = iter([normal(line) for line in (ended.stdout + ended.stderr).splitlines()])
        for line in command.output:
            if line.strip() != _ELIDED:
                assert normal(line) in printed, f"{command.line} does not print: {line}"


def test_the_set_up_commands_are_targets() -> None:
    """Every `$ make …` names a target of the Makefile."""
    commands = [shlex.split(command.line, comments=True) for command in shown() if command.line.startswith("make ")]

    assert ["make", "setup"] in commands
    for command in commands:
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_no_other_kind_of_command_is_shown() -> None:
    """What is not run by these tests is not in the README."""
    assert {command.line.split()[0] for command in shown()} <= {"make", "lapse"}
