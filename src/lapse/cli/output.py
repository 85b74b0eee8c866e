"""The only module that prints: data to stdout, all else to stderr; as text for people, or as one JSON object."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from lapse.cli.page import Block, Line, lines
from lapse.cli.view import View
from lapse.cli.wording import plain
from lapse.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from lapse.canonical import Json
    from lapse.cli.shapes import Envelope, Failure
    from lapse.observe.logs import JsonLog

_UNWRITTEN = "Hint: Make room, or send it elsewhere. The command itself has done its work: see `lapse status`."
_WIDEST = 120
_STYLES = {"error": "bold red", "warning": "yellow", "hint": "cyan"}


class Output(Protocol):
    """Where a command's answer goes."""

    def show(self, command: str, view: View) -> None:
        """Print what *command* found or did."""
        ...

    def fail(self, command: str, error: BaseException, code: int) -> None:
        """Print why *command* could not answer; the process ends with *code*."""
        ...


class TextOutput:
    """For people: pages on stdout; warnings, errors and hints on stderr, or into the log where there is one."""

    def __init__(self, log: JsonLog | None = None) -> None:
        self._log = log

    def show(self, command: str, view: View) -> None:
        """Print the page on stdout, then the warnings on stderr."""
        print_page(view.page())
        if self._log is not None:
            for text in view.warnings:
                self._log.say("command.warning", "warning", {"command": command, "message": text})
            return
        _print((Line(f"Warning: {plain(text)}", "warning") for text in view.warnings), sys.stderr)

    def fail(self, command: str, error: BaseException, code: int) -> None:
        """Print what, where and what next on stderr."""
        if self._log is not None:
            self._log.say("command.failed", "error", {"command": command, "exit": code, **_facts(_failure_of(error))})
            return
        _print(_told(_failure_of(error)), sys.stderr)


class JsonOutput:
    """For programs: exactly one JSON object on stdout, whatever happens."""

    def show(self, command: str, view: View) -> None:
        """Print the envelope with a result."""
        _print_json(answer(command, view))

    def fail(self, command: str, error: BaseException, code: int) -> None:
        """Print the envelope with an error."""
        _print_json(no_answer(command, error, code))


def answer(command: str, view: View) -> Envelope:
    """The envelope of what *command* found or did."""
    from lapse.cli.shapes import Envelope

    return Envelope(command=command, exit=int(view.exit_code), result=view.result(), warnings=view.warnings, error=None)


def no_answer(command: str, error: BaseException, code: int) -> Envelope:
    """The envelope of why *command* could not answer."""
    from lapse.cli.shapes import Envelope

    return Envelope(command=command, exit=code, result=None, warnings=(), error=_failure_of(error))


def encoded(envelope: Envelope, *, indent: int | None = None) -> str:
    """One JSON object in ASCII: no locale and no half character of a file name can spoil it."""
    import json

    import msgspec

    return json.dumps(msgspec.to_builtins(envelope), indent=indent, allow_nan=False) + "\n"


def print_help(text: str) -> None:
    """Print a help text on stdout."""
    _write(text.rstrip("\n") + "\n", sys.stdout)
    _flush(sys.stdout)


def print_page(blocks: Iterable[Block]) -> None:
    """Print blocks on stdout at once, for commands that show something as they go."""
    _print(_laid_out(blocks, sys.stdout), sys.stdout)


def print_traceback(error: BaseException, log: JsonLog | None) -> None:
    """Tell on stderr, or in a line of *log*, where *error* came from, passwords in addresses masked."""
    from lapse.model.masking import masked

    text = masked("".join(traceback.format_exception(error)))
    if log is None:
        _write(text, sys.stderr)
    else:
        log.say("command.traceback", "error", {"traceback": text})


def print_note(text: str) -> None:
    """Tell people something on stderr while a command works."""
    _print([Line(text)], sys.stderr)


def print_log_line(text: str, *, on_stderr: bool) -> None:
    """Print one line of a drop-in's log, as it is."""
    stream = sys.stderr if on_stderr else sys.stdout
    _write(f"{plain(text)}\n", stream)
    _flush(stream)


def print_object(value: object) -> None:
    """Print the object that a drop-in answers with, as its system does."""
    import json

    _write(json.dumps(value, indent=2) + "\n", sys.stdout)
    _flush(sys.stdout)


def print_at_once(text: str) -> None:
    """Tell people something from within a signal handler, where buffered streams must not be touched."""
    os.write(2, f"{text}\n".encode())


def console(stream: TextIO) -> Console:
    """A rich console on *stream*; it heeds NO_COLOR, FORCE_COLOR and TERM."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at *stream*."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _failure_of(error: BaseException) -> Failure:
    from lapse.cli.failure import failure_of  # it knows the errors of the parser of options, which is slow to import

    return failure_of(error)


def _facts(failure: Failure) -> dict[str, Json]:
    """An error as a log line has it."""
    complaints = [{"where": each.where, "message": each.message, "hint": each.hint} for each in failure.complaints]
    told: dict[str, Json] = {"kind": failure.kind, "message": failure.message, "hint": failure.hint}
    return {**told, "where": failure.where, "complaints": complaints}


def _told(failure: Failure) -> Iterator[Line]:
    for complaint in failure.complaints:
        yield Line(f"Error: {plain(complaint.where)}: {plain(complaint.message)}", "error")
        if complaint.hint:
            yield Line(f"Hint: {plain(complaint.hint)}", "hint")
    if not failure.complaints:
        where = f"{failure.where}: " if failure.where else ""
        yield Line(f"Error: {plain(where + failure.message)}", "error")
    elif len(failure.complaints) > 1:
        yield Line(f"Error: {plain(failure.message)}", "error")
    if failure.hint:
        yield Line(f"Hint: {plain(failure.hint)}", "hint")


def _laid_out(blocks: Iterable[Block], stream: TextIO) -> Iterator[Line]:
    width = _width(stream)
    return (line for block in blocks for line in lines(block, width))


def _width(stream: TextIO) -> int | None:
    """Columns to lay pages out in; None for a file or pipe, where each row keeps its line."""
    return min(console(stream).width, _WIDEST) if is_terminal(stream) else None


def _print(texts: Iterable[Line], stream: TextIO) -> None:
    if not is_terminal(stream):
        for line in texts:
            _write(f"{line.text}\n", stream)
    else:
        _print_styled(texts, stream)
    _flush(stream)


def _print_styled(texts: Iterable[Line], stream: TextIO) -> None:
    from rich.text import Text

    screen = console(stream)
    for line in texts:
        style = _STYLES.get(line.style or "", line.style or "")
        if style:
            screen.print(Text(line.text, style))
        else:
            _write(f"{line.text}\n", stream)


def _print_json(envelope: Envelope) -> None:
    _write(encoded(envelope, indent=2 if is_terminal(sys.stdout) else None), sys.stdout)
    _flush(sys.stdout)


def _write(text: str, stream: TextIO) -> None:
    with _unheard(stream):
        stream.write(text)


def _flush(stream: TextIO) -> None:
    with _unheard(stream):
        stream.flush()


@contextmanager
def _unheard(stream: TextIO) -> Iterator[None]:
    """A reader that went away is no error; an answer that cannot be written, to a full disk say, ends with 1."""
    try:
        yield
    except BrokenPipeError:
        _forget(stream)
    except OSError as error:
        _forget(stream)
        if stream is sys.stdout:
            with suppress(OSError):
                print_at_once(f"Error: the answer cannot be written: {error.strerror}\n{_UNWRITTEN}")
            raise SystemExit(int(ExitCode.INCOMPLETE)) from error


def _forget(stream: TextIO) -> None:
    """Let the rest of *stream* go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
