"""The exit codes of the original, by class of error: the one table."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.errors import ExitCode, LapseError, UsageError

MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing to do; also if the audit trail is switched off",
    ExitCode.INCOMPLETE: "anything failed: the configuration, the registry, the log, another cleanup at work",
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
    return int(next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS))
