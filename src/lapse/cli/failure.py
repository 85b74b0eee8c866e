"""From an exception to what is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lapse.errors import ExitCode, LapseError, PolicyError

if TYPE_CHECKING:
    from lapse.cli.shapes import Failure


class InterruptedByUserError(LapseError):
    """A command that was interrupted before it could end by itself."""

    def __init__(self) -> None:
        super().__init__("interrupted", hint="Nothing half-done stays: run again, it goes on where it stopped.")


def exit_code_of(error: BaseException) -> int:
    """What the process answers after *error*."""
    if isinstance(error, (LapseError, typer.TyperException)):
        return int(error.exit_code)
    return int(ExitCode.INCOMPLETE)


def failure_of(error: BaseException) -> Failure:
    """What is said about *error*: what, where, what next."""
    from lapse.cli.shapes import Complaint, Failure

    if isinstance(error, LapseError):
        complaints = error.complaints if isinstance(error, PolicyError) else ()
        return Failure(
            kind=type(error).__name__,
            message=error.message,
            hint=error.hint,
            where=None if error.origin is None else str(error.origin),
            complaints=[Complaint(where=str(c.origin), message=c.message, hint=c.hint) for c in complaints],
        )
    kind, message, hint = _usage(error) if isinstance(error, typer.TyperException) else _unexpected(error)
    return Failure(kind=kind, message=message, hint=hint, where=None, complaints=())


def _usage(error: typer.TyperException) -> tuple[str, str, str]:
    context = getattr(error, "ctx", None)
    path = "lapse" if context is None else context.command_path
    text = error.format_message().rstrip(".")
    return "UsageError", text[:1].lower() + text[1:], f"See: {path} --help"


def _unexpected(error: BaseException) -> tuple[str, str, str]:
    from lapse.model.masking import masked

    kind = type(error).__name__
    hint = "This is a defect of lapse. Run again with --debug and report it with what that prints."
    return kind, masked(f"internal error: {kind}: {error}"), hint
