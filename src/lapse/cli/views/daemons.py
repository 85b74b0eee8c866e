"""Whether the daemon lives, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import Block, Line
from lapse.cli.view import Done
from lapse.errors import ExitCode


@dataclass(frozen=True, slots=True)
class DaemonView(Done):
    """What is wrong with the daemon; None if nothing is."""

    trouble: str | None
    ended: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """1 if it gives no sign of life."""
        return ExitCode.DONE if self.trouble is None else ExitCode.INCOMPLETE

    def result(self) -> shapes.DaemonResult:
        """The same for programs."""
        return shapes.DaemonResult(alive=self.trouble is None and not self.ended, trouble=self.trouble)

    def page(self) -> Iterator[Block]:
        """One line, or nothing after it has ended: it has told what it did."""
        if not self.ended:
            yield Line(f"Not alive: {self.trouble}" if self.trouble else "Alive.")
