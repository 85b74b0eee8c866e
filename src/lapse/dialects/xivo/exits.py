"""The exit codes of the original, by class of error: the one table."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.dialects.xivo.failures import PluginExitError
from lapse.errors import ExitCode, LapseError, UsageError

MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing to do",
    ExitCode.INCOMPLETE: "anything failed, or another run is active; a plug-in that exits gives its own code",
    ExitCode.USAGE: "usage; nothing was touched",
}
"""What each exit code of the drop-in means, in words."""

EXITS: Mapping[type[LapseError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    LapseError: ExitCode.INCOMPLETE,
}
"""Exit code of each class of error; the narrowest class counts."""


def exit_code_of(error: LapseError) -> int:
    """What the drop-in answers after *error*."""
    if isinstance(error, PluginExitError):
        return error.code
    return int(next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS))
