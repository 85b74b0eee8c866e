"""What the drop-in for yuuvis has to say: views, and the output that puts its own objects on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.cli.output import TextOutput, print_note, print_object
from lapse.cli.page import Block, Line
from lapse.cli.view import View
from lapse.dialects.yuuvis.wording import failure_object
from lapse.errors import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class YuuvisView:
    """An answer of the drop-in.

    Attributes:
        lines: What is said to people.
        document: What programs get.
        warnings: What someone should look at.
        troubles: What is left undone and why, each with a hint or None.
        exit_code: What the process answers.
    """

    lines: tuple[str, ...]
    document: Json
    warnings: tuple[str, ...] = ()
    troubles: tuple[tuple[str, str | None], ...] = ()
    exit_code: ExitCode = ExitCode.DONE

    def result(self) -> Json:
        """What programs get."""
        return self.document

    def page(self) -> Iterator[Block]:
        """What is said to people."""
        return (Line(line) for line in self.lines)


class YuuvisOutput:
    """Answers on stdout; warnings, errors and hints go to stderr in either form."""

    def __init__(self, *, as_json: bool) -> None:
        """Answer as one object, or in lines."""
        self._as_json = as_json

    def show(self, command: str, view: View) -> None:
        """Print what was found or done."""
        if not isinstance(view, YuuvisView):
            raise TypeError(f"{type(view).__name__} is no answer of this drop-in")
        if self._as_json:
            print_object(view.document)
            for text in view.warnings:
                print_note(f"Warning: {text}")
        else:
            TextOutput().show(command, view)
        for text, hint in view.troubles:
            print_note(f"Error: {text}")
            if hint:
                print_note(f"Hint: {hint}")

    def fail(self, command: str, error: BaseException, code: int) -> None:
        """Print why there is no answer."""
        if self._as_json:
            from lapse.cli.failure import failure_of

            found = failure_of(error)
            told = [f"{each.where}: {each.message}" for each in found.complaints]
            print_object(failure_object("; ".join(told) or found.message, code))
        TextOutput().fail(command, error, code)
