"""What can go wrong in the drop-in only."""

from __future__ import annotations

from lapse.errors import LapseError


class PluginError(LapseError):
    """A plug-in that failed. If it was to archive, nothing was removed."""


class PluginExitError(PluginError):
    """A plug-in that ended the program.

    Attributes:
        code: The exit code that it asked for, 1 to 255.
    """

    def __init__(self, message: str, *, code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
