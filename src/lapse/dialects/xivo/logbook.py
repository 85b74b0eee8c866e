"""Log lines as the original writes them, to its log file and to whoever started it; and what plug-ins print."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol, Self

from lapse.errors import LapseError, PolicyError, StateError
from lapse.model.masking import masked

LOGGER = logging.getLogger("wazo_purge_db.cli")
"""Who speaks, in the log: those who watch the log know this name."""

_FORM = "%(asctime)s [%(process)d] (%(levelname)s) (%(name)s): %(message)s"
_MODE = 0o640


class Voice(Protocol):
    """Says a line to whoever started the program."""

    def __call__(self, line: str, *, is_error: bool) -> None: ...


class Logbook:
    """Within its block every log record is said, and added to a log file once there is one."""

    def __init__(self, voice: Voice) -> None:
        """A log whose lines *voice* says."""
        self._voice = voice
        self._root = logging.getLogger()
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> Self:
        self._level = self._root.level
        self._root.setLevel(logging.INFO)
        self._add(_Spoken(self._voice))
        return self

    def __exit__(self, *_: object) -> None:
        self._root.setLevel(self._level)
        for handler in self._handlers:
            self._root.removeHandler(handler)
            handler.close()

    def say_more(self) -> None:
        """Log everything from here on."""
        self._root.setLevel(logging.DEBUG)

    def write_to(self, file: Path) -> None:
        """Add every line to *file* from here on; it is made if it is not there.

        Raises:
            StateError: If it cannot be written.
        """
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE))
            self._add(logging.FileHandler(file, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise StateError(
                f"the log file {file} cannot be written: {error.strerror}",
                hint="Run as a user who may write it, or set `log_file` in the configuration.",
            ) from error

    def _add(self, handler: logging.Handler) -> None:
        handler.setFormatter(_Masking(_FORM))
        self._root.addHandler(handler)
        self._handlers.append(handler)


@contextmanager
def printing_logged(name: str) -> Iterator[None]:
    """Within the block, what is printed becomes log records of *name*: of a plug-in's output nothing is lost."""
    logger = logging.getLogger(name)
    out, err = _Printed(logger, logging.INFO), _Printed(logger, logging.ERROR)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.end()
            err.end()


def tell(error: LapseError) -> None:
    """Log what went wrong, where, and what to do next."""
    for complaint in error.complaints if isinstance(error, PolicyError) else ():
        LOGGER.error("%s", complaint)
        if complaint.hint:
            LOGGER.error("Hint: %s", complaint.hint)
    LOGGER.error("%s", error)
    if error.hint:
        LOGGER.error("Hint: %s", error.hint)


class _Masking(logging.Formatter):
    """Writes no password: plug-ins get the address of the database with it, and may print what they get."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with secrets in addresses replaced."""
        return masked(super().format(record))


class _Spoken(logging.Handler):
    """Says records on the streams that were there when it began, whatever plug-ins do to them."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._out, self._err = sys.stdout, sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        with redirect_stdout(self._out), redirect_stderr(self._err):
            self._voice(self.format(record), is_error=record.levelno >= logging.ERROR)


class _Printed(io.TextIOBase):
    """A stream whose lines become log records."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger = logger
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Log each line that is complete."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def end(self) -> None:
        """Log what came without a line end."""
        self._log(self._rest)
        self._rest = ""

    def _log(self, line: str) -> None:
        if line.strip():
            self._logger.log(self._level, "%s", line.rstrip())
