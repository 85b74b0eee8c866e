"""Help: after the options of a command come its examples and exit codes, laid out as written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer.core

from lapse.errors import ExitCode

MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing to do",
    ExitCode.INCOMPLETE: "a dataset did not complete, or a check found a mismatch: run again, or look",
    ExitCode.USAGE: "usage, policy or configuration error; nothing was touched",
    ExitCode.REFUSED: "refused by a guard; nothing was touched",
    ExitCode.LEASED: "another run holds the lease; nothing was touched",
}
"""What each exit code means, in words."""


def epilog(
    examples: Sequence[str],
    exits: Sequence[ExitCode] = tuple(ExitCode),
    meanings: Mapping[ExitCode, str] = MEANINGS,
) -> str:
    """The sections after the options; a drop-in's exit codes have *meanings* of their own."""
    shown = [f"  {line}" for line in examples]
    codes = [f"  {code:d}  {meanings[code]}" for code in exits]
    return "\n".join(["Examples:", *shown, "", "Exit codes:", *codes])


class _LaidOut:
    """Writes the epilog as it is, without filling its lines."""

    epilog: str | None

    def format_epilog(self, ctx: object, formatter: Any) -> None:
        """Write the sections after the options."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class Command(_LaidOut, typer.core.TyperCommand):
    """A command whose help ends with examples and exit codes."""


class Group(_LaidOut, typer.core.TyperGroup):
    """A group of commands whose help ends with examples and exit codes.

    Attributes:
        helps: Whether it answers with its help where no command is named. Else that is a mistake of usage.
    """

    helps: ClassVar[bool] = True
