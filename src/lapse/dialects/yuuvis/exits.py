"""The exit codes of the drop-in, by class of error: the one table."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.errors import ExitCode, LapseError, MissingDriverError, PolicyError, UsageError


class UnknownTenantError(LapseError):
    """A tenant that has no entry in any store. Nothing was touched."""


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing to delete; also if there is no configuration",
    ExitCode.INCOMPLETE: "a tenant or a store did not complete, the others did; it is named",
    ExitCode.USAGE: "usage or configuration error; nothing was touched",
    ExitCode.REFUSED: "the tenant has no entry in any store; nothing was touched",
}
"""What each exit code of the drop-in means, in words."""

EXITS: Mapping[type[LapseError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    PolicyError: ExitCode.USAGE,
    MissingDriverError: ExitCode.USAGE,
    UnknownTenantError: ExitCode.REFUSED,
    LapseError: ExitCode.INCOMPLETE,
}
"""Exit code of each class of error; the narrowest class counts."""


def exit_code_of(error: LapseError) -> int:
    """What the drop-in answers after *error*."""
    return int(next(EXITS[kind] for kind in type(error).__mro__ if kind in EXITS))
