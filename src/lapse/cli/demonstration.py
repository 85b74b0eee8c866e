"""The demo: each step is the real command in a process of its own, shown as one would type it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse import clock
from lapse.cli import shapes
from lapse.cli.output import print_page
from lapse.cli.page import BLANK, Block, Line
from lapse.cli.view import Done
from lapse.cli.wording import duration, some
from lapse.demo import ENDING, DemoStep, World, build_world, steps
from lapse.errors import ExitCode


@dataclass(frozen=True, slots=True)
class DemoView(Done):
    """What the demo ran."""

    world: World
    commands: tuple[shapes.DemoCommand, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if a command failed."""
        return ExitCode.INCOMPLETE if any(each.exit for each in self.commands) else ExitCode.DONE

    def result(self) -> shapes.DemoResult:
        """The commands for programs."""
        return shapes.DemoResult(folder=str(self.world.folder), commands=self.commands)

    def page(self) -> Iterator[Block]:
        """How it went, and where to look next."""
        seconds = sum(each.seconds for each in self.commands)
        if self.exit_code:
            yield Line(f"`lapse {shlex.join(self.commands[-1].arguments)}` failed; the demo ends here.", "bold red")
            return
        yield Line(f"The demo ran {some(len(self.commands), 'command')} in {duration(seconds)}.", "bold")
        yield Line(f"Its world is {self.world.folder}; its state lies there, too.")
        yield from (Line(text) for text in ENDING)


def demonstrate(folder: Path, *, spoken: bool) -> DemoView:
    """Build a world in *folder* and run every step in it, until one fails.

    Arguments:
        folder: New, empty, or an earlier demo's.
        spoken: Whether the steps and their output are shown as they go.

    Raises:
        UsageError: If something else is in the folder.
    """
    if spoken:
        print_page([Line(f"Building a call log and audit files in {folder} …"), BLANK])
    world = build_world(folder)
    done: list[shapes.DemoCommand] = []
    for step in steps(world.folder):
        done.append(_run(step, world, spoken=spoken))
        if done[-1].exit:
            break
    return DemoView(world, tuple(done))


def _run(step: DemoStep, world: World, *, spoken: bool) -> shapes.DemoCommand:
    if spoken:
        print_page([Line(f"$ lapse {shlex.join(step.argv)}", "bold cyan")])
    started = clock.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "lapse", *step.argv],
        cwd=world.folder,
        env=_environment(world),
        stdout=None if spoken else subprocess.DEVNULL,
        check=False,
    )
    if spoken:
        print_page([Line(f"# {step.shows}", "dim"), BLANK])
    return shapes.DemoCommand(
        arguments=step.argv, shows=step.shows, exit=ended.returncode, seconds=round(clock.monotonic() - started, 3)
    )


def _environment(world: World) -> dict[str, str]:
    """The caller's, but for what would lead the demo to another policy, state or time."""
    kept = {key: value for key, value in os.environ.items() if key not in ("LAPSE_POLICY", "LAPSE_NOW")}
    return {**kept, "LAPSE_STATE_DIR": str(world.state)}
