"""What the drop-in for mxcp has to say: views, and the output that speaks as the original does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.cli.output import TextOutput, print_note, print_object
from lapse.cli.page import Block, Line
from lapse.cli.view import View
from lapse.dialects.mxcp.wording import Form, failure_object
from lapse.errors import ExitCode, UsageError
from lapse.model.report import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class MxcpView:
    """An answer of the drop-in.

    Attributes:
        lines: What is said to people.
        document: What programs get, in one form or the other.
        warnings: What someone should look at.
        trouble: Why something is left undone. None if nothing is.
    """

    lines: tuple[str, ...]
    document: Callable[[Form], Json]
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None

    @property
    def exit_code(self) -> ExitCode:
        """1 if something is left undone."""
        return ExitCode.DONE if self.trouble is None else ExitCode.INCOMPLETE

    def result(self) -> Json:
        """What programs get, as the original prints it."""
        return self.document(Form.JSON)

    def page(self) -> Iterator[Block]:
        """What is said to people."""
        return (Line(line) for line in self.lines)


class MxcpOutput:
    """Answers in the words and objects of the original; warnings and hints go to stderr."""

    def __init__(self, form: Form, usage: str) -> None:
        """Answer in a form.

        Arguments:
            form: Text, or JSON of one kind or the other.
            usage: What stands after ``Usage:`` where a command means nothing.
        """
        self.form = form
        self._usage = usage

    def show(self, command: str, view: View) -> None:
        """Print what was found or done."""
        if not isinstance(view, MxcpView):
            raise TypeError(f"{type(view).__name__} is no answer of this drop-in")
        if self.form is Form.TEXT:
            TextOutput().show(command, view)
        else:
            print_object(view.document(self.form))
            for text in view.warnings:
                print_note(f"Warning: {text}")
        if view.trouble is not None:
            print_note(f"Error: {view.trouble.message}")
            if view.trouble.hint:
                print_note(f"Hint: {view.trouble.hint}")

    def fail(self, command: str, error: BaseException, code: int) -> None:
        """Print why there is no answer."""
        from lapse.cli.failure import failure_of

        if isinstance(error, UsageError) or hasattr(error, "format_message"):
            print_note(f"Usage: {self._usage}\nTry '{self._usage.partition(' [')[0]} --help' for help.\n")
            print_note(f"Error: {_usage_text(error)}")
        elif self.form is Form.TEXT:
            TextOutput().fail(command, error, code)
        else:
            found = failure_of(error)
            told = [f"{each.where}: {each.message}" for each in found.complaints]
            where = f"{found.where}: " if found.where else ""
            print_object(failure_object("; ".join(told) or f"{where}{found.message}"))
            if found.hint:
                print_note(f"Hint: {found.hint}")


def _usage_text(error: BaseException) -> str:
    """What a usage error says; those of the parser of options have a method for it."""
    told = getattr(error, "format_message", None)
    return str(error) if told is None else str(told())
